//! Two homes that act as one: the second takes what the first cannot.

use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use futures::future::join;

use super::{
    ByteRange, ImageStore, LIST_LIMIT, ListPage, ObjectInfo, PutObject, PutReceipt, StorageKind, StoreError,
    StoreErrorKind, StoredObject,
};
use crate::bytes::{Blob, Body, BodyParts};
use crate::image::ObjectKey;
use crate::runtime::{DeadlineExceeded, Runtime, within};

/// Stores in `primary`, and in `secondary` when the primary is unavailable.
///
/// - A body that is all there is sent to the secondary when the primary fails as [`StoreErrorKind::Unavailable`] or misses the
///   deadline; the receipt says why. A streamed body is gone once the primary has read of it, so its error goes up, and it has no
///   deadline here: its pace is its sender's.
/// - The primary may have stored what it failed to acknowledge, so an object may lie in both homes. Reads take the primary's,
///   deletes remove both, listings show one.
/// - A key is checked in the home that stores it: while one home is away, other bytes may come to lie under its key in the other.
///   The row that names an object says which home counts.
pub struct Fallback {
    pub primary: Rc<dyn ImageStore>,
    pub secondary: Rc<dyn ImageStore>,
    pub runtime: Rc<dyn Runtime>,
    /// How long each home may take for a call, in milliseconds.
    pub deadline_ms: u64,
}

impl Fallback {
    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        within(&self.runtime, self.deadline_ms, work).await.unwrap_or_else(|late| Err(timeout(late)))
    }

    /// The primary's answer; the secondary's when the primary does not have it. A primary that fails hides behind a secondary that
    /// has it only.
    async fn first_found<T>(
        &self,
        from_primary: impl Future<Output = Result<Option<T>, StoreError>>,
        from_secondary: impl Future<Output = Result<Option<T>, StoreError>>,
    ) -> Result<Option<T>, StoreError> {
        match self.in_time(from_primary).await {
            Ok(Some(found)) => Ok(Some(found)),
            Ok(None) => self.in_time(from_secondary).await,
            Err(error) => match self.in_time(from_secondary).await {
                Ok(Some(found)) => Ok(Some(found)),
                Ok(None) | Err(_) => Err(error),
            },
        }
    }

    async fn put_blob(&self, object: &PutHead, blob: Blob) -> Result<PutReceipt, StoreError> {
        let to_primary = self.primary.put(object.with(blob.clone().into()));
        let (reason, error) = match within(&self.runtime, self.deadline_ms, to_primary).await {
            Ok(Err(error)) if error.kind == StoreErrorKind::Unavailable => (error.code(), error),
            Ok(outcome) => return outcome,
            Err(late) => ("store-timeout", timeout(late)),
        };
        match self.in_time(self.secondary.put(object.with(blob.into()))).await {
            Ok(receipt) => Ok(PutReceipt { fallback_reason: Some(reason.to_owned()), ..receipt }),
            Err(second) => Err(StoreError::new(both_failed(&second), format!("{error}; then {second}"))),
        }
    }
}

/// A put without its body.
struct PutHead {
    key: ObjectKey,
    media: super::Media,
    sha256: Option<crate::image::Sha256Digest>,
    metadata: super::ObjectMetadata,
}

impl PutHead {
    fn with(&self, body: Body) -> PutObject {
        let Self { key, media, sha256, metadata } = self;
        PutObject { key: key.clone(), body, media: *media, sha256: *sha256, metadata: metadata.clone() }
    }
}

#[async_trait(?Send)]
impl ImageStore for Fallback {
    fn kind(&self) -> StorageKind {
        self.primary.kind()
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        let PutObject { key, body, media, sha256, metadata } = object;
        let object = PutHead { key, media, sha256, metadata };
        let promised_bytes = body.promised_bytes();
        match body.into_parts() {
            BodyParts::Blob(blob) => self.put_blob(&object, blob).await,
            BodyParts::Source(source) => self.primary.put(object.with(Body::from_source(source, promised_bytes))).await,
        }
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        self.first_found(self.primary.get(key, range), self.secondary.get(key, range)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.first_found(self.primary.head(key), self.secondary.head(key)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let (primary, secondary) =
            join(self.in_time(self.primary.delete(key)), self.in_time(self.secondary.delete(key))).await;
        primary.and(secondary)
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        let (primary, secondary) = join(
            self.in_time(self.primary.list(prefix, start_after, limit)),
            self.in_time(self.secondary.list(prefix, start_after, limit)),
        )
        .await;
        Ok(merge(primary?, secondary?, usize::from(limit.clamp(1, LIST_LIMIT))))
    }
}

/// The objects of both pages in key order, the primary's where both have one.
fn merge(primary: ListPage, secondary: ListPage, limit: usize) -> ListPage {
    // Past the end of a truncated page its home may have more keys, so the merged page ends there.
    let known_to = [&primary, &secondary]
        .into_iter()
        .filter(|page| page.truncated)
        .filter_map(|page| page.objects.last().map(|object| object.key.clone()))
        .min();
    let mut truncated = primary.truncated || secondary.truncated;
    let mut merged: BTreeMap<ObjectKey, ObjectInfo> = BTreeMap::new();
    for object in primary.objects.into_iter().chain(secondary.objects) {
        merged.entry(object.key.clone()).or_insert(object);
    }
    let mut objects: Vec<ObjectInfo> = merged.into_values().collect();
    if let Some(known_to) = known_to {
        objects.retain(|object| object.key <= known_to);
    }
    truncated |= objects.len() > limit;
    objects.truncate(limit);
    ListPage { objects, truncated }
}

/// What a put has come to when the primary was unavailable and the secondary failed: unavailable, unless the secondary judged the
/// object itself.
fn both_failed(secondary: &StoreError) -> StoreErrorKind {
    match &secondary.kind {
        kind @ (StoreErrorKind::ChecksumMismatch | StoreErrorKind::KeyTaken) => kind.clone(),
        _ => StoreErrorKind::Unavailable,
    }
}

fn timeout(late: DeadlineExceeded) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("no answer within {} ms", late.waited_ms))
}
