//! How much text there is.

use std::fmt;
use std::ops::{Add, AddAssign};

/// Lines of text and their length, line feeds counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extent {
    /// Line feeds.
    pub lines: u64,
    /// Length in bytes of UTF-8.
    pub bytes: u64,
}

impl Extent {
    /// The extent of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let lines = text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        Self { lines, bytes: text.len() as u64 }
    }
}

impl Add for Extent {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self { lines: self.lines.saturating_add(more.lines), bytes: self.bytes.saturating_add(more.bytes) }
    }
}

impl AddAssign for Extent {
    fn add_assign(&mut self, more: Self) {
        *self = *self + more;
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} lines of {} bytes", self.lines, self.bytes)
    }
}
