//! The originals of an application's table: the data column of its rows.

use std::rc::Rc;

use async_trait::async_trait;
use futures::lock::Mutex;

use super::catalogue::TableCatalogue;
use super::datum::Datum;
use super::definition::Table;
use super::found;
use super::keys;
use super::original::{Original, Saved};
use super::value::ValueForm;
use crate::bytes::Blob;
use crate::migrate::destination::Destination;
use crate::migrate::runs::{Entry, InFlight};
use crate::migrate::source::{Change, Originals};
use crate::migrate::task::{Interruption, ItemError, Refusal, SliceContext, item_id};
use crate::runtime::within;
use crate::sql::{QueryResult, Statement};
use crate::store::{Media, ObjectMetadata, PutObject};

/// Values of up to so many bytes come with their row: the base64 of 1 MiB, of which a slice holds as many as it holds items.
const INLINE_MAX_BYTES: u64 = 1_400_000;

/// The originals of one table.
pub struct TableOriginals {
    pub table: Rc<Table>,
    pub catalogue: TableCatalogue,
    pub destination: Destination,
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
    form: ValueForm,
}

impl TableOriginals {
    async fn row(&self, entry: &Entry, answer: &QueryResult, context: &SliceContext<'_>) -> Result<Row, ItemError> {
        let Some(shape) = answer.first::<found::Row>()? else {
            return Err(Refusal::skipped("deleted", "the row was deleted").into());
        };
        if shape.is_ours != Some(1) {
            return Err(
                Refusal::skipped("url-changed", "the row names another image than the one that was moved").into()
            );
        }
        let original = Original::of_entry(entry, &self.table.source)?;
        let (is_blob, data_bytes) = (shape.data_type == "blob", shape.data_bytes.unwrap_or(0));
        let datum = self.datum(entry, &shape, answer, context).await?;
        Ok(Row { original, datum, data_bytes, is_blob })
    }

