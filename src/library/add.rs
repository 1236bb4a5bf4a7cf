//! Adding an image: reserve, put, commit.

use std::cell::RefCell;
use std::rc::Rc;

use super::Library;
use super::metadata::{belongs_to, object_metadata};
use super::stores::Target;
use crate::bytes::{Blob, Body, BodyParts};
use crate::catalog::{
    Associations, CatalogError, Commit, Committed, Content, Description, GenerationRecord, IdempotencyKey, ImageRecord,
    LimitReached, Reservation, Status, require_open,
};
use crate::image::{
    Context, Format, Geometry, HeaderWalk, ImageId, JobId, KeySecret, Labels, ObjectKey, ParsedKey, Sha256Digest,
    UserId, Visibility,
};
use crate::runtime::Timestamp;
use crate::sql::Statement;
use crate::store::{
    ImageStore, Media, PutObject, PutReceipt, StorageKind, StoreError, StoreErrorKind, adopt_statement,
};
use crate::telemetry::Event;

/// Ids tried before giving up: a key holds 32 random bits of its id, so that even the second is a coincidence.
const MAX_ATTEMPTS: usize = 3;

/// Where an image comes from, which decides its key.
#[derive(Debug, Clone)]
pub enum Source {
    /// A provider made it.
    Generated(Box<GenerationRecord>),
    /// A caller sent it.
    Uploaded { context: Context, filename: Option<String> },
    /// A job made it of another image.
    Output(Box<Output>),
}

/// What a job made of another image.
#[derive(Debug, Clone)]
pub struct Output {
    pub job: JobId,
    pub parent: Description,
    pub generation: GenerationRecord,
    /// Takes effect exactly when the image is stored: the image is not stored if it is refused.
    pub completion: Statement,
}

/// The dimensions and orientation of an image that is being added.
#[derive(Debug)]
pub enum Measured {
    /// They are known, as far as the image has any.
    Known(Option<Geometry>),
    /// They are found, if at all, while the bytes pass by: known once the image is stored.
    Passing(Rc<RefCell<HeaderWalk>>),
}

impl Measured {
    fn geometry(&self) -> Option<Geometry> {
        match self {
            Self::Known(geometry) => *geometry,
            Self::Passing(walk) => walk.borrow().geometry(),
        }
    }
}

/// An image to add.
#[derive(Debug)]
pub struct NewImage {
    /// The id to use, where an idempotency key has fixed it; a fresh one otherwise.
    pub id: Option<ImageId>,
    pub created_at: Timestamp,
    /// Whose it is; nobody's in particular when an operator adds it.
    pub owner_id: Option<UserId>,
    pub body: Body,
    pub format: Format,
    pub dimensions: Measured,
    /// The digest that the sender promises.
    pub sha256: Option<Sha256Digest>,
    pub source: Source,
    pub visibility: Visibility,
    pub associations: Associations,
    pub labels: Labels,
    /// Whether a generated image's object carries its prompt.
    pub prompt_in_metadata: bool,
    /// Completed together with the row.
    pub idempotency: Option<IdempotencyKey>,
}

/// Why an image was not added. Nothing is readable, and nothing is left that the sweep does not find.
#[derive(Debug)]
pub enum AddError {
    Store(StoreError),
    Catalog(CatalogError),
    /// The image was deleted or given up while it was being added.
    Superseded,
    /// Its owner may not have it.
    Limit(LimitReached),
}

impl From<CatalogError> for AddError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl Library {
    /// Adds an image:
    ///
    /// 1. choose the home and the key;
    /// 2. for R2, and for an owner with limits, reserve the key with a `pending` row, so that a crash leaves nothing that no row names;
    /// 3. put the bytes, into the database when R2 fails;
    /// 4. commit the row as `stored`, which takes ownership of embedded bytes and completes the idempotency key.
    ///
    /// Costs one R2 class A operation and two database calls in R2 mode, two database calls in embedded mode (up to 4 MiB).
    ///
    /// # Errors
    /// [`AddError`]; an uncertain failure of step 4 leaves a `pending` row and its bytes to the sweep.
    pub async fn add(&self, mut image: NewImage) -> Result<ImageRecord, AddError> {
        let mut body = std::mem::replace(&mut image.body, Body::empty());
        for _ in 0..MAX_ATTEMPTS {
            let id = image.id.unwrap_or_else(|| ImageId::from_random_bytes(self.runtime.random_bytes()));
            let mut description = self.describe(&image, id);
            let (again, attempt_body) = split(body);
            match self.attempt(&image, &mut description, attempt_body).await {
                Err(AddError::Store(StoreError { kind: StoreErrorKind::KeyTaken, .. }))
                    if image.id.is_none() && again.is_some() =>
                {
                    body = again.map_or_else(Body::empty, Body::from);
                }
                outcome => return outcome,
            }
        }
        Err(AddError::Store(StoreError::new(StoreErrorKind::Unavailable, "no free key")))
    }

