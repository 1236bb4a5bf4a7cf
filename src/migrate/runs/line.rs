//! What a run did with one item: a line of its receipt.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::item::ItemId;
use super::json_text::{json_line, prefix_within};
use crate::image::{ObjectKey, Sha256Digest};

/// The longest `detail`, in bytes of its JSON string; more is cut off.
pub const DETAIL_MAX_JSON_BYTES: usize = 1_024;

/// The longest place, `from` or `to`, in bytes of its JSON string; more is cut off. The longest that is needed is a key: 1,024
/// printable ASCII characters, each of which JSON may escape into 2 bytes, after `r2:`.
pub const PLACE_MAX_JSON_BYTES: usize = 2_100;

/// The longest line in bytes, its line feed counted: 6,144 of an id (1,024 control characters, 6 bytes each in JSON), 2 * 2,100 of
/// places, 1,024 of detail; the rest is names, quotes, a digest, a number, a type and a reason.
///
/// A slice of 100 items is at most 1,210,000 bytes, within D1's 2,000,000 a row; usual ones are about 30,000.
pub const LINE_MAX_BYTES: usize = 12_100;

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Its bytes are in R2 and its row names them.
    Moved,
    /// A dry run would have moved it.
    WouldMove,
    /// Its row is as it was before it was moved.
    Restored,
    /// A dry run would have restored it.
    WouldRestore,
    /// Its original is deleted, its copy proved.
    Cleaned,
    /// A dry run would have cleaned it.
    WouldClean,
    /// Its original stays: its time is not over, or its copy is not proved.
    Kept,
    /// A text of the application names copies in place of objects, or objects again.
    Rewritten,
    /// A dry run would have rewritten it.
    WouldRewrite,
    /// It is in the backup.
    Saved,
    /// Its copy is there and right.
    Valid,
    /// Its copy is not there.
    Missing,
    /// Its copy is not what was stored.
    Corrupted,
    /// Its source has it, and no copy.
    Left,
    /// An object that no item names, or an item that no source has.
    Orphaned,
    /// Nothing was to be done, or another was faster.
    Skipped,
    /// It could not be done; the item is as it was.
    Failed,
}

impl Verdict {
    /// Every verdict, in the order in which documentation lists them.
    pub const ALL: [Self; 17] = [
        Self::Moved,
        Self::WouldMove,
        Self::Restored,
        Self::WouldRestore,
        Self::Cleaned,
        Self::WouldClean,
        Self::Kept,
        Self::Rewritten,
        Self::WouldRewrite,
        Self::Saved,
        Self::Valid,
        Self::Missing,
        Self::Corrupted,
        Self::Left,
        Self::Orphaned,
        Self::Skipped,
        Self::Failed,
    ];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::WouldMove => "would-move",
            Self::Restored => "restored",
            Self::WouldRestore => "would-restore",
            Self::Cleaned => "cleaned",
            Self::WouldClean => "would-clean",
            Self::Kept => "kept",
            Self::Rewritten => "rewritten",
            Self::WouldRewrite => "would-rewrite",
            Self::Saved => "saved",
            Self::Valid => "valid",
            Self::Missing => "missing",
            Self::Corrupted => "corrupted",
            Self::Left => "left",
            Self::Orphaned => "orphaned",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    /// Whether it keeps its run from being a success: the item, or its copy, is not as it should be.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Missing | Self::Corrupted | Self::Left | Self::Failed => true,
            Self::Moved
            | Self::WouldMove
            | Self::Restored
            | Self::WouldRestore
            | Self::Cleaned
            | Self::WouldClean
            | Self::Kept
            | Self::Rewritten
            | Self::WouldRewrite
            | Self::Saved
            | Self::Valid
            | Self::Orphaned
            | Self::Skipped => false,
        }
    }
}

/// One item of a run. As JSON its fields are in this order, those that are not known left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Line {
    id: ItemId,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256Digest>,
    #[serde(rename = "size", skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    content_type: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Line {
    /// That `verdict` was given on the item, and no more.
    #[must_use]
    pub const fn new(id: ItemId, verdict: Verdict) -> Self {
        Self {
            id,
            verdict,
            sha256: None,
            size_bytes: None,
            content_type: None,
            from: None,
            to: None,
            reason: None,
            detail: None,
        }
    }

    /// The item could not be worked on: `reason` is a kebab-case word of ours, `detail` says more for people.
    #[must_use]
    pub fn failed(id: ItemId, reason: &'static str, detail: &str) -> Self {
        Self::new(id, Verdict::Failed).because(reason, detail)
    }

    /// Nothing was done with the item.
    #[must_use]
    pub fn skipped(id: ItemId, reason: &'static str, detail: &str) -> Self {
        Self::new(id, Verdict::Skipped).because(reason, detail)
    }

    /// Says why: `reason` is a kebab-case word of ours, `detail` says more for people; an empty one is left out.
    #[must_use]
    pub fn because(mut self, reason: &'static str, detail: &str) -> Self {
        self.reason = Some(reason.into());
        self.detail = (!detail.is_empty()).then(|| prefix_within(detail, DETAIL_MAX_JSON_BYTES).to_owned());
        self
    }

    /// Names the bytes that the verdict is about.
    #[must_use]
    pub fn with_bytes(
        mut self,
        sha256: Sha256Digest,
        size_bytes: u64,
        content_type: impl Into<Cow<'static, str>>,
    ) -> Self {
        (self.sha256, self.size_bytes, self.content_type) = (Some(sha256), Some(size_bytes), Some(content_type.into()));
        self
    }

    /// Says how long bytes are that were not seen.
    #[must_use]
    pub const fn with_size(mut self, size_bytes: Option<u64>) -> Self {
        self.size_bytes = size_bytes;
        self
    }

    /// Names the place that the bytes were in, such as a table.
    #[must_use]
    pub fn from_place(mut self, place: &str) -> Self {
        self.from = Some(prefix_within(place, PLACE_MAX_JSON_BYTES).to_owned());
        self
    }

    /// Names the place that the bytes are in now, such as a table.
    #[must_use]
    pub fn to_place(mut self, place: &str) -> Self {
        self.to = Some(prefix_within(place, PLACE_MAX_JSON_BYTES).to_owned());
        self
    }

    /// Names the object that the bytes were in: `r2:` and its key.
    #[must_use]
    pub fn from_object(self, key: &ObjectKey) -> Self {
        self.from_place(&format!("r2:{key}"))
    }

    /// Names the object that the bytes are in now: `r2:` and its key.
    #[must_use]
    pub fn to_object(self, key: &ObjectKey) -> Self {
        self.to_place(&format!("r2:{key}"))
    }

    /// Which item.
    #[must_use]
    pub const fn id(&self) -> &ItemId {
        &self.id
    }

    /// What became of it.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// The digest of its bytes, when they were seen.
    #[must_use]
    pub const fn sha256(&self) -> Option<Sha256Digest> {
        self.sha256
    }

    /// The length of its bytes, when it is known.
    #[must_use]
    pub const fn size_bytes(&self) -> Option<u64> {
        self.size_bytes
    }

    /// The object that its bytes are in now, when they are in one.
    #[must_use]
    pub fn to_key(&self) -> Option<ObjectKey> {
        self.to.as_ref()?.strip_prefix("r2:")?.to_owned().try_into().ok()
    }

    /// Why, as a kebab-case word.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Why, in words for people.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The line as it stands in a receipt, its line feed at the end.
    #[must_use]
    pub fn to_ndjson(&self) -> String {
        json_line(self)
    }
}
