//! Drives a run, slice by slice, as long as it has the lease and a budget.
//!
//! 1. claim the run; nobody else works on it while the lease lasts;
//! 2. remove what a dead predecessor was putting and no row came to name;
//! 3. read a slice of items, and do the outside part of each: put, read back, remove;
//! 4. in one transaction: the rows, a line for each item, the cursor, the next slice's items;
//! 5. at the end, or when the run is told to stop, write the receipt.
//!
//! A crash anywhere repeats a slice from 1. A row that somebody else changed since it was read refuses its part of 4; the slice is
//! then written down item by item, and that item is skipped.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;

use super::journal::{self, Stage};
use super::ledger::{self, Advance, Ledger};
use super::line::Line;
use super::receipt;
use super::run::{InFlight, Operations, Progress, Requested, Run, RunId, State};
use super::slice::{Bounds, Hand, Interruption, MAX_STALLS, Outcome, Slice, Work};
use crate::runtime::{Runtime, Timestamp};
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use crate::store::{ImageStore, StorageKind};

/// How often a call to the database is made before the run is left to its next worker.
const ATTEMPTS: usize = 3;

/// The size that items are taken to have before any was seen: a generated image's.
const TYPICAL_BYTES: u64 = 1024 * 1024;

/// Questions asked in one round trip.
const SETTLE_BATCH: usize = 50;

/// Most warnings kept.
const MAX_WARNINGS: usize = 20;

/// How much one worker does before it leaves the run to the next.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// No slice begins after this moment.
    pub until: Timestamp,
    /// Statements and store operations together; a Worker invocation has a limit for each.
    pub operations: u64,
}

/// What a worker needs, whatever the run.
pub struct Driver {
    pub ledger: Ledger,
    pub runtime: Rc<dyn Runtime>,
    /// The bucket.
    pub bucket: Rc<dyn ImageStore>,
    /// How long a lease lasts, in milliseconds: longer than a slice and the slowest call in it.
    pub lease_ms: i64,
}

/// A worker that has the lease.
struct Shift<'driver> {
    driver: &'driver Driver,
    work: &'driver dyn Work,
    token: String,
    run: Run,
    /// What this worker did.
    operations: RefCell<Operations>,
    /// What its predecessors did.
    earlier: Operations,
    began_at: Timestamp,
}

/// A change of the image counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    images: i64,
    bytes: i64,
}

impl Driver {
    /// Works on the run until it ends, is told to stop, or the budget is spent; answers with the run as it is then.
    ///
    /// # Errors
    /// [`Interruption`] when the run goes on elsewhere or later; nothing that it did is lost.
    pub async fn drive(
        &self,
        id: &RunId,
        work: impl FnOnce(&Run) -> Result<Box<dyn Work>, Interruption>,
        budget: Budget,
    ) -> Result<Run, Interruption> {
        let token = hex::encode(self.runtime.random_bytes());
        let now = self.runtime.now();
        let claimed = self.ledger.database().run(ledger::claim(id, &token, now.plus_millis(self.lease_ms), now)).await?;
        let Some(run) = ledger::first_run(&claimed)? else { return Err(Interruption::LeaseLost) };
        let work = match work(&run) {
            Ok(work) => work,
            Err(Interruption::Hopeless { reason, detail }) => {
                return self.give_up(run, &token, reason, &detail).await;
            }
            Err(other) => return Err(other),
        };
        let mut shift = Shift {
            driver: self,
            work: work.as_ref(),
            token,
            operations: RefCell::default(),
            earlier: run.progress.operations,
            run,
            began_at: now,
        };
        match shift.work_through(budget).await {
            Ok(()) => Ok(shift.run),
            Err(Interruption::Hopeless { reason, detail }) => {
                let Shift { token, run, .. } = shift;
                self.give_up(run, &token, reason, &detail).await
            }
            Err(interruption) => {
                // Best effort, so that the next worker need not wait for the lease to run out.
                let _ = self.ledger.database().run(ledger::release(id, &shift.token, self.runtime.now())).await;
                Err(interruption)
            }
        }
    }

    /// Ends a run that cannot go on, with the reason as its warning.
    async fn give_up(&self, mut run: Run, token: &str, reason: &str, detail: &str) -> Result<Run, Interruption> {
        let now = self.runtime.now();
        warn(&mut run.progress, format!("{reason}: {detail}"));
        let advance = Advance {
            run: &run,
            token,
            cursor: run.cursor.as_ref(),
            progress: &run.progress,
            uncertain: &run.in_flight,
            lines: "",
            lease_expires_at: now,
            now,
        };
        let mut statements = ledger::advance(&advance)?;
        statements.push(ledger::end(&run, token, State::Failed, None, now)?);
        self.ledger.database().batch(statements).await?;
        run.state = State::Failed;
        run.finished_at = Some(now);
        Ok(run)
    }
}

