//! Moves the images of an application's table into the bucket.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::Table;
use super::datum::{Datum, MAX_DATA_BYTES, whole};
use super::found::{Found, Row};
use super::original::Original;
use crate::bytes::Blob;
use crate::image::{Format, ImageId, ObjectKey, Rejection, Sha256Digest};
use crate::migrate::candidates::{Candidate, Candidates, listed_ids};
use crate::migrate::copy::{Copier, Copy};
use crate::migrate::item::ItemId;
use crate::migrate::journal::{self, Entry, Stage};
use crate::migrate::ledger::from_json;
use crate::migrate::line::{Line, Verdict};
use crate::migrate::run::{InFlight, Run};
use crate::migrate::slice::{Bounds, Hand, Interruption, Outcome, SLICE_BYTES, Slice, Work};
use crate::migrate::table_key;
use crate::migrate::value::{Form, ValueProblem};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, Value};
use crate::store::{EMBEDDED_MAX_BYTES, ObjectMetadata};

/// The longest id that goes onto the object.
const MAX_ID_METADATA_BYTES: usize = 256;

/// Moves a table's images.
pub(in crate::migrate) struct MoveTable {
    pub table: Table,
    pub copier: Copier,
}

/// What the journal says of a row that was moved before.
#[derive(Deserialize)]
struct Earlier {
    stage: Stage,
    key: ObjectKey,
    original: Original,
}

/// A row whose bytes are known.
enum Prepared {
    Done(Box<Outcome>),
    Ready(Box<Ready>),
}

struct Ready {
    row: Row,
    before: String,
    datum: Datum,
    bytes: Blob,
    form: Form,
    format: Format,
    sha256: Sha256Digest,
    image_id: ImageId,
    key: ObjectKey,
}

