//! Moving images out of the database into the bucket, and back.
//!
//! Held at every moment, through any failure of any call, and checked by the tests after every step of every simulated run:
//! - every image can be read, byte for byte, with at most one retry of its row;
//! - no original is removed before its copy was read back and matched;
//! - the journal never runs ahead of the bytes: an entry names an object that is there, whole;
//! - rollback restores exactly what the journal recorded;
//! - two runs at once, or a run and a user's write at once, lose nothing;
//! - what a run put and no row came to name is removed by the run or by whoever takes it up.
//!
//! From the bottom: `runs` (values and rows), `task` (what the runner and the actions agree on), `destination` (the bucket), `archive`
//! (files that prove themselves), `source` (a folder a kind, behind one seam), `action` (a file an action, names no source), `runner`
//! (drives a run, knows neither), `registry` (the only file that names the kinds), `engine`, and beside it
//! `reconcile` (the whole bucket against the rows).

/// What another kind of source is made of.
pub mod seam {
    pub use super::destination::{Destination, NewCopy};
    pub use super::runs::journal::{Catalogued, record_anew};
    pub use super::runs::{Entry, IdType, InFlight, Stage};
    pub use super::source::{
        Archive, Change, Contents, InPartsSettings, Items, Kind, Movable, Objects, Originals, PartSizes, Prepared,
        Reached, ReachedImage, RowNow, Source, Surroundings, Switch,
    };
    pub use super::task::{Bounds, Counted, ItemError, Outcome, Page, PageItem, Refusal, SliceContext, item_id};
}

mod action;
mod adoption;
mod archive;
mod destination;
mod engine;
mod reading;
pub mod reconcile;
mod registry;
mod runner;
mod runs;
mod source;
mod task;
mod through;

pub use archive::{backup, record};
pub use engine::{BeginError, Engine, Patience, Settings};
pub use reading::UnderWay;
pub use registry::{Freeable, Sources};
pub use runs::{
    Action, ActionParameters, BackupRef, Completion, Forecast, InvalidItemId, InvalidRunId, ItemId, Ledger, Line,
    Operations, Parameters, Progress, PublicBase, QUIET_HOURS, ReceiptInfo, Requested, Run, RunId, SliceLines, State,
    Totals, Verdict, item, line,
};
pub use source::bucket::{self, BucketSource};
pub use source::table::{self, InvalidSource, TableSource, value};
pub use source::url::{self, UrlSource};
pub use source::{ConfiguredSource, Count, EMBEDDED, Images, OWN_BINDING, SourceError, SourceFailure, SourceStatus};
pub use task::{Interruption, SLICE_BYTES, SLICE_MS};
pub use through::{FoundImage, ReadThrough, Reading};