impl Shift<'_> {
    async fn work_through(&mut self, budget: Budget) -> Result<(), Interruption> {
        self.settle(true).await?;
        if let Some(requested) = self.run.requested {
            return self.stop(requested).await;
        }
        let batch_size = self.run.parameters.batch_size;
        let mut bounds = Bounds::for_items_of(TYPICAL_BYTES, batch_size);
        let mut found = self.begin(bounds).await?;
        loop {
            let hand = Hand {
                ledger: &self.driver.ledger,
                runtime: &self.driver.runtime,
                run: &self.run,
                token: &self.token,
                lease_ms: self.driver.lease_ms,
                began_at: self.driver.runtime.now(),
                operations: &self.operations,
            };
            let slice = match self.work.perform(&self.run, found, bounds, &hand).await {
                Err(Interruption::Bucket { detail }) => return self.stall(detail).await,
                slice => slice?,
            };
            bounds = Bounds::for_items_of(slice.largest_bytes, batch_size);
            let exhausted = slice.exhausted;
            let is_last = exhausted || self.is_spent(budget);
            found = self.write_down(slice, bounds, is_last).await?;
            match self.run.requested {
                Some(requested) => return self.stop(requested).await,
                None if exhausted => return self.end(self.run.progress.final_state()).await,
                None if self.is_spent(budget) => return self.release().await,
                None => {}
            }
        }
    }

    /// Leaves the slice to the next worker, since the bucket takes nothing.
    async fn stall(&mut self, detail: String) -> Result<(), Interruption> {
        let stalls = self.run.progress.stalls + 1;
        self.run.progress.stalls = stalls;
        self.commit(&[], None, Vec::new()).await?;
        Err(Interruption::Bucket { detail })
    }

    fn is_spent(&self, budget: Budget) -> bool {
        let Operations { r2_class_a, r2_class_b, d1_queries, .. } = *self.operations.borrow();
        r2_class_a + r2_class_b + d1_queries >= budget.operations || self.driver.runtime.now() >= budget.until
    }

    /// Goes over the objects that were being put when a worker died, or whose put did not answer, and removes those that no row
    /// names. While the run goes on, those that a row may yet come to name are left.
    async fn settle(&mut self, run_goes_on: bool) -> Result<(), Interruption> {
        let in_flight = std::mem::take(&mut self.run.in_flight);
        for batch in in_flight.chunks(SETTLE_BATCH) {
            let questions = batch.iter().map(|in_flight| self.work.names(in_flight)).collect();
            let answers = self.batch(questions).await?;
            for (in_flight, answer) in batch.iter().zip(answers) {
                match named(&answer)? {
                    Named::Yes => {}
                    Named::NotYet if run_goes_on => self.run.in_flight.push(in_flight.clone()),
                    Named::NotYet | Named::Never => self.remove(in_flight).await?,
                }
            }
        }
        Ok(())
    }

    async fn remove(&self, in_flight: &InFlight) -> Result<(), Interruption> {
        self.driver.bucket.delete(&in_flight.key).await.map_err(|error| {
            Interruption::Database(DatabaseError::new(DatabaseErrorKind::Unavailable, error.to_string()))
        })
    }

    /// Reads the first slice, and how many items there are when nobody has counted yet.
    async fn begin(&mut self, bounds: Bounds) -> Result<Vec<QueryResult>, Interruption> {
        let mut statements = self.work.select(&self.run, bounds)?;
        let count = if self.run.progress.total.is_none() { self.work.count(&self.run) } else { None };
        let selects = statements.len();
        statements.extend(count);
        let mut answers = self.batch(statements).await?;
        if let Some(counted) = answers.split_off(selects.min(answers.len())).first() {
            self.run.progress.total = counted.first::<Count>()?.and_then(|count| count.items);
        }
        Ok(answers)
    }

    /// Writes the slice down and reads the next one, unless it is this worker's last.
    async fn write_down(
        &mut self,
        slice: Slice,
        bounds: Bounds,
        is_last: bool,
    ) -> Result<Vec<QueryResult>, Interruption> {
        let Slice { outcomes, cursor, warnings, .. } = slice;
        for warning in warnings {
            warn(&mut self.run.progress, warning);
        }
        let next = |shift: &Self| {
            let mut run = shift.run.clone();
            run.cursor = cursor.clone().or(run.cursor);
            if is_last { Ok(Vec::new()) } else { shift.work.select(&run, bounds) }
        };
        let selects = next(self)?;
        match self.commit(&outcomes, cursor.clone(), selects).await {
            Ok(found) => Ok(found),
            Err(Interruption::Database(error)) if error.kind == DatabaseErrorKind::Constraint && !outcomes.is_empty() => {
                for outcome in outcomes {
                    self.write_down_one(outcome).await?;
                }
                let selects = next(self)?;
                self.commit(&[], cursor, selects).await
            }
            Err(other) => Err(other),
        }
    }

    /// Writes one item down; one that was changed meanwhile is skipped, and what was put for it is removed.
    async fn write_down_one(&mut self, outcome: Outcome) -> Result<(), Interruption> {
        let outcomes = [outcome];
        match self.commit(&outcomes, None, Vec::new()).await {
            Ok(_) => return Ok(()),
            Err(Interruption::Database(error)) if error.kind == DatabaseErrorKind::Constraint => {}
            Err(other) => return Err(other),
        }
        let [outcome] = outcomes;
        let id = outcome.line.id().clone();
        if let Some(key) = outcome.put {
            let in_flight = InFlight { item: id.clone(), key };
            let [answer] = &self.batch(vec![self.work.names(&in_flight)]).await?[..] else { return Ok(()) };
            if named(answer)? != Named::Yes {
                self.remove(&in_flight).await?;
            }
        }
        let skipped = Outcome::only(Line::skipped(id, "changed-meanwhile", "somebody else changed it after it was read"));
        self.commit(&[skipped], None, Vec::new()).await.map(drop)
    }

    /// One transaction: the outcomes' rows and lines, the cursor, the progress; then reads `selects`.
    ///
    /// A repetition after a lost answer is told by the number of slices in the run's row.
    async fn commit(
        &mut self,
        outcomes: &[Outcome],
        cursor: Option<serde_json::Value>,
        selects: Vec<Statement>,
    ) -> Result<Vec<QueryResult>, Interruption> {
        let now = self.driver.runtime.now();
        let (progress, lines) = self.progress_with(outcomes, now)?;
        let cursor = cursor.or_else(|| self.run.cursor.clone());
        let uncertain: Vec<InFlight> = self.run.in_flight.iter().cloned().chain(uncertain(outcomes)).collect();
        let advance = Advance {
            run: &self.run,
            token: &self.token,
            cursor: cursor.as_ref(),
            progress: &progress,
            uncertain: &uncertain,
            lines: &lines,
            lease_expires_at: now.plus_millis(self.driver.lease_ms),
            now,
        };
        let mut statements = ledger::advance(&advance)?;
        statements.extend(outcomes.iter().flat_map(|outcome| outcome.statements.iter().cloned()));
        statements.extend(totals(outcomes));
        statements.extend(stages(&self.run.source, outcomes));
        let own = statements.len();
        statements.extend(selects.iter().cloned());

        let mut attempt = 1;
        let found = loop {
            let error = match self.batch(statements.clone()).await {
                Ok(mut answers) => {
                    self.run.requested = answers.first().map(ledger::requested).transpose()?.flatten();
                    break answers.split_off(own.min(answers.len()));
                }
                Err(error) => error,
            };
            match self.driver.ledger.find(&self.run.id).await? {
                Some(row) if row.lease_token.as_ref() != Some(&self.token) || row.state != State::Running => {
                    return Err(Interruption::LeaseLost);
                }
                Some(row) if row.slices == self.run.slices + 1 => {
                    self.run.requested = row.requested;
                    break self.batch(selects).await?;
                }
                Some(_) if error.kind == DatabaseErrorKind::Unavailable && attempt < ATTEMPTS => attempt += 1,
                _ => return Err(error.into()),
            }
        };
        self.run.progress = progress;
        self.run.cursor = cursor;
        self.run.in_flight = uncertain;
        self.remove_copies(outcomes).await;
        self.run.slices += 1;
        self.run.updated_at = now;
        Ok(found)
    }

    /// Removes copies that nothing names any more. What stays for lack of an answer is in flight, and removed at the end.
    async fn remove_copies(&mut self, outcomes: &[Outcome]) {
        for key in outcomes.iter().filter_map(|outcome| outcome.remove.as_ref()) {
            if self.driver.bucket.delete(key).await.is_ok() {
                self.run.in_flight.retain(|in_flight| in_flight.key != *key);
            }
        }
    }

    /// The progress after `outcomes`, and their lines.
    fn progress_with(&mut self, outcomes: &[Outcome], now: Timestamp) -> Result<(Progress, String), DatabaseError> {
        let mut progress = self.run.progress.clone();
        let mut lines = String::new();
        for outcome in outcomes {
            let start = lines.len();
            lines.push_str(&outcome.line.to_ndjson());
            progress.count(&outcome.line, lines.len() - start);
            progress.freed_bytes += outcome.freed_bytes;
        }
        if !outcomes.is_empty() {
            progress.stalls = progress.stalls.min(if outcomes.iter().any(Outcome::went_well) { 0 } else { MAX_STALLS });
        }
        progress.active_ms += now.millis_since(self.began_at);
        self.began_at = now;
        progress.operations = self.earlier + *self.operations.borrow();
        Ok((progress, lines))
    }

    async fn stop(&mut self, requested: Requested) -> Result<(), Interruption> {
        match requested {
            Requested::Pause => self.end(State::Paused).await,
            Requested::Cancel => self.end(State::Cancelled).await,
        }
    }

    async fn end(&mut self, state: State) -> Result<(), Interruption> {
        if state == State::Paused {
            let now = self.driver.runtime.now();
            self.batch(vec![ledger::end(&self.run, &self.token, state, None, now)?, ledger::require_one_change()]).await?;
            self.run.state = state;
            self.run.requested = None;
            return Ok(());
        }
        self.settle(false).await?;
        let receipt = receipt::write(&self.driver.ledger, &self.driver.bucket, &self.run).await?;
        let now = self.driver.runtime.now();
        let end = ledger::end(&self.run, &self.token, state, Some(&receipt), now)?;
        self.batch(vec![end, ledger::require_one_change(), ledger::delete_lines(&self.run.id)]).await?;
        self.run.state = state;
        self.run.requested = None;
        self.run.receipt = Some(receipt);
        self.run.finished_at = Some(now);
        Ok(())
    }

    async fn release(&mut self) -> Result<(), Interruption> {
        self.batch(vec![ledger::release(&self.run.id, &self.token, self.driver.runtime.now())]).await?;
        self.run.lease_token = None;
        Ok(())
    }

    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        {
            let mut operations = self.operations.borrow_mut();
            operations.d1_calls += 1;
            operations.d1_queries += statements.len() as u64;
        }
        self.driver.ledger.database().batch(statements).await
    }
}

