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
use std::rc::Rc;

use serde::Deserialize;

use super::decide::{self, Named, Next, Settlement, Standing};
use super::receipt;
use crate::migrate::runs::ledger::{self, Advance};
use crate::migrate::runs::{InFlight, Ledger, Operations, Progress, Run, RunId, State, first_run, together};
use crate::migrate::task::{Bounds, Interruption, Slice, SliceContext, Task};
use crate::runtime::{Runtime, Timestamp, within};
use crate::sql::{DatabaseError, Holder, Lease, QueryResult, Statement};
use crate::store::{ImageStore, LatePuts};

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
    pub bucket: Rc<LatePuts>,
    /// How long a lease lasts, in milliseconds: longer than a slice and the slowest call in it.
    pub lease_ms: i64,
    /// How long a put is waited for, in milliseconds, and once more when it was late.
    pub put_timeout_ms: u64,
}

/// A worker that has the lease.
pub struct LeasedRun<'driver> {
    pub driver: &'driver Driver,
    pub task: &'driver dyn Task,
    pub lease: Lease,
    pub run: Run,
    /// What this worker did.
    pub operations: RefCell<Operations>,
    /// Objects that it removed, for which R2 counts no operation.
    pub removals: u64,
    /// What its predecessors did.
    pub earlier: Operations,
    pub began_at: Timestamp,
}

impl Driver {
    /// Works on the run until it ends, is told to stop, or the budget is spent; answers with the run as it is then.
    ///
    /// # Errors
    /// [`Interruption`] when the run goes on elsewhere or later; nothing that it did is lost.
    pub async fn drive(
        &self,
        id: &RunId,
        task_of: impl AsyncFnOnce(&Run) -> Result<Box<dyn Task>, Interruption>,
        budget: Budget,
    ) -> Result<Run, Interruption> {
        let lease = Lease::begin(&*self.runtime, self.lease_ms);
        let now = self.runtime.now();
        let claimed = self.ledger.database().run(ledger::claim(id, &lease, now)).await?;
        let Some(run) = first_run(&claimed)? else { return Err(Interruption::LeaseLost) };
        let task = match task_of(&run).await {
            Ok(task) => task,
            Err(Interruption::Fatal { reason, detail }) => {
                return self.give_up(run, &lease, reason, &detail).await;
            }
            Err(other) => {
                let _ = self.ledger.database().run(ledger::release(id, &lease, self.runtime.now())).await;
                return Err(other);
            }
        };
        let mut leased = LeasedRun {
            driver: self,
            task: task.as_ref(),
            lease,
            operations: RefCell::default(),
            removals: 0,
            earlier: run.progress.operations,
            run,
            began_at: now,
        };
        let worked = leased.work_through(budget).await;
        if worked.is_err() && leased.has_lease() {
            leased.await_late_puts().await;
        }
        match worked {
            Ok(()) => Ok(leased.run),
            Err(Interruption::Fatal { reason, detail }) => {
                leased.settle(false).await?;
                let LeasedRun { lease, run, .. } = leased;
                self.give_up(run, &lease, reason, &detail).await
            }
            Err(interruption) => {
                // Best effort, so that the next worker need not wait for the lease to run out.
                let _ = self.ledger.database().run(ledger::release(id, &leased.lease, self.runtime.now())).await;
                // Behind the lease another worker may have done the same, which looks like all kinds of errors.
                Err(if leased.has_lease() { interruption } else { Interruption::LeaseLost })
            }
        }
    }

    /// Ends a run that cannot go on, with the reason as its warning.
    async fn give_up(&self, mut run: Run, lease: &Lease, reason: &str, detail: &str) -> Result<Run, Interruption> {
        let now = self.runtime.now();
        warn(&mut run.progress, format!("{reason}: {detail}"));
        let advance = Advance {
            run: &run,
            lease,
            cursor: run.cursor.as_ref(),
            progress: &run.progress,
            uncertain: &run.in_flight,
            lines: "",
            lease_expires_at: now,
            now,
        };
        let mut statements = ledger::advance(&advance)?;
        statements.push(ledger::end(&run, lease, State::Failed, None, now)?);
        self.ledger.database().batch(statements).await.map_err(Interruption::of_guarded)?;
        run.state = State::Failed;
        run.finished_at = Some(now);
        Ok(run)
    }
}

