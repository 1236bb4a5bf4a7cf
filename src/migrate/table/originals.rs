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
use crate::migrate::originals::{Change, Copies, Originals, Refusal, Setback, timeout};
use crate::migrate::run::InFlight;
use crate::migrate::slice::{BUCKET_UNAVAILABLE, Hand, Interruption};
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
    pub copies: Copies,
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
    async fn row(&self, entry: &Entry, answer: &QueryResult, hand: &Hand<'_>) -> Result<Row, Setback> {
        let Some(shape) = answer.first::<found::Row>()? else {
            return Err(Refusal::skipped("deleted", "the row was deleted").into());
        };
        if shape.is_ours != Some(1) {
            return Err(
                Refusal::skipped("url-changed", "the row names another image than the one that was moved").into()
            );
        }
        let original = Original::from_json(&entry.original)?;
        let mut columns: Vec<_> = self.table.source.written_columns().map(super::Identifier::as_str).collect();
        columns.sort_unstable();
        if !original.before.keys().map(String::as_str).eq(columns) {
            let detail = "the source names other columns than those that the move wrote";
            return Err(Refusal::failed("source-reconfigured", detail).into());
        }
        let (is_blob, data_bytes) = (shape.data_type == "blob", shape.data_bytes.unwrap_or(0));
        let datum = self.datum(entry, &shape, answer, hand).await?;
        Ok(Row { original, datum, data_bytes, is_blob })
    }

    /// The value of a row, `None` when it is NULL.
    async fn datum(
        &self,
        entry: &Entry,
        shape: &found::Row,
        answer: &QueryResult,
        hand: &Hand<'_>,
    ) -> Result<Option<Datum>, Setback> {
        let (is_blob, data_bytes) = (shape.data_type == "blob", shape.data_bytes.unwrap_or(0));
        let inline = answer.texts.first().cloned().flatten();
        match (shape.data_type.as_str(), inline) {
            ("null", _) => Ok(None),
            (_, Some(text)) => Ok(Some(Datum::from_inline(is_blob, text)?)),
            ("text" | "blob", None) => match self.load_datum(entry, data_bytes, is_blob, hand).await? {
                Some(datum) => Ok(Some(datum)),
                None => Err(Refusal::skipped("changed-meanwhile", "somebody else changed the row").into()),
            },
            _ => Err(source_changed().into()),
        }
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
    async fn prove(&self, entry: &Entry, datum: Datum) -> Result<Proved, Refusal> {
        let decoded = datum.decode().map_err(|_| source_changed())?;
        if self.copies.runtime.sha256(&decoded.bytes).await == entry.sha256 {
            Ok(Proved { datum, bytes: decoded.bytes, form: decoded.form })
        } else {
            Err(source_changed())
        }
    }

    /// The value of a row that has none any more, from the copy or from where it was saved.
    async fn rebuild(&self, entry: &Entry, original: &Original, hand: &Hand<'_>) -> Result<Datum, Refusal> {
        if let Some(saved) = &original.saved {
            let bytes = self.fetch_saved(saved, hand).await?;
            return Ok(Datum::Bytes { bytes, is_blob: original.form.is_blob() });
        }
        let bytes = self.copies.fetch(entry, hand).await?;
        Datum::rebuild(&original.form, &bytes).ok_or_else(|| {
            Refusal::failed("original-missing", "the value cannot be had from the image and was not saved")
        })
    }

    /// Writes the value back, reads it back, and compares the image in it with the copy's digest.
    async fn bring_back(&self, entry: &Entry, original: &Original, hand: &Hand<'_>) -> Result<Datum, Setback> {
        let datum = self.rebuild(entry, original, hand).await?;
        let statements = vec![self.table.bring_back(entry, original, &datum), self.load(entry)];
        let answers = hand.read(statements).await?;
        let Some(answer) = answers.get(1) else { return Err(source_changed().into()) };
        let Some(read_back) = self.row(entry, answer, hand).await?.datum else {
            return Err(Refusal::failed("not-written-back", "the data column did not take the value").into());
        };
        self.prove(entry, read_back).await?;
        Ok(datum)
    }

    /// Keeps a value in the bucket that its image does not give back, and reads it back.
    async fn save(&self, entry: &Entry, row: &Row, hand: &Hand<'_>) -> Result<Saved, Setback> {
        let pieces = hand.read(self.table.load_pieces(&entry.item, row.data_bytes, true)).await?;
        let Some(Datum::Bytes { bytes, .. }) = Datum::from_pieces(&pieces, row.is_blob)? else {
            return Err(Refusal::skipped("changed-meanwhile", "somebody else changed the row").into());
        };
        let copies = &self.copies;
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
        match within(&copies.runtime, copies.timeout_ms, put).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Refusal::failed(BUCKET_UNAVAILABLE, error.code()).into()),
            Err(error) => return Err(timeout(error).into()),
        }
        self.fetch_saved(&saved, hand).await?;
        Ok(saved)
    }

    async fn fetch_saved(&self, saved: &Saved, hand: &Hand<'_>) -> Result<Blob, Refusal> {
        let copies = &self.copies;
        hand.count(|operations| operations.r2_class_b += 1);
        let unavailable = |detail: &str| Refusal::failed(BUCKET_UNAVAILABLE, detail);
        let object = match within(&copies.runtime, copies.timeout_ms, copies.bucket.get(&saved.key, None)).await {
            Ok(Ok(Some(object))) => object,
            Ok(Ok(None)) => {
                return Err(Refusal::failed("original-missing", "the bucket has no object of the saved value"));
            }
            Ok(Err(error)) => return Err(unavailable(error.code())),
            Err(error) => return Err(timeout(error)),
        };
        let bytes = object.body.collect(saved.bytes).await.map_err(|error| unavailable(&error.to_string()))?;
        if copies.runtime.sha256(&bytes).await == saved.sha256 {
            Ok(bytes)
        } else {
            Err(Refusal::failed("original-corrupt", "the saved value does not have the digest that was recorded"))
        }
    }
}

