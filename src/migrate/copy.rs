//! One image on its way into the bucket.

use std::rc::Rc;

use super::slice::{BUCKET_TIMEOUT, BUCKET_UNAVAILABLE, bucket_was_late};
use crate::bytes::Body;
use crate::image::{Format, ObjectKey, Sha256Digest};
use crate::runtime::{Runtime, within};
use crate::store::{ImageStore, ObjectMetadata, PutObject, StoreError, StoreErrorKind};

/// How often a put is tried that may succeed the next time.
pub(super) const ATTEMPTS: usize = 3;

/// Time between attempts: R2 takes one write a second for each key.
pub(super) const PAUSE_MS: u64 = 1_000;

/// What is to be put.
pub(super) struct Copy {
    pub key: ObjectKey,
    pub format: Format,
    pub sha256: Sha256Digest,
    pub metadata: ObjectMetadata,
}

/// Why an image was not put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CopyError {
    pub reason: &'static str,
    pub detail: String,
    /// It may have happened all the same, or may yet.
    pub uncertain: bool,
}

/// Puts images into the bucket, which enforces their digest.
pub(super) struct Copier {
    pub bucket: Rc<dyn ImageStore>,
    pub runtime: Rc<dyn Runtime>,
    pub timeout_ms: u64,
}

impl Copier {
    /// Puts the image, whose bytes `open` gives afresh for each attempt. Repeating it is fine: one object comes of it.
    pub async fn put(&self, copy: &Copy, open: impl AsyncFn() -> Result<Body, CopyError>) -> Result<(), CopyError> {
        let mut uncertain = false;
        for attempt in 1.. {
            let object = PutObject {
                key: copy.key.clone(),
                body: open().await?,
                media: copy.format.into(),
                sha256: Some(copy.sha256),
                metadata: copy.metadata.clone(),
            };
            let error = match within(&self.runtime, self.timeout_ms, self.bucket.put(object)).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error,
                Err(late) => {
                    let detail = bucket_was_late(late);
                    return Err(CopyError { reason: BUCKET_TIMEOUT, detail, uncertain: true });
                }
            };
            uncertain |= !error.stored_nothing();
            if attempt == ATTEMPTS || error.kind != StoreErrorKind::Unavailable {
                return Err(CopyError::from_store(&error, uncertain));
            }
            self.runtime.sleep(PAUSE_MS).await;
        }
        Err(CopyError { reason: BUCKET_UNAVAILABLE, detail: String::new(), uncertain })
    }
}

impl CopyError {
    fn from_store(error: &StoreError, uncertain: bool) -> Self {
        let (reason, detail) = match &error.kind {
            StoreErrorKind::ChecksumMismatch => {
                ("original-corrupt", "the bytes do not have the digest that was recorded")
            }
            StoreErrorKind::Body(_) => ("original-unreadable", "the bytes could not be read to their end"),
            StoreErrorKind::KeyTaken => ("key-taken", "other bytes are stored under the key"),
            StoreErrorKind::TooLarge { .. } => ("too-large", "the bucket takes no object of this size"),
            StoreErrorKind::Unavailable | StoreErrorKind::Corrupt => (BUCKET_UNAVAILABLE, "the bucket failed"),
        };
        Self { reason, detail: detail.to_owned(), uncertain }
    }

    /// The original could not be read.
    pub fn unreadable(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into(), uncertain: false }
    }
}
