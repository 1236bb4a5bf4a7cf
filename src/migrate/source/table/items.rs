//! Moves the images of an application's table into the bucket.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::catalogue::TableCatalogue;
use super::config::TableSource;
use super::datum::{Datum, MAX_DATA_BYTES};
use super::definition::Table;
use super::found::{Found, Row};
use super::keys;
use super::original::Original;
use super::value::{ValueForm, ValueProblem};
use crate::bytes::{Blob, Body};
use crate::catalog::{Associations, Content, Description, ImageRecord, SourceItem, Status, moved};
use crate::image::{Format, ImageId, Labels, ObjectKey, Rejection, Sha256Digest, Visibility};
use crate::migrate::destination::NewCopy;
use crate::migrate::runs::journal::{self, Catalogued};
use crate::migrate::runs::{Entry, InFlight, ItemId, Run, Stage};
use crate::migrate::source::{Contents, Items, Movable, Prepared, Switch};
use crate::migrate::task::{Bounds, Interruption, Page, PageItem, Refusal, SLICE_BYTES, SliceContext, listed_ids};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, Value, from_json};
use crate::store::{EMBEDDED_MAX_BYTES, Media, ObjectMetadata, PutReceipt, StorageKind};

/// The longest id that goes onto the object.
const MAX_ID_METADATA_BYTES: usize = 256;

/// The rows of a table that are to be moved.
pub struct TableItems {
    pub table: Rc<Table>,
    pub catalogue: TableCatalogue,
    /// Whoever knows a key can read the object.
    pub bucket_is_public: bool,
}

/// What the journal says of a row that was moved before.
#[derive(Deserialize)]
struct Earlier {
    stage: Stage,
    key: ObjectKey,
    original: Original,
}

/// A row whose bytes are known.
struct Ready {
    table: Rc<Table>,
    catalogue: TableCatalogue,
    id: ItemId,
    row: Row,
    before: String,
    datum: Datum,
    bytes: Blob,
    form: ValueForm,
    format: Format,
    content: Content,
    labels: Labels,
    image_id: ImageId,
    key: ObjectKey,
}

impl TableItems {
    fn own_urls(&self, run: &Run) -> String {
        run.parameters.public_base.prefix(&keys::prefix(&self.table.source.name))
    }

