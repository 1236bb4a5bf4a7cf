//! Batches: jobs that one request made.

use serde::Deserialize;

use super::BatchProgress;
use super::transitions::{goes_on, of_owner, with_event};
use crate::catalog::{Catalog, CatalogError, OwnerFilter};
use crate::image::BatchId;
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, lease_given_back};

const CANCEL_BATCH: &str = concat!(
    "UPDATE stillstore_jobs SET state = 'cancelled', ",
    with_event!("?3", "?4"),
    ", ",
    lease_given_back!(),
    " WHERE batch_id = ?1 AND (?2 IS NULL OR owner_id = ?2) AND ",
    goes_on!()
);

const PROGRESS: &str = "SELECT sum(state = 'queued') AS queued, sum(state = 'processing') AS processing, \
    sum(state = 'completed') AS completed, sum(state = 'failed') AS failed, sum(state = 'cancelled') AS cancelled \
    FROM stillstore_jobs INDEXED BY stillstore_jobs_by_batch \
    WHERE batch_id = ?1 AND (?2 IS NULL OR owner_id = ?2) HAVING count(*) > 0";

#[derive(Deserialize)]
struct ProgressRow {
    queued: u64,
    processing: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
}

impl Catalog {
    /// Cancels the jobs of a batch that have not ended. `None` when the owner has no such batch.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; they may be cancelled.
    pub async fn cancel_batch(
        &self,
        id: BatchId,
        owner: &OwnerFilter,
        now: Timestamp,
    ) -> Result<Option<BatchProgress>, CatalogError> {
        let during = CatalogError::during("cancel_batch");
        let cancel = of_owner(CANCEL_BATCH, &id.to_string(), owner, now).map_err(&during)?;
        let [_, row] = self.batch("cancel_batch", [cancel, select_progress(id, owner)]).await?;
        progress(&row).map_err(during)
    }

    /// How far a batch is. `None` when the owner has no such batch.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn batch_progress(
        &self,
        id: BatchId,
        owner: &OwnerFilter,
    ) -> Result<Option<BatchProgress>, CatalogError> {
        let [row] = self.batch("batch_progress", [select_progress(id, owner)]).await?;
        progress(&row).map_err(CatalogError::during("batch_progress"))
    }
}

fn select_progress(id: BatchId, owner: &OwnerFilter) -> Statement {
    Statement::new(PROGRESS).bind(id.to_string()).bind(owner.param())
}

fn progress(result: &QueryResult) -> Result<Option<BatchProgress>, DatabaseError> {
    let row: Option<ProgressRow> = result.first()?;
    Ok(row.map(|row| BatchProgress {
        queued: row.queued,
        processing: row.processing,
        completed: row.completed,
        failed: row.failed,
        cancelled: row.cancelled,
    }))
}