    /// The key of a private image is no function of its id, which its URLs show.
    fn describe(&self, image: &NewImage, id: ImageId) -> Description {
        let secret = (image.visibility == Visibility::Private)
            .then(|| KeySecret::from_random_bytes(self.runtime.random_bytes()));
        image.describe(id, secret)
    }

    async fn attempt(
        &self,
        image: &NewImage,
        description: &mut Description,
        body: Body,
    ) -> Result<ImageRecord, AddError> {
        let prefers_r2 = self.stores.prefers_r2(image.visibility);
        // Embedded bytes need no row that names them, but an owner's limits are asked before the bytes are written, and by its row a later
        // attempt of a job finds what an earlier one stored.
        let is_output = matches!(image.source, Source::Output(_));
        if prefers_r2 || is_output || self.catalog.limited(description.owner_id.as_ref()).is_some() {
            let storage = if prefers_r2 { StorageKind::R2 } else { StorageKind::D1 };
            if let Some(record) = self.reserve(description, storage, body.promised_bytes().unwrap_or(1)).await? {
                return Ok(record);
            }
        }
        let (store, reason) = match self.stores.target(image.visibility, description.id) {
            Target::R2(store) => (store, None),
            Target::Embedded { store, reason } => (store, reason),
        };
        match self.put(image, description, store.as_ref(), body).await {
            Ok(receipt) => self.commit(image, description, receipt, reason).await,
            Err(error) => {
                // Best effort, and without effect where nothing was reserved: a reservation that stays is swept once it is old. That of
                // an output is its job's next attempt's.
                let _ = if error.stored_nothing() {
                    self.catalog.withdraw(description.id).await
                } else if is_output {
                    Ok(())
                } else {
                    self.catalog.abandon(description.id, self.runtime.now()).await
                };
                Err(AddError::Store(error))
            }
        }
    }

    /// Reserves the key; the record, when an earlier attempt for the very same image came through after all. One that was interrupted
    /// reserved another key for a private image, and may have put bytes there: its key is taken over.
    async fn reserve(
        &self,
        description: &mut Description,
        storage: StorageKind,
        size_bytes: u64,
    ) -> Result<Option<ImageRecord>, AddError> {
        let now = self.runtime.now();
        match self.catalog.reserve(description, storage, size_bytes, now).await? {
            Reservation::LimitReached(limit) => Err(AddError::Limit(limit)),
            Reservation::Reserved => Ok(None),
            Reservation::KeyTaken => Err(AddError::Store(key_taken())),
            Reservation::Exists(record) if record.status == Status::Stored => Ok(Some(*record)),
            Reservation::Exists(record) if is_pending_for(&record, &description.key) => {
                description.key = record.description.key;
                Ok(None)
            }
            Reservation::Exists(_) => {
                self.catalog.abandon(description.id, now).await?;
                Err(AddError::Superseded)
            }
        }
    }

    /// Puts the bytes. When an interrupted attempt for the same image left other bytes under the key (a provider never makes
    /// the same picture twice), those are taken: they were stored whole.
    async fn put(
        &self,
        image: &NewImage,
        description: &Description,
        store: &dyn ImageStore,
        body: Body,
    ) -> Result<PutReceipt, StoreError> {
        let object = PutObject {
            key: description.key.clone(),
            body,
            media: Media::image(image.format, image.visibility),
            sha256: image.sha256,
            metadata: object_metadata(description, image.generation(), image.prompt_in_metadata),
        };
        match store.put(object).await {
            Err(error) if error.kind == StoreErrorKind::KeyTaken => self.find_own(description).await?.ok_or(error),
            outcome => outcome,
        }
    }

