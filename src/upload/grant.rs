//! The promise of a key.

use crate::catalog::{CatalogError, Granted, LimitReached, Upload, UploadState};
use crate::image::{Format, ImageId, ImageKey, Sha256Digest, ShootId, UserId, Visibility};
use crate::library::{Library, SWEEP_AFTER_MS};
use crate::s3::ObjectRequest;
use crate::store::{EMBEDDED_MAX_BYTES, Media, StoreError};

/// How long bytes may be sent for a grant, in milliseconds: one hour.
pub const GRANT_LIFETIME_MS: i64 = 60 * 60 * 1000;

/// What a client wants to upload.
#[derive(Debug, Clone)]
pub struct NewUpload {
    pub shoot_id: ShootId,
    pub owner_id: Option<UserId>,
    pub filename: String,
    pub format: Format,
    pub size_bytes: Option<u64>,
    pub sha256: Option<Sha256Digest>,
    pub limit_bytes: u64,
}

/// Why nothing was granted.
#[derive(Debug)]
pub enum GrantError {
    Catalog(CatalogError),
    /// There is no such shoot of the caller's that takes assets.
    NoShoot,
    /// The caller may not have it.
    Limit(LimitReached),
    /// Uploads in parts need R2, and images do not go there.
    NoParts,
    /// R2 did not begin an upload in parts.
    Store(StoreError),
}

/// Grants an upload, in one database call.
///
/// # Errors
/// [`GrantError`].
pub async fn grant(library: &Library, new: NewUpload) -> Result<Upload, GrantError> {
    let upload = promise(library, new, GRANT_LIFETIME_MS);
    record(library, &upload).await?;
    Ok(upload)
}

/// The upload that a grant for so long makes, under a key of its own.
pub(super) fn promise(library: &Library, new: NewUpload, lifetime_ms: i64) -> Upload {
    let created_at = library.runtime.now();
    let asset_id = ImageId::from_random_bytes(library.runtime.random_bytes());
    let key = ImageKey::Asset { owner: new.owner_id.clone(), shoot: new.shoot_id, id: asset_id, format: new.format };
    Upload {
        asset_id,
        shoot_id: new.shoot_id,
        owner_id: new.owner_id,
        key: key.object_key(),
        format: new.format,
        filename: new.filename,
        size_bytes: new.size_bytes,
        sha256: new.sha256,
        limit_bytes: new.limit_bytes,
        created_at,
        expires_at: created_at.plus_millis(lifetime_ms),
        state: UploadState::Granted,
        multipart_id: None,
        received: None,
    }
}

/// Records a grant, in one database call.
pub(super) async fn record(library: &Library, upload: &Upload) -> Result<(), GrantError> {
    // A put that began at the last moment may take its time.
    let due_at = upload.expires_at.plus_millis(SWEEP_AFTER_MS);
    match library.catalog.grant_upload(upload, due_at).await.map_err(GrantError::Catalog)? {
        Granted::Done => Ok(()),
        Granted::NoShoot => Err(GrantError::NoShoot),
        Granted::LimitReached(limit) => Err(GrantError::Limit(limit)),
    }
}

/// The most bytes that an upload may have now: the embedded store takes less than R2 does.
#[must_use]
pub fn limit_bytes(library: &Library, configured_bytes: u64) -> u64 {
    if library.stores.prefers_r2(Visibility::Private) {
        configured_bytes
    } else {
        configured_bytes.min(EMBEDDED_MAX_BYTES)
    }
}

/// The request that puts the bytes into the bucket, with the headers that its sender must repeat. It never overwrites, and S3 refuses
/// bytes of another length or digest than were promised.
#[must_use]
pub fn put_request(upload: &Upload) -> ObjectRequest<'_> {
    let media = Media::image(upload.format, Visibility::Private);
    let mut request = ObjectRequest::new("PUT", upload.key.as_str())
        .with_header("cache-control", media.cache_control())
        .with_header("content-type", media.content_type())
        .with_header("if-none-match", "*")
        .with_header("x-amz-meta-image-id", upload.asset_id.to_string());
    if let Some(disposition) = media.content_disposition() {
        request = request.with_header("content-disposition", disposition);
    }
    if let Some(size_bytes) = upload.size_bytes {
        request = request.with_header("content-length", size_bytes.to_string());
    }
    if let Some(sha256) = upload.sha256 {
        request =
            request.with_header("x-amz-checksum-sha256", base64_simd::STANDARD.encode_to_string(sha256.as_bytes()));
    }
    request
}
