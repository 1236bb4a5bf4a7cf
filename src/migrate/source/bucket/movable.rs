//! An object on its way from the other bucket.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;

use super::config::BucketSource;
use super::state::{self, ObjectState};
use crate::bytes::{Body, BodyError, ByteRange};
use crate::catalog::{Associations, Content, Description, ImageRecord, SourceItem, Status, moved};
use crate::image::{Format, Geometry, HeaderWalk, ImageId, Labels, ObjectKey, SNIFF_BYTES, Visibility};
use crate::migrate::destination::{NewCopy, SOURCE};
use crate::migrate::runs::journal::{self, Catalogued};
use crate::migrate::runs::ledger::require_one_change;
use crate::migrate::runs::{Entry, Run, Stage};
use crate::migrate::source::{Contents, Movable, Readers, Switch};
use crate::migrate::task::Refusal;
use crate::runtime::Timestamp;
use crate::s3::{Client, ReadError, ReadObject};
use crate::sql::{DatabaseError, QueryResult, Statement, from_json, to_json};
use crate::store::{Media, ObjectHeaders, ObjectMetadata, PutReceipt, StorageKind};

use super::config::Others;

/// The largest object, which one put takes within its time.
pub const MAX_OBJECT_BYTES: u64 = 100 * 1000 * 1000;
/// Objects of up to this size are held while they are put, so that the bucket knows their SHA-256.
const HELD_BYTES: u64 = 8 * 1024 * 1024;
/// Of R2's 8,192 bytes of metadata, what is left for the object's own.
const MAX_METADATA_BYTES: usize = 6_144;
/// The longest key that goes onto the copy a second time.
const MAX_ITEM_METADATA_BYTES: usize = 256;

/// What a copy says of itself beside its source: the image that it is.
pub const IMAGE_ID: &str = "image-id";
const ITEM_ID: &str = "item-id";

/// An object that is ready to be copied.
pub struct BucketMovable {
    pub client: Rc<Client>,
    pub source: Rc<BucketSource>,
    /// Its key in the other bucket.
    pub object: String,
    pub state: ObjectState,
    pub key: ObjectKey,
    pub image_id: ImageId,
    /// Where the journal says that it is, and the key of the copy of another state.
    pub earlier: Option<(Stage, String)>,
    /// Gets the object when it is found to be no image and is not to be copied.
    pub set_aside: SetAside,
    /// Told when the object is not what was listed.
    pub has_changed: Rc<std::cell::Cell<bool>>,
    pub opened: RefCell<Option<Opened>>,
    /// Who fetches objects beside the run; `None` for a reader himself.
    pub readers: Option<Rc<Readers>>,
}

/// Objects that a slice found to be no images, and left.
pub type SetAside = Rc<RefCell<BTreeMap<String, ObjectState>>>;

/// What became known of an object when its bytes began to come.
#[derive(Clone)]
pub struct Opened {
    pub format: Option<Format>,
    pub geometry: Measured,
    pub headers: ObjectHeaders,
    pub metadata: ObjectMetadata,
}

/// The dimensions of an image.
#[derive(Clone)]
pub enum Measured {
    Known(Option<Geometry>),
    Passing(Rc<RefCell<HeaderWalk>>),
}

impl Measured {
    fn geometry(&self) -> Option<Geometry> {
        match self {
            Self::Known(geometry) => *geometry,
            Self::Passing(walk) => {
                let mut walk = walk.borrow_mut();
                walk.settle();
                walk.geometry()
            }
        }
    }
}

impl BucketMovable {
    /// What a failed read comes to.
    pub fn refusal(&self, error: ReadError) -> Refusal {
        let detail = error.to_string();
        match error {
            ReadError::Gone => Refusal::skipped("gone", "the object was deleted after it was listed"),
            ReadError::Changed => {
                self.has_changed.set(true);
                Refusal::of_source("changed-meanwhile", detail)
            }
            ReadError::Forbidden { .. } => Refusal::failed("forbidden", detail),
            ReadError::TooLarge => Refusal::failed("too-large", detail),
            ReadError::Timeout => Refusal::of_source("timeout", detail),
            ReadError::Unavailable { .. } => Refusal::of_source("unreachable", detail),
            ReadError::Unreadable { .. } => Refusal::failed("unreadable", detail),
        }
    }

