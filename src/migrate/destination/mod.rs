//! The bucket that images move into, as a run sees it: put there, read back, with one deadline a call.

use std::rc::Rc;

use crate::bytes::{Blob, Body, BodyError, BodyParts};
use crate::image::{ObjectKey, Sha256Digest};
use crate::migrate::runs::{Entry, Verdict};
use crate::migrate::task::{Refusal, SliceContext};
use crate::runtime::{Runtime, within};
use crate::store::{
    ImageStore, Media, ObjectHeaders, ObjectInfo, ObjectMetadata, PutObject, PutReceipt, StoreError, StoreErrorKind,
    StoredObject,
};

/// How often a put is tried that may succeed the next time.
pub const ATTEMPTS: usize = 3;

/// Time in milliseconds between attempts: R2 takes one write a second for each key.
pub const PAUSE_MS: u64 = 1_000;

/// Objects of up to this size are read whole; of longer ones one run is in memory at a time.
const WHOLE_BYTES: u64 = 2 * 1024 * 1024;
const RUN_BYTES: usize = 1024 * 1024;

/// Metadata of an object: the source that it is of.
pub const SOURCE: &str = "source";

const UNREADABLE: &str = "the bytes could not be read to their end";

/// The bucket. Cheap to clone.
#[derive(Clone)]
pub struct Destination {
    pub bucket: Rc<dyn ImageStore>,
    pub runtime: Rc<dyn Runtime>,
    /// How long a call may take, in milliseconds.
    pub timeout_ms: u64,
}

/// What is to be put.
#[derive(Debug, Clone)]
pub struct NewCopy {
    pub key: ObjectKey,
    pub media: Media,
    /// Of the bytes, when it is known before they pass; the bucket enforces it then.
    pub sha256: Option<Sha256Digest>,
    pub metadata: ObjectMetadata,
    /// What it is to say of itself, where that is not what `media` says.
    pub headers: Option<ObjectHeaders>,
}

/// Why an image was not put.
#[derive(Debug)]
pub struct PutError {
    pub refusal: Refusal,
    /// It may have happened all the same, or may yet.
    pub is_uncertain: bool,
}

impl Destination {
    /// Puts the image, whose bytes `open` gives afresh for each attempt; `copy` says what it is once they come. Repeating it is fine: one
    /// object comes of it.
    ///
    /// # Errors
    /// With what says whether the object may be there all the same.
    pub async fn put(
        &self,
        copy: impl Fn() -> NewCopy,
        open: impl AsyncFn() -> Result<Body, Refusal>,
    ) -> Result<PutReceipt, PutError> {
        let mut is_uncertain = false;
        for attempt in 1.. {
            let body = open().await.map_err(|refusal| PutError { refusal, is_uncertain })?;
            let NewCopy { key, media, sha256, metadata, headers } = copy();
            let object = PutObject { key, body, media, sha256, metadata };
            let put = match headers {
                Some(headers) => self.bucket.put_described(object, headers),
                None => self.bucket.put(object),
            };
            let error = match within(&self.runtime, self.timeout_ms, put).await {
                Ok(Ok(receipt)) => return Ok(receipt),
                Ok(Err(error)) => error,
                Err(late) => {
                    return Err(PutError { refusal: Refusal::of_late_bucket(late), is_uncertain: true });
                }
            };
            is_uncertain |= !error.stored_nothing();
            if attempt == ATTEMPTS || error.kind != StoreErrorKind::Unavailable {
                return Err(PutError { refusal: of_store(&error), is_uncertain });
            }
            self.runtime.sleep(PAUSE_MS).await;
        }
        Err(PutError { refusal: Refusal::of_bucket(""), is_uncertain })
    }

    /// What the bucket says of the copy.
    ///
    /// # Errors
    /// When the bucket fails or is late.
    pub async fn head(&self, entry: &Entry, context: &SliceContext<'_>) -> Result<Option<ObjectInfo>, Refusal> {
        context.count(|operations| operations.r2_class_b += 1);
        match within(&self.runtime, self.timeout_ms, self.bucket.head(&entry.key)).await {
            Ok(Ok(info)) => Ok(info),
            Ok(Err(error)) => Err(Refusal::of_bucket(error.code())),
            Err(late) => Err(Refusal::of_late_bucket(late)),
        }
    }

