//! A row whose image is known, on its way into the bucket.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::catalogue::TableCatalogue;
use super::config::TableSource;
use super::datum::Datum;
use super::definition::Table;
use super::keys;
use super::original::Original;
use super::value::ValueForm;
use crate::bytes::{Blob, Body};
use crate::catalog::{Associations, Content, Description, ImageRecord, SourceItem, Status, moved};
use crate::image::{Format, ImageId, KeySecrets, Labels, ObjectKey, Rejection, Sha256Digest, Visibility};
use crate::migrate::destination::NewCopy;
use crate::migrate::runs::journal::{self, Catalogued};
use crate::migrate::runs::ledger::require_one_change;
use crate::migrate::runs::{Entry, ItemId, Run, Stage};
use crate::migrate::source::{Contents, Movable, Readers, Switch};
use crate::migrate::task::Refusal;
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, Value, from_json};
use crate::store::{Media, ObjectMetadata, PutReceipt, StorageKind};

/// The longest id that goes onto the object.
const MAX_ID_METADATA_BYTES: usize = 256;

/// Where the bytes of a row's image are.
#[async_trait(?Send)]
pub trait ImageBytes {
    /// The bytes, from their start.
    ///
    /// # Errors
    /// When they cannot be read.
    async fn open(&self) -> Result<Body, Refusal>;
}

#[async_trait(?Send)]
impl ImageBytes for Blob {
    async fn open(&self) -> Result<Body, Refusal> {
        Ok(self.clone().into())
    }
}

/// What the journal says of a row that was moved before.
#[derive(Deserialize)]
struct Earlier {
    stage: Stage,
    key: ObjectKey,
    original: Original,
}

/// What a row said beside its image when it was read.
pub struct RowAsRead {
    /// The columns that a move writes, as a JSON object.
    pub before: String,
    /// The values of the metadata columns, as a JSON array.
    pub metadata: Option<String>,
    /// What the journal says of it, as a JSON object.
    pub earlier: Option<String>,
}

/// A value that is a whole image.
pub struct Inspected {
    /// The data column's value, which must be the same when the row is switched.
    pub datum: Datum,
    pub bytes: Box<dyn ImageBytes>,
    pub form: ValueForm,
    pub format: Format,
    pub content: Content,
}

/// A row whose image is known.
pub struct Ready {
    table: Rc<Table>,
    catalogue: TableCatalogue,
    id: ItemId,
    row: RowAsRead,
    inspected: Inspected,
    labels: Labels,
    image_id: ImageId,
    key: ObjectKey,
    /// Who fetches items beside the run, where the source can be read through.
    readers: Option<Rc<Readers>>,
}

impl RowAsRead {
    /// Where the journal says that the row's move is.
    pub fn stage(&self) -> Option<Stage> {
        self.earlier().ok().flatten().map(|earlier| earlier.stage)
    }

    fn earlier(&self) -> Result<Option<Earlier>, DatabaseError> {
        self.earlier.as_deref().map(from_json).transpose()
    }
}

impl Ready {
    /// The row `id` of `table` with its image. The key is made of both, so that the same move makes the same object.
    pub fn new(
        table: &Rc<Table>,
        catalogue: &TableCatalogue,
        key_secrets: Option<KeySecrets>,
        id: &ItemId,
        row: RowAsRead,
        inspected: Inspected,
    ) -> Self {
        let source = &table.source;
        let image_id = image_id(&source.name, id, inspected.content.sha256);
        let is_private = source.visibility == Visibility::Private;
        let secret = key_secrets.filter(|_| is_private).map(|secrets| secrets.of(image_id));
        Self {
            key: keys::object_key(&source.name, image_id, secret, inspected.format),
            labels: Labels::keeping_valid(metadata(source, row.metadata.as_deref())),
            table: Rc::clone(table),
            catalogue: catalogue.clone(),
            id: id.clone(),
            row,
            inspected,
            image_id,
            readers: None,
        }
    }

    /// The same for a run, which leaves the item to a reader who fetches it.
    pub fn beside(self, readers: &Rc<Readers>) -> Self {
        readers.ask_of(&self.id.as_text());
        Self { readers: Some(Rc::clone(readers)), ..self }
    }

    /// The image that it becomes.
    pub fn image_id(&self) -> ImageId {
        self.image_id
    }

    /// What the bytes are.
    pub fn format(&self) -> Format {
        self.inspected.format
    }