impl LeasedRun<'_> {
    async fn work_through(&mut self, budget: Budget) -> Result<(), Interruption> {
        self.settle(true).await?;
        let batch_size = self.run.parameters.batch_size;
        let mut bounds = self.affordable(Bounds::for_items_of(TYPICAL_BYTES, batch_size), budget.operations);
        let mut found = None;
        let mut exhausted = false;
        let mut spent = false;
        loop {
            let standing = Standing { requested: self.run.requested, exhausted, spent };
            let next = decide::next(standing);
            if next != Next::GoOn {
                self.await_late_puts().await;
            }
            match next {
                Next::GoOn => {}
                Next::Pause => {
                    if self.pause().await? {
                        return Ok(());
                    }
                    continue;
                }
                Next::Cancel => return self.end(State::Cancelled).await,
                Next::End => return self.end(self.run.progress.final_state()).await,
                Next::HandOver => return self.release().await,
            }
            let items = match found.take() {
                Some(items) => items,
                None => self.begin(bounds).await?,
            };
            let slice = self.perform(items, bounds).await?;
            let wanted = Bounds::for_items_of(slice.largest_bytes, batch_size);
            let left = self.operations_left(budget, &slice);
            bounds = self.affordable(wanted, left);
            exhausted = slice.exhausted;
            // Slices of less than half the size would spend the rest on themselves.
            spent = bounds.limit < wanted.limit.div_ceil(2) || left == 0 || self.driver.runtime.now() >= budget.until;
            found = Some(self.write_down(slice, bounds, spent).await?);
        }
    }

    /// Does the outside part of a slice.
    async fn perform(&mut self, items: Vec<QueryResult>, bounds: Bounds) -> Result<Slice, Interruption> {
        let context = SliceContext {
            ledger: &self.driver.ledger,
            runtime: &self.driver.runtime,
            run: &self.run,
            lease: &self.lease,
            began_at: self.driver.runtime.now(),
            operations: &self.operations,
            announced: RefCell::default(),
        };
        match self.task.perform(&self.run, items, bounds, &context).await {
            Err(outage @ (Interruption::Destination { .. } | Interruption::Source { .. })) => {
                let announced = context.announced.take();
                self.stall(&announced).await?;
                Err(outage)
            }
            slice => slice,
        }
    }

    /// Leaves the slice to the next worker, since the bucket takes nothing, or the source gives nothing. What it was about to take it may have all the same.
    async fn stall(&mut self, announced: &[InFlight]) -> Result<(), Interruption> {
        self.run.progress.stalls += 1;
        self.run.in_flight = together(&self.run.in_flight, announced);
        self.commit_lines(&[], None, &[], Vec::new()).await.map(drop)
    }

    pub fn has_lease(&self) -> bool {
        !self.lease.is_over(self.driver.runtime.now())
    }

    /// What the budget has left once `slice` is written down.
    fn operations_left(&self, budget: Budget, slice: &Slice) -> u64 {
        let Operations { r2_class_a, r2_class_b, d1_queries, .. } = *self.operations.borrow();
        let own = slice.outcomes.iter().map(|outcome| outcome.statements.len() + outcome.remove.len()).sum::<usize>();
        budget.operations.saturating_sub(r2_class_a + r2_class_b + d1_queries + self.removals + own as u64)
    }

    /// Bounds for no more items than there are operations left for.
    fn affordable(&self, bounds: Bounds, operations_left: u64) -> Bounds {
        let limit = decide::affordable(bounds.limit, operations_left, self.task.operations_per_item());
        Bounds { limit, ..bounds }
    }

    /// Waits for the puts that were given up, as long again as for each: who has the run next could remove an object before its late
    /// put takes effect, and nobody would look for it again.
    async fn await_late_puts(&self) {
        // What comes later still is an orphan, which a validation finds.
        let _ = within(&self.driver.runtime, self.driver.put_timeout_ms, self.driver.bucket.ended()).await;
    }

    /// Goes over the objects that were being put when a worker died, or whose put did not answer, and removes those that no row
    /// names. While the run goes on, those that a row may yet come to name are left.
    async fn settle(&mut self, run_goes_on: bool) -> Result<(), Interruption> {
        let in_flight = std::mem::take(&mut self.run.in_flight);
        for batch in in_flight.chunks(SETTLE_BATCH) {
            let questions = batch.iter().map(|in_flight| self.task.names(in_flight)).collect();
            let answers = self.batch(questions).await?;
            for (in_flight, answer) in batch.iter().zip(answers) {
                match decide::settlement(named(&answer)?, run_goes_on) {
                    Settlement::Forget => {}
                    Settlement::Keep => self.run.in_flight.push(in_flight.clone()),
                    Settlement::Remove => self.remove(in_flight).await?,
                }
            }
        }
        Ok(())
    }

    /// Removes an object. Not when the lease ran out while the database answered: the run's next worker may want it.
    pub async fn remove(&mut self, in_flight: &InFlight) -> Result<(), Interruption> {
        if !self.has_lease() {
            return Err(Interruption::LeaseLost);
        }
        self.removals += 1;
        let removed = self.driver.bucket.delete(&in_flight.key).await;
        removed.map_err(|error| Interruption::Destination { detail: error.code().to_owned() })
    }

    /// Reads the first slice, and how many items there are when nobody has counted yet.
    async fn begin(&mut self, bounds: Bounds) -> Result<Vec<QueryResult>, Interruption> {
        let mut statements = self.task.select(&self.run, bounds)?;
        let count = if self.run.progress.total.is_none() { self.task.count(&self.run) } else { None };
        let selects = statements.len();
        statements.extend(count);
        let mut answers = self.batch(statements).await?;
        if let Some(counted) = answers.split_off(selects.min(answers.len())).first() {
            self.run.progress.total = counted.first::<Count>()?.and_then(|count| count.items);
        }
        Ok(answers)
    }

    /// Pauses, unless that is not wanted any more; says whether the run stands still.
    async fn pause(&mut self) -> Result<bool, Interruption> {
        let now = self.driver.runtime.now();
        let answers = self.batch(Vec::from(ledger::pause(&self.run.id, &self.lease, now))).await?;
        let row = answers.last().map(first_run).transpose()?.flatten();
        let Some(row) = row else { return Err(Interruption::LeaseLost) };
        if row.state == State::Paused {
            self.run = row;
            return Ok(true);
        }
        if !self.fence(&row).holds {
            return Err(Interruption::LeaseLost);
        }
        self.run.requested = row.requested;
        Ok(false)
    }

    async fn end(&mut self, state: State) -> Result<(), Interruption> {
        self.settle(false).await?;
        let bucket: Rc<dyn ImageStore> = self.driver.bucket.clone();
        let receipt = receipt::write(&self.driver.ledger, &bucket, &self.run, || self.has_lease()).await?;
        let now = self.driver.runtime.now();
        let end = ledger::end(&self.run, &self.lease, state, Some(&receipt), now)?;
        let statements = vec![end, ledger::require_one_change(), ledger::delete_lines(&self.run.id)];
        self.batch(statements).await.map_err(Interruption::of_guarded)?;
        self.run.state = state;
        self.run.requested = None;
        self.run.receipt = Some(receipt);
        self.run.finished_at = Some(now);
        Ok(())
    }

    async fn release(&mut self) -> Result<(), Interruption> {
        self.batch(vec![ledger::release(&self.run.id, &self.lease, self.driver.runtime.now())]).await?;
        self.run.holder = Holder::nobody();
        Ok(())
    }

    pub async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        self.operations.borrow_mut().count_database(1, statements.len() as u64);
        self.driver.ledger.database().batch(statements).await
    }
}

#[derive(Deserialize)]
struct Count {
    items: Option<u64>,
}

pub fn named(answer: &QueryResult) -> Result<Named, DatabaseError> {
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

pub fn warn(progress: &mut Progress, warning: String) {
    if progress.warnings.len() < MAX_WARNINGS && !progress.warnings.contains(&warning) {
        progress.warnings.push(warning);
    }
}
