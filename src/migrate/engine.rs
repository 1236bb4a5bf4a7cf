//! What can be asked of the migration: begin a run, work on it, look at it, stop it.

use std::rc::Rc;

use futures::lock::Mutex;

use super::copy::Copier;
use super::driver::{Budget, Driver};
use super::embedded::{EMBEDDED, MoveEmbedded};
use super::embedded_originals::EmbeddedOriginals;
use super::embedded_return::EmbeddedReturn;
use super::embedded_rows::EmbeddedRows;
use super::item::IdType;
use super::ledger::{BeginError, SliceLines};
use super::originals::{Copies, Originals};
use super::part::PartWriter;
use super::progress::Progress;
use super::restore::{Restore, Target};
use super::run::{Action, Parameters, Requested, Run, RunId, State};
use super::save::{Rows, Save};
use super::slice::{Interruption, SLICE_MS, Work};
use super::sources::{SourceError, Sources, ledger_answer};
use super::table::{MoveTable, Table, TableOriginals, TableReturn, TableRows};
use super::validate::Validate;
use super::walk::{Purpose, Walk};
use crate::queue::{Message, RunQueue};
use crate::runtime::{Runtime, Timestamp};
use crate::sql::DatabaseError;
use crate::store::{EmbeddedStore, LatePuts};
use crate::telemetry::{Event, Recorder};

/// Runs that a cron event takes up at once; the next event takes up the others.
const TAKEN_UP: u16 = 10;

const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// What the configuration says of migrations.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The bucket has a public domain: whoever knows a key can read the object.
    pub bucket_is_public: bool,
    /// Whether a generated image's object carries its prompt.
    pub prompt_in_metadata: bool,
    /// How long a call to the bucket may take.
    pub timeout_ms: u64,
    /// How long an original stays after its move.
    pub retention_days: u16,
    /// Statements and store operations of one invocation.
    pub operations_per_invocation: u64,
}

/// The migration engine, for the length of one invocation.
pub struct Engine {
    pub sources: Sources,
    pub bucket: Rc<LatePuts>,
    pub embedded: Rc<EmbeddedStore>,
    pub runtime: Rc<dyn Runtime>,
    pub recorder: Recorder,
    /// Keeps runs going; without it, cron does.
    pub queue: Option<Rc<dyn RunQueue>>,
    pub settings: Settings,
}

/// How far a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Items whose original is still in the database.
    pub moved: u64,
    /// Items whose original is not.
    pub cleaned: u64,
    /// Items that the latest migration could not move.
    pub failed: u64,
}

/// Whether somebody waits for a run's worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// A caller waits for the answer.
    Caller,
    /// Nobody does.
    Background,
}

impl Patience {
    /// How long slices begin, in milliseconds: a caller's connection, and a Worker after its answer, have about 30 seconds; a queue's
    /// consumer has 15 minutes, of which one is enough to keep the queue's own work negligible.
    const fn millis(self) -> i64 {
        match self {
            Self::Caller => 15_000,
            Self::Background => 60_000,
        }
    }
}

impl Engine {
    /// Writes down a new run over `source`, which [`Engine::work`] then works on.
    ///
    /// # Errors
    /// [`BeginError::Busy`] when another run changes the same source, [`BeginError::Source`] when the source cannot be used.
    pub async fn begin(&self, action: Action, source: &str, parameters: Parameters) -> Result<Run, BeginError> {
        let now = self.runtime.now();
        let run = Run {
            id: RunId::from_random_bytes(self.runtime.random_bytes()),
            action,
            source: source.to_owned(),
            parameters,
            state: State::Running,
            requested: None,
            progress: Progress::default(),
            cursor: None,
            in_flight: Vec::new(),
            slices: 0,
            lease_token: None,
            lease_expires_at: Timestamp::from_millis(0),
            receipt: None,
            created_at: now,
            updated_at: now,
            finished_at: None,
        };
        let ledger = self.sources.ledger_of(source).await?;
        ledger.begin(&run).await.map_err(|error| self.sources.naming_binding(source, error))?;
        Ok(run)
    }

