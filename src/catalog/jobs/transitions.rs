//! The life of a job: each change names the state that it starts from, and while a worker has it that worker's lease.

use super::row::{first_job, job_columns};
use super::{Job, JobEvent, JobFailure, JobState};
use crate::catalog::{Catalog, CatalogError, OwnerFilter};
use crate::image::{ImageId, JobId};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, Lease, Statement, lease_given_back, lease_is_free, lease_is_held, to_json};

/// Adds an event, whose parameters are its JSON and the moment, to those of a row, with how long the state before lasted. D1 binds numbers as
/// floating-point ones, whose difference would be one, too.
macro_rules! with_event {
    ($event:literal, $now:literal) => {
        concat!(
            "events = json_insert(events, '$[#]', json_set(",
            $event,
            ", '$.duration_ms', max(0, CAST(",
            $now,
            " AS INTEGER) - updated_at_ms))), updated_at_ms = ",
            $now
        )
    };
}

macro_rules! goes_on {
    () => {
        "(state = 'queued' OR state = 'processing')"
    };
}

pub(super) use {goes_on, with_event};

pub(super) const SELECT: &str =
    concat!("SELECT ", job_columns!(), " FROM stillstore_jobs WHERE id = ?1 AND (?2 IS NULL OR owner_id = ?2)");

// A worker that is killed leaves its lease behind: of a job that had as many workers as it may have, nobody is the next.
const EXHAUST: &str = concat!(
    "UPDATE stillstore_jobs SET state = 'failed', error = ?4, ",
    with_event!("?5", "?2"),
    ", ",
    lease_given_back!(),
    " WHERE id = ?1 AND ",
    goes_on!(),
    " AND attempts >= ?3 AND due_at_ms <= ?2 AND ",
    lease_is_free!("?2")
);

const CLAIM: &str = concat!(
    "UPDATE stillstore_jobs SET state = 'processing', attempts = attempts + 1, lease_token = ?3, lease_expires_at_ms = ?4, \
     due_at_ms = ?4, ",
    with_event!("?6", "?2"),
    " WHERE id = ?1 AND ",
    goes_on!(),
    " AND attempts < ?5 AND due_at_ms <= ?2 AND ",
    lease_is_free!("?2")
);

const RETRY: &str = concat!(
    "UPDATE stillstore_jobs SET state = 'queued', due_at_ms = ?5, ",
    with_event!("?3", "?4"),
    ", ",
    lease_given_back!(),
    " WHERE id = ?1 AND state = 'processing' AND ",
    lease_is_held!("?2")
);

const FAIL: &str = concat!(
    "UPDATE stillstore_jobs SET state = 'failed', error = ?5, ",
    with_event!("?3", "?4"),
    ", ",
    lease_given_back!(),
    " WHERE id = ?1 AND state = 'processing' AND ",
    lease_is_held!("?2")
);

// NULL is refused, and with it the whole transaction.
const COMPLETE: &str = concat!(
    "UPDATE stillstore_jobs SET state = CASE WHEN state = 'processing' AND ",
    lease_is_held!("?2"),
    " THEN 'completed' END, ",
    with_event!(
        "json_set(?3, '$.storage_type', (SELECT storage FROM stillstore_images AS output WHERE output.id = stillstore_jobs.output_id))",
        "?4"
    ),
    ", ",
    lease_given_back!(),
    " WHERE id = ?1"
);

// The attempts count from the last progress on. Of counted calls one is made, and the last one stays: whoever goes on counts another
// (`keep_analysis`). NULL is refused, as above.
const CONTINUE: &str = concat!(
    "UPDATE stillstore_jobs SET state = CASE WHEN state = 'processing' AND ",
    lease_is_held!("?2"),
    " THEN 'queued' END, attempts = 0, counted_calls = min(counted_calls, max(counted_calls - 1, 1)), due_at_ms = ?3, ",
    lease_given_back!(),
    " WHERE id = ?1"
);

const REPLACE_OUTPUT: &str = concat!(
    "UPDATE stillstore_jobs SET output_id = ?3 WHERE id = ?1 AND state = 'processing' AND ",
    lease_is_held!("?2")
);

const BURY: &str = concat!(
    "UPDATE stillstore_jobs SET state = 'failed', error = ?4, ",
    with_event!("?3", "?2"),
    ", ",
    lease_given_back!(),
    " WHERE id = ?1 AND ",
    goes_on!(),
    " AND ",
    lease_is_free!("?2")
);

