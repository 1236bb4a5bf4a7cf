//! What rollback and cleanup need of a source: its originals, and how its rows name them.

use std::rc::Rc;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::item::ItemId;
use super::journal::Entry;
use super::line::{Line, Verdict};
use super::run::InFlight;
use super::slice::{BUCKET_TIMEOUT, BUCKET_UNAVAILABLE, Counted, Hand, Interruption, Outcome, bucket_was_late};
use crate::bytes::{Blob, Body, BodyParts};
use crate::image::{ObjectKey, Sha256Digest};
use crate::runtime::{DeadlineExceeded, Runtime, within};
use crate::sql::{DatabaseError, QueryResult, Statement};
use crate::store::{ImageStore, ObjectInfo, StoredObject};

/// Objects of up to this size are read whole; of longer ones one run is in memory at a time.
const WHOLE_BYTES: u64 = 2 * 1024 * 1024;
const RUN_BYTES: usize = 1024 * 1024;

/// Why an item is left as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub verdict: Verdict,
    pub reason: &'static str,
    pub detail: String,
}

/// Why an item is not worked on to its end.
#[derive(Debug)]
pub(super) enum Setback {
    /// It is left as it is, and the run goes on.
    Refusal(Refusal),
    /// The run stops where it is.
    Interruption(Interruption),
}

/// The statements that change an item's row, in front of the journal's.
#[derive(Debug, Default)]
pub(super) struct Change {
    /// The last one changes exactly one row, unless the item was changed meanwhile.
    pub statements: Vec<Statement>,
    /// What the journal is to remember from now on.
    pub original: serde_json::Value,
    pub counted: Option<Counted>,
    /// Bytes of database that become free.
    pub freed_bytes: u64,
    /// Objects that nothing names once the statements have taken effect.
    pub remove: Vec<ObjectKey>,
}

/// The originals of one source.
#[async_trait(?Send)]
pub(super) trait Originals {
    /// What receipts call the place of originals.
    fn place(&self) -> String;

    /// Reads an entry's row, for [`Originals::restore`] and [`Originals::clean`].
    fn load(&self, entry: &Entry) -> Statement;

