//! Lines into items.

use std::fmt;

use super::{BackupItem, BackupLine, BackupPart, Data, NotTheData, Passed};
use crate::migrate::runs::ItemId;

/// What a line has brought. `complete` says that the item's data are all there and have their digest.
#[derive(Debug)]
pub enum Joined {
    /// A new item.
    Item { item: BackupItem, complete: bool },
    /// The next text of the item's data.
    Text { text: String, complete: bool },
    /// The next bytes of the item's data.
    Bytes { bytes: Vec<u8>, complete: bool },
}

/// Why a line does not go on from those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinError {
    /// It is no line of a backup.
    NotALine,
    /// It is a part that does not come next, or an item before the last one is complete.
    OutOfOrder,
    /// A part of a blob is not base64.
    NotBase64,
    /// The data are not those that the item's line describes.
    WrongData,
}

/// Takes the lines of a backup, without its first and last, in order. After an error there is nothing to go on with.
#[derive(Default)]
pub struct Join {
    /// The item whose data are not all there.
    open: Option<Open>,
}

struct Open {
    id: ItemId,
    data: Data,
    next_part: u32,
    passed: Passed,
}

impl Join {
    /// Takes the next line, with or without its line feed.
    ///
    /// # Errors
    /// [`JoinError`].
    pub fn push(&mut self, line: &str) -> Result<Joined, JoinError> {
        match (BackupLine::parse(line).map_err(|_| JoinError::NotALine)?, self.open.take()) {
            (BackupLine::Item(item), None) => {
                let open = Open { id: item.id.clone(), data: item.data, next_part: 0, passed: Passed::default() };
                let complete = self.keep_unless_complete(open)?;
                Ok(Joined::Item { item, complete })
            }
            (BackupLine::Part(part), Some(open)) if part.id == open.id && part.part == open.next_part => {
                self.take_part(part, open)
            }
            _ => Err(JoinError::OutOfOrder),
        }
    }

    /// Ends the backup.
    ///
    /// # Errors
    /// [`JoinError::WrongData`] when the last item is not complete.
    pub fn finish(self) -> Result<(), JoinError> {
        if self.open.is_none() { Ok(()) } else { Err(JoinError::WrongData) }
    }

    fn take_part(&mut self, part: BackupPart<'_>, mut open: Open) -> Result<Joined, JoinError> {
        open.next_part += 1;
        match open.data {
            Data::Null => Err(JoinError::OutOfOrder),
            Data::Text { .. } => {
                open.passed.add(part.data.as_bytes());
                let complete = self.keep_unless_complete(open)?;
                Ok(Joined::Text { text: part.data.into_owned(), complete })
            }
            Data::Blob { .. } => {
                let bytes =
                    base64_simd::STANDARD.decode_to_vec(part.data.as_bytes()).map_err(|_| JoinError::NotBase64)?;
                open.passed.add(&bytes);
                let complete = self.keep_unless_complete(open)?;
                Ok(Joined::Bytes { bytes, complete })
            }
        }
    }

    fn keep_unless_complete(&mut self, open: Open) -> Result<bool, JoinError> {
        let complete = open.passed.completes(&open.data).map_err(|NotTheData| JoinError::WrongData)?;
        self.open = (!complete).then_some(open);
        Ok(complete)
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotALine => "not a line of a backup",
            Self::OutOfOrder => "a line of a backup in the wrong place",
            Self::NotBase64 => "a part of a blob is not base64",
            Self::WrongData => "the data of an item are not those that were backed up",
        })
    }
}

impl std::error::Error for JoinError {}