const CANCEL: &str = concat!(
    "UPDATE stillstore_jobs SET state = 'cancelled', ",
    with_event!("?3", "?4"),
    ", ",
    lease_given_back!(),
    " WHERE id = ?1 AND (?2 IS NULL OR owner_id = ?2) AND ",
    goes_on!()
);

const DUE: &str = concat!(
    "SELECT id FROM stillstore_jobs INDEXED BY stillstore_jobs_due WHERE ",
    goes_on!(),
    " AND due_at_ms <= ?1 ORDER BY due_at_ms LIMIT ?2"
);

const PURGE: &str = "DELETE FROM stillstore_jobs WHERE id IN (\
    SELECT id FROM stillstore_jobs INDEXED BY stillstore_jobs_by_age WHERE created_at_ms <= ?1 \
    AND state <> 'queued' AND state <> 'processing' ORDER BY created_at_ms LIMIT ?2)";

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobClaim {
    /// The caller works on it.
    Claimed(Box<Job>),
    /// Another worker has it, or it waits for its next attempt, until then.
    NotYet { due_at: Timestamp },
    /// There is nothing to do any more, or there is no such job.
    Ended,
}

#[derive(serde::Deserialize)]
struct IdRow {
    id: JobId,
}

impl Catalog {
    /// A job of the owner's.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_job(&self, id: JobId, owner: &OwnerFilter) -> Result<Option<Job>, CatalogError> {
        let [row] = self.batch("find_job", [select(id, owner)]).await?;
        first_job(&row).map_err(CatalogError::during("find_job"))
    }

    /// Claims a job for its one worker. A job that had `max_attempts` workers already, the last of which is gone, fails with `exhausted`.
    /// A claim whose answer was lost can be made again with the same lease.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the job may be claimed until the lease ends.
    pub async fn claim_job(
        &self,
        id: JobId,
        lease: &Lease,
        max_attempts: u16,
        exhausted: &JobFailure,
        now: Timestamp,
    ) -> Result<JobClaim, CatalogError> {
        let during = CatalogError::during("claim_job");
        let exhaust = Statement::new(EXHAUST)
            .bind(id.to_string())
            .bind(now.as_millis())
            .bind(i64::from(max_attempts))
            .bind(to_json(exhausted).map_err(&during)?)
            .bind(event_json(&failed(exhausted, now)).map_err(&during)?);
        let claim = Statement::new(CLAIM)
            .bind(id.to_string())
            .bind(now.as_millis())
            .bind(lease.token())
            .bind(lease.expires_at().as_millis())
            .bind(i64::from(max_attempts))
            .bind(event_json(&JobEvent::new(now, JobState::Processing)).map_err(&during)?);
        let [_, _, row] = self.batch("claim_job", [exhaust, claim, select(id, &OwnerFilter::Any)]).await?;
        Ok(match first_job(&row).map_err(during)? {
            None => JobClaim::Ended,
            Some(job) if job.state.is_end() => JobClaim::Ended,
            Some(job) if job.holder.has(lease) => JobClaim::Claimed(Box::new(job)),
            Some(job) => JobClaim::NotYet { due_at: job.due_at },
        })
    }

    /// Gives a job back, to be claimed again from `due_at` on. False when the worker had it no more.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be given back.
    pub async fn retry_job(
        &self,
        id: JobId,
        lease: &Lease,
        failure: &JobFailure,
        due_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        let event = JobEvent { error: Some(failure.code.clone()), ..JobEvent::new(now, JobState::Queued) };
        let retry = of_worker(RETRY, id, lease, &event).map_err(CatalogError::during("retry_job"))?;
        let [changed] = self.batch("retry_job", [retry.bind(due_at.as_millis())]).await?;
        Ok(changed.changes > 0)
    }

    /// Ends a job for good. False when the worker had it no more.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may have ended.
    pub async fn fail_job(
        &self,
        id: JobId,
        lease: &Lease,
        failure: &JobFailure,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        let during = CatalogError::during("fail_job");
        let fail = of_worker(FAIL, id, lease, &failed(failure, now)).map_err(&during)?;
        let [changed] = self.batch("fail_job", [fail.bind(to_json(failure).map_err(during)?)]).await?;
        Ok(changed.changes > 0)
    }

    /// Gives a job another image to make. False when the worker had it no more.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be changed.
    pub async fn replace_output(&self, id: JobId, lease: &Lease, output: ImageId) -> Result<bool, CatalogError> {
        let replace = Statement::new(REPLACE_OUTPUT).bind(id.to_string()).bind(lease.token()).bind(output.to_string());
        let [changed] = self.batch("replace_output", [replace]).await?;
        Ok(changed.changes > 0)
    }

    /// Ends a job that the queue gave up. One that a worker has stays as it is.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may have ended.
    pub async fn bury_job(&self, id: JobId, failure: &JobFailure, now: Timestamp) -> Result<bool, CatalogError> {
        let during = CatalogError::during("bury_job");
        let bury = Statement::new(BURY)
            .bind(id.to_string())
            .bind(now.as_millis())
            .bind(event_json(&failed(failure, now)).map_err(&during)?)
            .bind(to_json(failure).map_err(during)?);
        let [changed] = self.batch("bury_job", [bury]).await?;
        Ok(changed.changes > 0)
    }

    /// Cancels a job of the owner's that has not ended, and answers with it as it is then.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be cancelled.
    pub async fn cancel_job(
        &self,
        id: JobId,
        owner: &OwnerFilter,
        now: Timestamp,
    ) -> Result<Option<Job>, CatalogError> {
        let during = CatalogError::during("cancel_job");
        let cancel = of_owner(CANCEL, &id.to_string(), owner, now).map_err(&during)?;
        let [_, row] = self.batch("cancel_job", [cancel, select(id, owner)]).await?;
        first_job(&row).map_err(during)
    }

    /// Jobs that nobody works on although they were due at `due_until`, longest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn due_jobs(&self, due_until: Timestamp, limit: u16) -> Result<Vec<JobId>, CatalogError> {
        let select = Statement::new(DUE).bind(due_until.as_millis()).bind(i64::from(limit));
        let [rows] = self.batch("due_jobs", [select]).await?;
        let rows: Vec<IdRow> = rows.rows().map_err(CatalogError::during("due_jobs"))?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Forgets jobs that have ended and were made at `created_until` or earlier, at most `limit` of them.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the rows may be gone.
    pub async fn purge_jobs(&self, created_until: Timestamp, limit: u16) -> Result<(), CatalogError> {
        let purge = Statement::new(PURGE).bind(created_until.as_millis()).bind(i64::from(limit));
        self.batch("purge_jobs", [purge]).await.map(drop)
    }
}

