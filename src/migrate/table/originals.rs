//! The originals of an application's table: the data column of its rows.

use async_trait::async_trait;
use futures::lock::Mutex;

use super::Table;
use super::datum::Datum;
use super::found;
use super::original::{Original, Saved};
use crate::bytes::Blob;
use crate::migrate::candidates::item_id;
use crate::migrate::journal::Entry;
use crate::migrate::originals::{Change, Copies, Originals, Refusal};
use crate::migrate::run::InFlight;
use crate::migrate::slice::{BUCKET_TIMEOUT, BUCKET_UNAVAILABLE, Hand, Interruption};
use crate::migrate::table_key;
use crate::migrate::value::Form;
use crate::runtime::within;
use crate::sql::{QueryResult, Statement};
use crate::store::{Media, ObjectMetadata, PutObject};

/// Values of up to so many bytes come with their row: the base64 of 1 MiB, of which a slice holds as many as it holds items.
const INLINE_MAX_BYTES: u64 = 1_400_000;

/// The originals of one table.
pub(in crate::migrate) struct TableOriginals {
    pub table: Table,
    /// Whether nothing may be changed.
    pub dry_run: bool,
    /// Held while a key is written down, so that of two lists of keys the longer one is written last.
    pub writing_down: Mutex<()>,
}

/// A moved row that still names the copy.
struct Row {
    original: Original,
    /// `None` when the column is NULL.
    datum: Option<Datum>,
    data_bytes: u64,
    is_blob: bool,
}

/// A row's value, which was proved to be what was moved.
struct Proved {
    datum: Datum,
    bytes: Blob,
    form: Form,
}

impl TableOriginals {
    async fn row(
        &self,
        entry: &Entry,
        answer: &QueryResult,
        hand: &Hand<'_>,
    ) -> Result<Result<Row, Refusal>, Interruption> {
        let Some(shape) = answer.first::<found::Row>()? else {
            return Ok(Err(Refusal::skipped("deleted", "the row was deleted")));
        };
        if shape.is_ours != Some(1) {
            return Ok(Err(Refusal::skipped("url-changed", "the row names another image than the one that was moved")));
        }
        let original = Original::from_json(&entry.original)?;
        let mut columns: Vec<_> = self.table.source.written_columns().map(super::Identifier::as_str).collect();
        columns.sort_unstable();
        if !original.before.keys().map(String::as_str).eq(columns) {
            let detail = "the source names other columns than those that the move wrote";
            return Ok(Err(Refusal::failed("source-reconfigured", detail)));
        }
        let (is_blob, data_bytes) = (shape.data_type == "blob", shape.data_bytes.unwrap_or(0));
        let datum = self.datum(entry, &shape, answer, hand).await?;
        Ok(datum.map(|datum| Row { original, datum, data_bytes, is_blob }))
    }

    /// The value of a row, `None` when it is NULL.
    async fn datum(
        &self,
        entry: &Entry,
        shape: &found::Row,
        answer: &QueryResult,
        hand: &Hand<'_>,
    ) -> Result<Result<Option<Datum>, Refusal>, Interruption> {
        let (is_blob, data_bytes) = (shape.data_type == "blob", shape.data_bytes.unwrap_or(0));
        let inline = answer.texts.first().cloned().flatten();
        Ok(match (shape.data_type.as_str(), inline) {
            ("null", _) => Ok(None),
            (_, Some(text)) => Ok(Some(Datum::from_inline(is_blob, text)?)),
            ("text" | "blob", None) => match self.load_datum(entry, data_bytes, is_blob, hand).await? {
                Some(datum) => Ok(Some(datum)),
                None => Err(Refusal::skipped("changed-meanwhile", "somebody else changed the row")),
            },
            _ => Err(source_changed()),
        })
    }

    async fn load_datum(
        &self,
        entry: &Entry,
        data_bytes: u64,
        is_blob: bool,
        hand: &Hand<'_>,
    ) -> Result<Option<Datum>, Interruption> {
        let answers = hand.read(self.table.load_pieces(&entry.item, data_bytes, is_blob)).await?;
        if is_blob {
            return Ok(Datum::from_pieces(&answers, true)?);
        }
        Ok(answers.into_iter().next().and_then(|answer| answer.texts.into_iter().next()?).map(Datum::Text))
    }

    /// Proves that a value is what was moved.
    async fn prove(&self, entry: &Entry, datum: Datum, copies: &Copies) -> Result<Proved, Refusal> {
        let decoded = datum.decode().map_err(|_| source_changed())?;
        if copies.runtime.sha256(&decoded.bytes).await == entry.sha256 {
            Ok(Proved { datum, bytes: decoded.bytes, form: decoded.form })
        } else {
            Err(source_changed())
        }
    }