#[async_trait(?Send)]
impl Originals for TableOriginals {
    fn place(&self) -> String {
        self.table.place()
    }

    fn load(&self, entry: &Entry) -> Statement {
        let url = entry.original.get("url").and_then(|url| url.as_str()).unwrap_or_default();
        self.table.load_moved(&entry.item, url, INLINE_MAX_BYTES)
    }

    async fn restore(&self, entry: &Entry, row: &QueryResult, hand: &Hand<'_>) -> Result<Change, Setback> {
        let Row { original, datum, .. } = self.row(entry, row, hand).await?;
        let datum = match datum {
            Some(datum) => self.prove(entry, datum).await?.datum,
            None => self.bring_back(entry, &original, hand).await?,
        };
        let statements = vec![self.table.restore(entry, &original, &datum)];
        // The row holds the value again.
        let remove = original.saved.as_ref().map(|saved| saved.key.clone()).into_iter().collect();
        let original = Original { saved: None, ..original }.to_json()?;
        Ok(Change { statements, original, remove, ..Change::default() })
    }

    async fn check(&self, entry: &Entry, row: &QueryResult, hand: &Hand<'_>) -> Result<(), Setback> {
        let Row { original, datum, .. } = self.row(entry, row, hand).await?;
        match datum {
            Some(datum) => drop(self.prove(entry, datum).await?),
            None => drop(self.rebuild(entry, &original, hand).await?),
        }
        Ok(())
    }

    async fn holds(&self, entry: &Entry, row: &QueryResult, hand: &Hand<'_>) -> Result<(), Setback> {
        let Some(shape) = row.first::<found::Row>()? else {
            return Err(Refusal::skipped("deleted", "the row was deleted").into());
        };
        if shape.is_ours == Some(1) {
            return Err(Refusal::skipped("changed-meanwhile", "the row names the copy").into());
        }
        let Some(datum) = self.datum(entry, &shape, row, hand).await? else {
            return Err(Refusal::failed("original-missing", "the data column is NULL").into());
        };
        self.prove(entry, datum).await?;
        Ok(())
    }

    async fn clean(&self, entry: &Entry, row: &QueryResult, hand: &Hand<'_>) -> Result<Change, Setback> {
        if self.table.schema.data_is_required {
            let detail = "the data column is NOT NULL, so that it cannot be emptied";
            return Err(Refusal::failed("column-not-null", detail).into());
        }
        let mut row = self.row(entry, row, hand).await?;
        let Some(datum) = row.datum.take() else {
            return Err(Refusal::skipped("already-cleaned", "the data column is NULL").into());
        };
        let proved = self.prove(entry, datum).await?;
        self.copies.read_back(entry, hand).await?;
        let mut original = Original { form: proved.form, ..row.original.clone() };
        // The copy has these very bytes, so that what they are written as is what the copy will be.
        let rebuilt = Datum::rebuild(&original.form, &proved.bytes).filter(|rebuilt| rebuilt.is_same(&proved.datum));
        if rebuilt.is_none() && !self.dry_run {
            original.saved = Some(self.save(entry, &row, hand).await?);
        }
        let datum = rebuilt.unwrap_or(proved.datum);
        Ok(Change {
            statements: vec![self.table.drop_data(entry, &original, &datum)],
            original: original.to_json()?,
            freed_bytes: row.data_bytes,
            ..Change::default()
        })
    }

    /// Nine, and the entry's own read when the caller named it, and the removal of a value that was saved beside the copy.
    fn operations_per_item(&self) -> u64 {
        11
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.table.names_any(in_flight)
    }
}

fn source_changed() -> Refusal {
    Refusal::failed("source-changed", "the row's data is not what was moved")
}
