//! Runs and what they did, as rows: every statement about `stillstore_runs` and `stillstore_run_lines`.

use std::rc::Rc;

use serde::Deserialize;

use super::id::RunId;
use super::in_flight::InFlight;
use super::progress::Progress;
use super::receipt_info::ReceiptInfo;
use super::row::{first_run, runs};
use super::run::Run;
use super::state::{Requested, State};
use super::stored_parameters::to_stored;
use crate::runtime::Timestamp;
use crate::sql::{
    Database, DatabaseError, DatabaseErrorKind, Lease, QueryResult, Statement, lease_given_back, lease_is_free,
    lease_is_held, to_json,
};

macro_rules! run_columns {
    () => {
        "id, action, source, parameters, state, requested, progress, cursor, in_flight, slices, lease_token, \
         lease_expires_at_ms, receipt, created_at_ms, updated_at_ms, finished_at_ms"
    };
}

const INSERT: &str = "INSERT INTO stillstore_runs (id, action, source, exclusive, parameters, state, progress, in_flight, \
    slices, lease_expires_at_ms, created_at_ms, updated_at_ms) \
    VALUES (?1, ?2, ?3, ?4, ?5, 'running', ?6, '[]', 0, 0, ?7, ?7)";

const SELECT: &str = concat!("SELECT ", run_columns!(), " FROM stillstore_runs WHERE id = ?1");

const SELECT_EXCLUSIVE: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM stillstore_runs WHERE source = ?1 AND exclusive = 1 AND state IN ('running', 'paused')"
);

const SELECT_LATEST: &str =
    concat!("SELECT ", run_columns!(), " FROM stillstore_runs ORDER BY created_at_ms DESC LIMIT ?1");

const SELECT_LATEST_OF: &str =
    concat!("SELECT ", run_columns!(), " FROM stillstore_runs WHERE source = ?1 ORDER BY created_at_ms DESC LIMIT 1");

const SELECT_LATEST_MIGRATION: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM stillstore_runs WHERE source = ?1 AND action = 'migrate' AND exclusive = 1 ORDER BY created_at_ms DESC LIMIT 1"
);

const SELECT_ORPHANED: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM stillstore_runs INDEXED BY stillstore_runs_running WHERE state = 'running' AND lease_expires_at_ms <= ?1 LIMIT ?2"
);

const CLAIM: &str = concat!(
    "UPDATE stillstore_runs SET lease_token = ?2, lease_expires_at_ms = ?3, updated_at_ms = ?4 \
     WHERE id = ?1 AND state = 'running' AND (",
    lease_is_free!("?4"),
    " OR ",
    lease_is_held!("?2"),
    ") RETURNING ",
    run_columns!()
);

// An upsert, because one that finds its row counts as no row read. Without the row, the schema refuses what it would insert.
macro_rules! change_run {
    ($($change:expr),+) => {
        concat!(
            "INSERT INTO stillstore_runs (id, action, source, exclusive, parameters, state, progress, in_flight, slices, \
             lease_expires_at_ms, created_at_ms, updated_at_ms) \
             VALUES (?1, 'migrate', '', 0, '{}', 'failed', '{}', '[]', 0, 0, 0, 0) ON CONFLICT (id) DO UPDATE SET ",
            $($change),+
        )
    };
}

const ADVANCE: &str = change_run!(
    "cursor = ?4, progress = ?5, in_flight = ?6, slices = slices + 1, lease_expires_at_ms = ?7, updated_at_ms = ?8 \
     WHERE slices = ?3 AND state = 'running' AND ",
    lease_is_held!("?2"),
    " RETURNING requested"
);

const ANNOUNCE: &str = change_run!(
    "in_flight = ?3, lease_expires_at_ms = ?4, updated_at_ms = ?5 WHERE state = 'running' AND ",
    lease_is_held!("?2")
);

const END: &str = concat!(
    "UPDATE stillstore_runs SET state = ?3, requested = NULL, in_flight = '[]', receipt = ?4, updated_at_ms = ?5, \
     finished_at_ms = ?6, progress = json_set(progress, '$.operations', json(?7)), ",
    lease_given_back!(),
    " WHERE id = ?1 AND state = 'running' AND ",
    lease_is_held!("?2")
);

// Only while it is wanted: somebody may have resumed or cancelled the run since its worker saw the request.
const PAUSE: &str = concat!(
    "UPDATE stillstore_runs SET state = 'paused', requested = NULL, updated_at_ms = ?3, ",
    lease_given_back!(),
    " WHERE id = ?1 AND state = 'running' AND requested = 'pause' AND ",
    lease_is_held!("?2")
);

const RELEASE: &str = concat!(
    "UPDATE stillstore_runs SET updated_at_ms = ?3, ",
    lease_given_back!(),
    " WHERE id = ?1 AND state = 'running' AND ",
    lease_is_held!("?2")
);