    /// Works on a run until it ends, is told to stop, or this invocation has done its part; answers with the run as it is then.
    ///
    /// # Errors
    /// [`Interruption`] when the run goes on elsewhere or later.
    pub async fn work(&self, id: &RunId, patience: Patience) -> Result<Run, Interruption> {
        let started_at = self.runtime.now();
        let driver = Driver {
            ledger: self.sources.ledger_with(id).await?,
            runtime: Rc::clone(&self.runtime),
            bucket: Rc::clone(&self.bucket),
            lease_ms: self.lease_ms(),
            put_timeout_ms: self.settings.timeout_ms,
        };
        let budget = Budget {
            until: started_at.plus_millis(patience.millis()),
            operations: self.settings.operations_per_invocation,
        };
        let worked = driver.drive(id, async |run| self.work_of(run).await, budget).await;
        self.recorder.record(&Event::Run {
            run_id: id.to_string(),
            outcome: match &worked {
                Ok(run) => run.state.as_str(),
                Err(interruption) => interruption.code(),
            },
            items: worked.as_ref().map_or(0, |run| run.progress.done()),
            failures: worked.as_ref().map_or(0, |run| run.progress.failures()),
            duration_ms: self.runtime.now().millis_since(started_at),
            cause: worked.as_ref().err().map(ToString::to_string),
        });
        worked
    }

    /// A slice's time, and twice the slowest call that it may wait for behind that.
    fn lease_ms(&self) -> i64 {
        i64::try_from(SLICE_MS + 2 * self.settings.timeout_ms + 30_000).unwrap_or(i64::MAX)
    }

    /// Has the queue go on with a run; without a queue, or when it does not take the message, cron does.
    pub async fn hand_on(&self, run: &Run) {
        let Some(queue) = &self.queue else { return };
        let message = Message::Run { run_id: run.id.to_string(), source: run.source.clone() };
        if let Err(cause) = queue.send(&message).await {
            self.recorder.record(&Event::HandOn { run_id: run.id.to_string(), cause });
        }
    }

    /// Works on a run as far as one invocation goes, and has the queue go on with the rest. False when the same should be tried
    /// again.
    pub async fn work_on(&self, id: &RunId) -> bool {
        match self.work(id, Patience::Background).await {
            Ok(run) => {
                if run.state == State::Running {
                    self.hand_on(&run).await;
                }
                true
            }
            Err(Interruption::LeaseLost | Interruption::Hopeless { .. }) => true,
            Err(Interruption::Database(_) | Interruption::Bucket { .. }) => false,
        }
    }