    /// The image as the catalogue has it from now on.
    fn record(&self, now: Timestamp) -> ImageRecord {
        let TableSource { name, visibility, context, .. } = &self.table.source;
        ImageRecord {
            description: Description {
                id: self.image_id,
                key: self.key.clone(),
                format: self.inspected.format,
                visibility: *visibility,
                filename: None,
                context: context.clone(),
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
            content: Some(self.inspected.content.clone()),
            generation: None,
            fallback_reason: None,
            embedded_write_id: None,
            placeholder: None,
            two_homes: Some(false),
            updated_at: now,
        }
    }

    /// Whose the object is, for those who read the bucket without the database.
    fn metadata(&self) -> ObjectMetadata {
        let columns = metadata(&self.table.source, self.row.metadata.as_deref())
            .map(|(name, value)| (format!("meta-{name}"), value));
        let mut metadata: ObjectMetadata = columns.collect();
        metadata.insert("image-id".to_owned(), self.image_id.to_string());
        metadata.insert("source".to_owned(), self.table.source.name.clone());
        if let Some(context) = &self.table.source.context {
            metadata.insert("context".to_owned(), context.to_string());
        }
        let item = self.id.as_text();
        if item.len() <= MAX_ID_METADATA_BYTES && item.bytes().all(|byte| byte.is_ascii_graphic()) {
            metadata.insert("item-id".to_owned(), item.into_owned());
        }
        metadata
    }
}

#[async_trait(?Send)]
impl Movable for Ready {
    fn copy(&self) -> NewCopy {
        NewCopy {
            key: self.key.clone(),
            media: Media::image(self.inspected.format, self.table.source.visibility),
            sha256: Some(self.inspected.content.sha256),
            metadata: self.metadata(),
            headers: None,
        }
    }

    fn reads(&self) -> Vec<Statement> {
        self.readers.as_ref().and_then(|readers| readers.question()).into_iter().collect()
    }

    fn take(&mut self, answers: Vec<QueryResult>) {
        if let (Some(readers), Some(answer)) = (&self.readers, answers.first()) {
            readers.take(answer);
        }
    }

    async fn open(&self) -> Result<Body, Refusal> {
        self.readers.as_ref().map_or(Ok(()), |readers| readers.require_none_at(&self.id.as_text()))?;
        self.inspected.bytes.open().await
    }

    async fn check(&self) -> Result<Contents, Refusal> {
        let Content { size_bytes, sha256, .. } = self.inspected.content;
        Ok(Contents { size_bytes, sha256 })
    }

    fn switch(&self, run: &Run, _receipt: &PutReceipt, now: Timestamp) -> Result<Switch, DatabaseError> {
        let earlier = self.row.earlier()?;
        let url = run.parameters.public_base.url(&self.key, self.image_id);
        let mut before = from_json(&self.row.before)?;
        if let Some(Earlier { stage, original, .. }) = &earlier
            && *stage != Stage::Restored
            && is_own_value(&before, &self.table, &original.url)
        {
            // The row has what an earlier move wrote: what was there before that one counts.
            before = original.before.clone();
        }
        let original = Original { before, form: self.inspected.form.clone(), url: url.clone(), saved: None };
        let entry = Entry {
            item: self.id.to_string(),
            stage: Stage::Moved,
            image_id: self.image_id,
            key: self.key.clone(),
            content_type: self.inspected.format.content_type().to_owned(),
            size_bytes: self.inspected.content.size_bytes,
            sha256: self.inspected.content.sha256,
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
        let mut statements = Vec::new();
        // The image before this one may have been deleted, and its entry with it, since the journal was read.
        if let Some(Earlier { stage, key, .. }) = &earlier {
            statements.push(journal::require_unchanged(source, &item, *stage, key.as_str()));
            statements.push(require_one_change());
        }
        statements.extend([
            self.table.switch(&item, &self.inspected.datum, &self.row.before, &url, self.key.as_str(), migrated_at),
            journal::record_anew(source, &entry, catalogued, &moved::kept_by_journal(&image)?),
        ]);
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

/// The values of the source's metadata columns, by the columns' names in lower case.
fn metadata(source: &TableSource, values: Option<&str>) -> impl Iterator<Item = (String, String)> {
    let values: Vec<Option<String>> = serde_json::from_str(values.unwrap_or_default()).unwrap_or_default();
    let columns = source.metadata.iter().map(|column| column.as_str().to_ascii_lowercase());
    let pairs = columns.zip(values).filter_map(|(column, value)| Some((column, value?)));
    pairs.filter(|(_, value)| !value.chars().any(char::is_control)).collect::<Vec<_>>().into_iter()
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

/// Why bytes are no image that can be moved.
pub fn of_rejection(rejection: Rejection) -> Refusal {
    match rejection {
        Rejection::NotAnImage => {
            Refusal::failed("not-an-image", "the bytes start like no image format that Stillstore knows")
        }
        Rejection::Truncated => Refusal::failed("truncated", "the image's own structure says that bytes are missing"),
        Rejection::Malformed => Refusal::failed("malformed", "the bytes start like an image and contradict its format"),
    }
}

/// The columns to be written hold more than an entry of the journal takes.
pub fn columns_too_large() -> Refusal {
    Refusal::failed("columns-too-large", "the columns to be written hold more than 65,536 bytes")
}

/// The image is private, and the bucket's objects are not.
pub fn private_image_and_public_bucket() -> Refusal {
    Refusal::withheld("private-image-and-public-bucket", "whoever knew its key could read it")
}
