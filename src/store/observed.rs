//! A store that tells what it does.

use std::rc::Rc;

use async_trait::async_trait;

use super::{
    ByteRange, ImageStore, ListPage, MultipartId, MultipartObject, MultipartStore, ObjectHeaders, ObjectInfo,
    PartNumber, PutObject, PutReceipt, StorageKind, StoreError, StoredObject, UploadedPart,
};
use crate::bytes::Body;
use crate::image::{ImageId, ObjectKey};
use crate::runtime::{Runtime, Timestamp};
use crate::telemetry::{Event, Recorder};

/// Records one event for each operation of `inner`.
pub struct Observed {
    inner: Rc<dyn ImageStore>,
    bucket: &'static str,
    image_id: Option<ImageId>,
    runtime: Rc<dyn Runtime>,
    recorder: Recorder,
}

impl Observed {
    /// Records what `inner`, which is called `bucket` in events, does about an image.
    #[must_use]
    pub fn new(
        inner: Rc<dyn ImageStore>,
        bucket: &'static str,
        image_id: Option<ImageId>,
        runtime: Rc<dyn Runtime>,
        recorder: Recorder,
    ) -> Self {
        Self { inner, bucket, image_id, runtime, recorder }
    }

    /// Records `outcome` of an operation; `bytes` says how many a success moved.
    fn record<T>(
        &self,
        operation: &'static str,
        started_at: Timestamp,
        outcome: &Result<T, StoreError>,
        bytes: impl FnOnce(&T) -> u64,
    ) {
        self.recorder.record(&Event::Storage {
            operation,
            backend: self.inner.kind().as_str(),
            bucket: self.bucket,
            image_id: self.image_id,
            bytes: outcome.as_ref().map_or(0, bytes),
            duration_ms: self.runtime.now().millis_since(started_at),
            outcome: outcome.as_ref().map_or_else(StoreError::code, |_| "ok"),
            cause: outcome.as_ref().err().map(|error| error.detail.clone()),
        });
    }
}

#[async_trait(?Send)]
impl ImageStore for Observed {
    fn kind(&self) -> StorageKind {
        self.inner.kind()
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.put(object).await;
        self.record("put", started_at, &outcome, |receipt| receipt.size_bytes);
        outcome
    }

    async fn put_described(&self, object: PutObject, headers: ObjectHeaders) -> Result<PutReceipt, StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.put_described(object, headers).await;
        self.record("put", started_at, &outcome, |receipt| receipt.size_bytes);
        outcome
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.get(key, range).await;
        let promised = |object: &StoredObject| object.body.promised_bytes().unwrap_or(0);
        self.record("get", started_at, &outcome, |object| object.as_ref().map_or(0, promised));
        outcome
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.head(key).await;
        self.record("head", started_at, &outcome, |_| 0);
        outcome
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.delete(key).await;
        self.record("delete", started_at, &outcome, |()| 0);
        outcome
    }

    async fn delete_all(&self, keys: &[ObjectKey]) -> Result<(), StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.delete_all(keys).await;
        self.record("delete", started_at, &outcome, |()| 0);
        outcome
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.list(prefix, start_after, limit).await;
        self.record("list", started_at, &outcome, |_| 0);
        outcome
    }
}

/// Records one event for each operation on uploads in parts, which R2 alone takes.
pub struct ObservedParts {
    inner: Rc<dyn MultipartStore>,
    bucket: &'static str,
    image_id: ImageId,
    runtime: Rc<dyn Runtime>,
    recorder: Recorder,
}

impl ObservedParts {
    /// Records what `inner`, which is called `bucket` in events, does about an image.
    #[must_use]
    pub fn new(
        inner: Rc<dyn MultipartStore>,
        bucket: &'static str,
        image_id: ImageId,
        runtime: Rc<dyn Runtime>,
        recorder: Recorder,
    ) -> Self {
        Self { inner, bucket, image_id, runtime, recorder }
    }

    fn record<T>(&self, operation: &'static str, bytes: u64, started_at: Timestamp, outcome: &Result<T, StoreError>) {
        self.recorder.record(&Event::Storage {
            operation,
            backend: StorageKind::R2.as_str(),
            bucket: self.bucket,
            image_id: Some(self.image_id),
            bytes: if outcome.is_ok() { bytes } else { 0 },
            duration_ms: self.runtime.now().millis_since(started_at),
            outcome: outcome.as_ref().map_or_else(StoreError::code, |_| "ok"),
            cause: outcome.as_ref().err().map(|error| error.detail.clone()),
        });
    }
}

#[async_trait(?Send)]
impl MultipartStore for ObservedParts {
    async fn create(&self, object: MultipartObject) -> Result<MultipartId, StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.create(object).await;
        self.record("create-multipart", 0, started_at, &outcome);
        outcome
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &MultipartId,
        number: PartNumber,
        body: Body,
    ) -> Result<UploadedPart, StoreError> {
        let started_at = self.runtime.now();
        let bytes = body.promised_bytes().unwrap_or(0);
        let outcome = self.inner.put_part(key, upload, number, body).await;
        self.record("put-part", bytes, started_at, &outcome);
        outcome
    }

    async fn complete(&self, key: &ObjectKey, upload: &MultipartId, parts: &[UploadedPart]) -> Result<(), StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.complete(key, upload, parts).await;
        self.record("complete-multipart", 0, started_at, &outcome);
        outcome
    }

    async fn abort(&self, key: &ObjectKey, upload: &MultipartId) -> Result<(), StoreError> {
        let started_at = self.runtime.now();
        let outcome = self.inner.abort(key, upload).await;
        self.record("abort-multipart", 0, started_at, &outcome);
        outcome
    }
}
