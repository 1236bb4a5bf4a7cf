//! How far a source is, and what a broken one says instead.

use super::error::SourceError;
use crate::migrate::runs::Totals;
use crate::runtime::Timestamp;
use crate::sql::DatabaseError;

/// How far a source is.
#[derive(Debug)]
pub struct SourceStatus {
    pub name: String,
    /// What the journal and the latest run say; `None` when they cannot be read.
    pub journal: Option<Totals>,
    pub count: Result<Count, SourceFailure>,
}

/// What is known of a source's images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// They were counted for this answer.
    Now(Images),
    /// They were counted before, and what runs moved since is taken into account.
    Kept { images: Images, counted_at: Timestamp },
    /// The first count has not come to its end.
    UnderWay,
}

/// Images of a source by where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Images {
    /// In the database only.
    pub waiting: u64,
    /// Bytes of database that those take.
    pub waiting_bytes: u64,
    /// In R2, with the original still in the database.
    pub moved: u64,
    /// In R2 only.
    pub cleaned: u64,
    /// Whether more may be waiting than was counted.
    pub may_be_more: bool,
}

/// Why nothing is known of a source's images.
#[derive(Debug)]
pub enum SourceFailure {
    Source(SourceError),
    Database(DatabaseError),
}

impl From<DatabaseError> for SourceFailure {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl Images {
    /// Images whose copy is in R2.
    #[must_use]
    pub const fn migrated(&self) -> u64 {
        self.moved.saturating_add(self.cleaned)
    }
}