    /// Reads the values that did not come with their rows, all in one round trip.
    async fn load(&self, page: &mut Page<Found>, context: &SliceContext<'_>) -> Result<(), Interruption> {
        let mut statements = Vec::new();
        let mut missing = Vec::new();
        for found in page.items.iter_mut().filter_map(|item| item.found.as_mut()) {
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
        let mut answers = context.read(statements).await?.into_iter();
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

    async fn ready(&self, id: &ItemId, found: Found, context: &SliceContext<'_>) -> Result<Ready, Refusal> {
        let Found { row, datum } = found;
        let Some(before) = row.before.clone() else {
            return Err(Refusal::failed("columns-too-large", "the columns to be written hold more than 65,536 bytes"));
        };
        let earlier = row.earlier.as_deref().and_then(|earlier| serde_json::from_str::<Earlier>(earlier).ok());
        if row.data_type == "null" && earlier.is_some_and(|earlier| earlier.stage != Stage::Restored) {
            return Err(Refusal::skipped("already-moved", "the row's image is in R2"));
        }
        let source = &self.table.source;
        if self.bucket_is_public && source.visibility == Visibility::Private {
            return Err(Refusal::skipped("private-image-and-public-bucket", "whoever knew its key could read it"));
        }
        let Inspected { datum, bytes, form, format, content } = inspect(&row, datum, context).await?;
        let image_id = image_id(&source.name, id, content.sha256);
        Ok(Ready {
            key: keys::object_key(&source.name, image_id, format),
            labels: Labels::keeping_valid(metadata(source, &row)),
            table: Rc::clone(&self.table),
            catalogue: self.catalogue.clone(),
            id: id.clone(),
            row,
            before,
            datum,
            bytes,
            form,
            format,
            content,
            image_id,
        })
    }
}

#[async_trait(?Send)]
impl Items for TableItems {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        if let Some(ids) = listed_ids(run, bounds.limit) {
            return Ok(ids.into_iter().map(|id| self.table.select_one(id, bounds.inline_max_bytes)).collect());
        }
        let after = run.cursor.as_ref().and_then(|cursor| cursor.get("after")?.as_str());
        Ok(vec![self.table.select_after(after, bounds.limit, bounds.inline_max_bytes, &self.own_urls(run))])
    }

    fn count(&self, run: &Run) -> Statement {
        // A dry run reads every row in any case.
        if run.is_dry_run() { self.table.count(&self.own_urls(run)) } else { self.table.estimate(&self.own_urls(run)) }
    }

    async fn prepare(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Prepared, Interruption> {
        let mut page = self.table.page(run, &found, bounds, false)?;
        drop(found);
        let sizes = page.items.iter().filter_map(|item| item.found.as_ref()?.row.data_bytes);
        page.largest_bytes = sizes.filter(|bytes| *bytes <= MAX_DATA_BYTES).max().unwrap_or(0);
        cut_to_size(&mut page);
        self.load(&mut page, context).await?;
        let Page { items, is_last, largest_bytes } = page;
        let (mut prepared, mut warnings) = (Vec::with_capacity(items.len()), Vec::new());
        for PageItem { id, found, cursor } in items {
            let ready = match found {
                Some(found) => self.ready(&id, found, context).await,
                None => Err(Refusal::failed("not-found", "the table has no such row")),
            };
            if let Ok(ready) = &ready {
                warnings.extend(mistaken_type(&ready.row, ready.format));
            }
            let found = Some(ready.map(|ready| Box::new(ready) as Box<dyn Movable>));
            prepared.push(PageItem { id, found, cursor });
        }
        Ok(Prepared { page: Page { items: prepared, is_last, largest_bytes }, warnings })
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.table.names(in_flight)
    }
}

impl Ready {
    /// The image as the catalogue has it from now on.
    fn record(&self, now: Timestamp) -> ImageRecord {
        let TableSource { name, visibility, .. } = &self.table.source;
        ImageRecord {
            description: Description {
                id: self.image_id,
                key: self.key.clone(),
                format: self.format,
                visibility: *visibility,
                filename: None,
                context: None,
                associations: Associations::default(),
                labels: self.labels.clone(),
                owner_id: None,
                frame: None,
                parent_id: None,
                moved_from: Some(SourceItem { source: name.clone(), item: self.id.to_string() }),
                created_at: now,
            },
            version: 1,
            status: Status::Stored,
            storage: StorageKind::R2,
            content: Some(self.content.clone()),
            generation: None,
            fallback_reason: None,
            embedded_write_id: None,
            two_homes: Some(false),
            updated_at: now,
        }
    }

    /// Whose the object is, for those who read the bucket without the database.
    fn metadata(&self) -> ObjectMetadata {
        let columns = metadata(&self.table.source, &self.row).map(|(name, value)| (format!("meta-{name}"), value));
        let mut metadata: ObjectMetadata = columns.collect();
        metadata.insert("image-id".to_owned(), self.image_id.to_string());
        metadata.insert("source".to_owned(), self.table.source.name.clone());
        let item = &self.row.item;
        if item.len() <= MAX_ID_METADATA_BYTES && item.bytes().all(|byte| byte.is_ascii_graphic()) {
            metadata.insert("item-id".to_owned(), item.clone());
        }
        metadata
    }
}

#[async_trait(?Send)]
impl Movable for Ready {
    fn copy(&self) -> NewCopy {
        NewCopy {
            key: self.key.clone(),
            media: Media::image(self.format, self.table.source.visibility),
            sha256: Some(self.content.sha256),
            metadata: self.metadata(),
        }
    }

    async fn open(&self) -> Result<Body, Refusal> {
        Ok(self.bytes.clone().into())
    }

    async fn check(&self) -> Result<Contents, Refusal> {
        Ok(Contents { size_bytes: self.content.size_bytes, sha256: self.content.sha256 })
    }

    fn switch(&self, run: &Run, _receipt: &PutReceipt, now: Timestamp) -> Result<Switch, DatabaseError> {
        let earlier = self.row.earlier.as_deref().map(from_json::<Earlier>).transpose()?;
        let url = run.parameters.public_base.url(&self.key, self.image_id);
        let mut before = from_json(&self.before)?;
        if let Some(Earlier { stage, original, .. }) = &earlier
            && *stage != Stage::Restored
            && is_own_value(&before, &self.table, &original.url)
        {
            // The row has what an earlier move wrote: what was there before that one counts.
            before = original.before.clone();
        }
        let original = Original { before, form: self.form.clone(), url: url.clone(), saved: None };
        let entry = Entry {
            item: self.id.to_string(),
            stage: Stage::Moved,
            image_id: self.image_id,
            key: self.key.clone(),
            content_type: self.format.content_type().to_owned(),
            size_bytes: self.content.size_bytes,
            sha256: self.content.sha256,
            original: original.to_json()?,
            run_id: run.id.clone(),
            moved_at: now,
        };
        let migrated_at: Value = if self.table.schema.integer_times {
            now.as_millis().div_euclid(1000).into()
        } else {
            now.to_iso8601().into()
        };
        let source = self.table.source.name.as_str();
        let item = self.id.as_text();
        let image = self.record(now);
        let former = earlier.as_ref().map(|earlier| &earlier.key).filter(|former| **former != self.key);
        let catalogued = self.catalogue.at_move();
        let mut statements = vec![
            self.table.switch(&item, &self.datum, &self.before, &url, self.key.as_str(), migrated_at),
            journal::record_anew(source, &entry, catalogued, &moved::kept_by_journal(&image)?),
        ];
        if catalogued == Catalogued::Present {
            statements.extend(former.map(|_| moved::release_moved(source, &item, self.image_id, now)));
            statements.push(moved::record_moved(&image)?);
        }
        let remark =
            earlier.as_ref().filter(|earlier| earlier.key != self.key).map(|Earlier { stage, key, .. }| {
                let what = match stage {
                    Stage::Restored => "no row names it any more",
                    Stage::Moved | Stage::Cleaned => "it is an image of its own from now on",
                };
                ("replaces-copy", format!("r2:{key} holds the picture before this one, and {what}"))
            });
        // The picture before this one is in its copy; what the row held of it is of no use any more.
        let saved = earlier.as_ref().and_then(|earlier| earlier.original.saved.as_ref());
        let remove = saved.map(|saved| saved.key.clone()).into_iter().collect();
        let staged = (earlier.as_ref().map(|earlier| earlier.stage), Some(Stage::Moved));
        Ok(Switch { statements, staged, remove, remark, ..Switch::default() })
    }
}

/// A value that is a whole image.
struct Inspected {
    datum: Datum,
    bytes: Blob,
    form: ValueForm,
    format: Format,
    content: Content,
}

async fn inspect(row: &Row, datum: Option<Datum>, context: &SliceContext<'_>) -> Result<Inspected, Refusal> {
    let of_value = |problem: ValueProblem| Refusal::failed(problem.reason(), problem.to_string());
    match row.data_type.as_str() {
        "null" => return Err(of_value(ValueProblem::Empty)),
        "text" | "blob" => {}
        other => return Err(of_value(ValueProblem::NotText(other.to_owned()))),
    }
    if row.data_bytes.unwrap_or(0) > max_bytes(row.data_type == "blob") {
        return Err(of_value(ValueProblem::TooLarge { limit_bytes: EMBEDDED_MAX_BYTES }));
    }
    let Some(datum) = datum else {
        return Err(Refusal::failed("changed-meanwhile", "somebody else changed the row while it was read"));
    };
    let decoded = datum.decode().map_err(of_value)?;
    let (format, geometry) = Format::inspect_blob(&decoded.bytes).map_err(of_rejection)?;
    let inspected = Content {
        size_bytes: decoded.bytes.size_bytes() as u64,
        sha256: context.runtime.sha256(&decoded.bytes).await,
        dimensions: geometry.map(|geometry| geometry.dimensions),
        orientation: geometry.and_then(|geometry| geometry.orientation),
    };
    Ok(Inspected { datum, bytes: decoded.bytes, form: decoded.form, format, content: inspected })
}

/// The values of the source's metadata columns, by the columns' names in lower case.
fn metadata(source: &TableSource, row: &Row) -> impl Iterator<Item = (String, String)> {
    let values: Vec<Option<String>> =
        serde_json::from_str(row.metadata.as_deref().unwrap_or_default()).unwrap_or_default();
    let columns = source.metadata.iter().map(|column| column.as_str().to_ascii_lowercase());
    let pairs = columns.zip(values).filter_map(|(column, value)| Some((column, value?)));
    pairs.filter(|(_, value)| !value.chars().any(char::is_control)).collect::<Vec<_>>().into_iter()
}

/// Leaves rows to the next slice that would not fit into memory beside those in front of them; one always fits.
fn cut_to_size(page: &mut Page<Found>) {
    let mut bytes = 0;
    let fitting = page.items.iter().take_while(|item| {
        let own = item.found.as_ref().and_then(|found| found.row.data_bytes).unwrap_or(0);
        let is_first = bytes == 0;
        bytes += if own > MAX_DATA_BYTES { 0 } else { own };
        is_first || bytes <= SLICE_BYTES
    });
    let fitting = fitting.count();
    if fitting < page.items.len() {
        page.items.truncate(fitting);
        page.is_last = false;
    }
}

const fn max_bytes(is_blob: bool) -> u64 {
    if is_blob { EMBEDDED_MAX_BYTES } else { MAX_DATA_BYTES }
}

fn of_rejection(rejection: Rejection) -> Refusal {
    match rejection {
        Rejection::NotAnImage => {
            Refusal::failed("not-an-image", "the bytes start like no image format that Stillstore knows")
        }
        Rejection::Truncated => Refusal::failed("truncated", "the image's own structure says that bytes are missing"),
        Rejection::Malformed => Refusal::failed("malformed", "the bytes start like an image and contradict its format"),
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