    /// The value of a row that has none any more, from the copy or from where it was saved.
    async fn rebuild(
        &self,
        entry: &Entry,
        original: &Original,
        copies: &Copies,
        hand: &Hand<'_>,
    ) -> Result<Datum, Refusal> {
        if let Some(saved) = &original.saved {
            let bytes = fetch_saved(saved, copies, hand).await?;
            return Ok(Datum::Bytes { bytes, is_blob: original.form.is_blob() });
        }
        let bytes = copies.fetch(entry, hand).await?;
        Datum::rebuild(&original.form, &bytes).ok_or_else(|| {
            Refusal::failed("original-missing", "the value cannot be had from the image and was not saved")
        })
    }

    /// Writes the value back, reads it back, and compares the image in it with the copy's digest.
    async fn bring_back(
        &self,
        entry: &Entry,
        original: &Original,
        copies: &Copies,
        hand: &Hand<'_>,
    ) -> Result<Result<Datum, Refusal>, Interruption> {
        let datum = match self.rebuild(entry, original, copies, hand).await {
            Ok(datum) => datum,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let statements = vec![self.table.bring_back(entry, original, &datum), self.load(entry)];
        let answers = hand.read(statements).await?;
        let Some(answer) = answers.get(1) else { return Ok(Err(source_changed())) };
        let row = match self.row(entry, answer, hand).await? {
            Ok(row) => row,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(read_back) = row.datum else {
            return Ok(Err(Refusal::failed("not-written-back", "the data column did not take the value")));
        };
        Ok(self.prove(entry, read_back, copies).await.map(|_| datum))
    }

    /// Keeps a value in the bucket that its image does not give back, and reads it back.
    async fn save(
        &self,
        entry: &Entry,
        row: &Row,
        copies: &Copies,
        hand: &Hand<'_>,
    ) -> Result<Result<Saved, Refusal>, Interruption> {
        let pieces = hand.read(self.table.load_pieces(&entry.item, row.data_bytes, true)).await?;
        let Some(Datum::Bytes { bytes, .. }) = Datum::from_pieces(&pieces, row.is_blob)? else {
            return Ok(Err(Refusal::skipped("changed-meanwhile", "somebody else changed the row")));
        };
        let sha256 = copies.runtime.sha256(&bytes).await;
        let key = table_key::original_key(&self.table.source.name, entry.image_id, sha256);
        let saved = Saved { key, sha256, bytes: bytes.size_bytes() as u64 };
        let in_flight = InFlight { item: item_id(self.table.schema.ids, &entry.item)?, key: saved.key.clone() };
        let turn = self.writing_down.lock().await;
        hand.intend(&[in_flight], Vec::new()).await?;
        drop(turn);
        hand.count(|operations| operations.r2_class_a += 1);
        let put = copies.bucket.put(PutObject {
            key: saved.key.clone(),
            body: bytes.into(),
            media: Media::Original,
            sha256: Some(sha256),
            metadata: ObjectMetadata::from([("image-id".to_owned(), entry.image_id.to_string())]),
        });
        let refusal = match within(&copies.runtime, copies.timeout_ms, put).await {
            Ok(Ok(_)) => return Ok(fetch_saved(&saved, copies, hand).await.map(|_| saved)),
            Ok(Err(error)) => Refusal::failed(BUCKET_UNAVAILABLE, error.code()),
            Err(_) => Refusal::failed(BUCKET_TIMEOUT, "the bucket did not answer"),
        };
        Ok(Err(refusal))
    }
}

#[async_trait(?Send)]
impl Originals for TableOriginals {
    fn load(&self, entry: &Entry) -> Statement {
        let url = entry.original.get("url").and_then(|url| url.as_str()).unwrap_or_default();
        self.table.load_moved(&entry.item, url, INLINE_MAX_BYTES)
    }

    async fn restore(
        &self,
        entry: &Entry,
        row: &QueryResult,
        copies: &Copies,
        hand: &Hand<'_>,
    ) -> Result<Result<Change, Refusal>, Interruption> {
        let Row { original, datum, .. } = match self.row(entry, row, hand).await? {
            Ok(row) => row,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let whole = match datum {
            Some(datum) => self.prove(entry, datum, copies).await.map(|proved| proved.datum),
            None => self.bring_back(entry, &original, copies, hand).await?,
        };
        let datum = match whole {
            Ok(datum) => datum,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let statements = vec![self.table.restore(entry, &original, &datum)];
        // The row holds the value again.
        let remove = original.saved.as_ref().map(|saved| saved.key.clone()).into_iter().collect();
        let original = Original { saved: None, ..original }.to_json()?;
        Ok(Ok(Change { statements, original, remove, ..Change::default() }))
    }

    async fn check(
        &self,
        entry: &Entry,
        row: &QueryResult,
        copies: &Copies,
        hand: &Hand<'_>,
    ) -> Result<Result<(), Refusal>, Interruption> {
        let Row { original, datum, .. } = match self.row(entry, row, hand).await? {
            Ok(row) => row,
            Err(refusal) => return Ok(Err(refusal)),
        };
        Ok(match datum {
            Some(datum) => self.prove(entry, datum, copies).await.map(drop),
            None => self.rebuild(entry, &original, copies, hand).await.map(drop),
        })
    }

    async fn holds(
        &self,
        entry: &Entry,
        row: &QueryResult,
        copies: &Copies,
        hand: &Hand<'_>,
    ) -> Result<Result<(), Refusal>, Interruption> {
        let Some(shape) = row.first::<found::Row>()? else {
            return Ok(Err(Refusal::skipped("deleted", "the row was deleted")));
        };
        if shape.is_ours == Some(1) {
            return Ok(Err(Refusal::skipped("changed-meanwhile", "the row names the copy")));
        }
        Ok(match self.datum(entry, &shape, row, hand).await? {
            Ok(Some(datum)) => self.prove(entry, datum, copies).await.map(drop),
            Ok(None) => Err(Refusal::failed("original-missing", "the data column is NULL")),
            Err(refusal) => Err(refusal),
        })
    }

    async fn clean(
        &self,
        entry: &Entry,
        row: &QueryResult,
        copies: &Copies,
        hand: &Hand<'_>,
    ) -> Result<Result<Change, Refusal>, Interruption> {
        if self.table.schema.data_is_required {
            return Ok(Err(Refusal::failed(
                "column-not-null",
                "the data column is NOT NULL, so that it cannot be emptied",
            )));
        }
        let mut row = match self.row(entry, row, hand).await? {
            Ok(row) => row,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let Some(datum) = row.datum.take() else {
            return Ok(Err(Refusal::skipped("already-cleaned", "the data column is NULL")));
        };
        let proved = match self.prove(entry, datum, copies).await {
            Ok(proved) => proved,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Err(refusal) = copies.read_back(entry, hand).await {
            return Ok(Err(refusal));
        }
        let mut original = Original { form: proved.form, ..row.original.clone() };
        // The copy has these very bytes, so that what they are written as is what the copy will be.
        let rebuilt = Datum::rebuild(&original.form, &proved.bytes).filter(|rebuilt| rebuilt.is_same(&proved.datum));
        if rebuilt.is_none() && !self.dry_run {
            original.saved = match self.save(entry, &row, copies, hand).await? {
                Ok(saved) => Some(saved),
                Err(refusal) => return Ok(Err(refusal)),
            };
        }
        let datum = rebuilt.unwrap_or(proved.datum);
        Ok(Ok(Change {
            statements: vec![self.table.drop_data(entry, &original, &datum)],
            original: original.to_json()?,
            freed_bytes: row.data_bytes,
            ..Change::default()
        }))
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.table.names_any(in_flight)
    }
}

async fn fetch_saved(saved: &Saved, copies: &Copies, hand: &Hand<'_>) -> Result<Blob, Refusal> {
    hand.count(|operations| operations.r2_class_b += 1);
    let unavailable = |detail: &str| Refusal::failed(BUCKET_UNAVAILABLE, detail);
    let object = match within(&copies.runtime, copies.timeout_ms, copies.bucket.get(&saved.key, None)).await {
        Ok(Ok(Some(object))) => object,
        Ok(Ok(None)) => return Err(Refusal::failed("original-missing", "the bucket has no object of the saved value")),
        Ok(Err(error)) => return Err(unavailable(error.code())),
        Err(_) => return Err(Refusal::failed(BUCKET_TIMEOUT, "the bucket did not answer")),
    };
    let bytes = object.body.collect(saved.bytes).await.map_err(|error| unavailable(&error.to_string()))?;
    if copies.runtime.sha256(&bytes).await == saved.sha256 {
        Ok(bytes)
    } else {
        Err(Refusal::failed("original-corrupt", "the saved value does not have the digest that was recorded"))
    }
}

fn source_changed() -> Refusal {
    Refusal::failed("source-changed", "the row's data is not what was moved")
}
