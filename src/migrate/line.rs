//! What a run says of one item: a line of its receipt.

use serde::{Deserialize, Serialize};

use super::item::ItemId;
use crate::image::Sha256Digest;

/// How it went with one item. The text forms are part of receipts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The copy is in the bucket and the source names it.
    Moved,
    /// A dry run: it would be moved.
    WouldMove,
    /// The source names the original again.
    Restored,
    /// A dry run: it would be restored.
    WouldRestore,
    /// The original is gone from the database; the copy was read back and matched.
    Cleaned,
    /// A dry run: it would be cleaned.
    WouldClean,
    /// Its retention period is not over.
    Kept,
    /// It is in the backup.
    Saved,
    /// The copy is there and right.
    Valid,
    /// The copy is not there.
    Missing,
    /// The copy is there and is not what was moved.
    Corrupted,
    /// An object that no row names.
    Orphaned,
    /// Somebody else changed or removed it meanwhile; left as it is.
    Skipped,
    /// Left untouched for a reason.
    Failed,
}

impl Verdict {
    /// Whether a run with such a line cannot call itself a success.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Missing | Self::Corrupted)
    }
}

/// One line of a receipt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub id: ItemId,
    pub verdict: Verdict,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// A stable kebab-case word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Line {
    /// A line that says no more than how it went.
    #[must_use]
    pub const fn new(id: ItemId, verdict: Verdict) -> Self {
        Self { id, verdict, sha256: None, size: None, from: None, to: None, reason: None, detail: None }
    }

    /// An item left untouched.
    #[must_use]
    pub fn failed(id: ItemId, reason: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), detail: Some(detail.into()), ..Self::new(id, Verdict::Failed) }
    }

    /// An item that somebody else changed or removed meanwhile.
    #[must_use]
    pub fn skipped(id: ItemId, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..Self::new(id, Verdict::Skipped) }
    }

    /// Says what the bytes are.
    #[must_use]
    pub const fn with_content(mut self, sha256: Sha256Digest, size_bytes: u64) -> Self {
        self.sha256 = Some(sha256);
        self.size = Some(size_bytes);
        self
    }

    /// Says where the bytes came from and went to.
    #[must_use]
    pub fn with_places(mut self, from: impl Into<String>, to: impl Into<String>) -> Self {
        self.from = Some(from.into());
        self.to = Some(to.into());
        self
    }
}
