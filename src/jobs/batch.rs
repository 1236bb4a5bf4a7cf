//! Batches: a job for each asset of a shoot.

use super::create::require_editable;
use super::{CreateError, Jobs};
use crate::catalog::jobs::{JobKind, JobRequest, JobSubject, NewJob};
use crate::catalog::{IdempotencyKey, ImageRecord, ListError, ListFilter, OwnerFilter, PageCursor, PageSize};
use crate::image::{BatchId, ImageId, JobId, Sha256Digest, ShootId};

/// The most jobs of a batch: ten calls to the queue and twenty to the database.
pub const MAX_BATCH_JOBS: usize = 1_000;
/// Jobs that one statement makes: with prompts of 4,000 characters of four bytes, less than the 2,000,000 bytes that a parameter may have.
const JOBS_A_STATEMENT: usize = 50;

/// What became of a request for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchMade {
    pub id: BatchId,
    /// Assets that the editor does not take.
    pub skipped: usize,
}

impl Jobs {
    /// Makes a job for each asset of a shoot that the editor takes, and tells the queue. With a key that was used before, those that are not
    /// there yet. What the jobs make counts for the assets' owners when they are worked on.
    ///
    /// # Errors
    /// [`CreateError`]; after one of the catalogue some of the jobs may be there.
    pub async fn create_batch(
        &self,
        shoot: ShootId,
        owner: &OwnerFilter,
        request: &JobRequest,
        key: Option<&IdempotencyKey>,
    ) -> Result<BatchMade, CreateError> {
        if self.editor.is_none() {
            return Err(CreateError::NoEditor);
        }
        let library = &self.library;
        let id = match key {
            Some(key) => {
                let text = format!("stillstore batch of {} on {shoot}", key.digest());
                BatchId::from_digest(&Sha256Digest::of(text.as_bytes()))
            }
            None => BatchId::from_random_bytes(library.runtime.random_bytes()),
        };
        let assets = self.assets(shoot, owner).await?;
        let is_editable = |asset: &&ImageRecord| require_editable(self.editor.as_deref(), asset).is_ok();
        let jobs: Vec<NewJob> = assets.iter().filter(is_editable).map(|asset| self.job(id, asset, request)).collect();
        if jobs.is_empty() {
            return Err(CreateError::NoAssets);
        }
        for some in jobs.chunks(JOBS_A_STATEMENT) {
            let create = || library.catalog.create_batch(id, some, library.runtime.now());
            // Once more after a failure: making a job twice is making it once.
            let is_same = match create().await {
                Err(_) => create().await?,
                Ok(is_same) => is_same,
            };
            if !is_same {
                return Err(CreateError::KeyReused);
            }
        }
        let ids: Vec<JobId> = jobs.iter().map(|job| job.id).collect();
        self.tell(&ids, 0).await;
        Ok(BatchMade { id, skipped: assets.len() - jobs.len() })
    }

    async fn assets(&self, shoot: ShootId, owner: &OwnerFilter) -> Result<Vec<ImageRecord>, CreateError> {
        let filter = ListFilter {
            owner: owner.clone(),
            collection_id: Some(shoot.collection()),
            originals_only: true,
            ..ListFilter::default()
        };
        let mut assets = Vec::new();
        let mut cursor: Option<PageCursor> = None;
        loop {
            let page = match self.library.catalog.list(&filter, cursor, PageSize::MAX).await {
                Ok(page) => page,
                Err(ListError::Catalog(error)) => return Err(error.into()),
                // It is the listing's own.
                Err(ListError::Cursor(_)) => return Ok(assets),
            };
            assets.extend(page.records);
            if assets.len() > MAX_BATCH_JOBS {
                return Err(CreateError::TooManyAssets);
            }
            cursor = match page.next {
                Some(next) => Some(next),
                None => return Ok(assets),
            };
        }
    }

    fn job(&self, batch: BatchId, asset: &ImageRecord, request: &JobRequest) -> NewJob {
        NewJob {
            id: JobId::of_batch(batch, asset.description.id),
            kind: JobKind::Edit,
            owner_id: asset.description.owner_id.clone(),
            subject: JobSubject::Image(asset.description.id),
            batch_id: Some(batch),
            request: request.clone(),
            calls: 0,
            output_id: Some(ImageId::from_random_bytes(self.library.runtime.random_bytes())),
        }
    }
}
