//! A run's row as the database answers it.

use serde::Deserialize;

use super::id::RunId;
use super::run::Run;
use super::state::{Action, Requested, State};
use super::stored_parameters::from_stored;
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, Holder, QueryResult, from_json};

#[derive(Deserialize)]
struct RunRow {
    id: RunId,
    action: Action,
    source: String,
    parameters: String,
    state: State,
    requested: Option<Requested>,
    progress: String,
    cursor: Option<String>,
    in_flight: String,
    slices: u64,
    lease_token: Option<String>,
    lease_expires_at_ms: Timestamp,
    receipt: Option<String>,
    created_at_ms: Timestamp,
    updated_at_ms: Timestamp,
    finished_at_ms: Option<Timestamp>,
}

impl TryFrom<RunRow> for Run {
    type Error = DatabaseError;

    fn try_from(row: RunRow) -> Result<Self, DatabaseError> {
        Ok(Self {
            id: row.id,
            source: row.source,
            parameters: from_stored(row.action, &row.parameters)?,
            state: row.state,
            requested: row.requested,
            progress: from_json(&row.progress)?,
            cursor: row.cursor.as_deref().map(from_json).transpose()?,
            in_flight: from_json(&row.in_flight)?,
            slices: row.slices,
            holder: Holder { token: row.lease_token, expires_at: row.lease_expires_at_ms },
            receipt: row.receipt.as_deref().map(from_json).transpose()?,
            created_at: row.created_at_ms,
            updated_at: row.updated_at_ms,
            finished_at: row.finished_at_ms,
        })
    }
}

/// The runs in an answer that has the columns of a run.
pub fn runs(result: &QueryResult) -> Result<Vec<Run>, DatabaseError> {
    result.rows::<RunRow>()?.into_iter().map(Run::try_from).collect()
}

/// The first run in an answer that has the columns of a run.
pub fn first_run(result: &QueryResult) -> Result<Option<Run>, DatabaseError> {
    result.first::<RunRow>()?.map(Run::try_from).transpose()
}
