//! A store that fails as planned.

use async_trait::async_trait;

use super::{
    ByteRange, ImageStore, ListPage, MultipartId, MultipartObject, MultipartStore, ObjectHeaders, ObjectInfo,
    PartNumber, PutObject, PutReceipt, StorageKind, StoreError, StoreErrorKind, StoredObject, UploadedPart,
};
use crate::bytes::Body;
use crate::image::ObjectKey;
use crate::sql::FaultPlan;

/// The kinds of call to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreCall {
    Put,
    Get,
    Head,
    Delete,
    List,
    CreateMultipart,
    PutPart,
    CompleteMultipart,
    AbortMultipart,
}

/// Any store, failing as planned. A call's subject is its key or prefix.
pub struct Faulty<S> {
    /// The store that does what is not planned to fail.
    pub inner: S,
    pub plan: FaultPlan<StoreCall>,
}

impl<S> Faulty<S> {
    /// `inner`, with nothing planned.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner, plan: FaultPlan::default() }
    }
}

#[async_trait(?Send)]
impl<S: ImageStore> ImageStore for Faulty<S> {
    fn kind(&self) -> StorageKind {
        self.inner.kind()
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        let subject = object.key.to_string();
        self.plan.run(StoreCall::Put, subject, unavailable, self.inner.put(object)).await
    }

    async fn put_described(&self, object: PutObject, headers: ObjectHeaders) -> Result<PutReceipt, StoreError> {
        let subject = object.key.to_string();
        self.plan.run(StoreCall::Put, subject, unavailable, self.inner.put_described(object, headers)).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        self.plan.run(StoreCall::Get, key.to_string(), unavailable, self.inner.get(key, range)).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.plan.run(StoreCall::Head, key.to_string(), unavailable, self.inner.head(key)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.plan.run(StoreCall::Delete, key.to_string(), unavailable, self.inner.delete(key)).await
    }

    async fn delete_all(&self, keys: &[ObjectKey]) -> Result<(), StoreError> {
        let subject = keys.first().map(ToString::to_string).unwrap_or_default();
        self.plan.run(StoreCall::Delete, subject, unavailable, self.inner.delete_all(keys)).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        let work = self.inner.list(prefix, start_after, limit);
        self.plan.run(StoreCall::List, prefix.to_owned(), unavailable, work).await
    }
}

#[async_trait(?Send)]
impl<S: MultipartStore> MultipartStore for Faulty<S> {
    async fn create(&self, object: MultipartObject) -> Result<MultipartId, StoreError> {
        let subject = object.key.to_string();
        self.plan.run(StoreCall::CreateMultipart, subject, unavailable, self.inner.create(object)).await
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &MultipartId,
        number: PartNumber,
        body: Body,
    ) -> Result<UploadedPart, StoreError> {
        let work = self.inner.put_part(key, upload, number, body);
        self.plan.run(StoreCall::PutPart, key.to_string(), unavailable, work).await
    }

    async fn complete(&self, key: &ObjectKey, upload: &MultipartId, parts: &[UploadedPart]) -> Result<(), StoreError> {
        let work = self.inner.complete(key, upload, parts);
        self.plan.run(StoreCall::CompleteMultipart, key.to_string(), unavailable, work).await
    }

    async fn abort(&self, key: &ObjectKey, upload: &MultipartId) -> Result<(), StoreError> {
        let work = self.inner.abort(key, upload);
        self.plan.run(StoreCall::AbortMultipart, key.to_string(), unavailable, work).await
    }
}

fn unavailable(detail: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, detail)
}
