//! A run: one action that works through the items of one source, slice by slice.

use super::id::RunId;
use super::in_flight::InFlight;
use super::parameters::Parameters;
use super::progress::Progress;
use super::receipt_info::ReceiptInfo;
use super::state::{Action, Requested, State};
use crate::runtime::Timestamp;
use crate::sql::Holder;

/// A whole row of `stillstore_runs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub source: String,
    pub parameters: Parameters,
    pub state: State,
    pub requested: Option<Requested>,
    pub progress: Progress,
    /// Where the next slice begins, in the words of the action; `None` at the start.
    pub cursor: Option<serde_json::Value>,
    pub in_flight: Vec<InFlight>,
    pub slices: u64,
    pub holder: Holder,
    pub receipt: Option<ReceiptInfo>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

impl Run {
    /// What the run does.
    #[must_use]
    pub const fn action(&self) -> Action {
        self.parameters.action.action()
    }

    /// Whether it only says what it would do.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        self.parameters.action.is_dry_run()
    }

    /// How many items there are, about: counted or estimated when the run began, and once a migration has ended as many as it met.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match (self.action(), self.state) {
            (Action::Migrate, State::Completed | State::CompletedWithErrors) => {
                Some(self.progress.done() - self.progress.texts())
            }
            _ => self.progress.total,
        }
    }
}
