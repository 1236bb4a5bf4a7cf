//! What a slice is made of, whatever the action.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use async_trait::async_trait;
use futures::future::LocalBoxFuture;

use super::journal::Stage;
use super::ledger::{self, Ledger};
use super::line::{Line, Verdict};
use super::progress::Operations;
use super::run::{InFlight, Run};
use super::step;
use crate::image::ObjectKey;
use crate::runtime::{DeadlineExceeded, Runtime, Timestamp};
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use crate::store::StorageKind;

/// Bytes of images that a slice holds at once: an isolate has 128 MB for all its requests, and a text takes a third more than its
/// bytes beside them, so that 16 MiB are about 40 MB at worst.
pub const SLICE_BYTES: u64 = 16 * 1024 * 1024;

/// Time in milliseconds after which a slice begins nothing new: a pause takes effect within it and one put's deadline.
pub const SLICE_MS: u64 = 10_000;

/// The reasons of a failed item that are the bucket's.
pub(super) const BUCKET_UNAVAILABLE: &str = "bucket-unavailable";
pub(super) const BUCKET_TIMEOUT: &str = "bucket-timeout";
const BUCKET_FAILURES: [&str; 2] = [BUCKET_UNAVAILABLE, BUCKET_TIMEOUT];

/// What [`BUCKET_TIMEOUT`] says to people.
pub(super) fn bucket_was_late(DeadlineExceeded { waited_ms }: DeadlineExceeded) -> String {
    format!("the bucket did not answer within {waited_ms} ms")
}

/// How much a slice may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Items, at least 1.
    pub limit: u16,
    /// Items of up to so many bytes are read together with their rows.
    pub inline_max_bytes: u64,
}

impl Bounds {
    /// Bounds for items of at most `largest_bytes`, as far as the slice before could tell, so that all of a slice is read at once.
    #[must_use]
    pub fn for_items_of(largest_bytes: u64, batch_size: u16) -> Self {
        let fitting = SLICE_BYTES / largest_bytes.max(1);
        let limit = u16::try_from(fitting).unwrap_or(u16::MAX).clamp(1, batch_size.max(1));
        Self { limit, inline_max_bytes: SLICE_BYTES / u64::from(limit) }
    }
}

/// What came of one item.
#[derive(Debug)]
pub struct Outcome {
    pub line: Line,
    /// Take effect together with the line. They fail the batch when the item was changed meanwhile.
    pub statements: Vec<Statement>,
    /// An object that nothing names when the statements fail.
    pub put: Option<ObjectKey>,
    /// Whether `put` may still take effect after an error.
    pub uncertain: bool,
    /// Objects to remove once the statements have taken effect.
    pub remove: Vec<ObjectKey>,
    /// What the statements change in the image counters.
    pub counted: Option<Counted>,
    /// Bytes of database that become free.
    pub freed_bytes: u64,
    /// What the statements change in the journal: the stage that the item leaves, and the one that it reaches.
    pub staged: (Option<Stage>, Option<Stage>),
    /// Where the next slice begins when this item is the last that was written down; `None` leaves that where it was.
    pub cursor: Option<serde_json::Value>,
}

impl Outcome {
    /// An outcome that changes no row.
    #[must_use]
    pub const fn only(line: Line) -> Self {
        Self {
            line,
            statements: Vec::new(),
            put: None,
            uncertain: false,
            remove: Vec::new(),
            counted: None,
            freed_bytes: 0,
            staged: (None, None),
            cursor: None,
        }
    }

    /// Whether the item did not fail.
    pub(super) fn went_well(&self) -> bool {
        self.line.verdict() != Verdict::Failed
    }

    /// The object that was put for the item.
    pub(super) fn in_flight(&self) -> Option<InFlight> {
        let key = self.put.clone()?;
        Some(InFlight { item: self.line.id().clone(), key })
    }

    pub(super) fn is_bucket_failure(&self) -> bool {
        self.line.verdict() == Verdict::Failed
            && self.line.reason().is_some_and(|reason| BUCKET_FAILURES.contains(&reason))
    }
}

/// A slice that was worked through and is not written down yet.
#[derive(Debug, Default)]
pub struct Slice {
    pub outcomes: Vec<Outcome>,
    /// Where the next slice begins; `None` leaves it where it was.
    pub cursor: Option<serde_json::Value>,
    /// Whether nothing is left.
    pub exhausted: bool,
    /// The largest item seen, for the bounds of the next slice.
    pub largest_bytes: u64,
    pub warnings: Vec<String>,
    /// What was put for items that are left to the next slice.
    pub left: Vec<InFlight>,
    /// Whether the bucket took other items of the slice but not its first, which is tried again.
    pub stalled: bool,
}

/// A catalogued image that changes its home, for the image counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    pub to: StorageKind,
    pub size_bytes: u64,
    /// Whether its row has a `fallback_reason`.
    pub fallback: bool,
}

