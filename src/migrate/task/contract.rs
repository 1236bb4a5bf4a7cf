//! What a run's worker and an action agree on.

use async_trait::async_trait;

use super::bounds::Bounds;
use super::context::SliceContext;
use super::failure::Interruption;
use super::outcome::Slice;
use crate::migrate::runs::{InFlight, Run};
use crate::sql::{DatabaseError, QueryResult, Statement};

/// What an action does with a slice of its items.
#[async_trait(?Send)]
pub trait Task {
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
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption>;

    /// Statements and store operations that an item takes at most, as long as its bytes come in one piece.
    fn operations_per_item(&self) -> u64;

    /// How many items there are to go through, when that can be told at once.
    fn count(&self, _run: &Run) -> Option<Statement> {
        None
    }

    /// A statement that answers with a row when the item is still there: its column `waits` is 0 when the item names the object,
    /// 1 when it may yet come to name it.
    fn names(&self, in_flight: &InFlight) -> Statement;

    /// The source that an object must say to be of before it is removed, where others may have objects under the same keys.
    fn shared_by(&self) -> Option<&str>;
}