    /// The value of a row, `None` when it is NULL.
    async fn datum(
        &self,
        entry: &Entry,
        shape: &found::Row,
        answer: &QueryResult,
        context: &SliceContext<'_>,
    ) -> Result<Option<Datum>, ItemError> {
        let (is_blob, data_bytes) = (shape.data_type == "blob", shape.data_bytes.unwrap_or(0));
        let inline = answer.texts.first().cloned().flatten();
        match (shape.data_type.as_str(), inline) {
            ("null", _) => Ok(None),
            (_, Some(text)) => Ok(Some(Datum::from_inline(is_blob, text)?)),
            ("text" | "blob", None) => match self.load_datum(entry, data_bytes, is_blob, context).await? {
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
        context: &SliceContext<'_>,
    ) -> Result<Option<Datum>, Interruption> {
        let answers = context.read(self.table.load_pieces(&entry.item, data_bytes, is_blob)).await?;
        if is_blob {
            return Ok(Datum::from_pieces(&answers, true)?);
        }
        Ok(answers.into_iter().next().and_then(|answer| answer.texts.into_iter().next()?).map(Datum::Text))
    }

    /// Proves that a value is what was moved.
    async fn prove(&self, entry: &Entry, datum: Datum) -> Result<Proved, Refusal> {
        let decoded = datum.decode().map_err(|_| source_changed())?;
        if self.destination.runtime.sha256(&decoded.bytes).await == entry.sha256 {
            Ok(Proved { datum, bytes: decoded.bytes, form: decoded.form })
        } else {
            Err(source_changed())
        }
    }

    /// The value of a row that has none any more, from the copy or from where it was saved.
    async fn rebuild(&self, entry: &Entry, original: &Original, context: &SliceContext<'_>) -> Result<Datum, Refusal> {
        if let Some(saved) = &original.saved {
            let bytes = self.fetch_saved(saved, context).await?;
            return Ok(Datum::Bytes { bytes, is_blob: original.form.is_blob() });
        }
        let bytes = self.destination.fetch(entry, context).await?;
        Datum::rebuild(&original.form, &bytes).ok_or_else(|| {
            Refusal::failed("original-missing", "the value cannot be had from the image and was not saved")
        })
    }

    /// Writes the value back, reads it back, and compares the image in it with the copy's digest.
    async fn bring_back(
        &self,
        entry: &Entry,
        original: &Original,
        context: &SliceContext<'_>,
    ) -> Result<Datum, ItemError> {
        let datum = self.rebuild(entry, original, context).await?;
        let statements = vec![self.table.bring_back(entry, original, &datum), self.load(entry)];
        let answers = context.read(statements).await?;
        let Some(answer) = answers.get(1) else { return Err(source_changed().into()) };
        let Some(read_back) = self.row(entry, answer, context).await?.datum else {
            return Err(Refusal::failed("not-written-back", "the data column did not take the value").into());
        };
        self.prove(entry, read_back).await?;
        Ok(datum)
    }

    /// Keeps a value in the bucket that its image does not give back, and reads it back.
    async fn save(&self, entry: &Entry, row: &Row, context: &SliceContext<'_>) -> Result<Saved, ItemError> {
        let pieces = context.read(self.table.load_pieces(&entry.item, row.data_bytes, true)).await?;
        let Some(Datum::Bytes { bytes, .. }) = Datum::from_pieces(&pieces, row.is_blob)? else {
            return Err(Refusal::skipped("changed-meanwhile", "somebody else changed the row").into());
        };
        let bucket = &self.destination;
        let sha256 = bucket.runtime.sha256(&bytes).await;
        let key = keys::original_key(&self.table.source.name, entry.image_id, sha256);
        let saved = Saved { key, sha256, bytes: bytes.size_bytes() as u64 };
        let in_flight = InFlight { item: item_id(self.table.schema.ids, &entry.item)?, key: saved.key.clone() };
        let turn = self.writing_down.lock().await;
        context.announce(&[in_flight], Vec::new()).await?;
        drop(turn);
        context.count(|operations| operations.r2_class_a += 1);
        let put = bucket.bucket.put(PutObject {
            key: saved.key.clone(),
            body: bytes.into(),
            media: Media::Original,
            sha256: Some(sha256),
            metadata: ObjectMetadata::from([("image-id".to_owned(), entry.image_id.to_string())]),
        });
        match within(&bucket.runtime, bucket.timeout_ms, put).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(Refusal::of_bucket(error.code()).into()),
            Err(late) => return Err(Refusal::of_late_bucket(late).into()),
        }
        self.fetch_saved(&saved, context).await?;
        Ok(saved)
    }

    async fn fetch_saved(&self, saved: &Saved, context: &SliceContext<'_>) -> Result<Blob, Refusal> {
        let bucket = &self.destination;
        context.count(|operations| operations.r2_class_b += 1);
        let object = match within(&bucket.runtime, bucket.timeout_ms, bucket.bucket.get(&saved.key, None)).await {
            Ok(Ok(Some(object))) => object,
            Ok(Ok(None)) => {
                return Err(Refusal::failed("original-missing", "the bucket has no object of the saved value"));
            }
            Ok(Err(error)) => return Err(Refusal::of_bucket(error.code())),
            Err(late) => return Err(Refusal::of_late_bucket(late)),
        };
        let bytes = object.body.collect(saved.bytes).await.map_err(|error| Refusal::of_bucket(error.to_string()))?;
        if bucket.runtime.sha256(&bytes).await == saved.sha256 {
            Ok(bytes)
        } else {
            Err(Refusal::failed("original-corrupt", "the saved value does not have the digest that was recorded"))
        }
    }
}

#[async_trait(?Send)]
impl Originals for TableOriginals {
    fn load(&self, entry: &Entry) -> Statement {
        let url = entry.original.get("url").and_then(|url| url.as_str()).unwrap_or_default();
        self.table.load_moved(entry, url, INLINE_MAX_BYTES)
    }

    async fn leave_catalogue(&self, entries: &[&Entry], context: &SliceContext<'_>) -> Result<(), Interruption> {
        self.catalogue.leave(&TableCatalogue::images_of(entries), context).await
    }

