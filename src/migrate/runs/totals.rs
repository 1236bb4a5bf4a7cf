//! How far a source is.

use super::journal::{self, Stage};
use super::ledger::Ledger;
use super::run::Run;
use crate::sql::{DatabaseError, QueryResult};

/// Items of a source by how far they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Items whose original is still in the database.
    pub moved: u64,
    /// Items whose original is not.
    pub cleaned: u64,
    /// Items that the latest migration could not move.
    pub failed: u64,
}

impl Totals {
    /// How far `source` is by the journal and the latest run of the ledger, at a cost that does not grow with it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn of(source: &str, ledger: &Ledger) -> Result<Self, DatabaseError> {
        let stages = ledger.database().run(journal::stages(source)).await?;
        Self::read(&stages, ledger.latest_migration(source).await?.as_ref())
    }

    /// What the answer to `journal::stages` and the latest migration say.
    ///
    /// # Errors
    /// When the answer is not one.
    pub fn read(stages: &QueryResult, latest: Option<&Run>) -> Result<Self, DatabaseError> {
        Ok(Self {
            moved: journal::items_in(Stage::Moved, stages)?,
            cleaned: journal::items_in(Stage::Cleaned, stages)?,
            failed: latest.map_or(0, |run| run.progress.failures()),
        })
    }
}
