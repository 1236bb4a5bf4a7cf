//! Writing one object, chunk by chunk.

use sha2::{Digest as _, Sha256};

use super::chunk::{CHUNK_BYTES, CHUNKS_PER_CALL, EMBEDDED_MAX_BYTES};
use super::read::BlobRow;
use super::statements::{self, Arrived, NewBlob};
use crate::bytes::{Blob, Body, BodyError};
use crate::image::Sha256Digest;
use crate::runtime::Runtime;
use crate::sql::{Database, QueryResult, Statement};
use crate::store::{PutReceipt, StorageKind, StoreError, StoreErrorKind};

/// The digest of a write: known from the start, or growing with the bytes.
pub(super) enum Hashing {
    Done(Sha256Digest),
    Running(Sha256),
}

/// A write on its way. Nothing of it is visible until [`Write::store`] returns `Ok`.
pub(super) struct Write<'store> {
    database: &'store dyn Database,
    runtime: &'store dyn Runtime,
    blob: NewBlob,
    hashing: Hashing,
    size_bytes: u64,
    /// Chunks that were sent to the database.
    sent_chunks: u32,
    /// Chunks that are to go with the next call: at most [`CHUNKS_PER_CALL`].
    pending: Vec<Blob>,
    /// Whether the row may be there.
    begun: bool,
}

impl<'store> Write<'store> {
    pub(super) fn new(
        database: &'store dyn Database,
        runtime: &'store dyn Runtime,
        blob: NewBlob,
        hashing: Hashing,
    ) -> Self {
        Self { database, runtime, blob, hashing, size_bytes: 0, sent_chunks: 0, pending: Vec::new(), begun: false }
    }

    /// Reads `body` to its end and publishes it.
    pub(super) async fn store(
        &mut self,
        mut body: Body,
        expected: Option<Sha256Digest>,
    ) -> Result<PutReceipt, StoreError> {
        while let Some(chunk) = body.next(CHUNK_BYTES).await? {
            self.take(&chunk)?;
            if self.pending.len() == CHUNKS_PER_CALL {
                self.send_pending().await?;
            }
            self.pending.push(chunk);
        }
        let sha256 = self.hashing.finish();
        verify(sha256, expected)?;
        self.publish(sha256).await
    }

    /// Removes what was sent, as far as the database lets us; the sweep finds the rest.
    pub(super) async fn discard(&self) {
        if self.begun {
            let _ = self.database.run(statements::discard(&self.blob.write_id)).await;
        }
    }

    /// Counts and hashes a chunk.
    fn take(&mut self, chunk: &Blob) -> Result<(), StoreError> {
        if !self.size_bytes.is_multiple_of(CHUNK_BYTES as u64) {
            // Chunks are found by their offset: only the last may be short.
            return Err(BodyError::Interrupted("the source gave a short run before its end".to_owned()).into());
        }
        self.size_bytes += chunk.size_bytes() as u64;
        if self.size_bytes > EMBEDDED_MAX_BYTES {
            return Err(StoreError::too_large(EMBEDDED_MAX_BYTES));
        }
        self.hashing.update(chunk);
        Ok(())
    }

    async fn send_pending(&mut self) -> Result<(), StoreError> {
        let statements = self.pending_statements();
        self.begun = true;
        self.database.batch(statements).await?;
        Ok(())
    }

    async fn publish(&mut self, sha256: Sha256Digest) -> Result<PutReceipt, StoreError> {
        let mut statements = self.pending_statements();
        let arrived = Arrived {
            size_bytes: self.size_bytes,
            sha256,
            chunk_count: self.sent_chunks,
            stored_at: self.runtime.now(),
        };
        statements.push(statements::publish(&self.blob, &arrived));
        statements.push(statements::discard(&self.blob.write_id));
        statements.push(statements::renew(&self.blob, &arrived));
        statements.push(statements::head(&self.blob.key));
        let answers = self.database.batch(statements).await?;
        let holder = answers.last().map(QueryResult::first::<BlobRow>).transpose()?.flatten();
        match holder {
            Some(row) if row.sha256 == sha256 => {
                Ok(PutReceipt { storage: StorageKind::D1, size_bytes: self.size_bytes, sha256, fallback_reason: None })
            }
            Some(_) => Err(StoreError::new(StoreErrorKind::KeyTaken, "other bytes are stored under the key")),
            None => {
                Err(StoreError::new(StoreErrorKind::Unavailable, "the write was swept away before it was finished"))
            }
        }
    }

    /// The statements that store the pending chunks, and the row first if it is not there.
    fn pending_statements(&mut self) -> Vec<Statement> {
        let mut statements = Vec::with_capacity(CHUNKS_PER_CALL + 5);
        if !self.begun {
            statements.push(statements::begin(&self.blob));
        }
        for chunk in self.pending.drain(..) {
            statements.push(statements::add_chunk(&self.blob.write_id, self.sent_chunks, chunk));
            self.sent_chunks += 1;
        }
        statements
    }
}

impl Hashing {
    fn update(&mut self, chunk: &Blob) {
        match (self, chunk.as_local()) {
            (Self::Done(_), _) => {}
            (Self::Running(hasher), Some(bytes)) => hasher.update(bytes),
            (Self::Running(hasher), None) => hasher.update(chunk.to_vec()),
        }
    }

    fn finish(&mut self) -> Sha256Digest {
        match self {
            Self::Done(digest) => *digest,
            Self::Running(hasher) => Sha256Digest::from_bytes(hasher.finalize_reset().into()),
        }
    }
}

/// Refuses bytes of another digest than the caller expects.
pub(super) fn verify(actual: Sha256Digest, expected: Option<Sha256Digest>) -> Result<(), StoreError> {
    match expected {
        Some(expected) if expected != actual => Err(StoreError::checksum_mismatch(expected, actual)),
        _ => Ok(()),
    }
}