/// Ends a job together with the commit of what it made: makes the transaction that it is part of fail, as a constraint does, where the
/// worker has it no more.
///
/// # Errors
/// When the event has no form in the database.
pub fn complete_job(id: JobId, lease: &Lease, event: &JobEvent) -> Result<Statement, DatabaseError> {
    of_worker(COMPLETE, id, lease, event)
}

/// Gives a job back that its worker has come on with, to be claimed again at once, together with what the worker came to: makes the
/// transaction fail as [`complete_job`] does.
pub(in crate::catalog) fn continue_job(id: JobId, lease: &Lease, now: Timestamp) -> Statement {
    Statement::new(CONTINUE).bind(id.to_string()).bind(lease.token()).bind(now.as_millis())
}

pub(super) fn select(id: JobId, owner: &OwnerFilter) -> Statement {
    Statement::new(SELECT).bind(id.to_string()).bind(owner.param())
}

fn failed(failure: &JobFailure, now: Timestamp) -> JobEvent {
    JobEvent { error: Some(failure.code.clone()), ..JobEvent::new(now, JobState::Failed) }
}

fn event_json(event: &JobEvent) -> Result<String, DatabaseError> {
    to_json(event)
}

/// A change by the worker who has the job: id, token, event and moment are bound.
fn of_worker(sql: &'static str, id: JobId, lease: &Lease, event: &JobEvent) -> Result<Statement, DatabaseError> {
    let statement = Statement::new(sql).bind(id.to_string()).bind(lease.token());
    Ok(statement.bind(event_json(event)?).bind(event.at_ms.as_millis()))
}

/// A cancellation of the owner's: id, owner, event and moment are bound.
pub(super) fn of_owner(
    sql: &'static str,
    id: &str,
    owner: &OwnerFilter,
    now: Timestamp,
) -> Result<Statement, DatabaseError> {
    let event = event_json(&JobEvent::new(now, JobState::Cancelled))?;
    Ok(Statement::new(sql).bind(id).bind(owner.param()).bind(event).bind(now.as_millis()))
}
