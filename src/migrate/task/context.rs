//! What a slice in work may use.

use std::cell::RefCell;
use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::bounds::SLICE_MS;
use super::failure::Interruption;
use crate::migrate::runs::{InFlight, Ledger, Operations, Run, ledger, together};
use crate::runtime::{Runtime, Timestamp};
use crate::sql::{Lease, QueryResult, Statement};

/// What a slice in work may use: its time, its lease, its count of operations.
pub struct SliceContext<'run> {
    pub ledger: &'run Ledger,
    pub runtime: &'run Rc<dyn Runtime>,
    pub run: &'run Run,
    pub lease: &'run Lease,
    pub began_at: Timestamp,
    /// When the invocation begins no other slice.
    pub until: Timestamp,
    pub operations: &'run RefCell<Operations>,
    /// Keys that were written down by [`SliceContext::announce`].
    pub announced: RefCell<Vec<InFlight>>,
}

/// What a call to the database answers. Boxed, so that its code is there once and not wherever it is awaited.
type Answers<'call> = LocalBoxFuture<'call, Result<Vec<QueryResult>, Interruption>>;

impl SliceContext<'_> {
    /// Whether there is no time left to begin another item.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.left_ms() == 0
    }

    /// How long other items may be begun, in milliseconds.
    #[must_use]
    pub fn left_ms(&self) -> u64 {
        SLICE_MS.saturating_sub(self.runtime.now().millis_since(self.began_at))
    }

    /// Writes down the keys about to be put, renews the lease, and answers `extra` in the same round trip.
    ///
    /// # Errors
    /// [`Interruption::LeaseLost`] when the run is another worker's.
    pub fn announce<'call>(&'call self, keys: &'call [InFlight], extra: Vec<Statement>) -> Answers<'call> {
        Box::pin(self.announce_now(keys, extra))
    }

    async fn announce_now(&self, keys: &[InFlight], extra: Vec<Statement>) -> Result<Vec<QueryResult>, Interruption> {
        let now = self.runtime.now();
        self.announced.borrow_mut().extend_from_slice(keys);
        let keys = together(&self.run.in_flight, &self.announced.borrow());
        let mut statements = Vec::from(ledger::announce(self.run, self.lease, &keys, now)?);
        let own = statements.len();
        statements.extend(extra);
        let queries = statements.len() as u64;
        self.count(|operations| operations.count_database(1, queries));
        let answers = self.ledger.database().batch(statements).await;
        self.count(|operations| operations.count_rows(answers.as_deref().unwrap_or_default()));
        match answers {
            // Whoever has the run now settles these keys.
            Ok(_) if self.runtime.now() >= self.lease.renewed_at(now) => Err(Interruption::LeaseLost),
            Ok(mut answers) => Ok(answers.split_off(own.min(answers.len()))),
            Err(error) => Err(Interruption::of_guarded(error)),
        }
    }

    /// Reads something else.
    ///
    /// # Errors
    /// When the database fails.
    pub fn read(&self, statements: Vec<Statement>) -> Answers<'_> {
        Box::pin(self.read_now(statements))
    }

    async fn read_now(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, Interruption> {
        let queries = statements.len() as u64;
        self.count(|operations| operations.count_database(1, queries));
        let answers = self.ledger.database().batch(statements).await?;
        self.count(|operations| operations.count_rows(&answers));
        Ok(answers)
    }

    /// Counts what was asked of the stores.
    pub fn count(&self, change: impl FnOnce(&mut Operations)) {
        change(&mut self.operations.borrow_mut());
    }
}
