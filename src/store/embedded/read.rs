//! Reading one object, chunk by chunk.

use std::any::Any;
use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;

use super::chunk::CHUNK_BYTES;
use super::statements;
use crate::bytes::{Blob, Body, BodyError, ByteQueue, ByteSource};
use crate::image::{ObjectKey, Sha256Digest};
use crate::runtime::Timestamp;
use crate::sql::Database;
use crate::store::{ByteRange, ObjectInfo, StoreError, StoreErrorKind, StoredObject};

/// A visible row of `stillstore_blobs`.
#[derive(Deserialize)]
pub(super) struct BlobRow {
    object_key: ObjectKey,
    write_id: String,
    size_bytes: u64,
    pub sha256: Sha256Digest,
    content_type: String,
    metadata_json: String,
    stored_at_ms: Timestamp,
}

impl BlobRow {
    pub(super) fn into_info(self) -> Result<ObjectInfo, StoreError> {
        let metadata =
            serde_json::from_str(&self.metadata_json).map_err(|error| corrupt(format!("metadata: {error}")))?;
        Ok(ObjectInfo {
            key: self.object_key,
            size_bytes: self.size_bytes,
            sha256: Some(self.sha256),
            content_type: self.content_type,
            metadata,
            stored_at: self.stored_at_ms,
        })
    }
}

/// The object of `row`, or the part in `range`; `chunk` is the one that the range starts in.
pub(super) fn open(
    database: &Rc<dyn Database>,
    row: BlobRow,
    range: Option<ByteRange>,
    chunk: Option<Blob>,
) -> Result<StoredObject, StoreError> {
    let (object_bytes, sha256) = (row.size_bytes, Some(row.sha256));
    let end =
        range.map_or(object_bytes, |range| range.offset_bytes.saturating_add(range.length_bytes).min(object_bytes));
    let start = range.map_or(0, |range| range.offset_bytes).min(end);
    if start == end {
        return Ok(StoredObject { size_bytes: object_bytes, sha256, body: Body::empty() });
    }
    let mut source = ChunkSource {
        database: Rc::clone(database),
        write_id: row.write_id,
        object_bytes,
        position: start,
        end,
        fetched: ByteQueue::default(),
    };
    source.accept(chunk).map_err(corrupt)?;
    let body = if source.position == end {
        source.fetched.take(CHUNK_BYTES).map_or_else(Body::empty, Body::from)
    } else {
        Body::from_source(Box::new(source), Some(end - start))
    };
    Ok(StoredObject { size_bytes: object_bytes, sha256, body })
}

/// The bytes of an object up to `end`, fetched when they are asked for.
struct ChunkSource {
    database: Rc<dyn Database>,
    write_id: String,
    object_bytes: u64,
    /// How far into the object was fetched.
    position: u64,
    end: u64,
    /// Fetched and not yet handed out.
    fetched: ByteQueue,
}

impl ChunkSource {
    /// Takes the chunk that holds `position`, cut to what is wanted of it.
    fn accept(&mut self, chunk: Option<Blob>) -> Result<(), String> {
        let chunk_bytes = CHUNK_BYTES as u64;
        let index = self.position / chunk_bytes;
        let chunk_start = index * chunk_bytes;
        let Some(chunk) = chunk else { return Err(format!("chunk {index} is missing")) };
        if chunk.size_bytes() as u64 != (self.object_bytes - chunk_start).min(chunk_bytes) {
            return Err(format!("chunk {index} has {} bytes", chunk.size_bytes()));
        }
        let skipped = within_chunk(self.position - chunk_start);
        let wanted = within_chunk(self.end - chunk_start);
        let run = chunk.slice(skipped..wanted);
        self.position += run.size_bytes() as u64;
        self.fetched.push(run);
        Ok(())
    }

    /// Fetches until `max_bytes` or the end are there.
    async fn fetch(&mut self, max_bytes: usize) -> Result<(), BodyError> {
        while self.position < self.end && self.fetched.size_bytes() < max_bytes {
            let statement = statements::chunk(&self.write_id, self.position / CHUNK_BYTES as u64);
            let answer =
                self.database.run(statement).await.map_err(|error| BodyError::Interrupted(error.to_string()))?;
            self.accept(answer.bytes.into_iter().next().flatten()).map_err(BodyError::Interrupted)?;
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl ByteSource for ChunkSource {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        self.fetch(max_bytes).await?;
        Ok(self.fetched.peek(max_bytes))
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        self.fetch(max_bytes).await?;
        Ok(self.fetched.take(max_bytes))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// An offset into a chunk, cut to its length.
fn within_chunk(offset_bytes: u64) -> usize {
    usize::try_from(offset_bytes).map_or(CHUNK_BYTES, |offset| offset.min(CHUNK_BYTES))
}

fn corrupt(detail: String) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, detail)
}
