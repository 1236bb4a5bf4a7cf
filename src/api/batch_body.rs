//! How batches look in answers.

use serde::Serialize;

use super::{Code, Exchange, Problem};
use crate::catalog::jobs::BatchProgress;
use crate::image::BatchId;

/// How far a batch is.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Batch"))]
pub struct BatchBody {
    id: BatchId,
    /// All its jobs.
    total: u64,
    queued: u64,
    processing: u64,
    completed: u64,
    failed: u64,
    cancelled: u64,
}

impl BatchBody {
    /// The batch as answers show it.
    pub(super) const fn new(id: BatchId, progress: BatchProgress) -> Self {
        let BatchProgress { queued, processing, completed, failed, cancelled } = progress;
        Self { id, total: progress.total(), queued, processing, completed, failed, cancelled }
    }
}

impl Exchange<'_> {
    /// How far a batch of the caller's is.
    pub(super) async fn batch(&self, id: BatchId) -> Result<BatchProgress, Problem> {
        let found = self.library.catalog.batch_progress(id, &self.caller.owner_filter()).await?;
        found.ok_or_else(|| Problem::plain(Code::BatchNotFound))
    }
}
