//! What the runner and the actions agree on: a run's task, done slice by slice.

mod bounds;
mod context;
mod contract;
mod failure;
mod outcome;
mod page;
mod stall;

pub use bounds::{Bounds, SLICE_BYTES, SLICE_MS};
pub use context::SliceContext;
pub use contract::Task;
pub use failure::{Blame, Interruption, ItemError, Refusal, bucket_was_late};
pub use outcome::{Counted, Outcome, Slice};
pub use page::{Page, PageItem, item_id, listed_count, listed_ids, listed_page};
pub use stall::MAX_STALLS;
