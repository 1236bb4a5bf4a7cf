//! The contract of [`ImageStore`] as functions, one a rule, to run on any store natively and inside the Workers runtime.
//!
//! Keys carry a prefix of the run and the case, and a case removes what it stored, so that a shared bucket can be used.

mod arriving;
mod concurrent;
mod listing;
mod refusals;
mod round_trips;

pub use arriving::{ArrivingBytes, Gate, gate};

use futures::future::LocalBoxFuture;

use super::{ImageStore, LIST_LIMIT, ObjectInfo, ObjectMetadata, PutObject, PutReceipt, StoreError};
use crate::bytes::Body;
use crate::image::{Format, ObjectKey, Sha256Digest};

/// One rule of the contract.
pub struct Case {
    /// Unique; also the name in test output.
    pub name: &'static str,
    /// Whether it stores bodies that are still arriving, which a [`super::Fallback`] cannot send twice.
    pub streams: bool,
    check: for<'trial> fn(&'trial Trial<'trial>) -> LocalBoxFuture<'trial, Outcome>,
}

/// What a check answers: `Err` says in words which expectation did not hold.
pub type Outcome = Result<(), String>;

macro_rules! cases {
    ($($module:ident::$name:ident $bodies:ident),* $(,)?) => {
        &[$(Case {
            name: stringify!($name),
            streams: cases!(@ $bodies),
            check: |trial| Box::pin($module::$name(trial)),
        }),*]
    };
    (@ blobs) => { false };
    (@ streams) => { true };
}

/// The whole contract.
pub const CASES: &[Case] = cases![
    round_trips::an_empty_object_round_trips blobs,
    round_trips::sizes_around_chunk_boundaries_round_trip blobs,
    round_trips::large_objects_round_trip blobs,
    round_trips::streamed_bodies_round_trip streams,
    round_trips::a_body_without_a_promised_length_round_trips streams,
    round_trips::a_body_that_was_peeked_at_round_trips streams,
    round_trips::every_content_type_comes_back blobs,
    round_trips::metadata_comes_back blobs,
    round_trips::ranges_are_exact blobs,
    round_trips::bodies_can_be_read_in_runs_of_any_length blobs,
    round_trips::reading_what_is_not_there_is_none blobs,
    round_trips::deleted_objects_are_gone_and_their_keys_free blobs,
    refusals::the_same_bytes_again_change_nothing blobs,
    refusals::other_bytes_under_a_taken_key_are_refused blobs,
    refusals::a_right_digest_is_accepted streams,
    refusals::a_wrong_digest_stores_nothing blobs,
    refusals::a_wrong_digest_of_a_stream_stores_nothing streams,
    refusals::a_short_body_stores_nothing streams,
    refusals::a_long_body_stores_nothing streams,
    refusals::an_interrupted_body_stores_nothing streams,
    concurrent::equal_puts_at_once_all_succeed blobs,
    concurrent::of_unequal_puts_at_once_one_succeeds blobs,
    concurrent::of_unequal_streamed_puts_at_once_one_succeeds streams,
    concurrent::a_half_written_object_is_invisible streams,
    listing::lists_are_in_byte_order blobs,
    listing::lists_keep_to_their_prefix blobs,
    listing::lists_start_after_any_key blobs,
    listing::pages_of_any_size_cover_everything_once blobs,
    listing::more_objects_than_one_page_holds_are_listed blobs,
    listing::listed_objects_are_described_as_head_does blobs,
];

/// Checks one rule on `store`. `run_id`, made of characters that keys may have, keeps runs on a shared store apart.
///
/// # Errors
/// In words, which expectation did not hold.
pub async fn run(case: &Case, store: &dyn ImageStore, run_id: &str) -> Outcome {
    let trial = Trial { store, prefix: format!("conformance/{run_id}/{}/", case.name) };
    let outcome = (case.check)(&trial).await;
    let removed = trial.remove_everything().await;
    outcome.and(removed)
}

/// A store under test, and the part of its key space that a case may use.
struct Trial<'store> {
    store: &'store dyn ImageStore,
    prefix: String,
}

