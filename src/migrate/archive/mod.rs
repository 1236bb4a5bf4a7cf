//! Files of lines in the bucket that prove themselves: receipts, and the parts of backups.

pub mod backup;
mod part_reader;
mod part_writer;
pub mod receipt_page;
pub mod record;
mod saving;

pub use part_reader::{PartReadError, SharedReader};
pub use part_writer::{PartError, PartHeader, PartWriter};
pub use saving::{PieceError, Pieces, Saving, refusal};

/// The reason of items whose part of the backup is not as it was written.
pub const DAMAGED: &str = "backup-damaged";
