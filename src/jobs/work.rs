//! Working on a job: claim it, do what it asks for, say what became of it.

use super::cause::{Cause, backoff_ms};
use super::{Jobs, exhausted};
use crate::catalog::CatalogError;
use crate::catalog::jobs::{Job, JobClaim, JobFailure, JobKind};
use crate::image::JobId;
use crate::queue::MOST_DELAY_S;
use crate::sql::Lease;
use crate::telemetry::Event;

/// What to do about the message that named a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worked {
    /// Nothing: the job has ended, or its next message is on its way.
    Done,
    /// Another worker has it, or it waits for its next attempt: look again after so many seconds.
    Later { delay_s: u32 },
    /// The database did not answer.
    Unknown,
}

/// What an attempt came to.
pub(super) enum Attempted {
    /// The job is completed.
    Completed,
    /// The worker came on, and gave the job back for the next one.
    Continued,
    /// The worker has the job no more: it was cancelled, or the lease expired.
    Lost,
    Failed(Cause),
}

impl Jobs {
    /// Works on a job, if nobody else does and it is due:
    ///
    /// 1. claim it, with a lease;
    /// 2. do what it asks for, which completes it in the transaction that makes its result readable;
    /// 3. after a failure, give it back to be tried again later, or end it: causes that stay end it at once, those that pass when it has had as
    ///    many attempts as it may.
    ///
    /// A worker that is killed leaves its lease behind; the queue's next delivery or cron goes on when that is over.
    pub async fn work_on(&self, id: JobId) -> Worked {
        let runtime = &self.library.runtime;
        let lease = Lease::begin(&**runtime, self.settings.lease_ms);
        let claim = || {
            let now = runtime.now();
            let exhausted = exhausted();
            let lease = &lease;
            async move { self.library.catalog.claim_job(id, lease, self.settings.max_attempts, &exhausted, now).await }
        };
        // Once more after a failure: the claim may be ours already, and would keep everybody out until its lease ends.
        let claimed = match claim().await {
            Err(_) => claim().await,
            claimed => claimed,
        };
        match claimed {
            Err(_) => Worked::Unknown,
            Ok(JobClaim::Ended) => Worked::Done,
            Ok(JobClaim::NotYet { due_at }) => Worked::Later { delay_s: delay_s(due_at.millis_since(runtime.now())) },
            Ok(JobClaim::Claimed(job)) => self.work(&job, &lease).await,
        }
    }

    async fn work(&self, job: &Job, lease: &Lease) -> Worked {
        let runtime = &self.library.runtime;
        let started_at = runtime.now();
        let attempted = match job.kind {
            JobKind::Edit => self.edit(job, lease).await,
            JobKind::Describe | JobKind::Analyze => self.look(job, lease).await,
        };
        let (outcome, cause, worked) = match attempted {
            Attempted::Completed => ("ok", None, Ok(())),
            Attempted::Continued => {
                self.tell(&[job.id], 0).await;
                ("continued", None, Ok(()))
            }
            Attempted::Lost => ("lost", None, Ok(())),
            Attempted::Failed(cause) => {
                let is_last = job.attempts >= u32::from(self.settings.max_attempts);
                let code = cause.failure().code.clone();
                match cause {
                    Cause::Passing { failure, retry_after_ms } if !is_last => {
                        ("retry", Some(code), self.retry(job, lease, &failure, retry_after_ms).await)
                    }
                    Cause::Passing { failure, .. } | Cause::Lasting(failure) => {
                        ("failed", Some(code), self.fail(job, lease, &failure).await)
                    }
                }
            }
        };
        self.library.recorder.record(&Event::Job {
            job_id: job.id.to_string(),
            kind: job.kind.as_str(),
            outcome,
            attempt: job.attempts,
            duration_ms: runtime.now().millis_since(started_at),
            cause,
        });
        if worked.is_ok() { Worked::Done } else { Worked::Unknown }
    }

    async fn retry(
        &self,
        job: &Job,
        lease: &Lease,
        failure: &JobFailure,
        retry_after_ms: Option<u64>,
    ) -> Result<(), CatalogError> {
        let runtime = &self.library.runtime;
        let wait_ms = backoff_ms(job.attempts, retry_after_ms, &**runtime);
        let due_at = runtime.now().plus_millis(i64::try_from(wait_ms).unwrap_or(i64::MAX));
        let retry = || self.library.catalog.retry_job(job.id, lease, failure, due_at, runtime.now());
        // Once more after a failure: done twice it is done once.
        if retry().await.is_err() {
            retry().await?;
        }
        self.tell(&[job.id], delay_s(wait_ms)).await;
        Ok(())
    }

    async fn fail(&self, job: &Job, lease: &Lease, failure: &JobFailure) -> Result<(), CatalogError> {
        let fail = || self.library.catalog.fail_job(job.id, lease, failure, self.library.runtime.now());
        // Once more after a failure: done twice it is done once.
        if fail().await.is_err() {
            fail().await?;
        }
        self.give_usage_back(job).await;
        Ok(())
    }

    /// Gives back what the output of a job was counted for that will not be made. Best effort: the sweep gives back what stays.
    pub(super) async fn give_usage_back(&self, job: &Job) {
        let catalog = &self.library.catalog;
        if let (Some(output_id), Some(_)) = (job.output_id, catalog.limited(job.owner_id.as_ref())) {
            let _ = catalog.release_usage(output_id).await;
        }
    }
}

/// A wait as the queue takes it: rounded up, so that no message comes too early.
fn delay_s(wait_ms: u64) -> u32 {
    u32::try_from(wait_ms.div_ceil(1000).max(1)).unwrap_or(MOST_DELAY_S).min(MOST_DELAY_S)
}