    /// What the copy says of itself, which is what the object says.
    pub fn headers(&self, object: &ReadObject, format: Option<Format>) -> ObjectHeaders {
        let header = |name| object.header(name).map(str::to_owned);
        let is_private = self.source.visibility == Visibility::Private;
        ObjectHeaders {
            content_type: format.map(|format| format.content_type().to_owned()).or_else(|| header("content-type")),
            cache_control: header("cache-control").filter(|_| !is_private),
            content_disposition: header("content-disposition"),
            md5: self.state.md5(),
        }
    }

    /// The object's own metadata, as far as there is room, and ours.
    pub fn metadata(&self, object: &ReadObject) -> ObjectMetadata {
        let mut metadata = ObjectMetadata::new();
        let mut room_bytes = MAX_METADATA_BYTES;
        for (name, value) in &object.headers {
            let Some(name) = name.to_ascii_lowercase().strip_prefix("x-amz-meta-").map(str::to_owned) else { continue };
            let bytes = name.len() + value.len();
            if bytes <= room_bytes {
                room_bytes -= bytes;
                metadata.insert(name, value.clone());
            }
        }
        metadata.insert(SOURCE.to_owned(), self.source.name.clone());
        metadata.insert(IMAGE_ID.to_owned(), self.image_id.to_string());
        if self.object.len() <= MAX_ITEM_METADATA_BYTES && self.object.bytes().all(|byte| byte.is_ascii_graphic()) {
            metadata.insert(ITEM_ID.to_owned(), self.object.clone());
        }
        metadata
    }

    /// The body, held where it is short enough, and what the bytes are.
    async fn look(&self, mut body: Body) -> Result<(Body, Option<Format>, Measured), BodyError> {
        let size_bytes = body.promised_bytes().unwrap_or(0);
        let prefix = body.peek(SNIFF_BYTES).await?;
        let format = Format::sniff(&prefix);
        if size_bytes <= HELD_BYTES {
            let bytes = body.collect(HELD_BYTES).await?;
            // What is no whole image is copied as it is.
            let inspected = Format::inspect_blob(&bytes).ok();
            let (format, geometry) = inspected.map_or((None, None), |(format, geometry)| (Some(format), geometry));
            return Ok((bytes.into(), format, Measured::Known(geometry)));
        }
        let Some(format) = format else { return Ok((body, None, Measured::Known(None))) };
        let walk = Rc::new(RefCell::new(HeaderWalk::new(format, size_bytes)));
        let watch = Rc::clone(&walk);
        Ok((body.watched(move |run| watch.borrow_mut().pass(run)), Some(format), Measured::Passing(walk)))
    }

    /// Refuses what is no image, where that is not copied.
    pub fn require_wanted(&self, format: Option<Format>) -> Result<(), Refusal> {
        if format.is_none() && self.source.others == Others::Skip {
            self.set_aside.borrow_mut().insert(self.object.clone(), self.state.clone());
            return Err(Refusal::skipped("not-an-image", "the source copies images only"));
        }
        Ok(())
    }

    /// A part of the object, as it was listed, in the time of so many calls.
    pub async fn read_range(&self, range: ByteRange, calls: u64) -> Result<ReadObject, Refusal> {
        let read =
            self.client.get_range(&self.object, Some(&self.state.etag), range, calls * self.client.timeout_ms).await;
        read.map_err(|error| self.refusal(error))
    }

    /// The last segment of its key, if it can be the name of a file.
    pub fn filename(&self) -> Option<String> {
        let filename = self.object.rsplit('/').next().unwrap_or_default();
        let is_possible = (1..=255).contains(&filename.len()) && !filename.chars().any(char::is_control);
        is_possible.then(|| filename.to_owned())
    }

    /// What the bytes are, once they have begun to come.
    pub fn format(&self) -> Option<Format> {
        self.opened.borrow().as_ref().and_then(|opened| opened.format)
    }

    fn record(&self, opened: &Opened, format: Format, receipt: &PutReceipt, now: Timestamp) -> ImageRecord {
        let geometry = opened.geometry.geometry();
        let labels = opened.metadata.iter().filter(|(name, _)| ![SOURCE, IMAGE_ID, ITEM_ID].contains(&name.as_str()));
        ImageRecord {
            description: Description {
                id: self.image_id,
                key: self.key.clone(),
                format,
                visibility: self.source.visibility,
                filename: self.filename(),
                context: self.source.context.clone(),
                associations: Associations::default(),
                labels: Labels::keeping_valid(labels.map(|(name, value)| (name.clone(), value.clone()))),
                owner_id: None,
                frame: None,
                parent_id: None,
                moved_from: Some(SourceItem { source: self.source.name.clone(), item: self.object.clone() }),
                created_at: now,
            },
            version: 1,
            status: Status::Stored,
            storage: StorageKind::R2,
            content: Some(Content {
                size_bytes: receipt.size_bytes,
                sha256: receipt.sha256,
                dimensions: geometry.map(|geometry| geometry.dimensions),
                orientation: geometry.and_then(|geometry| geometry.orientation),
            }),
            generation: None,
            fallback_reason: None,
            embedded_write_id: None,
            placeholder: None,
            two_homes: Some(false),
            updated_at: now,
        }
    }
}