/// A reason for which an item is left, and its words for people.
type Refused = (&'static str, String);

impl MoveTable {
    fn own_urls(&self, run: &Run) -> String {
        run.parameters.public_base.prefix(&table_key::prefix(&self.table.source.name))
    }

    /// Reads the values that did not come with their rows, all in one round trip.
    async fn load(&self, candidates: &mut Candidates<Found>, hand: &Hand<'_>) -> Result<(), Interruption> {
        let mut statements = Vec::new();
        let mut missing = Vec::new();
        for found in candidates.items.iter_mut().filter_map(|item| item.found.as_mut()) {
            let row = &found.row;
            let is_blob = row.data_type == "blob";
            let bytes = row.data_bytes.unwrap_or(0);
            if found.datum.is_none() && (is_blob || row.data_type == "text") && bytes <= max_bytes(is_blob) {
                let pieces = self.table.load_pieces(&row.item, bytes, is_blob);
                missing.push((found, is_blob, pieces.len()));
                statements.extend(pieces);
            }
        }
        if statements.is_empty() {
            return Ok(());
        }
        let mut answers = hand.read(statements).await?.into_iter();
        for (found, is_blob, pieces) in missing {
            let answers: Vec<_> = answers.by_ref().take(pieces).collect();
            found.datum = if is_blob {
                Datum::from_pieces(&answers, true)?
            } else {
                answers.into_iter().next().and_then(|answer| answer.texts.into_iter().next()?).map(Datum::Text)
            };
        }
        Ok(())
    }

    async fn prepare(&self, id: &ItemId, found: Option<Found>, hand: &Hand<'_>) -> Prepared {
        let done = |(reason, detail): Refused| {
            Prepared::Done(Box::new(Outcome::only(Line::failed(id.clone(), reason, &detail))))
        };
        let Some(Found { row, datum }) = found else {
            return done(("not-found", "the table has no such row".to_owned()));
        };
        let Some(before) = row.before.clone() else {
            return done(("columns-too-large", "the columns to be written hold more than 65,536 bytes".to_owned()));
        };
        let earlier = row.earlier.as_deref().and_then(|earlier| serde_json::from_str::<Earlier>(earlier).ok());
        if row.data_type == "null" && earlier.is_some_and(|earlier| earlier.stage != Stage::Restored) {
            let line = Line::skipped(id.clone(), "already-moved", "the row's image is in R2");
            return Prepared::Done(Box::new(Outcome::only(line)));
        }
        let read = match self.inspect(&row, datum, hand).await {
            Ok(read) => read,
            Err(refused) => return done(refused),
        };
        let (datum, bytes, form, format, sha256) = read;
        let image_id = image_id(&self.table.source.name, id, sha256);
        let key = table_key::object_key(&self.table.source.name, image_id, format);
        Prepared::Ready(Box::new(Ready { row, before, datum, bytes, form, format, sha256, image_id, key }))
    }

    async fn inspect(
        &self,
        row: &Row,
        datum: Option<Datum>,
        hand: &Hand<'_>,
    ) -> Result<(Datum, Blob, Form, Format, Sha256Digest), Refused> {
        let of_value = |problem: ValueProblem| (problem.reason(), problem.to_string());
        match row.data_type.as_str() {
            "null" => return Err(of_value(ValueProblem::Empty)),
            "text" | "blob" => {}
            other => return Err(of_value(ValueProblem::NotText(other.to_owned()))),
        }
        if row.data_bytes.unwrap_or(0) > max_bytes(row.data_type == "blob") {
            return Err(of_value(ValueProblem::TooLarge { limit_bytes: EMBEDDED_MAX_BYTES }));
        }
        let Some(datum) = datum else {
            return Err(("changed-meanwhile", "somebody else changed the row while it was read".to_owned()));
        };
        let decoded = datum.decode().map_err(of_value)?;
        let (format, _) = Format::inspect_blob(&decoded.bytes).map_err(of_rejection)?;
        let sha256 = hand.runtime.sha256(&decoded.bytes).await;
        Ok((datum, decoded.bytes, decoded.form, format, sha256))
    }

    async fn handle(&self, run: &Run, id: ItemId, ready: Ready, hand: &Hand<'_>) -> Result<Outcome, Interruption> {
        let line = |verdict| {
            Line::new(id.clone(), verdict)
                .with_bytes(ready.sha256, ready.bytes.size_bytes() as u64, ready.format.content_type())
                .from_place(&self.table.place())
                .to_object(&ready.key)
        };
        if run.parameters.dry_run {
            return Ok(Outcome::only(line(Verdict::WouldMove)));
        }
        hand.count(|operations| operations.r2_class_a += 1);
        let copy = Copy {
            key: ready.key.clone(),
            format: ready.format,
            sha256: ready.sha256,
            metadata: self.metadata(&ready),
        };
        if let Err(error) = self.copier.put(&copy, async || Ok(ready.bytes.clone().into())).await {
            return Ok(Outcome {
                put: Some(ready.key.clone()),
                uncertain: error.uncertain,
                ..Outcome::only(Line::failed(id.clone(), error.reason, &error.detail))
            });
        }
        let earlier = ready.row.earlier.as_deref().map(from_json::<Earlier>).transpose()?;
        let mut line = line(Verdict::Moved);
        if let Some(former) = earlier.as_ref().map(|earlier| &earlier.key).filter(|former| **former != ready.key) {
            let detail = ["r2:", former.as_str(), " holds the picture before this one, and no row names it any more"];
            line = line.because("replaces-copy", &detail.concat());
        }
        let staged = (earlier.as_ref().map(|earlier| earlier.stage), Some(Stage::Moved));
        // The picture before this one is in its copy; what the row held of it is of no use any more.
        let saved = earlier.as_ref().and_then(|earlier| earlier.original.saved.as_ref());
        let remove = saved.map(|saved| saved.key.clone()).into_iter().collect();
        let statements = self.switch(run, &id, &ready, earlier, hand.runtime.now())?;
        Ok(Outcome { statements, put: Some(ready.key.clone()), remove, staged, ..Outcome::only(line) })
    }

    fn switch(
        &self,
        run: &Run,
        id: &ItemId,
        ready: &Ready,
        earlier: Option<Earlier>,
        now: Timestamp,
    ) -> Result<Vec<Statement>, DatabaseError> {
        let url = run.parameters.public_base.url(&ready.key, ready.image_id);
        let mut before = from_json(&ready.before)?;
        if let Some(Earlier { stage, original, .. }) = earlier
            && stage != Stage::Restored
            && is_own_value(&before, &self.table, &original.url)
        {
            // The row has what an earlier move wrote: what was there before that one counts.
            before = original.before;
        }
        let original = Original { before, form: ready.form.clone(), url: url.clone(), saved: None };
        let entry = Entry {
            item: id.to_string(),
            stage: Stage::Moved,
            image_id: ready.image_id,
            key: ready.key.clone(),
            content_type: ready.format.content_type().to_owned(),
            size_bytes: ready.bytes.size_bytes() as u64,
            sha256: ready.sha256,
            original: original.to_json()?,
            run_id: run.id.clone(),
            moved_at: now,
        };
        let migrated_at: Value = if self.table.schema.integer_times {
            now.as_millis().div_euclid(1000).into()
        } else {
            now.to_iso8601().into()
        };
        let item = id.as_text();
        Ok(vec![
            self.table.switch(&item, &ready.datum, &ready.before, &url, ready.key.as_str(), migrated_at),
            journal::record_anew(&self.table.source.name, &entry),
        ])
    }

    /// Whose the object is, for those who read the bucket without the database.
    fn metadata(&self, ready: &Ready) -> ObjectMetadata {
        let mut metadata = ObjectMetadata::new();
        let values: Vec<Option<String>> =
            serde_json::from_str(ready.row.metadata.as_deref().unwrap_or_default()).unwrap_or_default();
        for (column, value) in self.table.source.metadata.iter().zip(values) {
            if let Some(value) = value.filter(|value| !value.chars().any(char::is_control)) {
                metadata.insert(["meta-", &column.as_str().to_ascii_lowercase()].concat(), value);
            }
        }
        metadata.insert("image-id".to_owned(), ready.image_id.to_string());
        metadata.insert("source".to_owned(), self.table.source.name.clone());
        let item = &ready.row.item;
        if item.len() <= MAX_ID_METADATA_BYTES && item.bytes().all(|byte| byte.is_ascii_graphic()) {
            metadata.insert("item-id".to_owned(), item.clone());
        }
        metadata
    }
}

#[async_trait(?Send)]
impl Work for MoveTable {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        if let Some(ids) = listed_ids(run, bounds.limit) {
            return Ok(ids.into_iter().map(|id| self.table.select_one(id, bounds.inline_max_bytes)).collect());
        }
        let after = run.cursor.as_ref().and_then(|cursor| cursor.get("after")?.as_str());
        Ok(vec![self.table.select_after(after, bounds.limit, bounds.inline_max_bytes, &self.own_urls(run))])
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        hand: &Hand<'_>,
    ) -> Result<Slice, Interruption> {
        let mut candidates = self.table.candidates(run, &found, bounds, false)?;
        drop(found);
        let sizes = candidates.items.iter().filter_map(|item| item.found.as_ref()?.row.data_bytes);
        candidates.largest_bytes = sizes.filter(|bytes| *bytes <= MAX_DATA_BYTES).max().unwrap_or(0);
        cut_to_size(&mut candidates);
        self.load(&mut candidates, hand).await?;
        let Candidates { items, is_last, largest_bytes } = candidates;
        let (mut prepared, mut keys, mut warnings) = (Vec::with_capacity(items.len()), Vec::new(), Vec::new());
        for Candidate { id, found, cursor } in items {
            let found = self.prepare(&id, found, hand).await;
            if let Prepared::Ready(ready) = &found {
                keys.push(InFlight { item: id.clone(), key: ready.key.clone() });
                warnings.extend(mistaken_type(&ready.row, ready.format));
            }
            prepared.push(Candidate { id, found: Some(found), cursor });
        }
        if !run.parameters.dry_run && !keys.is_empty() {
            hand.intend(&keys, Vec::new()).await?;
        }
        let candidates = Candidates { items: prepared, is_last, largest_bytes };
        let handled = candidates.handle(hand, async |id, found| match found {
            Some(Prepared::Ready(ready)) => self.handle(run, id, *ready, hand).await,
            Some(Prepared::Done(outcome)) => Ok(*outcome),
            None => Ok(Outcome::only(Line::failed(id, "not-found", "the table has no such row"))),
        });
        let mut slice = handled.await?;
        slice.warnings.extend(warnings);
        Ok(slice)
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        Some(match &run.parameters.item_ids {
            Some(ids) => Statement::new("SELECT ?1 AS items").bind(whole(ids.len() as u64)),
            // A dry run reads every row in any case.
            None if run.parameters.dry_run => self.table.count(&self.own_urls(run)),
            None => self.table.estimate(&self.own_urls(run)),
        })
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.table.names(in_flight)
    }
}

