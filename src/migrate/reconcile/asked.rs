//! What is asked for.

use crate::image::ObjectKey;
use crate::runtime::Timestamp;

/// What to do with objects that nothing names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Say which they are.
    Report,
    /// Make images of them.
    Adopt,
    /// Remove them.
    Remove,
}

/// What of the bucket to look at, and what to do.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub treatment: Treatment,
    /// Where the slice begins; at the start of the bucket without it.
    pub after: Option<ObjectKey>,
    /// Objects and rows that have changed since are left alone.
    pub unchanged_since: Timestamp,
}
