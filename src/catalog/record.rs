//! What the catalogue knows of an image.

use serde::{Deserialize, Serialize};

use crate::image::{
    CollectionId, Context, Dimensions, FailedProvider, Format, ImageId, Labels, ObjectKey, Orientation, Placeholder,
    Sha256Digest, ShootId, UserId, Visibility,
};
use crate::runtime::Timestamp;
use crate::sql::Value;
use crate::store::StorageKind;

/// Where an image is in its life. The text forms are part of the API and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A key is reserved; the bytes may or may not be there. Not readable.
    Pending,
    /// The bytes are where `storage` and `key` say. Readable.
    Stored,
    /// A deletion has begun; the bytes may or may not be there. Not readable.
    Deleting,
    /// The bytes are gone; the row remembers that they were deleted on purpose.
    Deleted,
}

impl Status {
    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Stored => "stored",
            Self::Deleting => "deleting",
            Self::Deleted => "deleted",
        }
    }

    /// What `text` is the text form of.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Pending, Self::Stored, Self::Deleting, Self::Deleted].into_iter().find(|status| status.as_str() == text)
    }
}

/// The caller's own ids that an image belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Associations {
    pub persona_id: Option<String>,
    pub session_id: Option<String>,
    pub participant_id: Option<String>,
    pub table_id: Option<String>,
}

/// How an image was generated; kept as JSON in one column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GenerationRecord {
    pub provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    pub prompt: String,
    /// In a listing: the prompt is longer, and this is its start.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prompt_cut: bool,
    pub size: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub style: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_format: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_compression: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revised_prompt: Option<String>,
    /// Tokens that the provider billed, when it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// Why an earlier provider of the list did not make it; empty when the first one did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_providers: Vec<FailedProvider>,
    /// The provider's own URL of the image, when it answered with one. It expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_url: Option<String>,
}

/// Whose images an operation finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OwnerFilter {
    #[default]
    Any,
    /// Another's image is as one that does not exist.
    Only(UserId),
}

impl OwnerFilter {
    /// The owner as a parameter; NULL stands for any.
    pub(super) fn param(&self) -> Value {
        match self {
            Self::Any => Value::Null,
            Self::Only(user) => user.as_str().into(),
        }
    }

    /// What a tombstone keeps of the owner who deleted the image, as a parameter: a digest that is another for each image.
    pub(super) fn seal(&self, id: ImageId) -> Value {
        match self {
            Self::Any => Value::Null,
            Self::Only(user) => Sha256Digest::of(format!("{id}/{}", user.as_str()).as_bytes()).to_string().into(),
        }
    }
}

/// An image's place in a collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub collection_id: CollectionId,
    pub ordinal: u32,
}

impl Frame {
    /// The place of an asset, or of what was made from one, in its shoot: by the second of its creation, so that they come oldest
    /// first. Several may have the same.
    #[must_use]
    pub fn of_shoot(shoot: &ShootId, created_at: Timestamp) -> Self {
        let seconds = u32::try_from(created_at.as_millis().max(0) / 1000).unwrap_or(u32::MAX);
        Self { collection_id: shoot.collection(), ordinal: seconds }
    }
}

/// An item of a migration's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceItem {
    pub source: String,
    /// The source's own id of it.
    pub item: String,
}

/// What is known of an image before its bytes are stored; never changes afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub id: ImageId,
    pub key: ObjectKey,
    pub format: Format,
    pub visibility: Visibility,
    /// The name that the client gave, for `Content-Disposition`.
    pub filename: Option<String>,
    pub context: Option<Context>,
    pub associations: Associations,
    pub labels: Labels,
    pub owner_id: Option<UserId>,
    pub frame: Option<Frame>,
    /// The image that this one was made from.
    pub parent_id: Option<ImageId>,
    /// Where a migration moved the image from.
    pub moved_from: Option<SourceItem>,
    pub created_at: Timestamp,
}

/// What is known of an image's bytes once they are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    pub size_bytes: u64,
    pub sha256: Sha256Digest,
    pub dimensions: Option<Dimensions>,
    /// What EXIF data asks for, which `dimensions` heed.
    pub orientation: Option<Orientation>,
}

/// A whole row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRecord {
    pub description: Description,
    /// 1 at first, and rises with each change; every update names the version that it read.
    pub version: i64,
    pub status: Status,
    pub storage: StorageKind,
    /// Known while the status is [`Status::Stored`], and after.
    pub content: Option<Content>,
    pub generation: Option<GenerationRecord>,
    /// Why the bytes went to another store than the first choice.
    pub fallback_reason: Option<String>,
    /// The write whose chunks hold the bytes in the database, which is the image's home, or holds the original of one that moved to R2.
    pub embedded_write_id: Option<String>,
    /// Whether bytes may be in R2 and in the database. `None` while that is not known: the image was not stored yet, or a Worker stored
    /// it that does not know of this.
    pub two_homes: Option<bool>,
    /// Absent until pixels of the image were decoded for another reason.
    pub placeholder: Option<Placeholder>,
    pub updated_at: Timestamp,
}