#[async_trait(?Send)]
impl Movable for BucketMovable {
    fn copy(&self) -> NewCopy {
        let opened = self.opened.borrow();
        let format = self.format();
        NewCopy {
            key: self.key.clone(),
            media: format.map_or(Media::Original, |format| Media::image(format, self.source.visibility)),
            sha256: None,
            metadata: opened.as_ref().map(|opened| opened.metadata.clone()).unwrap_or_default(),
            headers: opened.as_ref().map(|opened| opened.headers.clone()),
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
        self.readers.as_ref().map_or(Ok(()), |readers| readers.require_none_at(&self.object))?;
        let object = self.client.get(&self.object, Some(&self.state.etag), MAX_OBJECT_BYTES).await;
        let mut object = object.map_err(|error| self.refusal(error))?;
        if object.body.promised_bytes() != Some(self.state.size_bytes) {
            return Err(self.refusal(ReadError::Changed));
        }
        let body = std::mem::replace(&mut object.body, Body::empty());
        let (body, format, geometry) = self.look(body).await.map_err(|error| match error {
            BodyError::TimedOut => self.refusal(ReadError::Timeout),
            _ => self.refusal(ReadError::Unavailable { status: None }),
        })?;
        self.require_wanted(format)?;
        let headers = self.headers(&object, format);
        let metadata = self.metadata(&object);
        self.opened.replace(Some(Opened { format, geometry, headers, metadata }));
        Ok(body)
    }

    async fn check(&self) -> Result<Contents, Refusal> {
        // A dry run reads listings only, and prepares no object.
        Err(Refusal::failed("not-read", "a dry run reads no object"))
    }

    fn switch(&self, run: &Run, receipt: &PutReceipt, now: Timestamp) -> Result<Switch, DatabaseError> {
        let opened = self.opened.borrow();
        let format = self.format();
        let content_type = opened.as_ref().and_then(|opened| opened.headers.content_type.clone());
        let entry = Entry {
            item: self.object.clone(),
            stage: Stage::Moved,
            image_id: self.image_id,
            key: self.key.clone(),
            content_type: content_type.unwrap_or_else(|| Media::Original.content_type().to_owned()),
            size_bytes: receipt.size_bytes,
            sha256: receipt.sha256,
            original: from_json(&to_json(&self.state)?)?,
            run_id: run.id.clone(),
            moved_at: now,
        };
        let source = self.source.name.as_str();
        let former = self.earlier.as_ref().filter(|(_, key)| key != self.key.as_str());
        let mut statements = Vec::new();
        // A reader may have had it moved since the journal was read.
        if let Some((stage, key)) = &self.earlier {
            statements.push(journal::require_unchanged(source, &self.object, *stage, key));
            statements.push(require_one_change());
        }
        statements.extend(former.map(|_| state::leave_copy(source, &self.object, &self.key)));
        statements.extend(former.map(|_| moved::release_moved(source, &self.object, self.image_id, now)));
        let image = if let (Some(opened), Some(format)) = (opened.as_ref(), format) {
            let image = self.record(opened, format, receipt, now);
            statements.push(moved::record_moved(&image)?);
            moved::kept_by_journal(&image)?
        } else {
            // The entry is refused unless the statement before it changed one row.
            statements.push(touch(run));
            "{}".to_owned()
        };
        // An object that is no image has no row of the catalogue, and gets none later.
        let record = if self.earlier.is_some() { journal::record_anew } else { journal::record_first };
        statements.push(record(source, &entry, Catalogued::Present, &image));
        let remark = former.map(|(_, key)| ("replaces-copy", format!("r2:{key} holds the object as it was before")));
        let staged = (self.earlier.as_ref().map(|(stage, _)| *stage), Some(Stage::Moved));
        Ok(Switch { statements, staged, remark, ..Switch::default() })
    }
}

/// Changes one row and nothing in it.
pub fn touch(run: &Run) -> Statement {
    Statement::new("UPDATE stillstore_runs SET source = source WHERE id = ?1").bind(run.id.as_str())
}
