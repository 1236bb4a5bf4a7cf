//! An item that is to be saved, whatever its source.

use std::rc::Rc;

use async_trait::async_trait;

use super::backup::{BackupItem, Split, SplitError};
use super::record::Extent;
use crate::migrate::runs::Line;
use crate::migrate::task::Refusal;
use crate::sql::DatabaseError;

/// An item that is to be saved.
pub struct Saving {
    pub item: BackupItem,
    /// What the receipt is to say of it, but for the object that it is in.
    pub line: Line,
    /// Length of its data.
    pub data_bytes: u64,
    /// Of the lines of its data.
    pub extent: Extent,
    pub pieces: Rc<dyn Pieces>,
    /// Statements that reading the pieces takes.
    pub reads: u64,
}

/// The data of an item, readable again from the start.
#[async_trait(?Send)]
pub trait Pieces: 'static {
    /// The lines of the piece `index`, counted from 0; `None` behind the last. Memory: one piece, which is at most 2 MB.
    async fn lines(&self, index: u32, split: &mut Split) -> Result<Option<String>, PieceError>;
}

/// Why a piece cannot be read.
pub enum PieceError {
    Database(DatabaseError),
    /// The item cannot be saved.
    Item(Refusal),
}

impl Saving {
    /// Lines and bytes of the item in its part.
    pub fn extent(&self) -> Result<Extent, Refusal> {
        let (_, line) = Split::begin(&self.item).map_err(refusal)?;
        Ok(Extent::of(&line) + self.extent)
    }
}

/// What a [`SplitError`] means for its item.
pub fn refusal(error: SplitError) -> Refusal {
    let reason = match error {
        SplitError::Columns | SplitError::LongLine => "row-too-large",
        SplitError::Changed => "original-corrupt",
    };
    Refusal::failed(reason, error.to_string())
}
