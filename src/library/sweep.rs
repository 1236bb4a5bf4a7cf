//! Clearing what interrupted work left behind.

use super::Library;
use super::remove::{RemoveError, SWEEP_AFTER_MS};
use crate::catalog::{ImageRecord, OwnerFilter, Status};
use crate::store::SWEEP_LIMIT;
use crate::telemetry::Event;

/// Age in milliseconds from which the tombstone of a deleted image is forgotten: 30 days.
const TOMBSTONE_RETENTION_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Items of each kind a sweep goes over: a cron invocation has 1,000 database queries, and an image takes at most four.
const BATCH: u16 = 100;

/// What a sweep cleared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Images whose adding or removing was never finished.
    pub images: u64,
    /// Embedded bytes that no image owns.
    pub blobs: u64,
    /// Idempotency keys past their retention.
    pub idempotency_keys: u64,
}

impl Library {
    /// Finishes deletions that stopped halfway, removes reservations and embedded bytes that never became an image, and forgets
    /// idempotency keys and tombstones past their retention; and makes the cache in front forget what was deleted. Each part goes on when another fails; the outcome is logged.
    pub async fn sweep(&self) -> Swept {
        let mut swept = Swept::default();
        let mut causes = Vec::new();
        let now = self.runtime.now();
        let old = now.plus_millis(-SWEEP_AFTER_MS);
        match self.sweep_images().await {
            Ok((images, failures)) => {
                swept.images = images;
                causes.extend(failures);
            }
            Err(error) => causes.push(format!("{error:?}")),
        }
        match self.stores.embedded_sweeper().sweep(old, SWEEP_LIMIT).await {
            Ok(blobs) => swept.blobs = blobs,
            Err(error) => causes.push(error.to_string()),
        }
        if let Err(error) = self.sweep_variants().await {
            causes.push(format!("{error:?}"));
        }
        match self.catalog.purge_idempotency(now, BATCH).await {
            Ok(idempotency_keys) => swept.idempotency_keys = idempotency_keys as u64,
            Err(error) => causes.push(error.to_string()),
        }
        if let Err(error) = self.catalog.purge_usage_claims(old, BATCH).await {
            causes.push(error.to_string());
        }
        if let Err(error) = self.catalog.purge_tombstones(now.plus_millis(-TOMBSTONE_RETENTION_MS), BATCH).await {
            causes.push(error.to_string());
        }
        self.send_purges().await;
        self.recorder.record(&Event::Sweep {
            images: swept.images,
            blobs: swept.blobs,
            idempotency_keys: swept.idempotency_keys,
            outcome: if causes.is_empty() { "ok" } else { "incomplete" },
            cause: (!causes.is_empty()).then(|| causes.join("; ")),
        });
        swept
    }

    async fn sweep_images(&self) -> Result<(u64, Vec<String>), RemoveError> {
        let now = self.runtime.now();
        let mut images = 0;
        let mut failures = Vec::new();
        for record in self.catalog.stale(now.plus_millis(-SWEEP_AFTER_MS), BATCH).await? {
            let id = record.description.id;
            match self.sweep_image(record).await {
                Ok(()) => images += 1,
                Err(error) => failures.push(format!("{id}: {error:?}")),
            }
        }
        Ok((images, failures))
    }

    /// A reservation is given up first, which leaves it alone if it was committed in the meantime.
    async fn sweep_image(&self, record: ImageRecord) -> Result<(), RemoveError> {
        let id = record.description.id;
        let mut record = record;
        if record.status == Status::Pending {
            self.catalog.abandon(id, self.runtime.now()).await?;
            match self.catalog.find(id, &OwnerFilter::Any).await? {
                Some(given_up) if given_up.status == Status::Deleting => record = given_up,
                _ => return Ok(()),
            }
        }
        let removed = self.finish_removal(&record).await;
        if removed.is_err() {
            self.catalog.postpone_delete(id, record.version, self.runtime.now()).await?;
        }
        removed
    }
}
