//! What can be asked of the migration: begin a run, work on it, look at it, stop it.

use std::rc::Rc;

use super::action;
use super::adoption;
use super::destination::Destination;
use super::registry::Sources;
use super::runner::{Budget, Driver};
use super::runs::{ActionParameters, Ledger, Parameters, Progress, Requested, Run, RunId, SliceLines, State};
use super::source::{InPartsSettings, SourceError, Surroundings, ledger_answer};
use super::task::{Interruption, SLICE_MS, Task};
use crate::image::KeySecrets;
use crate::library::Library;
use crate::queue::{Message, RunQueue};
use crate::runtime::Runtime;
use crate::sql::{DatabaseError, DatabaseErrorKind, Holder};
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
    /// Makes the secret part of private images' keys; they have none without it.
    pub key_secrets: Option<KeySecrets>,
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
    /// Takes long objects in parts, where the bucket does.
    pub in_parts: Option<InPartsSettings>,
    pub embedded: Rc<EmbeddedStore>,
    pub runtime: Rc<dyn Runtime>,
    pub recorder: Recorder,
    /// Makes the cache in front forget what leaves the catalogue.
    pub library: Library,
    /// Keeps runs going; without it, cron does.
    pub queue: Option<Rc<dyn RunQueue>>,
    pub settings: Settings,
}

/// Why a run does not begin.
#[derive(Debug)]
pub enum BeginError {
    /// Another has its source.
    Busy(Box<Run>),
    Source(SourceError),
    Database(DatabaseError),
}

impl From<DatabaseError> for BeginError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
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
    pub async fn begin(&self, source: &str, parameters: Parameters) -> Result<Run, BeginError> {
        let now = self.runtime.now();
        let run = Run {
            id: RunId::from_random_bytes(self.runtime.random_bytes()),
            source: source.to_owned(),
            parameters,
            state: State::Running,
            requested: None,
            progress: Progress::default(),
            cursor: None,
            in_flight: Vec::new(),
            slices: 0,
            holder: Holder::nobody(),
            receipt: None,
            created_at: now,
            updated_at: now,
            finished_at: None,
        };
        let ledger = self.sources.ledger_of(source).await?.map_err(BeginError::Source)?;
        match ledger.begin(&run).await {
            Ok(None) => Ok(run),
            Ok(Some(holder)) => Err(BeginError::Busy(holder)),
            Err(error) => Err(match self.sources.not_migrated(source, &error) {
                Some(error) => BeginError::Source(error),
                None => BeginError::Database(error),
            }),
        }
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
        let worked = driver.drive(id, async |run| self.task_of(run).await, budget).await;
        if worked.is_ok() && !Rc::ptr_eq(driver.ledger.database(), self.sources.catalogue()) {
            self.adopt(&driver.ledger).await;
        }
        if worked.as_ref().is_ok_and(takes_images_out) {
            self.library.send_purges().await;
        }
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

    /// Makes rows of the catalogue of what the journal has and the catalogue has not. When that fails, the journal serves the images, and
    /// the next event tries again.
    async fn adopt(&self, ledger: &Ledger) {
        if let Err(error) = adoption::adopt(self.sources.catalogue(), ledger, self.runtime.now()).await {
            self.recorder.record(&Event::Adoption { cause: error.to_string() });
        }
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
            Err(Interruption::LeaseLost | Interruption::Fatal { .. }) => true,
            Err(Interruption::Database(_) | Interruption::Destination { .. } | Interruption::Source { .. }) => false,
        }
    }

    /// Has the queue work on a run, which gives it an invocation of its own; works on it here where there is none.
    pub async fn set_off(&self, run: &Run) {
        if self.queue.is_some() {
            self.hand_on(run).await;
        } else {
            self.work_on(&run.id).await;
        }
    }

    /// Takes up runs whose worker is gone, and makes rows of the catalogue of moves that have none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn take_up(&self) -> Result<(), DatabaseError> {
        for (is_own, ledger) in self.sources.ledgers() {
            match adoption::adopt(self.sources.catalogue(), &ledger, self.runtime.now()).await {
                // Stillstore's tables are not in it yet.
                Err(error) if error.kind == DatabaseErrorKind::Schema && !is_own => continue,
                adopted => adopted?,
            }
            for run in ledger_answer(is_own, ledger.without_worker(self.runtime.now(), TAKEN_UP).await)? {
                self.set_off(&run).await;
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
        let waits = asked.as_ref().is_some_and(|run| run.requested.is_some() && run.holder.is_gone(now));
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
    async fn task_of(&self, run: &Run) -> Result<Box<dyn Task>, Interruption> {
        let destination = Destination {
            bucket: self.bucket.clone(),
            runtime: Rc::clone(&self.runtime),
            timeout_ms: self.settings.timeout_ms,
        };
        let surroundings = Surroundings {
            destination: destination.clone(),
            embedded: Rc::clone(&self.embedded),
            bucket_is_public: self.settings.bucket_is_public,
            in_parts: self.in_parts.clone(),
            key_secrets: self.settings.key_secrets,
            prompt_in_metadata: self.settings.prompt_in_metadata,
        };
        // Without its source nothing of the run can succeed.
        let fatal = |error: SourceError| Interruption::Fatal { reason: error.code(), detail: error.to_string() };
        let source = self.sources.open(run, &surroundings).await?.map_err(fatal)?;
        let retention_ms = i64::from(self.settings.retention_days) * MILLIS_PER_DAY;
        action::task_of(run, source, destination, retention_ms)
    }
}

/// Whether a run may take images out of the catalogue, or replace their bytes.
fn takes_images_out(run: &Run) -> bool {
    !run.is_dry_run()
        && matches!(run.parameters.action, ActionParameters::Rollback { .. } | ActionParameters::Restore { .. })
}
