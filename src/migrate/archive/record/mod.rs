//! Records of runs: objects of NDJSON that are written as a stream and carry their own digest.
//!
//! - The first line is a JSON object that says what the record is of.
//! - Then come the lines of the content.
//! - The last line is `{"end":true,"lines":N,"sha256":"..."}`: how many lines of content there are, and the digest of every byte
//!   before this line, which is what `sed '$d' file | sha256sum` prints.

mod extent;
mod read;
mod write;

pub use extent::Extent;
pub use read::{Damage, Integrity, Read, RecordLines, check, read};
pub use write::{Pages, WriteError, write};

use serde::Deserialize;

use crate::image::{ObjectKey, Sha256Digest};

/// The longest line in bytes, its line feed not counted: 2 MiB.
///
/// The longest that are needed: a part of a backup's data, 1,398,104 bytes of base64 and at most 6,300 bytes around it; and the
/// columns of a row beside its data, at most the 2,000,000 bytes of a D1 row, with names and escapes in the 97,152 that are left.
pub const LINE_MAX_BYTES: usize = 2 * 1024 * 1024;

/// A record that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    pub key: ObjectKey,
    /// Length of the whole object.
    pub size_bytes: u64,
    /// Of the whole object, its last line included.
    pub sha256: Sha256Digest,
    /// Lines of content: those between the first and the last.
    pub lines: u64,
}

/// The last line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastLine {
    end: bool,
    lines: u64,
    sha256: Sha256Digest,
}

impl LastLine {
    /// The last line of a record with so many lines of content, whose bytes up to here have the digest `sha256`.
    fn line(lines: u64, sha256: Sha256Digest) -> String {
        format!("{{\"end\":true,\"lines\":{lines},\"sha256\":\"{sha256}\"}}\n")
    }

    /// Takes a line apart, if it is a last line as [`LastLine::line`] writes it; `line` is without its line feed.
    fn parse(line: &str) -> Option<Self> {
        let last: Self = serde_json::from_str(line).ok()?;
        (last.end && Self::line(last.lines, last.sha256).trim_end() == line).then_some(last)
    }
}
