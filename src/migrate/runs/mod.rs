//! Runs and what they did: values, and their rows in the database.

mod completion;
mod id;
mod in_flight;
pub mod item;
pub mod journal;
mod json_text;
pub mod ledger;
pub mod line;
mod parameters;
mod progress;
pub mod read_through;
mod receipt_info;
mod row;
mod run;
mod state;
mod stored_parameters;
mod totals;

pub use completion::Completion;
pub use id::{InvalidRunId, RunId};
pub use in_flight::{InFlight, together};
pub use item::{ITEM_ID_MAX_BYTES, ITEM_ID_MAX_INTEGER, IdType, InvalidItemId, ItemId};
pub use journal::{Entry, Stage};
pub use json_text::{json_line, prefix_within};
pub use ledger::{Ledger, SliceLines};
pub use line::{LINE_MAX_BYTES, Line, Verdict};
pub use parameters::{ActionParameters, BackupRef, Parameters, PublicBase};
pub use progress::{Forecast, Operations, Progress};
pub use receipt_info::ReceiptInfo;
pub use row::first_run;
pub use run::Run;
pub use state::{Action, Requested, State};
pub use stored_parameters::QUIET_HOURS;
pub use totals::Totals;
