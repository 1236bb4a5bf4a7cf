//! What can go wrong in a store, the same for every home.

use std::fmt;

use crate::bytes::BodyError;
use crate::image::Sha256Digest;
use crate::sql::{DatabaseError, DatabaseErrorKind};

/// A failed store operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError {
    /// What kind of failure, for decisions.
    pub kind: StoreErrorKind,
    /// The backend's own words, for the log; never shown to a caller.
    pub detail: String,
}

/// The kinds of failure that lead to different decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// The backend failed, refused or did not answer in time; the operation may have happened. Another home, or another
    /// try, may succeed.
    Unavailable,
    /// The sender's body broke its promise or the connection. Nothing was stored.
    Body(BodyError),
    /// The bytes that arrived do not have the digest that was promised. Nothing was stored.
    ChecksumMismatch,
    /// This home takes at most so many bytes an object. Nothing was stored.
    TooLarge { limit_bytes: u64 },
    /// Other bytes are stored under this key. Nothing was stored.
    KeyTaken,
    /// There is no such upload in parts, or not any more. Nothing was stored.
    NoSuchUpload,
    /// The parts of an upload cannot make an object. Nothing was stored.
    PartsRefused,
    /// The backend holds something that it should not: a missing part, a wrong length, unreadable metadata.
    Corrupt,
}

impl StoreError {
    /// An error of `kind`; `detail` goes to the log only.
    #[must_use]
    pub fn new(kind: StoreErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// An object of more than `limit_bytes`.
    #[must_use]
    pub fn too_large(limit_bytes: u64) -> Self {
        Self::new(StoreErrorKind::TooLarge { limit_bytes }, format!("over {limit_bytes} bytes"))
    }

    /// Bytes with another digest than promised.
    #[must_use]
    pub fn checksum_mismatch(expected: Sha256Digest, actual: Sha256Digest) -> Self {
        Self::new(StoreErrorKind::ChecksumMismatch, format!("expected {expected}, got {actual}"))
    }

    /// Whether the operation certainly stored nothing.
    #[must_use]
    pub const fn stored_nothing(&self) -> bool {
        match self.kind {
            StoreErrorKind::Body(_)
            | StoreErrorKind::ChecksumMismatch
            | StoreErrorKind::TooLarge { .. }
            | StoreErrorKind::KeyTaken
            | StoreErrorKind::NoSuchUpload
            | StoreErrorKind::PartsRefused => true,
            StoreErrorKind::Unavailable | StoreErrorKind::Corrupt => false,
        }
    }

    /// The kind as a short kebab-case word for logs, counters and `fallbackReason`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self.kind {
            StoreErrorKind::Unavailable => "store-unavailable",
            StoreErrorKind::Body(_) => "body-broken",
            StoreErrorKind::ChecksumMismatch => "checksum-mismatch",
            StoreErrorKind::TooLarge { .. } => "too-large",
            StoreErrorKind::KeyTaken => "key-taken",
            StoreErrorKind::NoSuchUpload => "no-such-upload",
            StoreErrorKind::PartsRefused => "parts-refused",
            StoreErrorKind::Corrupt => "corrupt",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.code(), self.detail)
    }
}

impl std::error::Error for StoreError {}

impl From<BodyError> for StoreError {
    fn from(error: BodyError) -> Self {
        let detail = error.to_string();
        Self::new(StoreErrorKind::Body(error), detail)
    }
}

/// Of a store that keeps its objects in a database: whatever refuses or loses a call is [`StoreErrorKind::Unavailable`].
impl From<DatabaseError> for StoreError {
    fn from(error: DatabaseError) -> Self {
        let kind = match error.kind {
            DatabaseErrorKind::Corrupt => StoreErrorKind::Corrupt,
            DatabaseErrorKind::Unavailable | DatabaseErrorKind::Constraint | DatabaseErrorKind::Schema => {
                StoreErrorKind::Unavailable
            }
        };
        Self::new(kind, error.to_string())
    }
}