/// Leaves rows to the next slice that would not fit into memory beside those in front of them; one always fits.
fn cut_to_size(candidates: &mut Candidates<Found>) {
    let mut bytes = 0;
    let fitting = candidates.items.iter().take_while(|item| {
        let own = item.found.as_ref().and_then(|found| found.row.data_bytes).unwrap_or(0);
        let is_first = bytes == 0;
        bytes += if own > MAX_DATA_BYTES { 0 } else { own };
        is_first || bytes <= SLICE_BYTES
    });
    let fitting = fitting.count();
    if fitting < candidates.items.len() {
        candidates.items.truncate(fitting);
        candidates.is_last = false;
    }
}

const fn max_bytes(is_blob: bool) -> u64 {
    if is_blob { EMBEDDED_MAX_BYTES } else { MAX_DATA_BYTES }
}

fn of_rejection(rejection: Rejection) -> Refused {
    match rejection {
        Rejection::NotAnImage => {
            ("not-an-image", "the bytes start like no image format that Stillstore knows".to_owned())
        }
        Rejection::Truncated => ("truncated", "the image's own structure says that bytes are missing".to_owned()),
        Rejection::Malformed => ("malformed", "the bytes start like an image and contradict its format".to_owned()),
    }
}

/// The application's own word for the type, when the bytes say another.
fn mistaken_type(row: &Row, format: Format) -> Option<String> {
    let said = row.media_type.as_ref()?;
    let is_right = Format::from_content_type(said).is_none_or(|said| said == format);
    (!is_right).then(|| ["the row ", &row.item, " says ", said, ", its bytes are ", format.content_type()].concat())
}

/// Whether the url among the values `before` is `url`.
fn is_own_value(before: &std::collections::BTreeMap<String, Option<String>>, table: &Table, url: &str) -> bool {
    let value = before.get(table.source.url.as_str()).and_then(Option::as_deref);
    value.and_then(|value| value.strip_prefix('t')) == Some(url)
}

/// The id of the image that an item of a source holds: the same for the same bytes, another for others.
fn image_id(source: &str, id: &ItemId, sha256: Sha256Digest) -> ImageId {
    let id = json!([source, id, sha256]).to_string();
    ImageId::from_digest(&Sha256Digest::of(id.as_bytes()))
}
