//! Items into lines.

use std::fmt;

use super::{BLOB_PART_MAX_BYTES, BackupItem, BackupPart, Data, NotTheData, Passed, TEXT_PART_MAX_JSON_BYTES};
use crate::migrate::archive::record::{Extent, LINE_MAX_BYTES};
use crate::migrate::runs::ItemId;
use crate::migrate::runs::{json_line, prefix_within};

/// Why an item cannot be backed up. Lines that were made of it already belong to no whole item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitError {
    /// The columns are not a JSON object.
    Columns,
    /// The columns make a line longer than [`LINE_MAX_BYTES`].
    LongLine,
    /// The data are not those that the item's line describes: they changed while they were read.
    Changed,
}

/// An item on its way into lines: its own first, then [`Split::text`] or [`Split::blob`] for each piece of its data, then
/// [`Split::finish`].
pub struct Split {
    parts: Parts,
    data: Data,
    passed: Passed,
}

/// Finds out what [`Split`] must be told in advance, from the same data in the same pieces: what the data are, and the extent of their
/// lines, which a record wants promised.
pub struct Survey {
    parts: Parts,
    passed: Passed,
    extent: Extent,
}

/// The extent of the lines that [`Split::blob`] makes of so many bytes, told without them.
#[must_use]
pub fn blob_extent(id: &ItemId, size_bytes: u64) -> Extent {
    let mut extent = Extent::default();
    let mut left_bytes = size_bytes;
    let mut parts = Parts::of(id.clone());
    while left_bytes > 0 {
        let part_bytes = left_bytes.min(BLOB_PART_MAX_BYTES as u64);
        left_bytes -= part_bytes;
        let around = Extent::of(&parts.line("".into()));
        extent += around + Extent { lines: 0, bytes: part_bytes.div_ceil(3) * 4 };
    }
    extent
}

impl Split {
    /// The item's own line, its line feed at the end, and what makes the others.
    ///
    /// # Errors
    /// [`SplitError::Columns`] and [`SplitError::LongLine`].
    pub fn begin(item: &BackupItem) -> Result<(Self, String), SplitError> {
        if !item.columns.get().starts_with('{') {
            return Err(SplitError::Columns);
        }
        let mut line = json_line(item);
        // In JSON a line feed is white space or escaped; as white space it would end the line.
        if line.trim_end().contains('\n') {
            line = line.trim_end().replace('\n', " ") + "\n";
        }
        if line.len() > LINE_MAX_BYTES {
            return Err(SplitError::LongLine);
        }
        Ok((Self { parts: Parts::of(item.id.clone()), data: item.data, passed: Passed::default() }, line))
    }

    /// The lines of the next piece of text, one at a time.
    ///
    /// # Errors
    /// [`SplitError::Changed`] when the item has no text, or less of it.
    pub fn text(&mut self, text: &str) -> Result<impl Iterator<Item = String>, SplitError> {
        if !matches!(self.data, Data::Text { .. }) {
            return Err(SplitError::Changed);
        }
        self.pass(text.as_bytes())?;
        Ok(self.parts.text(text))
    }

    /// The lines of the next piece of a blob, one at a time.
    ///
    /// # Errors
    /// [`SplitError::Changed`] when the item has no blob, or less of it.
    pub fn blob(&mut self, bytes: &[u8]) -> Result<impl Iterator<Item = String>, SplitError> {
        if !matches!(self.data, Data::Blob { .. }) {
            return Err(SplitError::Changed);
        }
        self.pass(bytes)?;
        Ok(self.parts.blob(bytes))
    }

    /// Ends the item.
    ///
    /// # Errors
    /// [`SplitError::Changed`] when data are missing.
    pub fn finish(self) -> Result<(), SplitError> {
        match self.passed.completes(&self.data) {
            Ok(true) => Ok(()),
            Ok(false) | Err(NotTheData) => Err(SplitError::Changed),
        }
    }

    fn pass(&mut self, piece: &[u8]) -> Result<(), SplitError> {
        self.passed.add(piece);
        self.passed.completes(&self.data).map(|_| ()).map_err(|NotTheData| SplitError::Changed)
    }
}

impl Survey {
    /// Of the data of `id`.
    #[must_use]
    pub fn of(id: ItemId) -> Self {
        Self { parts: Parts::of(id), passed: Passed::default(), extent: Extent::default() }
    }

    /// The next piece of text.
    pub fn text(&mut self, text: &str) {
        self.passed.add(text.as_bytes());
        for line in self.parts.text(text) {
            self.extent += Extent::of(&line);
        }
    }

    /// The next piece of a blob.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.passed.add(bytes);
        for line in self.parts.blob(bytes) {
            self.extent += Extent::of(&line);
        }
    }

    /// The pieces were a text: what it is, and the extent of the lines of its parts.
    #[must_use]
    pub fn finish_text(self) -> (Data, Extent) {
        (Data::Text { bytes: self.passed.bytes, sha256: self.passed.sha256() }, self.extent)
    }

    /// The pieces were a blob: what it is, and the extent of the lines of its parts.
    #[must_use]
    pub fn finish_blob(self) -> (Data, Extent) {
        (Data::Blob { bytes: self.passed.bytes, sha256: self.passed.sha256() }, self.extent)
    }
}

/// Makes the lines of an item's parts.
struct Parts {
    id: ItemId,
    next: u32,
}

impl Parts {
    const fn of(id: ItemId) -> Self {
        Self { id, next: 0 }
    }

    fn text(&mut self, text: &str) -> impl Iterator<Item = String> {
        let mut rest = text;
        std::iter::from_fn(move || {
            let part = prefix_within(rest, TEXT_PART_MAX_JSON_BYTES);
            rest = rest.get(part.len()..).unwrap_or_default();
            (!part.is_empty()).then(|| self.line(part.into()))
        })
    }

    fn blob(&mut self, bytes: &[u8]) -> impl Iterator<Item = String> {
        bytes.chunks(BLOB_PART_MAX_BYTES).map(|part| self.line(base64_simd::STANDARD.encode_to_string(part).into()))
    }

    fn line(&mut self, data: std::borrow::Cow<'_, str>) -> String {
        let line = json_line(&BackupPart { id: self.id.clone(), part: self.next, data });
        self.next += 1;
        line
    }
}

impl fmt::Display for SplitError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Columns => formatter.write_str("the columns are not a JSON object"),
            Self::LongLine => write!(formatter, "the columns take a line of over {LINE_MAX_BYTES} bytes"),
            Self::Changed => formatter.write_str("the data changed while they were read"),
        }
    }
}

impl std::error::Error for SplitError {}
