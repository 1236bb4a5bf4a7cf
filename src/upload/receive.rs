//! Bytes of an upload that come by way of the Worker.

use crate::bytes::{Body, BodyError};
use crate::catalog::{CatalogError, CloseReason, OwnerFilter, Received, Upload, UploadState};
use crate::image::{ImageId, Sha256Digest, Visibility};
use crate::library::Library;
use crate::library::Target;
use crate::store::{EMBEDDED_MAX_BYTES, Media, ObjectMetadata, PutObject, PutReceipt, StoreError};
use crate::telemetry::Event;

/// Why bytes were not taken. What was stored of them, if anything, is swept.
#[derive(Debug)]
pub enum ReceiveError {
    Catalog(CatalogError),
    Store(StoreError),
    /// The sender's body broke off or is over the limit.
    Body(BodyError),
    /// There is no such upload.
    NotFound,
    /// It has been confirmed.
    Confirmed,
    Closed(CloseReason),
    /// The body has, or announces, another length than was promised.
    SizeDiffers {
        promised_bytes: u64,
    },
    /// A body of this size must announce its length.
    NoLength,
}

impl From<CatalogError> for ReceiveError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<BodyError> for ReceiveError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

/// Puts the bytes of the upload `asset_id` under its key, into the database when R2 fails, and says their digest. `likely_bytes` is the
/// length that a body without a promise is likely to have, as that of a form's last part. The same bytes may be
/// sent again; others are refused by the store, as [`crate::store::StoreErrorKind::KeyTaken`]. What they are is looked at when they are
/// confirmed.
///
/// # Errors
/// [`ReceiveError`].
pub async fn receive(
    library: &Library,
    asset_id: ImageId,
    body: Body,
    likely_bytes: Option<u64>,
) -> Result<Sha256Digest, ReceiveError> {
    let (upload, _) = library.catalog.find_upload(asset_id, &OwnerFilter::Any).await?;
    let upload = upload.ok_or(ReceiveError::NotFound)?;
    match upload.state {
        UploadState::Granted if library.runtime.now() >= upload.expires_at => {
            return Err(ReceiveError::Closed(CloseReason::Expired));
        }
        UploadState::Granted => {}
        UploadState::Confirmed => return Err(ReceiveError::Confirmed),
        UploadState::Closed(reason) => return Err(ReceiveError::Closed(reason)),
    }
    let receipt = put(library, &upload, body, likely_bytes).await?;
    let received = Received { storage: receipt.storage, fallback_reason: receipt.fallback_reason };
    if let Some(reason) = &received.fallback_reason {
        library.recorder.record(&Event::Fallback { image_id: asset_id, reason: reason.clone() });
    }
    if !library.catalog.receive_upload(asset_id, &received).await? {
        return Err(ReceiveError::Closed(CloseReason::Expired));
    }
    Ok(receipt.sha256)
}

/// Puts the bytes, from memory where there is room for them, so that a second store can take what the first does not.
async fn put(
    library: &Library,
    upload: &Upload,
    body: Body,
    likely_bytes: Option<u64>,
) -> Result<PutReceipt, ReceiveError> {
    let length_bytes = body.promised_bytes();
    if let Some(promised_bytes) = upload.size_bytes
        && length_bytes.is_some_and(|length_bytes| length_bytes != promised_bytes)
    {
        return Err(ReceiveError::SizeDiffers { promised_bytes });
    }
    let limit_bytes = upload.size_bytes.unwrap_or(upload.limit_bytes);
    if length_bytes.is_some_and(|length_bytes| length_bytes > limit_bytes) {
        return Err(BodyError::TooLong { limit_bytes }.into());
    }
    let likely_bytes = length_bytes.or(likely_bytes);
    let held_bytes = likely_bytes.unwrap_or(limit_bytes);
    let share = (held_bytes <= EMBEDDED_MAX_BYTES)
        .then(|| library.budget.take_for_upload(held_bytes, library.runtime.now()))
        .flatten();
    let body: Body = match (share.is_some(), likely_bytes) {
        (true, _) => body.collect(limit_bytes).await?.into(),
        (false, Some(likely_bytes)) => body.promising(likely_bytes),
        (false, None) => return Err(ReceiveError::NoLength),
    };
    if let Some(promised_bytes) = upload.size_bytes
        && body.promised_bytes() != Some(promised_bytes)
    {
        return Err(ReceiveError::SizeDiffers { promised_bytes });
    }
    let object = PutObject {
        key: upload.key.clone(),
        body,
        media: Media::image(upload.format, Visibility::Private),
        sha256: upload.sha256,
        metadata: ObjectMetadata::from([("image-id".to_owned(), upload.asset_id.to_string())]),
    };
    let (store, reason) = match library.stores.target(Visibility::Private, upload.asset_id) {
        Target::R2(store) => (store, None),
        Target::Embedded { store, reason } => (store, reason),
    };
    let receipt = store.put(object).await.map_err(ReceiveError::Store)?;
    Ok(PutReceipt { fallback_reason: receipt.fallback_reason.or_else(|| reason.map(str::to_owned)), ..receipt })
}
