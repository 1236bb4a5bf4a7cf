//! A store under test, what is stored in it, and what is expected of it.

use super::arriving::ArrivingBytes;
use crate::bytes::Body;
use crate::image::{Format, ObjectKey, Sha256Digest};
use crate::store::{ImageStore, LIST_LIMIT, ObjectInfo, ObjectMetadata, PutObject, PutReceipt, StoreError};

/// What a check answers: `Err` says in words which expectation did not hold.
pub type Outcome = Result<(), String>;

/// A store under test, and the part of its key space that a case may use.
pub(super) struct Trial<'store> {
    pub(super) store: &'store dyn ImageStore,
    pub(super) prefix: String,
}

impl Trial<'_> {
    pub(super) fn key(&self, name: &str) -> Result<ObjectKey, String> {
        ObjectKey::try_from(format!("{}{name}", self.prefix)).map_err(|error| error.to_string())
    }

    pub(super) fn object(&self, name: &str, body: impl Into<Body>) -> Result<PutObject, String> {
        Ok(PutObject {
            key: self.key(name)?,
            body: body.into(),
            media: Format::Png.into(),
            sha256: None,
            metadata: ObjectMetadata::new(),
        })
    }

    /// Stores a sample, which must succeed with a truthful receipt.
    pub(super) async fn put(&self, name: &str, sample: &Sample) -> Outcome {
        self.put_body(name, sample.bytes.clone(), sample).await
    }

    /// Stores a sample that comes as `body`.
    pub(super) async fn put_body(&self, name: &str, body: impl Into<Body>, sample: &Sample) -> Outcome {
        let receipt = self.store.put(self.object(name, body)?).await.map_err(failed("put"))?;
        expect_receipt(&receipt, sample)
    }

    /// The object is there, whole, in every way of asking.
    pub(super) async fn expect_stored(&self, name: &str, sample: &Sample) -> Outcome {
        let key = self.key(name)?;
        let stored = self.store.get(&key, None).await.map_err(failed("get"))?.ok_or(format!("{name} is not there"))?;
        expect(stored.body.promised_bytes() == Some(sample.size_bytes()), "the body promises the object's length")?;
        expect_content(stored.size_bytes, stored.sha256, sample)?;
        let read = read_in_runs(stored.body, READ_RUN_BYTES).await?;
        expect(read == sample.bytes, format!("{name} comes back as stored ({} bytes did)", read.len()))?;
        let head = self.store.head(&key).await.map_err(failed("head"))?.ok_or(format!("{name} has no head"))?;
        expect(head.sha256 == stored.sha256, "head says what get says")?;
        expect_info(&head, &key, sample)
    }

    /// The object is absent in every way of asking.
    pub(super) async fn expect_absent(&self, name: &str) -> Outcome {
        let key = self.key(name)?;
        expect(self.store.get(&key, None).await.map_err(failed("get"))?.is_none(), format!("get: {name} is absent"))?;
        expect(self.store.head(&key).await.map_err(failed("head"))?.is_none(), format!("head: {name} is absent"))?;
        let listed = self.list_all(&self.prefix, LIST_LIMIT).await?;
        expect(listed.iter().all(|object| object.key != key), format!("list: {name} is absent"))
    }

    /// All objects under `prefix`, page by page.
    pub(super) async fn list_all(&self, prefix: &str, limit: u16) -> Result<Vec<ObjectInfo>, String> {
        let mut all: Vec<ObjectInfo> = Vec::new();
        loop {
            let start_after = all.last().map(|object| &object.key);
            let page = self.store.list(prefix, start_after, limit).await.map_err(failed("list"))?;
            expect(page.objects.len() <= usize::from(limit), "a page keeps to its limit")?;
            expect(!(page.truncated && page.objects.is_empty()), "a truncated page has objects")?;
            all.extend(page.objects);
            if !page.truncated {
                return Ok(all);
            }
        }
    }

    pub(super) async fn remove_everything(&self) -> Outcome {
        for object in self.list_all(&self.prefix, LIST_LIMIT).await? {
            self.store.delete(&object.key).await.map_err(failed("delete"))?;
        }
        Ok(())
    }
}

/// Not a divisor of the chunk length, so that runs cross chunk boundaries.
pub(super) const READ_RUN_BYTES: usize = 700_001;

pub(super) async fn read_in_runs(mut body: Body, run_bytes: usize) -> Result<Vec<u8>, String> {
    let mut read = Vec::new();
    let mut short_run = false;
    while let Some(run) = body.next(run_bytes).await.map_err(|error| error.to_string())? {
        expect(!short_run && run.size_bytes() <= run_bytes, "only the last run is short")?;
        short_run = run.size_bytes() < run_bytes;
        read.extend(run.to_vec());
    }
    Ok(read)
}

/// Bytes to store, and their digest.
pub(super) struct Sample {
    pub(super) bytes: Vec<u8>,
    pub(super) sha256: Sha256Digest,
}

impl Sample {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let sha256 = Sha256Digest::of(&bytes);
        Self { bytes, sha256 }
    }

    /// `size_bytes` bytes without a period that a misplaced chunk could hide in, others for each `seed`.
    pub(super) fn noise(size_bytes: usize, seed: u64) -> Self {
        let mut state = seed.wrapping_mul(2).wrapping_add(0x9e37_79b9_7f4a_7c15) | 1;
        let mut bytes = Vec::with_capacity(size_bytes + 8);
        while bytes.len() < size_bytes {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            bytes.extend_from_slice(&state.to_le_bytes());
        }
        bytes.truncate(size_bytes);
        Self::new(bytes)
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The sample as it arrives from a client that promised its length.
    pub(super) fn streamed(&self) -> Body {
        ArrivingBytes::new(&self.bytes).into_body(Some(self.size_bytes()))
    }
}

pub(super) fn expect(holds: bool, expectation: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(format!("does not hold: {}", expectation.into())) }
}

pub(super) fn expect_receipt(receipt: &PutReceipt, sample: &Sample) -> Outcome {
    expect(receipt.size_bytes == sample.size_bytes(), "the receipt names the size")?;
    expect(receipt.sha256 == sample.sha256, "the receipt names the digest")
}

pub(super) fn expect_info(info: &ObjectInfo, key: &ObjectKey, sample: &Sample) -> Outcome {
    expect(info.key == *key, "the object has its key")?;
    expect_content(info.size_bytes, info.sha256, sample)
}

pub(super) fn expect_content(size_bytes: u64, sha256: Option<Sha256Digest>, sample: &Sample) -> Outcome {
    expect(size_bytes == sample.size_bytes(), "the object has its size")?;
    expect(sha256.is_none_or(|sha256| sha256 == sample.sha256), "a digest is the object's")
}

pub(super) fn failed(operation: &'static str) -> impl Fn(StoreError) -> String {
    move |error| format!("{operation} failed: {error}")
}
