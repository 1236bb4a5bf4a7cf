//! Clearing what was uploaded and became no image.

use crate::catalog::{CloseReason, DueUpload, Status, Upload, UploadState};
use crate::library::{Library, SWEEP_AFTER_MS};
use crate::store::StorageKind;
use crate::telemetry::Event;

/// Uploads that a sweep goes over: a cron invocation has 1,000 database queries, and an upload takes at most four.
const BATCH: u16 = 100;

/// Removes what is left of uploads whose grants are over, at most 100 of them, and logs the outcome. An upload that was never confirmed is
/// closed first, so that nobody can confirm it any more; an hour later, when no confirmation can be under way, its bytes are removed and it
/// is forgotten. Says how many were looked at.
pub async fn sweep(library: &Library) -> u64 {
    let now = library.runtime.now();
    let mut swept = 0;
    let mut causes = Vec::new();
    match library.catalog.due_uploads(now, BATCH).await {
        Ok(due) => {
            for DueUpload { upload, image } in due {
                match sweep_one(library, &upload, image).await {
                    Ok(()) => swept += 1,
                    Err(error) => {
                        causes.push(format!("{}: {error}", upload.asset_id));
                        // Others are not kept waiting by one that cannot be removed now.
                        let in_an_hour = now.plus_millis(SWEEP_AFTER_MS);
                        let _ = library.catalog.postpone_upload(upload.asset_id, in_an_hour).await;
                    }
                }
            }
        }
        Err(error) => causes.push(error.to_string()),
    }
    library.recorder.record(&Event::UploadSweep {
        uploads: swept,
        outcome: if causes.is_empty() { "ok" } else { "incomplete" },
        cause: (!causes.is_empty()).then(|| causes.join("; ")),
    });
    swept
}

async fn sweep_one(library: &Library, upload: &Upload, image: Option<Status>) -> Result<(), String> {
    let catalog = &library.catalog;
    match (upload.state, image) {
        (UploadState::Granted, _) => {
            let in_an_hour = library.runtime.now().plus_millis(SWEEP_AFTER_MS);
            let close = catalog.close_upload(upload.asset_id, CloseReason::Expired, in_an_hour);
            return close.await.map_err(|error| error.to_string());
        }
        // The image's row names the bytes.
        (UploadState::Confirmed, Some(Status::Pending | Status::Stored | Status::Deleting)) => {}
        (UploadState::Confirmed, Some(Status::Deleted) | None) | (UploadState::Closed(_), _) => {
            // First, so that no parts become an object behind the deletion.
            if let Some((id, store)) = upload.multipart_id.as_ref().zip(library.stores.parts(upload.asset_id)) {
                store.abort(&upload.key, id).await.map_err(|error| error.to_string())?;
            }
            for storage in [StorageKind::R2, StorageKind::D1] {
                if let Some(store) = library.stores.at(storage, upload.asset_id) {
                    store.delete(&upload.key).await.map_err(|error| error.to_string())?;
                }
            }
        }
    }
    catalog.forget_upload(upload.asset_id).await.map_err(|error| error.to_string())
}
