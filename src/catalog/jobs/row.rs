//! Rows of jobs as the database holds them.

use serde::Deserialize;

use super::{Job, JobEvent, JobFailure, JobKind, JobRequest, JobState, JobSubject};
use crate::catalog::row::corrupt;
use crate::image::{BatchId, ImageId, JobId, SessionId, Sha256Digest, UserId};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, Holder, QueryResult, from_json};

/// The columns of [`Row`].
macro_rules! job_columns {
    () => {
        "id, kind, state, owner_id, image_id, session_id, batch_id, request, output_id, attempts, counted_calls, error, events, body_digest, \
         lease_token, lease_expires_at_ms, due_at_ms, created_at_ms, updated_at_ms"
    };
}

pub(super) use job_columns;

#[derive(Deserialize)]
struct Row {
    id: JobId,
    kind: JobKind,
    state: JobState,
    owner_id: Option<UserId>,
    image_id: Option<ImageId>,
    session_id: Option<String>,
    batch_id: Option<BatchId>,
    request: String,
    output_id: Option<ImageId>,
    attempts: u32,
    counted_calls: u32,
    error: Option<String>,
    events: String,
    body_digest: Option<Sha256Digest>,
    lease_token: Option<String>,
    lease_expires_at_ms: Timestamp,
    due_at_ms: Timestamp,
    created_at_ms: Timestamp,
    updated_at_ms: Timestamp,
}

/// The jobs in an answer that has [`job_columns`].
pub(super) fn jobs(result: &QueryResult) -> Result<Vec<Job>, DatabaseError> {
    result.rows::<Row>()?.into_iter().map(Job::try_from).collect()
}

/// The first job in an answer that has [`job_columns`].
pub(super) fn first_job(result: &QueryResult) -> Result<Option<Job>, DatabaseError> {
    result.first::<Row>()?.map(Job::try_from).transpose()
}

impl TryFrom<Row> for Job {
    type Error = DatabaseError;

    fn try_from(row: Row) -> Result<Self, DatabaseError> {
        let subject = match (row.image_id, row.session_id) {
            (Some(image), None) => JobSubject::Image(image),
            (None, Some(session)) => {
                JobSubject::Session(SessionId::try_from(session).map_err(|_| corrupt("a job of no session"))?)
            }
            _ => return Err(corrupt("a job of no subject")),
        };
        Ok(Self {
            id: row.id,
            kind: row.kind,
            state: row.state,
            owner_id: row.owner_id,
            subject,
            batch_id: row.batch_id,
            request: from_json::<JobRequest>(&row.request)?,
            output_id: row.output_id,
            attempts: row.attempts,
            counted_calls: row.counted_calls,
            error: row.error.as_deref().map(from_json::<JobFailure>).transpose()?,
            events: from_json::<Vec<JobEvent>>(&row.events)?,
            body_digest: row.body_digest,
            holder: Holder { token: row.lease_token, expires_at: row.lease_expires_at_ms },
            due_at: row.due_at_ms,
            created_at: row.created_at_ms,
            updated_at: row.updated_at_ms,
        })
    }
}
