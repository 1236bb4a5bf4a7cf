//! What happens to jobs beside their messages: they are cancelled, taken up by cron, given up by the queue, and forgotten.

use super::{Jobs, Worked};
use crate::catalog::jobs::{Job, JobFailure};
use crate::catalog::{CatalogError, OwnerFilter};
use crate::image::JobId;

/// A job that was due for as long has lost its message: a minute.
const LOST_AFTER_MS: i64 = 60 * 1000;
/// The part of an analysis that nobody added to for as long is of a job that came to nothing: a day, with the longest waits a job has five
/// attempts in six hours.
const ABANDONED_AFTER_MS: i64 = 24 * 60 * 60 * 1000;
/// Jobs that a cron event tells the queue of.
const A_CRON_EVENT: u16 = 100;
/// Jobs that a cron event works on where there is no queue: one may take minutes, and an event has 15 of them.
const WITHOUT_QUEUE: u16 = 3;
/// Jobs that a cron event forgets.
const FORGOTTEN_AT_ONCE: u16 = 500;

impl Jobs {
    /// Cancels a job of the owner's that has not ended. What its worker makes from then on becomes no image. `None` when there is no such job.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be cancelled.
    pub async fn cancel(&self, id: JobId, owner: &OwnerFilter) -> Result<Option<Job>, CatalogError> {
        let job = self.library.catalog.cancel_job(id, owner, self.library.runtime.now()).await?;
        if let Some(job) = &job {
            self.give_usage_back(job).await;
        }
        Ok(job)
    }

    /// Ends a job whose message the queue gave up, unless a worker has it. False when the database did not answer.
    pub async fn bury(&self, id: JobId) -> bool {
        let failure = JobFailure::new("dead-lettered", "the queue gave the job up after several deliveries");
        let catalog = &self.library.catalog;
        let buried = catalog.bury_job(id, &failure, self.library.runtime.now()).await;
        if buried == Ok(true)
            && let Ok(Some(job)) = catalog.find_job(id, &OwnerFilter::Any).await
        {
            self.give_usage_back(&job).await;
        }
        buried.is_ok()
    }

    /// Takes up jobs whose message was lost or whose worker is gone, and forgets those whose time is over.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn take_up(&self) -> Result<(), CatalogError> {
        let now = self.library.runtime.now();
        let days = i64::from(self.settings.retention_days);
        self.library.catalog.purge_jobs(now.plus_millis(-days * 24 * 60 * 60 * 1000), FORGOTTEN_AT_ONCE).await?;
        self.library.catalog.forget_begun_analyses(now.plus_millis(-ABANDONED_AFTER_MS), FORGOTTEN_AT_ONCE).await?;
        if self.queue.is_some() {
            let due = self.library.catalog.due_jobs(now.plus_millis(-LOST_AFTER_MS), A_CRON_EVENT).await?;
            self.tell(&due, 0).await;
            return Ok(());
        }
        for id in self.library.catalog.due_jobs(now, WITHOUT_QUEUE).await? {
            if self.work_on(id).await == Worked::Unknown {
                break;
            }
        }
        Ok(())
    }
}
