//! Making jobs: one, or all of a batch.

use serde::Serialize;

use super::row::{first_job, job_columns};
use super::transitions::{SELECT, select};
use super::{Job, JobEvent, JobRequest, JobState, JobSubject, NewJob};
use crate::catalog::idempotency::IDEMPOTENCY_RETENTION_MS;
use crate::catalog::row::corrupt;
use crate::catalog::usage::{Claim, ClaimStage};
use crate::catalog::{Catalog, CatalogError, IdempotencyKey, LimitReached, OwnerFilter};
use crate::image::{BatchId, ImageId, JobId, Sha256Digest, UserId};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, Statement, to_json};

const FORGET_KEY: &str = "UPDATE stillstore_jobs SET key_digest = NULL, body_digest = NULL \
    WHERE key_digest = ?1 AND created_at_ms <= ?2";

// Of a batch, all or none: a request that asks for something else than the one before it with its key makes no job.
const INSERT: &str = "INSERT INTO stillstore_jobs (id, kind, state, owner_id, image_id, session_id, batch_id, request, output_id, \
    counted_calls, attempts, events, key_digest, body_digest, due_at_ms, created_at_ms, updated_at_ms) \
    SELECT value ->> '$.id', value ->> '$.kind', 'queued', value ->> '$.owner_id', value ->> '$.image_id', value ->> '$.session_id', \
    value ->> '$.batch_id', value ->> '$.request', value ->> '$.output_id', value ->> '$.counted_calls', 0, ?2, ?3, ?4, ?5, ?5, ?5 FROM json_each(?1) \
    WHERE NOT EXISTS (SELECT 1 FROM stillstore_jobs INDEXED BY stillstore_jobs_by_batch \
    WHERE batch_id = ?6 AND request <> ?7 AND request <> '{}') ON CONFLICT DO NOTHING";

const SELECT_BY_KEY: &str = concat!("SELECT ", job_columns!(), " FROM stillstore_jobs WHERE key_digest = ?1");

/// A job on its way into the table.
#[derive(Serialize)]
struct NewRow<'job> {
    id: JobId,
    kind: &'static str,
    owner_id: Option<&'job str>,
    image_id: Option<ImageId>,
    session_id: Option<String>,
    batch_id: Option<BatchId>,
    request: String,
    output_id: Option<ImageId>,
    counted_calls: u32,
}

impl Catalog {
    /// The job with a key, when it was made within a day.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_job_by_key(&self, key: &IdempotencyKey, now: Timestamp) -> Result<Option<Job>, CatalogError> {
        let select = Statement::new(SELECT_BY_KEY).bind(key.digest().to_string());
        let [row] = self.batch("find_job_by_key", [select]).await?;
        let job = first_job(&row).map_err(CatalogError::during("find_job_by_key"))?;
        Ok(job.filter(|job| job.created_at > forgotten_until(now)))
    }

    /// Makes a job, unless there is one with the key that was made within a day: then that one is the answer, whose digest of the
    /// request may be another. What the job makes, or its calls of a model, count for its owner from here on, as [`Catalog::claim_generation`]
    /// counts them.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the job may be there.
    pub async fn create_job(
        &self,
        job: &NewJob,
        key: Option<(&IdempotencyKey, Sha256Digest)>,
        now: Timestamp,
    ) -> Result<Result<Job, LimitReached>, CatalogError> {
        let during = CatalogError::during("create_job");
        let digest = key.map(|(key, _)| key.digest().to_string());
        let forget = Statement::new(FORGET_KEY).bind(digest.clone()).bind(forgotten_until(now).as_millis());
        let owner = self.limited(job.owner_id.as_ref());
        let insert = insert(std::slice::from_ref(job), owner.is_some(), key, None, now).map_err(&during)?;
        let select = match digest {
            Some(digest) => Statement::new(SELECT_BY_KEY).bind(digest),
            None => select(job.id, &OwnerFilter::Any),
        };
        let statements = vec![forget, insert, select];
        let counted = match (owner, job.output_id) {
            (Some(owner), Some(image_id)) => {
                let claim = Claim { owner, image_id, size_bytes: 1, stage: ClaimStage::Generation };
                self.batch_within_limits("create_job", statements, claim, now).await?
            }
            (Some(owner), None) if job.calls > 0 => {
                self.batch_with_calls("create_job", statements, owner, job.calls, now).await?
            }
            _ => Ok(self.database.batch(statements).await.map_err(&during)?),
        };
        let results = match counted {
            Ok(results) => results,
            Err(limit) => return Ok(Err(limit)),
        };
        let made = results.last().map(first_job).transpose().map_err(&during)?.flatten();
        made.map(Ok).ok_or_else(|| during(corrupt("no row after a job was made")))
    }

    /// Makes the jobs of a batch that are not there yet. False, and none is made, when the batch has jobs that were asked for something else.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the jobs may be there.
    pub async fn create_batch(&self, batch: BatchId, jobs: &[NewJob], now: Timestamp) -> Result<bool, CatalogError> {
        let during = CatalogError::during("create_batch");
        let Some(first) = jobs.first() else { return Ok(true) };
        let insert = insert(jobs, false, None, Some((batch, &first.request)), now).map_err(&during)?;
        let select = Statement::new(SELECT).bind(first.id.to_string()).bind(OwnerFilter::Any.param());
        let [_, row] = self.batch("create_batch", [insert, select]).await?;
        let made = first_job(&row).map_err(during)?;
        Ok(made.is_some_and(|job| job.request == first.request || job.request == JobRequest::default()))
    }
}

/// A key whose job was made then counts as never used.
fn forgotten_until(now: Timestamp) -> Timestamp {
    now.plus_millis(-IDEMPOTENCY_RETENTION_MS)
}

/// The insertion of `jobs`: with a key and the digest of the request that it came with, or all of a batch, which asks for one thing.
fn insert(
    jobs: &[NewJob],
    is_counted: bool,
    key: Option<(&IdempotencyKey, Sha256Digest)>,
    batch: Option<(BatchId, &JobRequest)>,
    now: Timestamp,
) -> Result<Statement, DatabaseError> {
    let rows: Vec<NewRow<'_>> = jobs.iter().map(|job| NewRow::new(job, is_counted)).collect::<Result<_, _>>()?;
    let (batch, request) = batch.unzip();
    Ok(Statement::new(INSERT)
        .bind(to_json(&rows)?)
        .bind(to_json(&[JobEvent::new(now, JobState::Queued)])?)
        .bind(key.map(|(key, _)| key.digest().to_string()))
        .bind(key.map(|(_, body)| body.to_string()))
        .bind(now.as_millis())
        .bind(batch.map(|batch| batch.to_string()))
        .bind(request.map(to_json).transpose()?))
}

impl<'job> NewRow<'job> {
    fn new(job: &'job NewJob, is_counted: bool) -> Result<Self, DatabaseError> {
        let (image_id, session_id) = match &job.subject {
            JobSubject::Image(image) => (Some(*image), None),
            JobSubject::Session(session) => (None, Some(session.to_string())),
        };
        Ok(Self {
            id: job.id,
            kind: job.kind.as_str(),
            owner_id: job.owner_id.as_ref().map(UserId::as_str),
            image_id,
            session_id,
            batch_id: job.batch_id,
            request: to_json(&job.request)?,
            output_id: job.output_id,
            counted_calls: if is_counted { job.calls } else { 0 },
        })
    }
}