    async fn restore(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError> {
        let Row { original, datum, .. } = self.row(entry, row, context).await?;
        let datum = match datum {
            Some(datum) => self.prove(entry, datum).await?.datum,
            None => self.bring_back(entry, &original, context).await?,
        };
        let mut statements = self.catalogue.at_return(&entry.item, entry.image_id, context.runtime.now())?;
        statements.push(self.table.restore(entry, &original, &datum));
        // The row holds the value again.
        let remove = original.saved.as_ref().map(|saved| saved.key.clone()).into_iter().collect();
        let original = Original { saved: None, ..original }.to_json()?;
        Ok(Change { statements, original, remove, ..Change::default() })
    }

    async fn forget(
        &self,
        entry: &Entry,
        row: &QueryResult,
        context: &SliceContext<'_>,
    ) -> Result<Option<Change>, ItemError> {
        if let Some(shape) = row.first::<found::Row>()? {
            if shape.is_ours == Some(1) || shape.names_image == Some(1) {
                return Ok(None);
            }
            if let Some(datum) = self.datum(entry, &shape, row, context).await?
                && self.prove(entry, datum).await.is_ok()
            {
                return Ok(None);
            }
        }
        let mut statements = self.catalogue.at_return(&entry.item, entry.image_id, context.runtime.now())?;
        statements.push(self.table.forget(entry));
        let saved = Original::from_json(&entry.original)?.saved;
        let remove = saved.map(|saved| saved.key).into_iter().collect();
        Ok(Some(Change { statements, remove, ..Change::default() }))
    }

    async fn check(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<(), ItemError> {
        let Row { original, datum, .. } = self.row(entry, row, context).await?;
        match datum {
            Some(datum) => drop(self.prove(entry, datum).await?),
            None => drop(self.rebuild(entry, &original, context).await?),
        }
        Ok(())
    }

    async fn holds(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<(), ItemError> {
        let Some(shape) = row.first::<found::Row>()? else {
            return Err(Refusal::skipped("deleted", "the row was deleted").into());
        };
        if shape.is_ours == Some(1) {
            return Err(Refusal::skipped("changed-meanwhile", "the row names the copy").into());
        }
        let Some(datum) = self.datum(entry, &shape, row, context).await? else {
            return Err(Refusal::failed("original-missing", "the data column is NULL").into());
        };
        self.prove(entry, datum).await?;
        Ok(())
    }

    async fn clean(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError> {
        if self.table.schema.data_is_required {
            let detail = "the data column is NOT NULL, so that it cannot be emptied";
            return Err(Refusal::failed("column-not-null", detail).into());
        }
        let mut row = self.row(entry, row, context).await?;
        let Some(datum) = row.datum.take() else {
            return Err(Refusal::skipped("already-cleaned", "the data column is NULL").into());
        };
        let proved = self.prove(entry, datum).await?;
        self.destination.read_back(entry, context).await?;
        let mut original = Original { form: proved.form, ..row.original.clone() };
        // The copy has these very bytes, so that what they are written as is what the copy will be.
        let rebuilt = Datum::rebuild(&original.form, &proved.bytes).filter(|rebuilt| rebuilt.is_same(&proved.datum));
        if rebuilt.is_none() && !self.dry_run {
            original.saved = Some(self.save(entry, &row, context).await?);
        }
        let datum = rebuilt.unwrap_or(proved.datum);
        Ok(Change {
            statements: vec![self.table.drop_data(entry, &original, &datum)],
            original: original.to_json()?,
            freed_bytes: row.data_bytes,
            ..Change::default()
        })
    }

    fn operations_per_item(&self) -> u64 {
        const ENTRY: u64 = 1;
        const ROW: u64 = 1;
        const COPY: u64 = 1;
        const WRITE_AND_READ_BACK: u64 = 2;
        const SWITCH_AND_JOURNAL: u64 = 2;
        const CATALOGUE: u64 = 2;
        const GUARDS: u64 = 2;
        const REMOVE_COPY_AND_SAVED_VALUE: u64 = 2;
        ENTRY + ROW + COPY + WRITE_AND_READ_BACK + SWITCH_AND_JOURNAL + CATALOGUE + GUARDS + REMOVE_COPY_AND_SAVED_VALUE
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.table.names_any(in_flight)
    }
}

fn source_changed() -> Refusal {
    Refusal::failed("source-changed", "the row's data is not what was moved")
}
