//! Forms as `multipart/form-data` (RFC 7578), part by part while they arrive.
//!
//! The bytes of a part stay where they are: of what the body gives, one run at a time is copied into wasm memory to look for the boundary.
//! A crate such as `multer` would take all bytes into it.

mod boundary;
mod delimiters;
mod form;
mod head;
mod parser;

pub use boundary::Boundary;
pub use form::{Form, Part};
pub use head::PartHead;

use std::fmt;

use crate::bytes::BodyError;

/// How much of a form is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormLimits {
    /// Parts in a form.
    pub max_parts: usize,
    /// Bytes of one part's headers, and of what comes before the first part.
    pub max_head_bytes: usize,
    /// Bytes that are read at a time, and of which a copy is in wasm memory.
    pub run_bytes: usize,
}

impl FormLimits {
    /// Large enough that what a run costs does not show, and as large as those in which a store takes a body.
    const RUN_BYTES: usize = 256 * 1024;

    /// 8 KiB of headers, which is what browsers and HTTP servers allow a request's.
    pub const MAX_HEAD_BYTES: usize = 8 * 1024;

    /// At most `max_parts`, with headers of at most [`FormLimits::MAX_HEAD_BYTES`] each.
    #[must_use]
    pub const fn of_parts(max_parts: usize) -> Self {
        Self { max_parts, max_head_bytes: Self::MAX_HEAD_BYTES, run_bytes: Self::RUN_BYTES }
    }
}

/// Why a form could not be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormError {
    /// The body failed, or ended before the form did.
    Body(BodyError),
    /// It is not `multipart/form-data`: the rule that it breaks.
    Malformed(&'static str),
    /// More than [`FormLimits::max_parts`].
    TooManyParts { limit: usize },
    /// More than [`FormLimits::max_head_bytes`].
    HeadTooLong { limit_bytes: usize },
}

impl From<BodyError> for FormError {
    fn from(error: BodyError) -> Self {
        Self::Body(error)
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(error) => error.fmt(formatter),
            Self::Malformed(rule) => formatter.write_str(rule),
            Self::TooManyParts { limit } => write!(formatter, "the form has more than {limit} parts"),
            Self::HeadTooLong { limit_bytes } => {
                write!(formatter, "the headers of a part have more than {limit_bytes} bytes")
            }
        }
    }
}

impl std::error::Error for FormError {}
