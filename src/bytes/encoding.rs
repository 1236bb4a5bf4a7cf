//! How texts stand for bytes.

use std::fmt;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

/// How a text stands for bytes, to decode it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Base64 in the standard or the URL-safe alphabet but not both, with white space (tab, LF, FF, CR, space) anywhere and padding
    /// complete or left out. Bits behind the last whole byte are ignored; a single last character is an error.
    Base64Any,
    /// Two hexadecimal digits a byte, of either case, and nothing else.
    Hex,
    /// UTF-8 in which `%` and two hexadecimal digits are the byte; a `%` without them is itself (WHATWG URL, percent-decode).
    Percent,
    /// [`Encoding::Base64Any`] whose text is percent-encoded in turn.
    PercentBase64Any,
}

/// How bytes become text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextEncoding {
    Base64 {
        /// `-` and `_` instead of `+` and `/`.
        url_safe: bool,
        /// Whether `=` fills the last group up.
        padded: bool,
        /// Where lines end, when there is more than one.
        lines: Option<LineLayout>,
    },
    /// Two hexadecimal digits a byte, in upper case, as SQLite's `hex()` writes them.
    Hex,
}

/// Text in lines of equal length; the last may be shorter, and has no line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineLayout {
    /// Characters a line, without its end.
    pub chars: NonZeroU32,
    /// Whether lines end with CR LF rather than LF.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub crlf: bool,
}

impl LineLayout {
    /// What stands between two lines.
    #[must_use]
    pub const fn end(self) -> &'static str {
        if self.crlf { "\r\n" } else { "\n" }
    }
}

/// A text is not in the encoding that it was decoded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidText;

impl fmt::Display for InvalidText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the text does not decode")
    }
}

impl std::error::Error for InvalidText {}
