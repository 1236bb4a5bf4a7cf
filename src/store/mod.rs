//! Where image bytes are kept: one contract, several homes.

#[cfg(any(not(target_arch = "wasm32"), feature = "conformance"))]
pub mod conformance;
mod embedded;
mod error;
mod fallback;
#[cfg(any(not(target_arch = "wasm32"), feature = "conformance"))]
mod faulty;
mod late_puts;
mod media;
#[cfg(any(not(target_arch = "wasm32"), feature = "conformance"))]
mod memory;
mod multipart;
mod observed;

pub(crate) use embedded::sweep_statement;
pub use embedded::{CHUNK_BYTES, CHUNKS_PER_CALL, EMBEDDED_MAX_BYTES, EmbeddedStore, SWEEP_LIMIT, adopt_statement};
pub use error::{StoreError, StoreErrorKind};
pub use fallback::Fallback;
#[cfg(any(not(target_arch = "wasm32"), feature = "conformance"))]
pub use faulty::{Faulty, StoreCall};
pub use late_puts::LatePuts;
pub use media::Media;
#[cfg(any(not(target_arch = "wasm32"), feature = "conformance"))]
pub use memory::MemoryStore;
pub use multipart::{
    InvalidPartNumber, LEAST_PART_BYTES, MultipartId, MultipartObject, MultipartStore, PartNumber, UploadedPart,
};
pub use observed::{Observed, ObservedParts};

use std::collections::BTreeMap;

use async_trait::async_trait;

pub use crate::bytes::ByteRange;

use crate::bytes::Body;
use crate::image::{ObjectKey, Sha256Digest};
use crate::runtime::Timestamp;

/// Which home holds an image. The text forms are part of the API and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum StorageKind {
    /// An R2 bucket.
    R2,
    /// Rows of the D1 database.
    D1,
}

impl StorageKind {
    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::R2 => "r2",
            Self::D1 => "d1",
        }
    }

    /// What `text` is the text form of.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::R2, Self::D1].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What goes with an object and comes back with it: at most 8,192 bytes of names and values together (R2's limit).
pub type ObjectMetadata = BTreeMap<String, String>;

/// One object to store.
#[derive(Debug)]
pub struct PutObject {
    pub key: ObjectKey,
    pub body: Body,
    pub media: Media,
    /// Refused when the bytes that arrive have another digest.
    pub sha256: Option<Sha256Digest>,
    pub metadata: ObjectMetadata,
}

/// What an object says of itself to those who read the bucket without the Worker, where it is not of our making. What is `None` is as
/// its [`Media`] has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectHeaders {
    pub content_type: Option<String>,
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    /// In hexadecimal. Refused when the bytes that arrive have another digest, as far as the home computes it.
    pub md5: Option<String>,
}

/// What is known of a stored object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectInfo {
    pub key: ObjectKey,
    pub size_bytes: u64,
    /// Known unless the object was streamed in without a digest from its sender.
    pub sha256: Option<Sha256Digest>,
    pub content_type: String,
    pub metadata: ObjectMetadata,
    pub stored_at: Timestamp,
}

/// Proof of a put: what the store holds now, as computed from the bytes that passed or enforced by the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutReceipt {
    pub storage: StorageKind,
    pub size_bytes: u64,
    pub sha256: Sha256Digest,
    /// Why another home than the first choice took the bytes.
    pub fallback_reason: Option<String>,
}

/// An object being read. [`ImageStore::head`] knows more of it.
#[derive(Debug)]
pub struct StoredObject {
    /// Of the whole object, also where a part of it is read.
    pub size_bytes: u64,
    /// As in [`ObjectInfo`].
    pub sha256: Option<Sha256Digest>,
    /// Its promised length is the range's, or the object's.
    pub body: Body,
}

/// The most objects in a [`ListPage`] (R2's limit).
pub const LIST_LIMIT: u16 = 1_000;

/// A page of a listing, in the byte order of keys. It may be shorter than asked for even when it is truncated, but not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPage {
    pub objects: Vec<ObjectInfo>,
    /// Whether keys follow after the last one here.
    pub truncated: bool,
}

/// A home for image bytes.
///
/// The contract, held by the conformance suite on every implementation:
/// - A put that returns `Ok` is durable: later reads by anyone see it whole, and the store has checked size and digest.
/// - A put that returns `Err` may or may not have happened, except for [`StoreErrorKind::Body`],
///   [`StoreErrorKind::ChecksumMismatch`], [`StoreErrorKind::TooLarge`] and [`StoreErrorKind::KeyTaken`]: those store nothing.
/// - An object is never visible half-written and never overwritten: a put to a key that is taken returns `Ok` when it
///   holds the same bytes, or as many with the digest that was promised, and `KeyTaken` otherwise.
/// - A body shorter or longer than its promise stores nothing.
/// - An object may be empty.
/// - Bodies stream both ways; memory per call is bounded by a constant, not by the object.
/// - `delete` of what is not there is `Ok`. `get` and `head` of what is not there are `Ok(None)`.
/// - `list` is in byte order of keys, sees every object put before it began, and takes any `limit` from 1 to [`LIST_LIMIT`].
#[async_trait(?Send)]
pub trait ImageStore: 'static {
    /// Which home this is, for rows and logs.
    fn kind(&self) -> StorageKind;

    /// Stores an object under a new key.
    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError>;

    /// As [`ImageStore::put`], with headers of the object's own, for the homes that keep any.
    async fn put_described(&self, object: PutObject, _headers: ObjectHeaders) -> Result<PutReceipt, StoreError> {
        self.put(object).await
    }

    /// Reads an object, or the part of it in `range`.
    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError>;

    /// What is known of an object, without its bytes.
    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError>;

    /// Removes an object; removing it twice is fine.
    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError>;

    /// Removes up to [`LIST_LIMIT`] objects, in one operation where the home has one; some may be gone when it fails.
    async fn delete_all(&self, keys: &[ObjectKey]) -> Result<(), StoreError> {
        for key in keys {
            self.delete(key).await?;
        }
        Ok(())
    }

    /// Objects whose keys start with `prefix`, after the key `start_after`.
    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError>;
}