    /// Takes up runs whose worker is gone.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_up(&self) -> Result<(), DatabaseError> {
        for (is_own, ledger) in self.sources.ledgers() {
            for run in ledger_answer(is_own, ledger.without_worker(self.runtime.now(), TAKEN_UP).await)? {
                if self.queue.is_some() {
                    self.hand_on(&run).await;
                } else {
                    self.work_on(&run.id).await;
                }
            }
        }
        Ok(())
    }

    /// Asks for a pause or the end of a run, which its worker sees to with the next slice. Without a worker it takes effect now: a
    /// run that is to end is ended here. Says what the run is then.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn request(&self, id: &RunId, what: Requested) -> Result<Option<Run>, DatabaseError> {
        let asked = self.sources.ledger_with(id).await?.request(id, what, self.runtime.now()).await?;
        let now = self.runtime.now();
        let is_idle = |run: &Run| run.lease_token.is_none() || run.lease_expires_at <= now;
        let waits = asked.as_ref().is_some_and(|run| run.requested.is_some() && is_idle(run));
        // When somebody else has begun to work on it, or a store is down, it ends later.
        let ended = if waits { self.work(id, Patience::Caller).await.ok() } else { None };
        Ok(ended.or(asked))
    }

    /// Lets a paused run go on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn resume(&self, id: &RunId) -> Result<Option<Run>, DatabaseError> {
        self.sources.ledger_with(id).await?.resume(id, self.runtime.now()).await
    }

    /// What a run that has not ended did in the slices after `after`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lines(&self, id: &RunId, after: i64, limit: u16) -> Result<Vec<SliceLines>, DatabaseError> {
        self.sources.ledger_with(id).await?.lines(id, after, limit).await
    }

    /// What a run is to do with its items.
    async fn work_of(&self, run: &Run) -> Result<Box<dyn Work>, Interruption> {
        let table = if run.source == EMBEDDED { None } else { Some(self.usable_table(&run.source).await?) };
        let ids = table.as_ref().map_or(IdType::Text, |table| table.schema.ids);
        let database = self.sources.database_of(&run.source);
        Ok(match (run.action, table) {
            (Action::Migrate, Some(table)) => Box::new(MoveTable { table, copier: self.copier() }),
            (Action::Migrate, None) => Box::new(MoveEmbedded {
                copier: self.copier(),
                embedded: Rc::clone(&self.embedded),
                bucket_is_public: self.settings.bucket_is_public,
                prompt_in_metadata: self.settings.prompt_in_metadata,
                fallback_only: run.parameters.fallback_only,
            }),
            (Action::Rollback | Action::Cleanup, table) => {
                let retention_ms = i64::from(self.settings.retention_days) * MILLIS_PER_DAY;
                let purpose = match run.action {
                    Action::Rollback => Purpose::Rollback,
                    _ => Purpose::Cleanup { moved_until: run.created_at.plus_millis(-retention_ms) },
                };
                let originals: Box<dyn Originals> = match table {
                    Some(table) => Box::new(TableOriginals {
                        table,
                        copies: self.copies(),
                        dry_run: run.parameters.dry_run,
                        writing_down: Mutex::default(),
                    }),
                    None => Box::new(EmbeddedOriginals {
                        embedded: Rc::clone(&self.embedded),
                        copies: self.copies(),
                        prompt_in_metadata: self.settings.prompt_in_metadata,
                    }),
                };
                Box::new(Walk { originals, purpose, ids })
            }
            (Action::Validate, _) => Box::new(Validate { copies: self.copies(), ids }),
            (Action::Backup, table) => {
                let rows: Box<dyn Rows> = match table {
                    Some(table) => Box::new(TableRows { table: Rc::new(table), database }),
                    None => Box::new(EmbeddedRows { database, bucket_is_public: self.settings.bucket_is_public }),
                };
                Box::new(Save { rows, writer: self.part_writer() })
            }
            (Action::Restore, table) => {
                let runtime = Rc::clone(&self.runtime);
                let target: Box<dyn Target> = match table {
                    Some(table) => Box::new(TableReturn { table: Rc::new(table), database, runtime }),
                    None => Box::new(EmbeddedReturn {
                        embedded: Rc::clone(&self.embedded),
                        runtime,
                        prompt_in_metadata: self.settings.prompt_in_metadata,
                    }),
                };
                Box::new(Restore { target, bucket: self.bucket.clone(), ids })
            }
        })
    }

    /// The table of a source, without which nothing of its run can succeed.
    async fn usable_table(&self, source: &str) -> Result<Table, Interruption> {
        let hopeless = |error: SourceError| Interruption::Hopeless { reason: error.code(), detail: error.to_string() };
        self.sources.table(source).await?.map_err(hopeless)
    }

    fn copier(&self) -> Copier {
        Copier { bucket: self.bucket.clone(), runtime: Rc::clone(&self.runtime), timeout_ms: self.settings.timeout_ms }
    }

    fn part_writer(&self) -> PartWriter {
        PartWriter {
            bucket: self.bucket.clone(),
            runtime: Rc::clone(&self.runtime),
            timeout_ms: self.settings.timeout_ms,
        }
    }

    fn copies(&self) -> Copies {
        Copies { bucket: self.bucket.clone(), runtime: Rc::clone(&self.runtime), timeout_ms: self.settings.timeout_ms }
    }
}
