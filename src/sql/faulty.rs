//! Calls that go wrong on purpose, and a database that makes them.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use async_trait::async_trait;

use super::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement};

/// How a call through a seam goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and nothing happened.
    FailBefore,
    /// It happens, and its answer is lost.
    FailAfter,
    /// It never answers and nothing happened.
    HangBefore,
    /// It happens, and never answers.
    HangAfter,
}

impl Fault {
    /// Every shape of failure.
    pub const ALL: [Self; 4] = [Self::FailBefore, Self::FailAfter, Self::HangBefore, Self::HangAfter];
}

/// A call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<K> {
    pub kind: K,
    /// What it was about: a key, a prefix, the SQL.
    pub subject: String,
    /// How it went wrong, if it did.
    pub fault: Option<Fault>,
}

/// Which calls through one seam go wrong, and a record of all. `K` tells its kinds of call apart.
#[derive(Debug)]
pub struct FaultPlan<K> {
    rules: RefCell<Vec<Rule<K>>>,
    calls: RefCell<Vec<Call<K>>>,
}

#[derive(Debug)]
struct Rule<K> {
    kind: Option<K>,
    /// Counts down to the call that fails: 1 is the next one.
    in_calls: usize,
    persists: bool,
    fault: Fault,
}

impl<K> Default for FaultPlan<K> {
    fn default() -> Self {
        Self { rules: RefCell::default(), calls: RefCell::default() }
    }
}

impl<K: Copy + PartialEq> FaultPlan<K> {
    /// The `nth` call from here on goes wrong, the first being 1; only calls of `kind` count, or all with `None`.
    pub fn fail_nth(&self, kind: impl Into<Option<K>>, nth: usize, fault: Fault) {
        self.rules.borrow_mut().push(Rule { kind: kind.into(), in_calls: nth, persists: false, fault });
    }

    /// All calls of `kind`, or all with `None`, go wrong until [`FaultPlan::heal`].
    pub fn fail_all(&self, kind: impl Into<Option<K>>, fault: Fault) {
        self.rules.borrow_mut().push(Rule { kind: kind.into(), in_calls: 1, persists: true, fault });
    }

    /// Nothing goes wrong from here on.
    pub fn heal(&self) {
        self.rules.borrow_mut().clear();
    }

    /// The calls so far, in order.
    pub fn calls(&self) -> Vec<Call<K>> {
        self.calls.borrow().clone()
    }

    /// Whether a call went wrong so far.
    pub fn has_failed(&self) -> bool {
        self.calls.borrow().iter().any(|call| call.fault.is_some())
    }

    /// Makes the call `work` as the plan says; `error` makes the seam's own error of words for the log.
    ///
    /// # Errors
    /// As `work`, and as planned.
    pub async fn run<T, E>(
        &self,
        kind: K,
        subject: String,
        error: impl FnOnce(&'static str) -> E,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match self.record(kind, subject) {
            None => work.await,
            Some(Fault::FailBefore) => Err(error("planned fault: nothing happened")),
            Some(Fault::FailAfter) => {
                work.await?;
                Err(error("planned fault: it happened, the answer is lost"))
            }
            Some(Fault::HangBefore) => pending().await,
            Some(Fault::HangAfter) => {
                work.await?;
                pending().await
            }
        }
    }

    fn record(&self, kind: K, subject: String) -> Option<Fault> {
        let mut fault = None;
        for rule in self.rules.borrow_mut().iter_mut() {
            if rule.in_calls == 0 || rule.kind.is_some_and(|only| only != kind) {
                continue;
            }
            if rule.in_calls == 1 {
                fault = fault.or(Some(rule.fault));
            }
            if !rule.persists {
                rule.in_calls -= 1;
            }
        }
        self.calls.borrow_mut().push(Call { kind, subject, fault });
        fault
    }
}

/// The kinds of call to a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseCall {
    /// Nothing but `SELECT`.
    Read,
    Write,
}

/// A database that fails as planned. A call's subject is its SQL, a statement a line.
pub struct FaultyDatabase {
    inner: Rc<dyn Database>,
    pub plan: FaultPlan<DatabaseCall>,
}

impl FaultyDatabase {
    /// `inner`, with nothing planned.
    #[must_use]
    pub fn new(inner: Rc<dyn Database>) -> Self {
        Self { inner, plan: FaultPlan::default() }
    }
}

#[async_trait(?Send)]
impl Database for FaultyDatabase {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        let reads = statements.iter().all(|statement| statement.sql.starts_with("SELECT"));
        let kind = if reads { DatabaseCall::Read } else { DatabaseCall::Write };
        let subject = statements.iter().map(|statement| &*statement.sql).collect::<Vec<_>>().join("\n");
        let error = |detail| DatabaseError::new(DatabaseErrorKind::Unavailable, detail);
        self.plan.run(kind, subject, error, self.inner.batch(statements)).await
    }
}