    /// A receipt for bytes that an earlier attempt for the very same image stored.
    async fn find_own(&self, description: &Description) -> Result<Option<PutReceipt>, StoreError> {
        for storage in [StorageKind::R2, StorageKind::D1] {
            let Some(store) = self.stores.at(storage, description.id) else { continue };
            let Some(info) = store.head(&description.key).await? else { continue };
            if let Some(sha256) = info.sha256.filter(|_| belongs_to(&info, description.id)) {
                let size_bytes = info.size_bytes;
                return Ok(Some(PutReceipt { storage, size_bytes, sha256, fallback_reason: None }));
            }
        }
        Ok(None)
    }

    async fn commit(
        &self,
        image: &NewImage,
        description: &Description,
        receipt: PutReceipt,
        reason: Option<&'static str>,
    ) -> Result<ImageRecord, AddError> {
        let fallback_reason = receipt.fallback_reason.or_else(|| reason.map(str::to_owned));
        if let Some(reason) = &fallback_reason {
            self.recorder.record(&Event::Fallback { image_id: description.id, reason: reason.clone() });
        }
        let geometry = image.dimensions.geometry();
        let content = Content {
            size_bytes: receipt.size_bytes,
            sha256: receipt.sha256,
            dimensions: geometry.map(|geometry| geometry.dimensions),
            orientation: geometry.and_then(|geometry| geometry.orientation),
        };
        let commit = Commit {
            description,
            storage: receipt.storage,
            content: &content,
            generation: image.generation(),
            fallback_reason: fallback_reason.as_deref(),
            idempotency: image.idempotency.as_ref(),
            extra: self.extra(image, description, receipt.storage),
            now: self.runtime.now(),
        };
        // Once more after a failure: the first may have taken effect, and committing twice is committing once.
        let committed = match self.catalog.commit(commit.clone()).await {
            Err(_) => self.catalog.commit(commit).await?,
            Ok(committed) => committed,
        };
        match committed {
            Committed::Done(record) => Ok(record),
            Committed::AlreadyStored(record) => {
                if record.storage != receipt.storage {
                    self.discard(description, receipt.storage).await;
                }
                Ok(record)
            }
            Committed::KeyTaken => Err(AddError::Store(key_taken())),
            Committed::LimitReached(limit) => {
                self.discard(description, receipt.storage).await;
                Err(AddError::Limit(limit))
            }
            Committed::Lost => {
                self.discard(description, receipt.storage).await;
                Err(AddError::Superseded)
            }
        }
    }

    /// What takes effect together with the row.
    fn extra(&self, image: &NewImage, description: &Description, storage: StorageKind) -> Vec<Statement> {
        let adoption = (storage == StorageKind::D1).then(|| adopt_statement(&description.key, &description.id));
        let completion = match &image.source {
            Source::Output(output) => Some(output.completion.clone()),
            Source::Generated(_) | Source::Uploaded { .. } => None,
        };
        let is_open = description.frame.as_ref().map(|frame| require_open(&frame.collection_id, self.runtime.now()));
        adoption.into_iter().chain(completion).chain(is_open).collect()
    }

    /// Removes bytes that a deletion could not see because they arrived after it. Best effort: the row, if one is left, is still
    /// `deleting` and the sweep goes over it again.
    async fn discard(&self, description: &Description, storage: StorageKind) {
        if let Some(store) = self.stores.at(storage, description.id) {
            let _ = store.delete(&description.key).await;
        }
    }
}

/// Whether the record is the reservation of a private image whose key would be `key`, had it drawn the same secret.
fn is_pending_for(record: &ImageRecord, key: &ObjectKey) -> bool {
    let parsed = [&record.description.key, key].map(ParsedKey::parse);
    let [Some(reserved), Some(wanted)] = parsed else { return false };
    record.status == Status::Pending && reserved.differs_in_secret_only(&wanted)
}

fn key_taken() -> StoreError {
    StoreError::new(StoreErrorKind::KeyTaken, "another image has the key")
}

/// A body that can be sent again, and the body to send now.
fn split(body: Body) -> (Option<Blob>, Body) {
    let promised_bytes = body.promised_bytes();
    match body.into_parts() {
        BodyParts::Blob(blob) => (Some(blob.clone()), blob.into()),
        BodyParts::Source(source) => (None, Body::from_source(source, promised_bytes)),
    }
}