    /// Opens the copy. Reading it has the caller's patience.
    ///
    /// # Errors
    /// When the bucket fails or is late, or the copy is missing or of another length.
    pub async fn open(&self, entry: &Entry, context: &SliceContext<'_>) -> Result<StoredObject, Refusal> {
        context.count(|operations| operations.r2_class_b += 1);
        let found = match within(&self.runtime, self.timeout_ms, self.bucket.get(&entry.key, None)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(Refusal::of_bucket(error.code())),
            Err(late) => return Err(Refusal::of_late_bucket(late)),
        };
        let Some(object) = found else {
            return Err(Refusal::new(Verdict::Missing, "copy-missing", missing(entry)));
        };
        if object.size_bytes == entry.size_bytes {
            Ok(object)
        } else {
            let detail = format!("{} has {} bytes instead of {}", entry.key, object.size_bytes, entry.size_bytes);
            Err(Refusal::new(Verdict::Corrupted, "size-differs", detail))
        }
    }

    /// Reads the copy back and compares its digest.
    ///
    /// # Errors
    /// As [`Destination::open`], and when the copy has another digest.
    pub async fn read_back(&self, entry: &Entry, context: &SliceContext<'_>) -> Result<(), Refusal> {
        let object = self.open(entry, context).await?;
        let sha256 = digest(&*self.runtime, object.body, entry.size_bytes).await.map_err(Refusal::of_bucket)?;
        same(entry, sha256)
    }

    /// The copy's bytes, compared with their digest. Memory: their size, outside wasm.
    ///
    /// # Errors
    /// As [`Destination::read_back`].
    pub async fn fetch(&self, entry: &Entry, context: &SliceContext<'_>) -> Result<Blob, Refusal> {
        let object = self.open(entry, context).await?;
        let blob = object.body.collect(entry.size_bytes).await;
        let blob = blob.map_err(|error| Refusal::of_bucket(error.to_string()))?;
        same(entry, self.runtime.sha256(&blob).await)?;
        Ok(blob)
    }
}

/// Removes an object that was put for `source`. One of others is left, which may have had the key before.
///
/// # Errors
/// When the bucket fails.
pub async fn remove_own(bucket: &dyn ImageStore, key: &ObjectKey, source: &str) -> Result<(), StoreError> {
    match bucket.head(key).await? {
        Some(object) if object.metadata.get(SOURCE).is_some_and(|named| named == source) => bucket.delete(key).await,
        _ => Ok(()),
    }
}

/// The digest of a body, of which one run is in memory at a time unless it is short.
pub async fn digest(runtime: &dyn Runtime, body: Body, size_bytes: u64) -> Result<Sha256Digest, String> {
    if size_bytes <= WHOLE_BYTES {
        let blob = body.collect(WHOLE_BYTES).await.map_err(|error| error.to_string())?;
        return Ok(runtime.sha256(&blob).await);
    }
    let promised_bytes = body.promised_bytes();
    let mut body = match body.into_parts() {
        BodyParts::Blob(blob) => return Ok(runtime.sha256(&blob).await),
        BodyParts::Source(source) => Body::from_source(source, promised_bytes),
    };
    let mut digest = runtime.passing_sha256();
    while let Some(run) = body.next(RUN_BYTES).await.map_err(|error| error.to_string())? {
        digest.pass(&run).await;
    }
    digest.finish().await.ok_or_else(|| "no digest was computed".to_owned())
}

fn same(entry: &Entry, sha256: Sha256Digest) -> Result<(), Refusal> {
    if sha256 == entry.sha256 {
        return Ok(());
    }
    let detail = format!("{} has the SHA-256 {sha256} instead of {}", entry.key, entry.sha256);
    Err(Refusal::new(Verdict::Corrupted, "digest-differs", detail))
}

/// What is missing, for people.
pub fn missing(entry: &Entry) -> String {
    format!("the bucket has no object {}", entry.key)
}

fn of_store(error: &StoreError) -> Refusal {
    match &error.kind {
        StoreErrorKind::ChecksumMismatch => {
            Refusal::failed("original-corrupt", "the bytes do not have the digest that was recorded")
        }
        StoreErrorKind::Body(BodyError::Interrupted(_) | BodyError::TimedOut) => {
            Refusal::of_source("original-unreadable", UNREADABLE)
        }
        StoreErrorKind::Body(_) => Refusal::failed("original-unreadable", UNREADABLE),
        StoreErrorKind::KeyTaken => Refusal::failed("key-taken", "other bytes are stored under the key"),
        StoreErrorKind::TooLarge { .. } => Refusal::failed("too-large", "the bucket takes no object of this size"),
        StoreErrorKind::Unavailable
        | StoreErrorKind::Corrupt
        | StoreErrorKind::NoSuchUpload
        | StoreErrorKind::PartsRefused => Refusal::of_bucket("the bucket failed"),
    }
}
