//! Moving images out of the database into the bucket, and back.
//!
//! Held at every moment, through any failure of any call, and checked by the tests after every step of every simulated run:
//! - every image can be read, byte for byte, with at most one retry of its row;
//! - no original is removed before its copy was read back and matched;
//! - the journal never runs ahead of the bytes: an entry names an object that is there, whole;
//! - rollback restores exactly what the journal recorded;
//! - two runs at once, or a run and a user's write at once, lose nothing;
//! - what a run put and no row came to name is removed by the run or by whoever takes it up.

pub mod backup;
mod candidates;
mod copy;
mod driver;
mod embedded;
mod embedded_originals;
mod embedded_return;
mod embedded_rows;
mod engine;
pub mod item;
mod journal;
mod json_text;
mod ledger;
pub mod line;
mod originals;
mod part;
mod part_reader;
mod progress;
mod receipt;
mod receipt_page;
pub mod record;
mod restore;
mod run;
mod run_row;
mod save;
mod slice;
mod source_status;
mod sources;
mod step;
pub mod table;
mod table_key;
mod tally;
mod validate;
mod validate_objects;
pub mod value;
mod walk;
mod write_down;

pub use driver::{Budget, Driver};
pub use embedded::EMBEDDED;
pub use engine::{Engine, Patience, Settings, Totals};
pub use item::{InvalidItemId, ItemId};
pub use ledger::{BeginError, Ledger, SliceLines};
pub use line::{Line, Verdict};
pub use progress::{Operations, Progress};
pub use run::{Action, BackupRef, InvalidRunId, Parameters, PublicBase, ReceiptInfo, Requested, Run, RunId, State};
pub use slice::{Interruption, SLICE_BYTES, SLICE_MS, Work};
pub use source_status::{Count, Images, SourceFailure, SourceStatus};
pub use sources::{SourceError, Sources};
pub use table::TableSource;