/// Why a run stops where it is; it can be taken up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interruption {
    /// Another worker has the run, or it is not running any more.
    LeaseLost,
    Database(DatabaseError),
    /// The bucket took nothing of a whole slice, or failed where the run cannot do without it.
    Bucket {
        detail: String,
    },
    /// Nothing of this run can succeed, for a reason with a stable word.
    Hopeless {
        reason: &'static str,
        detail: String,
    },
}

impl Interruption {
    /// Why statements failed that only [`ledger::require_one_change`] can refuse: then another worker has the run, whatever the
    /// clock here says of the lease.
    pub(super) fn of_guarded(error: DatabaseError) -> Self {
        if error.kind == DatabaseErrorKind::Constraint { Self::LeaseLost } else { Self::Database(error) }
    }

    /// The kind as a short kebab-case word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::LeaseLost => "lease-lost",
            Self::Database(_) => "database-unavailable",
            Self::Bucket { .. } => BUCKET_UNAVAILABLE,
            Self::Hopeless { reason, .. } => reason,
        }
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseLost => formatter.write_str("another worker has the run, or it is not running"),
            Self::Database(error) => error.fmt(formatter),
            Self::Bucket { detail } => write!(formatter, "the bucket failed: {detail}"),
            Self::Hopeless { reason, detail } => write!(formatter, "{reason}: {detail}"),
        }
    }
}

impl std::error::Error for Interruption {}

impl From<DatabaseError> for Interruption {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// What an action does with a slice of its items.
#[async_trait(?Send)]
pub trait Work {
    /// Statements that read the next items; they run in the batch that writes down the slice before.
    ///
    /// # Errors
    /// When the run's cursor is not this action's.
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError>;

    /// Does with the items found whatever is to be done outside of the run's database.
    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        hand: &Hand<'_>,
    ) -> Result<Slice, Interruption>;

    /// Statements and store operations that an item takes at most, as long as its bytes come in one piece: a move reads the row,
    /// puts the object, switches the row and writes the journal.
    fn operations_per_item(&self) -> u64 {
        4
    }

    /// How many items there are to go through, when that can be told at once.
    fn count(&self, _run: &Run) -> Option<Statement> {
        None
    }

    /// A statement that answers with a row when the item is still there: its column `waits` is 0 when the item names the object,
    /// 1 when it may yet come to name it.
    fn names(&self, in_flight: &InFlight) -> Statement;
}

/// What a slice in work may use: its time, its lease, its count of operations.
pub struct Hand<'run> {
    pub(super) ledger: &'run Ledger,
    pub(super) runtime: &'run Rc<dyn Runtime>,
    pub(super) run: &'run Run,
    pub(super) token: &'run str,
    pub(super) lease_ms: i64,
    pub(super) began_at: Timestamp,
    pub(super) operations: &'run RefCell<Operations>,
    /// Keys that were written down by [`Hand::intend`].
    pub(super) intended: RefCell<Vec<InFlight>>,
}

/// What a call to the database answers. Boxed, so that its code is there once and not wherever it is awaited.
type Answers<'call> = LocalBoxFuture<'call, Result<Vec<QueryResult>, Interruption>>;

impl Hand<'_> {
    /// Whether there is no time left to begin another item.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.runtime.now().millis_since(self.began_at) >= SLICE_MS
    }

    /// Writes down the keys about to be put, renews the lease, and answers `extra` in the same round trip.
    ///
    /// # Errors
    /// [`Interruption::LeaseLost`] when the run is another worker's.
    pub fn intend<'call>(&'call self, keys: &'call [InFlight], extra: Vec<Statement>) -> Answers<'call> {
        Box::pin(self.intend_now(keys, extra))
    }

    async fn intend_now(&self, keys: &[InFlight], extra: Vec<Statement>) -> Result<Vec<QueryResult>, Interruption> {
        let now = self.runtime.now();
        self.intended.borrow_mut().extend_from_slice(keys);
        let keys = step::together(&self.run.in_flight, &self.intended.borrow());
        let mut statements =
            Vec::from(ledger::intend(self.run, self.token, &keys, now.plus_millis(self.lease_ms), now)?);
        let own = statements.len();
        statements.extend(extra);
        let queries = statements.len() as u64;
        self.count(|operations| operations.count_database(1, queries));
        match self.ledger.database().batch(statements).await {
            // Whoever has the run now settles these keys.
            Ok(_) if self.runtime.now() >= now.plus_millis(self.lease_ms) => Err(Interruption::LeaseLost),
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
        Ok(self.ledger.database().batch(statements).await?)
    }

    /// Counts what was asked of the stores.
    pub fn count(&self, change: impl FnOnce(&mut Operations)) {
        change(&mut self.operations.borrow_mut());
    }
}