#[derive(Deserialize)]
struct Count {
    items: Option<u64>,
}

/// Whether a row names an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Yes,
    NotYet,
    Never,
}

fn named(answer: &QueryResult) -> Result<Named, DatabaseError> {
    #[derive(Deserialize)]
    struct Row {
        waits: u8,
    }
    Ok(match answer.first::<Row>()? {
        Some(Row { waits: 0 }) => Named::Yes,
        Some(_) => Named::NotYet,
        None => Named::Never,
    })
}

fn warn(progress: &mut Progress, warning: String) {
    if progress.warnings.len() < MAX_WARNINGS && !progress.warnings.contains(&warning) {
        progress.warnings.push(warning);
    }
}

fn uncertain(outcomes: &[Outcome]) -> impl Iterator<Item = InFlight> {
    outcomes.iter().filter_map(|outcome| {
        let key = outcome.remove.as_ref().or(outcome.put.as_ref().filter(|_| outcome.uncertain))?;
        Some(InFlight { item: outcome.line.id().clone(), key: key.clone() })
    })
}

/// The journal counters' change, one statement a stage.
fn stages(source: &str, outcomes: &[Outcome]) -> Vec<Statement> {
    let mut changes = BTreeMap::<Stage, i64>::new();
    for (left, reached) in outcomes.iter().map(|outcome| outcome.staged) {
        left.into_iter().for_each(|stage| *changes.entry(stage).or_default() -= 1);
        reached.into_iter().for_each(|stage| *changes.entry(stage).or_default() += 1);
    }
    let changes = changes.into_iter().filter(|(_, items)| *items != 0);
    changes.map(|(stage, items)| journal::count_stage(source, stage, items)).collect()
}

