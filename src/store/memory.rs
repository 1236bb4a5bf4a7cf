//! A store in memory, for tests.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::rc::Rc;

use async_trait::async_trait;

use super::{
    ByteRange, ImageStore, LEAST_PART_BYTES, LIST_LIMIT, ListPage, MultipartId, MultipartObject, MultipartStore,
    ObjectHeaders, ObjectInfo, PartNumber, PutObject, PutReceipt, StorageKind, StoreError, StoreErrorKind,
    StoredObject, UploadedPart,
};
use crate::bytes::{Blob, Body, BodyError, Sha256Digest};
use crate::image::ObjectKey;
use crate::runtime::Runtime;

/// Keeps objects in a map. A body is read whole, so it is for small objects.
pub struct MemoryStore {
    kind: StorageKind,
    limit_bytes: u64,
    runtime: Rc<dyn Runtime>,
    objects: RefCell<BTreeMap<ObjectKey, (ObjectInfo, Blob)>>,
    uploads: RefCell<BTreeMap<String, Upload>>,
    begun_uploads: Cell<u64>,
}

/// An upload in parts.
struct Upload {
    object: MultipartObject,
    parts: BTreeMap<PartNumber, (String, Blob)>,
}

impl MemoryStore {
    /// An empty store that says it is `kind` and takes objects of up to `limit_bytes`.
    #[must_use]
    pub fn new(kind: StorageKind, limit_bytes: u64, runtime: Rc<dyn Runtime>) -> Self {
        Self {
            kind,
            limit_bytes,
            runtime,
            objects: RefCell::default(),
            uploads: RefCell::default(),
            begun_uploads: Cell::default(),
        }
    }

    /// The keys of uploads in parts that are neither completed nor aborted, with how many parts each has.
    #[must_use]
    pub fn unfinished_uploads(&self) -> Vec<(String, usize)> {
        self.uploads.borrow().values().map(|upload| (upload.object.key.to_string(), upload.parts.len())).collect()
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

    async fn put_described(&self, object: PutObject, headers: ObjectHeaders) -> Result<PutReceipt, StoreError> {
        let key = object.key.clone();
        let receipt = self.put(object).await?;
        if let (Some((info, _)), Some(content_type)) = (self.objects.borrow_mut().get_mut(&key), headers.content_type) {
            info.content_type = content_type;
        }
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

#[async_trait(?Send)]
impl MultipartStore for MemoryStore {
    async fn create(&self, object: MultipartObject) -> Result<MultipartId, StoreError> {
        self.begun_uploads.set(self.begun_uploads.get() + 1);
        let id = format!("upload-{}", self.begun_uploads.get());
        self.uploads.borrow_mut().insert(id.clone(), Upload { object, parts: BTreeMap::new() });
        Ok(id.into())
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &MultipartId,
        number: PartNumber,
        body: Body,
    ) -> Result<UploadedPart, StoreError> {
        let blob = body.collect(self.limit_bytes).await?;
        let etag = Sha256Digest::of(&blob.to_vec()).to_string();
        let mut uploads = self.uploads.borrow_mut();
        let upload = uploads.get_mut(upload.as_str()).filter(|upload| upload.object.key == *key);
        upload.ok_or_else(no_such_upload)?.parts.insert(number, (etag.clone(), blob));
        Ok(UploadedPart { number, etag })
    }

    async fn complete(&self, key: &ObjectKey, upload: &MultipartId, parts: &[UploadedPart]) -> Result<(), StoreError> {
        let mut uploads = self.uploads.borrow_mut();
        let found = uploads.get(upload.as_str()).filter(|upload| upload.object.key == *key);
        let Upload { object, parts: held } = found.ok_or_else(no_such_upload)?;
        let refused = |detail: &str| StoreError::new(StoreErrorKind::PartsRefused, detail);
        let mut chosen = BTreeMap::new();
        for part in parts {
            let same = held.get(&part.number).filter(|(etag, _)| *etag == part.etag);
            let (_, blob) = same.ok_or_else(|| refused("a part is not there"))?;
            if chosen.insert(part.number, blob).is_some() {
                return Err(refused("a part is named twice"));
            }
        }
        let sizes: Vec<_> = chosen.values().map(|blob| blob.size_bytes() as u64).collect();
        let (last, others) = sizes.split_last().ok_or_else(|| refused("there are no parts"))?;
        let first = others.first().copied().unwrap_or(*last);
        if others.iter().any(|size| *size != first) || *last > first || (!others.is_empty() && first < LEAST_PART_BYTES)
        {
            return Err(refused("parts of different sizes, or too small ones"));
        }
        let bytes: Vec<u8> = chosen.values().flat_map(|blob| blob.to_vec()).collect();
        let info = ObjectInfo {
            key: key.clone(),
            size_bytes: bytes.len() as u64,
            sha256: None,
            content_type: object.headers.content_type.clone().unwrap_or_else(|| object.media.content_type().to_owned()),
            metadata: object.metadata.clone(),
            stored_at: self.runtime.now(),
        };
        self.objects.borrow_mut().insert(key.clone(), (info, bytes.into()));
        uploads.remove(upload.as_str());
        Ok(())
    }

    async fn abort(&self, key: &ObjectKey, upload: &MultipartId) -> Result<(), StoreError> {
        let mut uploads = self.uploads.borrow_mut();
        if uploads.get(upload.as_str()).is_some_and(|upload| upload.object.key == *key) {
            uploads.remove(upload.as_str());
        }
        Ok(())
    }
}

fn no_such_upload() -> StoreError {
    StoreError::new(StoreErrorKind::NoSuchUpload, "there is no such upload")
}

fn saturated(offset_bytes: u64) -> usize {
    usize::try_from(offset_bytes).unwrap_or(usize::MAX)
}
