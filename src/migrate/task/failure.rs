//! Why an item, or a whole run, does not go on.

use std::fmt;

use crate::migrate::runs::Verdict;
use crate::runtime::DeadlineExceeded;
use crate::sql::{DatabaseError, DatabaseErrorKind};

/// The reasons of a failed item that are the bucket's.
pub const BUCKET_UNAVAILABLE: &str = "bucket-unavailable";
pub const BUCKET_TIMEOUT: &str = "bucket-timeout";

/// Who is to blame that an item could not be worked on. Only an item that is to blame itself fails at once: whoever else is may be
/// back for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The bucket that images move into.
    Destination,
    /// Whoever gives the source's bytes.
    Source,
    /// The item's own row or bytes.
    Item,
}

/// What [`BUCKET_TIMEOUT`] says to people.
pub fn bucket_was_late(DeadlineExceeded { waited_ms }: DeadlineExceeded) -> String {
    format!("the bucket did not answer within {waited_ms} ms")
}

/// Why a run stops where it is; it can be taken up again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interruption {
    /// Another worker has the run, or it is not running any more.
    LeaseLost,
    Database(DatabaseError),
    /// The bucket took nothing of a whole slice, or failed where the run cannot do without it.
    Destination {
        detail: String,
    },
    /// The source gave nothing of a whole slice.
    Source {
        detail: String,
    },
    /// Nothing of this run can succeed, for a reason with a stable word.
    Fatal {
        reason: &'static str,
        detail: String,
    },
}

impl Interruption {
    /// Why statements failed that only `require_one_change` can refuse: then another
    /// worker has the run, whatever the clock here says of the lease.
    #[must_use]
    pub fn of_guarded(error: DatabaseError) -> Self {
        if error.kind == DatabaseErrorKind::Constraint { Self::LeaseLost } else { Self::Database(error) }
    }

    /// The kind as a short kebab-case word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::LeaseLost => "lease-lost",
            Self::Database(_) => "database-unavailable",
            Self::Destination { .. } => BUCKET_UNAVAILABLE,
            Self::Source { .. } => "source-unavailable",
            Self::Fatal { reason, .. } => reason,
        }
    }
}

impl fmt::Display for Interruption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LeaseLost => formatter.write_str("another worker has the run, or it is not running"),
            Self::Database(error) => error.fmt(formatter),
            Self::Destination { detail } => write!(formatter, "the bucket failed: {detail}"),
            Self::Source { detail } => write!(formatter, "the source failed: {detail}"),
            Self::Fatal { reason, detail } => write!(formatter, "{reason}: {detail}"),
        }
    }
}

impl std::error::Error for Interruption {}

impl From<DatabaseError> for Interruption {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

/// Why an item is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub verdict: Verdict,
    pub blame: Blame,
    pub reason: &'static str,
    pub detail: String,
    /// Whether a skipped item is wanted all the same, and stays where it is.
    pub is_left: bool,
    /// How long the item is, where that is known without a look at its bytes.
    pub size_bytes: Option<u64>,
}

/// Why an item is not worked on to its end.
#[derive(Debug)]
pub enum ItemError {
    /// It is left as it is, and the run goes on.
    Refusal(Refusal),
    /// The run stops where it is.
    Interruption(Interruption),
}

impl Refusal {
    /// The item is left, and the run is no success.
    pub fn failed(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Verdict::Failed, reason, detail)
    }

    /// The item is left because somebody else has changed it, or because there is nothing to do.
    pub fn skipped(reason: &'static str, detail: impl Into<String>) -> Self {
        Self::new(Verdict::Skipped, reason, detail)
    }

    /// As [`Refusal::skipped`], of an item that a run would move if it might.
    pub fn withheld(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { is_left: true, ..Self::skipped(reason, detail) }
    }

    /// The item is left, and `verdict` says what it is.
    pub fn new(verdict: Verdict, reason: &'static str, detail: impl Into<String>) -> Self {
        Self { verdict, blame: Blame::Item, reason, detail: detail.into(), is_left: false, size_bytes: None }
    }

    /// The bucket failed.
    pub fn of_bucket(detail: impl Into<String>) -> Self {
        Self { blame: Blame::Destination, ..Self::failed(BUCKET_UNAVAILABLE, detail) }
    }

    /// The bucket kept somebody waiting too long.
    #[must_use]
    pub fn of_late_bucket(late: DeadlineExceeded) -> Self {
        Self { blame: Blame::Destination, ..Self::failed(BUCKET_TIMEOUT, bucket_was_late(late)) }
    }

    /// The source failed, and may be back for the next attempt.
    pub fn of_source(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { blame: Blame::Source, ..Self::failed(reason, detail) }
    }
}

impl From<Refusal> for ItemError {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Interruption> for ItemError {
    fn from(interruption: Interruption) -> Self {
        Self::Interruption(interruption)
    }
}

impl From<DatabaseError> for ItemError {
    fn from(error: DatabaseError) -> Self {
        Self::Interruption(error.into())
    }
}
