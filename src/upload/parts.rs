//! Uploads that are sent in parts.
//!
//! R2 keeps the parts, and makes them an object under the grant's key when the upload is completed. From then on it is confirmed as any other.
//! An upload of R2's that no row names has no parts, since a client learns of it from its row; R2 drops it after seven days.

use std::rc::Rc;

use super::grant::{GrantError, NewUpload, promise, record};
use super::receive::ReceiveError;
use crate::bytes::{Body, BodyError};
use crate::catalog::{CloseReason, KeptPart, OwnerFilter, Upload, UploadState};
use crate::image::{ImageId, Visibility};
use crate::library::{Library, SWEEP_AFTER_MS};
use crate::store::{
    LEAST_PART_BYTES, Media, MultipartId, MultipartObject, MultipartStore, ObjectHeaders, ObjectMetadata, PartNumber,
    StorageKind, StoreError, StoreErrorKind, UploadedPart,
};
/// How long parts may be sent for a grant, in milliseconds: a day, in which 5 GB arrive at half a megabit a second.
pub const MULTIPART_LIFETIME_MS: i64 = 24 * 60 * 60 * 1000;
/// The most bytes of a part: the request body limit of the platform's smaller plans.
pub const MOST_PART_BYTES: u64 = 100 * 1000 * 1000;

/// Grants an upload in parts, in one R2 class A operation and one database call.
///
/// # Errors
/// [`GrantError`].
pub async fn begin_parts(library: &Library, new: NewUpload) -> Result<Upload, GrantError> {
    let mut upload = promise(library, new, MULTIPART_LIFETIME_MS);
    let takes_parts = library.stores.prefers_r2(Visibility::Private);
    let store = library.stores.parts(upload.asset_id).filter(|_| takes_parts).ok_or(GrantError::NoParts)?;
    let object = MultipartObject {
        key: upload.key.clone(),
        media: Media::image(upload.format, Visibility::Private),
        metadata: ObjectMetadata::from([("image-id".to_owned(), upload.asset_id.to_string())]),
        headers: ObjectHeaders::default(),
    };
    let id = store.create(object).await.map_err(GrantError::Store)?;
    upload.multipart_id = Some(id.clone());
    let recorded = record(library, &upload).await;
    if let Err(GrantError::NoShoot | GrantError::Limit(_)) = &recorded {
        // Best effort: it has no parts.
        let _ = store.abort(&upload.key, &id).await;
    }
    recorded.map(|()| upload)
}

/// An upload in parts of the owner's, and the parts of it that came by way of the Worker.
///
/// # Errors
/// [`ReceiveError`].
pub async fn list_parts(
    library: &Library,
    asset_id: ImageId,
    owner: &OwnerFilter,
) -> Result<(Upload, Vec<KeptPart>), ReceiveError> {
    let Multipart { upload, .. } = find(library, asset_id, owner).await?;
    let parts = library.catalog.parts_of(asset_id).await?;
    Ok((upload, parts))
}

/// Puts a part, which streams through. Sent again, it takes the place of the one before.
///
/// Costs one R2 class A operation and two database calls.
///
/// # Errors
/// [`ReceiveError`].
pub async fn put_part(
    library: &Library,
    asset_id: ImageId,
    owner: &OwnerFilter,
    number: PartNumber,
    body: Body,
) -> Result<KeptPart, ReceiveError> {
    let Multipart { upload, id, store } = find(library, asset_id, owner).await?;
    if upload.state == UploadState::Confirmed {
        return Err(ReceiveError::Confirmed);
    }
    if library.runtime.now() >= upload.expires_at {
        return Err(ReceiveError::Closed(CloseReason::Expired));
    }
    let size_bytes = body.promised_bytes().ok_or(ReceiveError::NoLength)?;
    let limit_bytes = MOST_PART_BYTES.min(upload.size_bytes.unwrap_or(upload.limit_bytes));
    if size_bytes > limit_bytes {
        return Err(BodyError::TooLong { limit_bytes }.into());
    }
    if size_bytes == 0 {
        return Err(refused("a part has at least one byte".to_owned()));
    }
    let part = store.put_part(&upload.key, &id, number, body).await.map_err(ReceiveError::Store)?;
    let kept = KeptPart { part, size_bytes };
    if library.catalog.keep_part(asset_id, &kept).await? {
        Ok(kept)
    } else {
        Err(ReceiveError::Closed(CloseReason::Expired))
    }
}

