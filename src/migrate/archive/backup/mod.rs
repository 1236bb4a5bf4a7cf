//! The lines of a backup: for each item one line that describes it, then its data in lines of bounded length.
//!
//! `docs/backup.md` has the format. [`Split`] makes the lines and [`Join`] takes them back; both hold one part at a time.

mod join;
mod split;

pub use join::{Join, JoinError, Joined};
pub use split::{Split, SplitError, Survey, blob_extent};

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::image::Sha256Digest;
use crate::migrate::archive::record::LINE_MAX_BYTES;
use crate::migrate::runs::ItemId;
use crate::store::CHUNK_BYTES;

/// The longest part of text, in bytes of its JSON string: 1 MiB.
pub const TEXT_PART_MAX_JSON_BYTES: usize = 1024 * 1024;

/// The longest part of a blob in bytes, 1 MiB, the length of an embedded image's chunks: 349,526 * 4 = 1,398,104 characters of base64.
pub const BLOB_PART_MAX_BYTES: usize = CHUNK_BYTES;

/// What a part's line holds beside its data: 6,146 bytes of id at most, a number of 10 digits, and names.
const PART_OVERHEAD_BYTES: usize = 6_300;
const _: () = assert!(BLOB_PART_MAX_BYTES.div_ceil(3) * 4 + PART_OVERHEAD_BYTES <= LINE_MAX_BYTES);
const _: () = assert!(TEXT_PART_MAX_JSON_BYTES + PART_OVERHEAD_BYTES <= LINE_MAX_BYTES);

/// One line of a backup.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum BackupLine<'line> {
    /// Begins an item.
    Item(BackupItem),
    /// The next part of the item's data.
    Part(BackupPart<'line>),
}

/// An item: its row, and what its data are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupItem {
    pub id: ItemId,
    /// The name of its source.
    pub source: String,
    /// All columns of the row but the data column, as a JSON object in the database's own spelling, so that no number is rounded.
    pub columns: Box<RawValue>,
    pub data: Data,
}

/// What is in an item's data column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Data {
    Null,
    /// Text, of so many bytes of UTF-8 with this digest.
    Text {
        bytes: u64,
        sha256: Sha256Digest,
    },
    /// Bytes, so many with this digest.
    Blob {
        bytes: u64,
        sha256: Sha256Digest,
    },
}

/// A part of an item's data: text as it is, or the base64 of some bytes on their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupPart<'line> {
    pub id: ItemId,
    /// Counted from 0 for each item.
    pub part: u32,
    #[serde(borrow)]
    pub data: Cow<'line, str>,
}

impl<'line> BackupLine<'line> {
    /// Takes a line apart; it may end in its line feed.
    ///
    /// # Errors
    /// When it is neither kind of line.
    pub fn parse(line: &'line str) -> Result<Self, serde_json::Error> {
        // Not an untagged `Deserialize`: that copies the text and cannot hold raw JSON. A line of the other kind fails at its first
        // foreign field.
        match serde_json::from_str(line) {
            Ok(part) => Ok(Self::Part(part)),
            Err(_) => serde_json::from_str(line).map(Self::Item),
        }
    }
}

impl Data {
    /// Length in bytes, zero for NULL.
    #[must_use]
    pub const fn size_bytes(&self) -> u64 {
        match self {
            Self::Null => 0,
            Self::Text { bytes, .. } | Self::Blob { bytes, .. } => *bytes,
        }
    }

    /// Length and digest, unless it is NULL.
    const fn content(&self) -> Option<(u64, Sha256Digest)> {
        match self {
            Self::Null => None,
            Self::Text { bytes, sha256 } | Self::Blob { bytes, sha256 } => Some((*bytes, *sha256)),
        }
    }
}

/// The data of an item that passed so far.
#[derive(Default)]
struct Passed {
    bytes: u64,
    hasher: Sha256,
}

impl Passed {
    fn add(&mut self, data: &[u8]) {
        self.bytes += data.len() as u64;
        self.hasher.update(data);
    }

    fn sha256(&self) -> Sha256Digest {
        Sha256Digest::from_bytes(self.hasher.clone().finalize().into())
    }

    /// Whether this is all of `data`; `Err` when it can no longer become that.
    fn completes(&self, data: &Data) -> Result<bool, NotTheData> {
        let (bytes, sha256) = data.content().unwrap_or_else(|| (0, Passed::default().sha256()));
        match self.bytes.cmp(&bytes) {
            std::cmp::Ordering::Less => Ok(false),
            std::cmp::Ordering::Equal if self.sha256() == sha256 => Ok(true),
            std::cmp::Ordering::Equal | std::cmp::Ordering::Greater => Err(NotTheData),
        }
    }
}

/// The data that passed are not those that their item's line describes.
#[derive(Debug)]
struct NotTheData;