/// The image counters' change, one statement a home.
fn totals(outcomes: &[Outcome]) -> Vec<Statement> {
    let mut statements = Vec::new();
    for fallback in [false, true] {
        let mut sum = Totals::default();
        for counted in outcomes.iter().filter_map(|outcome| outcome.counted).filter(|counted| counted.fallback == fallback) {
            let sign = if counted.to == StorageKind::R2 { 1 } else { -1 };
            sum.images += sign;
            sum.bytes += sign * i64::try_from(counted.size_bytes).unwrap_or(i64::MAX);
        }
        if sum == Totals::default() {
            continue;
        }
        for (storage, sign) in [(StorageKind::R2, 1), (StorageKind::D1, -1)] {
            statements.push(
                // Reads no row, as an UPDATE would; the row is always there.
                Statement::new(
                    "INSERT INTO stillstore_counters (status, storage, fallback, images, bytes) \
                     VALUES ('stored', ?3, ?4, ?1, ?2) ON CONFLICT (status, storage, fallback) \
                     DO UPDATE SET images = images + excluded.images, bytes = bytes + excluded.bytes",
                )
                .bind(sign * sum.images)
                .bind(sign * sum.bytes)
                .bind(storage.as_str())
                .bind(i64::from(fallback)),
            );
        }
    }
    statements
}
