//! Where images are moved from: one seam, and a folder for each kind of source.

pub mod bucket;
mod configured;
mod databases;
pub mod embedded;
mod error;
mod part_sizes;
mod readers;
pub mod references;
mod seam;
mod status;
pub mod table;
pub mod url;

pub use configured::ConfiguredSource;
pub use databases::{Databases, OWN_BINDING, ledger_answer};
pub use error::{SourceError, Unusable};
pub use part_sizes::{InPartsSettings, PartSizes};
pub use readers::Readers;
pub use seam::{
    Archive, Change, Contents, Items, Kind, Movable, Objects, Originals, Prepared, Reached, ReachedImage, ReturnedRows,
    RowNow, SavedRows, Source, Surroundings, Switch,
};
pub use status::{Count, Images, SourceFailure, SourceStatus};

/// The name of the source of our own images that are embedded in the database.
pub const EMBEDDED: &str = "embedded";