// A run that nobody has at work pauses at once; otherwise its worker finds the request with its next slice. The end of a run takes
// a worker in any case: it settles what is in flight and writes the receipt.
const REQUEST: &str = concat!(
    "UPDATE stillstore_runs SET state = CASE WHEN ?2 = 'cancel' THEN 'running' WHEN ",
    lease_is_free!("?3"),
    " THEN 'paused' ELSE state END, requested = CASE WHEN ?2 = 'pause' AND (state = 'paused' OR ",
    lease_is_free!("?3"),
    ") THEN NULL ELSE ?2 END, updated_at_ms = ?3 WHERE id = ?1 AND state IN ('running', 'paused')"
);

const RESUME: &str = "UPDATE stillstore_runs SET state = 'running', requested = NULL, updated_at_ms = ?2 \
    WHERE id = ?1 AND state IN ('running', 'paused')";

const INSERT_LINES: &str = "INSERT INTO stillstore_run_lines (run_id, slice, lines) VALUES (?1, ?2, ?3)";

const SELECT_LINES: &str =
    "SELECT slice, lines FROM stillstore_run_lines WHERE run_id = ?1 AND slice > ?2 ORDER BY slice LIMIT ?3";

const DELETE_LINES: &str = "DELETE FROM stillstore_run_lines WHERE run_id = ?1";

// `run_id` is NOT NULL: when the statement before did not change exactly one row, this fails and its batch with it.
const REQUIRE_ONE_CHANGE: &str =
    "INSERT INTO stillstore_run_lines (run_id, slice, lines) SELECT NULL, 0, '' WHERE changes() <> 1";

/// How often a run tries to begin when the one that was in its way has ended meanwhile.
const BEGIN_ATTEMPTS: usize = 3;

/// The rows of runs in one database. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    database: Rc<dyn Database>,
}

/// What a commit changes in the run's row.
pub struct Advance<'run> {
    pub run: &'run Run,
    pub lease: &'run Lease,
    pub cursor: Option<&'run serde_json::Value>,
    pub progress: &'run Progress,
    /// Keys whose put may still take effect.
    pub uncertain: &'run [InFlight],
    pub lines: &'run str,
    /// When the lease ends from now on.
    pub lease_expires_at: Timestamp,
    pub now: Timestamp,
}

/// The lines of one slice.
#[derive(Debug, Deserialize)]
pub struct SliceLines {
    pub slice: i64,
    pub lines: String,
}

impl Ledger {
    /// The ledger in `database`, whose migrations are applied.
    #[must_use]
    pub fn new(database: Rc<dyn Database>) -> Self {
        Self { database }
    }

    /// The database itself, for statements of a run's own.
    #[must_use]
    pub fn database(&self) -> &Rc<dyn Database> {
        &self.database
    }

    /// Writes down a new run, which is running and has no worker yet; or answers with the run that has the source, and then nothing
    /// happened.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn begin(&self, run: &Run) -> Result<Option<Box<Run>>, DatabaseError> {
        let insert = Statement::new(INSERT)
            .bind(run.id.as_str())
            .bind(run.action().as_str())
            .bind(run.source.as_str())
            .bind(i64::from(run.parameters.action.is_exclusive()))
            .bind(to_stored(&run.parameters)?)
            .bind(to_json(&run.progress)?)
            .bind(run.created_at.as_millis());
        for attempt in 1.. {
            match self.database.run(insert.clone()).await {
                Ok(_) => return Ok(None),
                Err(error) if error.kind == DatabaseErrorKind::Constraint => {
                    if self.find(&run.id).await?.is_some() {
                        return Ok(None);
                    }
                    let holder = self.database.run(Statement::new(SELECT_EXCLUSIVE).bind(run.source.as_str())).await?;
                    match first_run(&holder)? {
                        Some(holder) => return Ok(Some(Box::new(holder))),
                        // It has ended since.
                        None if attempt < BEGIN_ATTEMPTS => {}
                        None => return Err(error),
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// A run by its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, id: &RunId) -> Result<Option<Run>, DatabaseError> {
        first_run(&self.database.run(Statement::new(SELECT).bind(id.as_str())).await?)
    }

    /// The runs that began last, the last one first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest(&self, limit: u16) -> Result<Vec<Run>, DatabaseError> {
        runs(&self.database.run(Statement::new(SELECT_LATEST).bind(i64::from(limit))).await?)
    }

    /// The run of `source` that began last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_of(&self, source: &str) -> Result<Option<Run>, DatabaseError> {
        first_run(&self.database.run(Statement::new(SELECT_LATEST_OF).bind(source)).await?)
    }

    /// The migration of `source` that began last and changed it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_migration(&self, source: &str) -> Result<Option<Run>, DatabaseError> {
        first_run(&self.database.run(Self::select_latest_migration(source)).await?)
    }

    /// The statement of [`Ledger::latest_migration`], for a batch.
    #[must_use]
    pub fn select_latest_migration(source: &str) -> Statement {
        Statement::new(SELECT_LATEST_MIGRATION).bind(source)
    }

