//! From bytes that have arrived to an image of the catalogue.

use super::inspect::{Claimed, InspectError, inspect};
use crate::catalog::{
    Associations, CatalogError, CloseReason, Commit, Committed, Content, Description, Frame, ImageRecord, LimitReached,
    OwnerFilter, Status, Upload, UploadState, confirm_upload, require_open,
};
use crate::image::{Format, ImageId, Labels, ObjectKey, Sha256Digest, ShootId, Visibility};
use crate::library::{Library, Target};
use crate::sql::DatabaseErrorKind;
use crate::store::{StorageKind, StoreError, StoreErrorKind, StoredObject, adopt_statement};

/// What a client says about an upload that it has sent.
#[derive(Debug, Clone)]
pub struct Claims {
    pub asset_id: ImageId,
    pub shoot_id: ShootId,
    pub key: ObjectKey,
    pub filename: Option<String>,
    pub format: Option<Format>,
    pub size_bytes: Option<u64>,
    pub sha256: Option<Sha256Digest>,
}

/// Why an upload is no image.
#[derive(Debug)]
pub enum ConfirmError {
    Catalog(CatalogError),
    /// The bytes could not be read now.
    Store(StoreError),
    /// There is no such upload of the caller's.
    NotFound,
    /// This field says something else than the grant. Nothing happened.
    NotAsGranted(&'static str),
    /// No bytes have arrived yet.
    NotReceived,
    /// What arrived is not what was promised, or came too late. It is removed.
    Closed(CloseReason),
    /// The shoot takes no assets any more.
    NoShoot,
    /// It became an image, which was deleted.
    Deleted,
    /// Its owner may not have it. The upload is as it was, and may be confirmed later.
    Limit(LimitReached),
}

impl From<CatalogError> for ConfirmError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl Claims {
    fn require(&self, key: &ObjectKey, filename: &str, format: Format) -> Result<(), ConfirmError> {
        let differing = [
            ("object_key", self.key != *key),
            ("filename", self.filename.as_deref().is_some_and(|claimed| claimed != filename)),
            ("content_type", self.format.is_some_and(|claimed| claimed != format)),
        ];
        match differing.into_iter().find(|(_, differs)| *differs) {
            Some((field, _)) => Err(ConfirmError::NotAsGranted(field)),
            None => Ok(()),
        }
    }
}

/// Confirms an upload; again is fine, and gives the same answer:
///
/// 1. find the upload, and the image if it has become one;
/// 2. read the bytes once, and compare them with what was promised;
/// 3. those that are something else: close the upload, then remove them;
/// 4. others: in one transaction, store the image's row, adopt embedded bytes, and mark the upload as confirmed.
///
/// Costs one R2 class B operation and two database calls in R2 mode.
///
/// # Errors
/// [`ConfirmError`]; after one of the catalogue or a store the upload is as it was, or confirmed.
pub async fn confirm(library: &Library, claims: &Claims, owner: &OwnerFilter) -> Result<ImageRecord, ConfirmError> {
    let (upload, image) = library.catalog.find_upload(claims.asset_id, owner).await?;
    if let Some(record) = image.filter(|record| is_asset_of(record, &claims.shoot_id)) {
        if record.status != Status::Stored {
            return Err(ConfirmError::Deleted);
        }
        let Description { key, filename, format, .. } = &record.description;
        claims.require(key, filename.as_deref().unwrap_or_default(), *format)?;
        return Ok(record);
    }
    let upload = upload.filter(|upload| upload.shoot_id == claims.shoot_id).ok_or(ConfirmError::NotFound)?;
    claims.require(&upload.key, &upload.filename, upload.format)?;
    match upload.state {
        UploadState::Granted => {}
        UploadState::Confirmed => return Err(ConfirmError::Deleted),
        UploadState::Closed(reason) => return Err(ConfirmError::Closed(reason)),
    }
    let (storage, object) = open(library, &upload).await?.ok_or(ConfirmError::NotReceived)?;
    let claimed = Claimed { size_bytes: claims.size_bytes, sha256: claims.sha256 };
    match inspect(library, &upload, claimed, object).await {
        Ok(content) => commit(library, &upload, storage, &content).await,
        Err(InspectError::Wrong(reason)) => {
            library.catalog.close_upload(upload.asset_id, reason, upload.expires_at).await?;
            // Best effort: the row is closed, so that the sweep removes what is left.
            if let Some(store) = library.stores.at(storage, upload.asset_id) {
                let _ = store.delete(&upload.key).await;
            }
            Err(ConfirmError::Closed(reason))
        }
        Err(InspectError::Unread(error)) => Err(unread(error.to_string())),
        Err(InspectError::NoDigest) => Err(unread("no digest was computed".to_owned())),
    }
}

/// The bytes, from where the Worker put them, or from the first home that has them.
async fn open(library: &Library, upload: &Upload) -> Result<Option<(StorageKind, StoredObject)>, ConfirmError> {
    let homes = match &upload.received {
        Some(received) => vec![received.storage],
        None => vec![StorageKind::R2, StorageKind::D1],
    };
    for storage in homes {
        let Some(store) = library.stores.at(storage, upload.asset_id) else { continue };
        if let Some(object) = store.get(&upload.key, None).await.map_err(ConfirmError::Store)? {
            return Ok(Some((storage, object)));
        }
    }
    Ok(None)
}

async fn commit(
    library: &Library,
    upload: &Upload,
    storage: StorageKind,
    content: &Content,
) -> Result<ImageRecord, ConfirmError> {
    let now = library.runtime.now();
    let description = describe(upload);
    let adoption = (storage == StorageKind::D1).then(|| adopt_statement(&upload.key, &upload.asset_id));
    let fallback_reason = fallback_reason(library, upload, storage);
    let commit = Commit {
        description: &description,
        storage,
        content,
        generation: None,
        fallback_reason: fallback_reason.as_deref(),
        idempotency: None,
        extra: [require_open(&upload.shoot_id.collection(), now), confirm_upload(upload.asset_id)]
            .into_iter()
            .chain(adoption)
            .collect(),
        now,
    };
    // Once more after a failure: the first may have taken effect, and committing twice is committing once.
    let committed = match library.catalog.commit(commit.clone()).await {
        Err(error) if error.source.kind != DatabaseErrorKind::Constraint => library.catalog.commit(commit).await,
        committed => committed,
    };
    match committed {
        Ok(Committed::Done(record) | Committed::AlreadyStored(record)) => Ok(record),
        Ok(Committed::Lost) => Err(ConfirmError::Deleted),
        Ok(Committed::LimitReached(limit)) => Err(ConfirmError::Limit(limit)),
        Ok(Committed::KeyTaken) => Err(unread("another image has the key".to_owned())),
        Err(error) if error.source.kind == DatabaseErrorKind::Constraint => why_refused(library, upload, error).await,
        Err(error) => Err(error.into()),
    }
}

/// Why the bytes are in the database: what was recorded when they came, or what must have been where that record was lost.
fn fallback_reason(library: &Library, upload: &Upload, storage: StorageKind) -> Option<String> {
    if let Some(received) = &upload.received {
        return received.fallback_reason.clone();
    }
    let reason = match library.stores.target(Visibility::Private, upload.asset_id) {
        Target::R2(_) => Some("store-unavailable"),
        Target::Embedded { reason, .. } => reason,
    };
    reason.filter(|_| storage == StorageKind::D1).map(str::to_owned)
}

/// What stood in the way of a commit that the database refused: the upload was closed meanwhile, or the shoot deleted.
async fn why_refused(library: &Library, upload: &Upload, refusal: CatalogError) -> Result<ImageRecord, ConfirmError> {
    let (again, _) = library.catalog.find_upload(upload.asset_id, &OwnerFilter::Any).await?;
    Err(match again.map(|upload| upload.state) {
        Some(UploadState::Closed(reason)) => ConfirmError::Closed(reason),
        Some(UploadState::Confirmed) => ConfirmError::Deleted,
        Some(UploadState::Granted) => ConfirmError::NoShoot,
        None => refusal.into(),
    })
}

fn describe(upload: &Upload) -> Description {
    Description {
        id: upload.asset_id,
        key: upload.key.clone(),
        format: upload.format,
        visibility: Visibility::Private,
        filename: Some(upload.filename.clone()),
        context: None,
        associations: Associations::default(),
        labels: Labels::default(),
        owner_id: upload.owner_id.clone(),
        frame: Some(Frame::of_shoot(&upload.shoot_id, upload.created_at)),
        parent_id: None,
        moved_from: None,
        created_at: upload.created_at,
    }
}

fn is_asset_of(record: &ImageRecord, shoot: &ShootId) -> bool {
    record.description.frame.as_ref().is_some_and(|frame| frame.collection_id == shoot.collection())
}

fn unread(detail: String) -> ConfirmError {
    ConfirmError::Store(StoreError::new(StoreErrorKind::Unavailable, detail))
}