impl Trial<'_> {
    fn key(&self, name: &str) -> Result<ObjectKey, String> {
        ObjectKey::try_from(format!("{}{name}", self.prefix)).map_err(|error| error.to_string())
    }

    fn object(&self, name: &str, body: impl Into<Body>) -> Result<PutObject, String> {
        Ok(PutObject {
            key: self.key(name)?,
            body: body.into(),
            media: Format::Png.into(),
            sha256: None,
            metadata: ObjectMetadata::new(),
        })
    }

    /// Stores a sample, which must succeed with a truthful receipt.
    async fn put(&self, name: &str, sample: &Sample) -> Outcome {
        self.put_body(name, sample.bytes.clone(), sample).await
    }

    /// Stores a sample that comes as `body`.
    async fn put_body(&self, name: &str, body: impl Into<Body>, sample: &Sample) -> Outcome {
        let receipt = self.store.put(self.object(name, body)?).await.map_err(failed("put"))?;
        expect_receipt(&receipt, sample)
    }

    /// The object is there, whole, in every way of asking.
    async fn expect_stored(&self, name: &str, sample: &Sample) -> Outcome {
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
    async fn expect_absent(&self, name: &str) -> Outcome {
        let key = self.key(name)?;
        expect(self.store.get(&key, None).await.map_err(failed("get"))?.is_none(), format!("get: {name} is absent"))?;
        expect(self.store.head(&key).await.map_err(failed("head"))?.is_none(), format!("head: {name} is absent"))?;
        let listed = self.list_all(&self.prefix, LIST_LIMIT).await?;
        expect(listed.iter().all(|object| object.key != key), format!("list: {name} is absent"))
    }

    /// All objects under `prefix`, page by page.
    async fn list_all(&self, prefix: &str, limit: u16) -> Result<Vec<ObjectInfo>, String> {
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

    async fn remove_everything(&self) -> Outcome {
        for object in self.list_all(&self.prefix, LIST_LIMIT).await? {
            self.store.delete(&object.key).await.map_err(failed("delete"))?;
        }
        Ok(())
    }
}

/// Not a divisor of the chunk length, so that runs cross chunk boundaries.
const READ_RUN_BYTES: usize = 700_001;

async fn read_in_runs(mut body: Body, run_bytes: usize) -> Result<Vec<u8>, String> {
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
struct Sample {
    bytes: Vec<u8>,
    sha256: Sha256Digest,
}

impl Sample {
    fn new(bytes: Vec<u8>) -> Self {
        let sha256 = Sha256Digest::of(&bytes);
        Self { bytes, sha256 }
    }

    /// `size_bytes` bytes without a period that a misplaced chunk could hide in, others for each `seed`.
    fn noise(size_bytes: usize, seed: u64) -> Self {
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

    fn size_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The sample as it arrives from a client that promised its length.
    fn streamed(&self) -> Body {
        ArrivingBytes::new(&self.bytes).into_body(Some(self.size_bytes()))
    }
}

fn expect(holds: bool, expectation: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(format!("does not hold: {}", expectation.into())) }
}

fn expect_receipt(receipt: &PutReceipt, sample: &Sample) -> Outcome {
    expect(receipt.size_bytes == sample.size_bytes(), "the receipt names the size")?;
    expect(receipt.sha256 == sample.sha256, "the receipt names the digest")
}

fn expect_info(info: &ObjectInfo, key: &ObjectKey, sample: &Sample) -> Outcome {
    expect(info.key == *key, "the object has its key")?;
    expect_content(info.size_bytes, info.sha256, sample)
}

fn expect_content(size_bytes: u64, sha256: Option<Sha256Digest>, sample: &Sample) -> Outcome {
    expect(size_bytes == sample.size_bytes(), "the object has its size")?;
    expect(sha256.is_none_or(|sha256| sha256 == sample.sha256), "a digest is the object's")
}

fn failed(operation: &'static str) -> impl Fn(StoreError) -> String {
    move |error| format!("{operation} failed: {error}")
}
