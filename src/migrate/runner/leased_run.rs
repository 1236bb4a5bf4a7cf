//! A run that this worker has the lease of, and the objects that its runs put.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Deserialize;

use super::decide::{self, Fence, Named, Settlement};
use crate::migrate::destination::remove_own;
use crate::migrate::runs::{InFlight, Ledger, Operations, Progress, Run, State};
use crate::migrate::task::{Interruption, Outcome, Task};
use crate::runtime::{Runtime, Timestamp, within};
use crate::sql::{DatabaseError, Lease, QueryResult, Statement};
use crate::store::{ImageStore as _, LatePuts};

/// Questions asked in one round trip.
const SETTLE_BATCH: usize = 50;

/// Most warnings kept.
const MAX_WARNINGS: usize = 20;

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

impl LeasedRun<'_> {
    pub fn has_lease(&self) -> bool {
        !self.lease.is_over(self.driver.runtime.now())
    }

    pub fn fence(&self, row: &Run) -> Fence {
        let holds = row.holder.has(&self.lease) && row.state == State::Running;
        Fence { holds, slices: row.slices }
    }

    /// Waits for the puts that were given up, as long again as for each: who has the run next could remove an object before its late
    /// put takes effect, and nobody would look for it again.
    pub async fn await_late_puts(&self) {
        // What comes later still is an orphan, which a validation finds.
        let _ = within(&self.driver.runtime, self.driver.put_timeout_ms, self.driver.bucket.ended()).await;
    }

    /// Goes over the objects that were being put when a worker died, or whose put did not answer, and removes those that no row
    /// names. While the run goes on, those that a row may yet come to name are left.
    pub async fn settle(&mut self, run_goes_on: bool) -> Result<(), Interruption> {
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
        let removed = match self.task.shared_by() {
            Some(source) => remove_own(&*self.driver.bucket, &in_flight.key, source).await,
            None => self.driver.bucket.delete(&in_flight.key).await,
        };
        removed.map_err(|error| Interruption::Destination { detail: error.code().to_owned() })
    }

    /// Removes copies that nothing names any more. What stays for lack of an answer is in flight, and removed at the end.
    pub async fn remove_copies(&mut self, outcomes: &[Outcome]) {
        for key in outcomes.iter().flat_map(|outcome| &outcome.remove) {
            if !self.has_lease() {
                return;
            }
            self.removals += 1;
            if self.driver.bucket.delete(key).await.is_ok() {
                self.run.in_flight.retain(|in_flight| in_flight.key != *key);
            }
        }
    }

    pub async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        self.operations.borrow_mut().count_database(1, statements.len() as u64);
        let answers = self.driver.ledger.database().batch(statements).await?;
        self.operations.borrow_mut().count_rows(&answers);
        Ok(answers)
    }
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