    /// Runs that should be at work and have no live worker.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn without_worker(&self, now: Timestamp, limit: u16) -> Result<Vec<Run>, DatabaseError> {
        let select = Statement::new(SELECT_ORPHANED).bind(now.as_millis()).bind(i64::from(limit));
        runs(&self.database.run(select).await?)
    }

    /// Asks for a pause or the end of a run; says what the run is then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request(&self, id: &RunId, what: Requested, now: Timestamp) -> Result<Option<Run>, DatabaseError> {
        let word = match what {
            Requested::Pause => "pause",
            Requested::Cancel => "cancel",
        };
        let request = Statement::new(REQUEST).bind(id.as_str()).bind(word).bind(now.as_millis());
        self.change(id, request).await
    }

    /// Lets a paused run go on; says what the run is then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume(&self, id: &RunId, now: Timestamp) -> Result<Option<Run>, DatabaseError> {
        self.change(id, Statement::new(RESUME).bind(id.as_str()).bind(now.as_millis())).await
    }

    async fn change(&self, id: &RunId, change: Statement) -> Result<Option<Run>, DatabaseError> {
        let answers = self.database.batch(vec![change, Statement::new(SELECT).bind(id.as_str())]).await?;
        answers.last().map_or(Ok(None), first_run)
    }

    /// The lines of slices after `after`, at most `limit` slices.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lines(&self, id: &RunId, after: i64, limit: u16) -> Result<Vec<SliceLines>, DatabaseError> {
        let select = Statement::new(SELECT_LINES).bind(id.as_str()).bind(after).bind(i64::from(limit));
        self.database.run(select).await?.rows()
    }
}

/// Takes the lease of a running run that nobody has; answers with the run's row, or none.
pub fn claim(id: &RunId, lease: &Lease, now: Timestamp) -> Statement {
    Statement::new(CLAIM)
        .bind(id.as_str())
        .bind(lease.token())
        .bind(lease.expires_at().as_millis())
        .bind(now.as_millis())
}

/// Moves the run on by one slice, which fails the batch when the lease is lost; the first answers with `requested`.
pub fn advance(advance: &Advance<'_>) -> Result<Vec<Statement>, DatabaseError> {
    let Advance { run, lease, cursor, progress, uncertain, lines, lease_expires_at, now } = advance;
    let slice = i64::try_from(run.slices).unwrap_or(i64::MAX);
    let mut statements = vec![
        Statement::new(ADVANCE)
            .bind(run.id.as_str())
            .bind(lease.token())
            .bind(slice)
            .bind(cursor.map(to_json).transpose()?)
            .bind(to_json(progress)?)
            .bind(to_json(uncertain)?)
            .bind(lease_expires_at.as_millis())
            .bind(now.as_millis()),
        require_one_change(),
    ];
    if !lines.is_empty() {
        statements.push(Statement::new(INSERT_LINES).bind(run.id.as_str()).bind(slice).bind(*lines));
    }
    Ok(statements)
}

/// Writes down what is about to be put.
pub fn announce(run: &Run, lease: &Lease, keys: &[InFlight], now: Timestamp) -> Result<[Statement; 2], DatabaseError> {
    let announce = Statement::new(ANNOUNCE)
        .bind(run.id.as_str())
        .bind(lease.token())
        .bind(to_json(keys)?)
        .bind(lease.renewed_at(now).as_millis())
        .bind(now.as_millis());
    Ok([announce, require_one_change()])
}

/// Ends the run.
pub fn end(
    run: &Run,
    lease: &Lease,
    state: State,
    receipt: Option<&ReceiptInfo>,
    now: Timestamp,
) -> Result<Statement, DatabaseError> {
    Ok(Statement::new(END)
        .bind(run.id.as_str())
        .bind(lease.token())
        .bind(state.as_str())
        .bind(receipt.map(to_json).transpose()?)
        .bind(now.as_millis())
        .bind(state.is_final().then(|| now.as_millis()))
        .bind(to_json(&run.progress.operations)?))
}

/// Pauses the run if that is still wanted, and answers with its row.
pub fn pause(id: &RunId, lease: &Lease, now: Timestamp) -> [Statement; 2] {
    let pause = Statement::new(PAUSE).bind(id.as_str()).bind(lease.token()).bind(now.as_millis());
    [pause, Statement::new(SELECT).bind(id.as_str())]
}

/// Gives the lease back, for the next worker to go on at once.
pub fn release(id: &RunId, lease: &Lease, now: Timestamp) -> Statement {
    Statement::new(RELEASE).bind(id.as_str()).bind(lease.token()).bind(now.as_millis())
}

/// Forgets the lines of a run, whose receipt has them.
pub fn delete_lines(id: &RunId) -> Statement {
    Statement::new(DELETE_LINES).bind(id.as_str())
}

/// Fails its batch, with [`DatabaseErrorKind::Constraint`], when the statement before it did not change exactly one row.
pub fn require_one_change() -> Statement {
    Statement::new(REQUIRE_ONE_CHANGE)
}

/// What a worker was asked to do, from the answer of [`advance`].
pub fn requested(answer: &QueryResult) -> Result<Option<Requested>, DatabaseError> {
    #[derive(Deserialize)]
    struct Row {
        requested: Option<Requested>,
    }
    Ok(answer.first::<Row>()?.and_then(|row| row.requested))
}