    /// Makes sure that the original is in the database, whole, bringing it back from the copy where it was cleaned, and says which
    /// statements make the row name it.
    async fn restore(&self, entry: &Entry, row: &QueryResult, hand: &Hand<'_>) -> Result<Change, Setback>;

    /// Whether [`Originals::restore`] would succeed, found out without changing anything.
    async fn check(&self, entry: &Entry, row: &QueryResult, hand: &Hand<'_>) -> Result<(), Setback>;

    /// Whether the row of an item that was restored still names its original, and that reads back as what was moved.
    async fn holds(&self, entry: &Entry, row: &QueryResult, hand: &Hand<'_>) -> Result<(), Setback>;

    /// Says which statements drop the original; the copy was read back and matched.
    async fn clean(&self, entry: &Entry, row: &QueryResult, hand: &Hand<'_>) -> Result<Change, Setback>;

    /// Statements and store operations that an item takes at most, as long as its bytes come in one piece. Most are taken by the
    /// rollback of one that was cleaned: reads the row and the copy, writes the original and reads it back, switches the row and the
    /// journal with a guard behind each, and removes the copy.
    fn operations_per_item(&self) -> u64;

    /// As [`super::slice::Work::names`].
    fn names(&self, in_flight: &InFlight) -> Statement;
}

/// Reads copies back from the bucket.
pub(super) struct Copies {
    pub bucket: Rc<dyn ImageStore>,
    pub runtime: Rc<dyn Runtime>,
    pub timeout_ms: u64,
}

impl Refusal {
    /// The item is left, and the run is no success.
    pub fn failed(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Failed, reason, detail: detail.into() }
    }

    /// The item is left because somebody else has changed it, or because there is nothing to do.
    pub fn skipped(reason: &'static str, detail: impl Into<String>) -> Self {
        Self { verdict: Verdict::Skipped, reason, detail: detail.into() }
    }

    /// The outcome of an item that is left.
    pub fn into_outcome(self, id: ItemId) -> Outcome {
        Outcome::only(Line::new(id, self.verdict).because(self.reason, &self.detail))
    }
}

impl Setback {
    /// The outcome of an item that is left, or what stops the run.
    pub fn into_outcome(self, id: ItemId) -> Result<Outcome, Interruption> {
        match self {
            Self::Refusal(refusal) => Ok(refusal.into_outcome(id)),
            Self::Interruption(interruption) => Err(interruption),
        }
    }
}

impl From<Refusal> for Setback {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Interruption> for Setback {
    fn from(interruption: Interruption) -> Self {
        Self::Interruption(interruption)
    }
}

impl From<DatabaseError> for Setback {
    fn from(error: DatabaseError) -> Self {
        Self::Interruption(error.into())
    }
}

impl Copies {
    /// What the bucket says of the copy.
    pub async fn head(&self, entry: &Entry, hand: &Hand<'_>) -> Result<Option<ObjectInfo>, Refusal> {
        hand.count(|operations| operations.r2_class_b += 1);
        match within(&self.runtime, self.timeout_ms, self.bucket.head(&entry.key)).await {
            Ok(Ok(info)) => Ok(info),
            Ok(Err(error)) => Err(Refusal::failed(BUCKET_UNAVAILABLE, error.code())),
            Err(error) => Err(timeout(error)),
        }
    }

    /// Opens the copy. Reading it has the caller's patience.
    pub async fn open(&self, entry: &Entry, hand: &Hand<'_>) -> Result<StoredObject, Refusal> {
        hand.count(|operations| operations.r2_class_b += 1);
        let found = match within(&self.runtime, self.timeout_ms, self.bucket.get(&entry.key, None)).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return Err(Refusal::failed(BUCKET_UNAVAILABLE, error.code())),
            Err(error) => return Err(timeout(error)),
        };
        let Some(object) = found else {
            return Err(Refusal { verdict: Verdict::Missing, reason: "copy-missing", detail: missing(entry) });
        };
        if object.size_bytes == entry.size_bytes {
            Ok(object)
        } else {
            let detail = format!("{} has {} bytes instead of {}", entry.key, object.size_bytes, entry.size_bytes);
            Err(Refusal { verdict: Verdict::Corrupted, reason: "size-differs", detail })
        }
    }

    /// Reads the copy back and compares its digest.
    pub async fn read_back(&self, entry: &Entry, hand: &Hand<'_>) -> Result<(), Refusal> {
        let object = self.open(entry, hand).await?;
        let sha256 = digest(&*self.runtime, object.body, entry.size_bytes)
            .await
            .map_err(|detail| Refusal::failed(BUCKET_UNAVAILABLE, detail))?;
        same(entry, sha256)
    }

    /// The copy's bytes, compared with their digest. Memory: their size, outside wasm.
    pub async fn fetch(&self, entry: &Entry, hand: &Hand<'_>) -> Result<Blob, Refusal> {
        let object = self.open(entry, hand).await?;
        let blob = object.body.collect(entry.size_bytes).await;
        let blob = blob.map_err(|error| Refusal::failed(BUCKET_UNAVAILABLE, error.to_string()))?;
        same(entry, self.runtime.sha256(&blob).await)?;
        Ok(blob)
    }
}

/// The digest of a body, of which one run is in memory at a time unless it is short.
pub(super) async fn digest(runtime: &dyn Runtime, body: Body, size_bytes: u64) -> Result<Sha256Digest, String> {
    if size_bytes <= WHOLE_BYTES {
        let blob = body.collect(WHOLE_BYTES).await.map_err(|error| error.to_string())?;
        return Ok(runtime.sha256(&blob).await);
    }
    let promised_bytes = body.promised_bytes();
    let mut body = match body.into_parts() {
        BodyParts::Blob(blob) => return Ok(runtime.sha256(&blob).await),
        BodyParts::Source(source) => Body::from_source(source, promised_bytes),
    };
    let mut hasher = Sha256::new();
    while let Some(run) = body.next(RUN_BYTES).await.map_err(|error| error.to_string())? {
        match run.as_local() {
            Some(bytes) => hasher.update(bytes),
            None => hasher.update(run.to_vec()),
        }
    }
    Ok(Sha256Digest::from_bytes(hasher.finalize().into()))
}

fn same(entry: &Entry, sha256: Sha256Digest) -> Result<(), Refusal> {
    if sha256 == entry.sha256 {
        return Ok(());
    }
    let detail = format!("{} has the SHA-256 {sha256} instead of {}", entry.key, entry.sha256);
    Err(Refusal { verdict: Verdict::Corrupted, reason: "digest-differs", detail })
}

/// What is missing, for people.
pub(super) fn missing(entry: &Entry) -> String {
    format!("the bucket has no object {}", entry.key)
}

/// The bucket kept somebody waiting too long.
pub(super) fn timeout(late: DeadlineExceeded) -> Refusal {
    Refusal::failed(BUCKET_TIMEOUT, bucket_was_late(late))
}
