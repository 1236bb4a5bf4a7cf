//! A store in memory, for tests.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use async_trait::async_trait;

use super::{
    ByteRange, ImageStore, LIST_LIMIT, ListPage, ObjectInfo, PutObject, PutReceipt, StorageKind, StoreError,
    StoreErrorKind, StoredObject,
};
use crate::bytes::{Blob, BodyError};
use crate::image::ObjectKey;
use crate::runtime::Runtime;

/// Keeps objects in a map. A body is read whole, so it is for small objects.
pub struct MemoryStore {
    kind: StorageKind,
    limit_bytes: u64,
    runtime: Rc<dyn Runtime>,
    objects: RefCell<BTreeMap<ObjectKey, (ObjectInfo, Blob)>>,
}

impl MemoryStore {
    /// An empty store that says it is `kind` and takes objects of up to `limit_bytes`.
    #[must_use]
    pub fn new(kind: StorageKind, limit_bytes: u64, runtime: Rc<dyn Runtime>) -> Self {
        Self { kind, limit_bytes, runtime, objects: RefCell::default() }
    }

    /// Everything in the store, to compare before and after.
    #[must_use]
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.objects.borrow().iter().map(|(key, (_, blob))| (key.to_string(), blob.to_vec())).collect()
    }
}

#[async_trait(?Send)]
impl ImageStore for MemoryStore {
    fn kind(&self) -> StorageKind {
        self.kind
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        let PutObject { key, body, media, sha256: expected, metadata } = object;
        let promised_bytes = body.promised_bytes();
        if promised_bytes.is_some_and(|bytes| bytes > self.limit_bytes) {
            return Err(StoreError::too_large(self.limit_bytes));
        }
        let blob = body.collect(self.limit_bytes).await.map_err(|error| match error {
            BodyError::TooLong { .. } if promised_bytes.is_none() => StoreError::too_large(self.limit_bytes),
            broken => broken.into(),
        })?;
        let sha256 = self.runtime.sha256(&blob).await;
        if let Some(expected) = expected.filter(|expected| *expected != sha256) {
            return Err(StoreError::checksum_mismatch(expected, sha256));
        }
        let receipt =
            PutReceipt { storage: self.kind, size_bytes: blob.size_bytes() as u64, sha256, fallback_reason: None };
        let mut objects = self.objects.borrow_mut();
        if let Some((holder, _)) = objects.get(&key) {
            return if holder.sha256 == Some(sha256) {
                Ok(receipt)
            } else {
                Err(StoreError::new(StoreErrorKind::KeyTaken, "other bytes are stored under the key"))
            };
        }
        let info = ObjectInfo {
            key: key.clone(),
            size_bytes: receipt.size_bytes,
            sha256: Some(sha256),
            content_type: media.content_type().to_owned(),
            metadata,
            stored_at: self.runtime.now(),
        };
        objects.insert(key, (info, blob));
        Ok(receipt)
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        Ok(self.objects.borrow().get(key).map(|(info, blob)| {
            let start = range.map_or(0, |range| range.offset_bytes);
            let end = range.map_or(info.size_bytes, |range| start.saturating_add(range.length_bytes));
            let part = blob.slice(saturated(start)..saturated(end));
            StoredObject { size_bytes: info.size_bytes, sha256: info.sha256, body: part.into() }
        }))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        Ok(self.objects.borrow().get(key).map(|(info, _)| info.clone()))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.objects.borrow_mut().remove(key);
        Ok(())
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        let objects = self.objects.borrow();
        let from = start_after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut matching = objects
            .range::<ObjectKey, _>((from, Bound::Unbounded))
            .filter(|(key, _)| key.as_str().starts_with(prefix))
            .map(|(_, (info, _))| info.clone());
        let page = matching.by_ref().take(usize::from(limit.clamp(1, LIST_LIMIT))).collect();
        Ok(ListPage { objects: page, truncated: matching.next().is_some() })
    }
}

fn saturated(offset_bytes: u64) -> usize {
    usize::try_from(offset_bytes).unwrap_or(usize::MAX)
}
