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

use super::commit;
use super::decide::{self, Next, Standing};
use super::leased_run::{Driver, LeasedRun, warn};
use super::receipt;
use crate::migrate::runs::ledger::{self, Advance};
use crate::migrate::runs::{InFlight, Operations, Run, RunId, State, first_run, together};
use crate::migrate::task::{Bounds, Interruption, Slice, SliceContext, Task};
use crate::runtime::Timestamp;
use crate::sql::{Holder, Lease, QueryResult};
use crate::store::ImageStore;

/// The size that items are taken to have before any was seen: a generated image's.
const TYPICAL_BYTES: u64 = 1024 * 1024;

/// How much one worker does before it leaves the run to the next.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// No slice begins after this moment.
    pub until: Timestamp,
    /// Statements and store operations together; a Worker invocation has a limit for each.
    pub operations: u64,
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
        let worked = work_through(&mut leased, budget).await;
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

async fn work_through(leased: &mut LeasedRun<'_>, budget: Budget) -> Result<(), Interruption> {
    leased.settle(true).await?;
    let batch_size = leased.run.parameters.batch_size;
    let mut bounds = affordable(leased, Bounds::for_items_of(TYPICAL_BYTES, batch_size), budget.operations);
    let mut found = None;
    let mut exhausted = false;
    let mut spent = false;
    loop {
        let standing = Standing { requested: leased.run.requested, exhausted, spent };
        let next = decide::next(standing);
        if next != Next::GoOn {
            leased.await_late_puts().await;
        }
        match next {
            Next::GoOn => {}
            Next::Pause => {
                if pause(leased).await? {
                    return Ok(());
                }
                continue;
            }
            Next::Cancel => return end(leased, State::Cancelled).await,
            Next::End => return end(leased, leased.run.progress.final_state()).await,
            Next::HandOver => return release(leased).await,
        }
        let items = match found.take() {
            Some(items) => items,
            None => begin(leased, bounds).await?,
        };
        let slice = perform(leased, items, bounds, budget.until).await?;
        let wanted = Bounds::for_items_of(slice.largest_bytes, batch_size);
        let left = operations_left(leased, budget, &slice);
        bounds = affordable(leased, wanted, left);
        exhausted = slice.exhausted;
        // Slices of less than half the size would spend the rest on themselves.
        spent = bounds.limit < wanted.limit.div_ceil(2) || left == 0 || leased.driver.runtime.now() >= budget.until;
        found = Some(commit::write_down(leased, slice, bounds, spent).await?);
    }
}

/// Does the outside part of a slice.
async fn perform(
    leased: &mut LeasedRun<'_>,
    items: Vec<QueryResult>,
    bounds: Bounds,
    until: Timestamp,
) -> Result<Slice, Interruption> {
    let context = SliceContext {
        ledger: &leased.driver.ledger,
        runtime: &leased.driver.runtime,
        run: &leased.run,
        lease: &leased.lease,
        began_at: leased.driver.runtime.now(),
        until,
        operations: &leased.operations,
        announced: RefCell::default(),
    };
    match leased.task.perform(&leased.run, items, bounds, &context).await {
        Err(outage @ (Interruption::Destination { .. } | Interruption::Source { .. })) => {
            let announced = context.announced.take();
            stall(leased, &announced).await?;
            Err(outage)
        }
        slice => slice,
    }
}

/// Leaves the slice to the next worker, since the bucket takes nothing, or the source gives nothing. What it was about to take it may have all the same.
async fn stall(leased: &mut LeasedRun<'_>, announced: &[InFlight]) -> Result<(), Interruption> {
    leased.run.progress.stalls += 1;
    leased.run.in_flight = together(&leased.run.in_flight, announced);
    commit::commit_lines(leased, &[], None, &[], Vec::new()).await.map(drop)
}

/// What the budget has left once `slice` is written down.
fn operations_left(leased: &LeasedRun<'_>, budget: Budget, slice: &Slice) -> u64 {
    let Operations { r2_class_a, r2_class_b, d1_queries, .. } = *leased.operations.borrow();
    let own = slice.outcomes.iter().map(|outcome| outcome.statements.len() + outcome.remove.len()).sum::<usize>();
    budget.operations.saturating_sub(r2_class_a + r2_class_b + d1_queries + leased.removals + own as u64)
}

/// Bounds for no more items than there are operations left for.
fn affordable(leased: &LeasedRun<'_>, bounds: Bounds, operations_left: u64) -> Bounds {
    let limit = decide::affordable(bounds.limit, operations_left, leased.task.operations_per_item());
    Bounds { limit, ..bounds }
}

/// Reads the first slice, and how many items there are when nobody has counted yet.
async fn begin(leased: &mut LeasedRun<'_>, bounds: Bounds) -> Result<Vec<QueryResult>, Interruption> {
    let mut statements = leased.task.select(&leased.run, bounds)?;
    let count = if leased.run.progress.total.is_none() { leased.task.count(&leased.run) } else { None };
    let selects = statements.len();
    statements.extend(count);
    let mut answers = leased.batch(statements).await?;
    if let Some(counted) = answers.split_off(selects.min(answers.len())).first() {
        leased.run.progress.total = counted.first::<Count>()?.and_then(|count| count.items);
    }
    Ok(answers)
}

/// Pauses, unless that is not wanted any more; says whether the run stands still.
async fn pause(leased: &mut LeasedRun<'_>) -> Result<bool, Interruption> {
    let now = leased.driver.runtime.now();
    let answers = leased.batch(Vec::from(ledger::pause(&leased.run.id, &leased.lease, now))).await?;
    let row = answers.last().map(first_run).transpose()?.flatten();
    let Some(row) = row else { return Err(Interruption::LeaseLost) };
    if row.state == State::Paused {
        leased.run = row;
        return Ok(true);
    }
    if !leased.fence(&row).holds {
        return Err(Interruption::LeaseLost);
    }
    leased.run.requested = row.requested;
    Ok(false)
}

async fn end(leased: &mut LeasedRun<'_>, state: State) -> Result<(), Interruption> {
    leased.settle(false).await?;
    let bucket: Rc<dyn ImageStore> = leased.driver.bucket.clone();
    let receipt = receipt::write(&leased.driver.ledger, &bucket, &leased.run, || leased.has_lease()).await?;
    let now = leased.driver.runtime.now();
    // Those of the last slice's transaction are not in its own row.
    leased.run.progress.operations = leased.earlier + *leased.operations.borrow();
    let end = ledger::end(&leased.run, &leased.lease, state, Some(&receipt), now)?;
    let statements = vec![end, ledger::require_one_change(), ledger::delete_lines(&leased.run.id)];
    leased.batch(statements).await.map_err(Interruption::of_guarded)?;
    leased.run.state = state;
    leased.run.requested = None;
    leased.run.receipt = Some(receipt);
    leased.run.finished_at = Some(now);
    Ok(())
}

async fn release(leased: &mut LeasedRun<'_>) -> Result<(), Interruption> {
    leased.batch(vec![ledger::release(&leased.run.id, &leased.lease, leased.driver.runtime.now())]).await?;
    leased.run.holder = Holder::nobody();
    Ok(())
}

#[derive(Deserialize)]
struct Count {
    items: Option<u64>,
}
