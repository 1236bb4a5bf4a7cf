//! A store that remembers the puts for which nobody waits any more.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;

use super::{
    ByteRange, ImageStore, ListPage, ObjectHeaders, ObjectInfo, PutObject, PutReceipt, StorageKind, StoreError,
    StoredObject,
};
use crate::image::ObjectKey;

/// Remembers the puts of `inner` that were given up before they ended: they may take effect all the same, and what is removed
/// before they do comes back.
pub struct LatePuts {
    inner: Rc<dyn ImageStore>,
    late: Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>,
}

impl LatePuts {
    /// The store `inner`, with nothing late.
    #[must_use]
    pub fn new(inner: Rc<dyn ImageStore>) -> Self {
        Self { inner, late: Rc::default() }
    }

    /// Resolves when every put that was given up until now has ended, one way or the other. Dropped before, it forgets them.
    pub async fn ended(&self) {
        for put in self.late.take() {
            put.await;
        }
    }
}

/// A put that somebody waits for.
struct Awaited {
    put: Option<LocalBoxFuture<'static, Result<PutReceipt, StoreError>>>,
    late: Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>>,
}

impl Future for Awaited {
    type Output = Result<PutReceipt, StoreError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(put) = &mut self.put else { return Poll::Pending };
        let outcome = ready!(put.poll_unpin(context));
        self.put = None;
        Poll::Ready(outcome)
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        if let Some(put) = self.put.take() {
            self.late.borrow_mut().push(put.map(drop).boxed_local());
        }
    }
}

#[async_trait(?Send)]
impl ImageStore for LatePuts {
    fn kind(&self) -> StorageKind {
        self.inner.kind()
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        let inner = Rc::clone(&self.inner);
        let put = async move { inner.put(object).await }.boxed_local();
        Awaited { put: Some(put), late: Rc::clone(&self.late) }.await
    }

    async fn put_described(&self, object: PutObject, headers: ObjectHeaders) -> Result<PutReceipt, StoreError> {
        let inner = Rc::clone(&self.inner);
        let put = async move { inner.put_described(object, headers).await }.boxed_local();
        Awaited { put: Some(put), late: Rc::clone(&self.late) }.await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.inner.head(key).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    async fn delete_all(&self, keys: &[ObjectKey]) -> Result<(), StoreError> {
        self.inner.delete_all(keys).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        self.inner.list(prefix, start_after, limit).await
    }
}