/// Makes an object of an upload's parts: of those that came by way of the Worker, or of those that `named` says. Again is fine. What the
/// bytes are is looked at when the upload is confirmed.
///
/// # Errors
/// [`ReceiveError`]; the upload is as it was, or has its object.
pub async fn complete_parts(
    library: &Library,
    asset_id: ImageId,
    owner: &OwnerFilter,
    named: Option<Vec<UploadedPart>>,
) -> Result<Upload, ReceiveError> {
    let Multipart { upload, id, store } = find(library, asset_id, owner).await?;
    if upload.state == UploadState::Confirmed {
        return Ok(upload);
    }
    let parts = if let Some(parts) = named {
        parts
    } else {
        let kept = library.catalog.parts_of(asset_id).await?;
        require_fit(&upload, &kept)?;
        kept.into_iter().map(|kept| kept.part).collect()
    };
    match store.complete(&upload.key, &id, &parts).await {
        Ok(()) => Ok(upload),
        // Its answer was lost, or two asked at once: nothing else makes an object of this key.
        Err(error) if error.kind == StoreErrorKind::NoSuchUpload && is_stored(library, &upload).await? => Ok(upload),
        Err(error) => Err(ReceiveError::Store(error)),
    }
}

/// Gives an upload up with all its parts. Again is fine.
///
/// # Errors
/// [`ReceiveError`]; it may be given up, and what is left of it is swept.
pub async fn abort_parts(library: &Library, asset_id: ImageId, owner: &OwnerFilter) -> Result<(), ReceiveError> {
    let Multipart { upload, id, store } = match find(library, asset_id, owner).await {
        Err(ReceiveError::Closed(_)) => return Ok(()),
        found => found?,
    };
    if upload.state == UploadState::Confirmed {
        return Err(ReceiveError::Confirmed);
    }
    let in_an_hour = library.runtime.now().plus_millis(SWEEP_AFTER_MS);
    library.catalog.close_upload(asset_id, CloseReason::Expired, in_an_hour).await?;
    // Best effort: the row is closed, so that the sweep removes what is left.
    let _ = store.abort(&upload.key, &id).await;
    if let Some(store) = library.stores.at(StorageKind::R2, asset_id) {
        let _ = store.delete(&upload.key).await;
    }
    Ok(())
}

/// An upload in parts that is not closed.
struct Multipart {
    upload: Upload,
    id: MultipartId,
    store: Rc<dyn MultipartStore>,
}

async fn find(library: &Library, asset_id: ImageId, owner: &OwnerFilter) -> Result<Multipart, ReceiveError> {
    let (upload, _) = library.catalog.find_upload(asset_id, owner).await?;
    let upload = upload.ok_or(ReceiveError::NotFound)?;
    let id = upload.multipart_id.clone().ok_or(ReceiveError::NotFound)?;
    let store = library.stores.parts(asset_id).ok_or(ReceiveError::NotFound)?;
    match upload.state {
        UploadState::Closed(reason) => Err(ReceiveError::Closed(reason)),
        UploadState::Granted | UploadState::Confirmed => Ok(Multipart { upload, id, store }),
    }
}

/// What R2 would refuse, said in words; and what R2 would take although something is missing.
fn require_fit(upload: &Upload, parts: &[KeptPart]) -> Result<(), ReceiveError> {
    let total_bytes: u64 = parts.iter().map(|part| part.size_bytes).sum();
    if let Some(promised_bytes) = upload.size_bytes.filter(|promised| *promised != total_bytes) {
        let detail = format!("the {} parts that arrived have {total_bytes} bytes, not {promised_bytes}", parts.len());
        return Err(refused(detail));
    }
    let Some((last, others)) = parts.split_last() else { return Err(refused("no parts have arrived".to_owned())) };
    let Some(first) = others.first() else { return Ok(()) };
    if first.size_bytes < LEAST_PART_BYTES {
        return Err(refused(format!("every part but the last must have at least {LEAST_PART_BYTES} bytes")));
    }
    let differing = others.iter().find(|part| part.size_bytes != first.size_bytes);
    if let Some(part) = differing.or_else(|| Some(last).filter(|last| last.size_bytes > first.size_bytes)) {
        let (number, size) = (part.part.number, part.size_bytes);
        let detail = format!(
            "part {number} has {size} bytes, but the first has {}: all but the last must have the same size",
            first.size_bytes
        );
        return Err(refused(detail));
    }
    Ok(())
}

async fn is_stored(library: &Library, upload: &Upload) -> Result<bool, ReceiveError> {
    let Some(store) = library.stores.at(StorageKind::R2, upload.asset_id) else { return Ok(false) };
    Ok(store.head(&upload.key).await.map_err(ReceiveError::Store)?.is_some())
}

fn refused(detail: String) -> ReceiveError {
    ReceiveError::Store(StoreError::new(StoreErrorKind::PartsRefused, detail))
}
