//! Images as rows of the relational database.

mod chunk;
mod read;
mod statements;
mod write;

pub use chunk::{CHUNK_BYTES, CHUNKS_PER_CALL, EMBEDDED_MAX_BYTES};
pub use statements::adopt_statement;
pub(crate) use statements::sweep_statement;

use std::rc::Rc;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use super::{
    ByteRange, ImageStore, LIST_LIMIT, ListPage, ObjectInfo, PutObject, PutReceipt, StorageKind, StoreError,
    StoreErrorKind, StoredObject,
};
use crate::bytes::{Body, BodyParts};
use crate::image::ObjectKey;
use crate::runtime::{Runtime, Timestamp};
use crate::sql::{Database, to_json};
use read::BlobRow;
use statements::NewBlob;
use write::{Hashing, Write, verify};

/// A good `limit` for [`EmbeddedStore::sweep`]: 32 objects of at most 25 chunks are 800 rows, 1.1 GB of pages to free at worst and
/// about 100 MB for usual images, within D1's 30 seconds a query.
pub const SWEEP_LIMIT: u16 = 32;

/// Keeps images in the tables `stillstore_blobs` and `stillstore_chunks`.
///
/// - Up to [`CHUNKS_PER_CALL`] chunks are stored by one call, which is one transaction. More take a call for each
///   [`CHUNKS_PER_CALL`], under a write id of their own that the last call makes visible if all chunks are there.
/// - A body that is all there is hashed and stored without entering wasm memory. A streamed one is hashed as it passes, through a
///   copy of one chunk at a time.
/// - An object belongs to nobody until the transaction that names it runs [`adopt_statement`]; [`EmbeddedStore::sweep`] removes
///   what was never adopted and what never became visible.
/// - Reading fetches the first chunk with the row and each other chunk when it is asked for. An object that is deleted while it is
///   being read ends as [`crate::bytes::BodyError::Interrupted`].
pub struct EmbeddedStore {
    database: Rc<dyn Database>,
    runtime: Rc<dyn Runtime>,
}

impl EmbeddedStore {
    /// A store in `database`, whose migrations are applied.
    #[must_use]
    pub fn new(database: Rc<dyn Database>, runtime: Rc<dyn Runtime>) -> Self {
        Self { database, runtime }
    }

    /// Removes up to `limit` objects and unfinished writes that began before `older_than` and that no image owns; says how many.
    /// Fewer than `limit` means that none are left.
    ///
    /// # Errors
    /// [`StoreErrorKind::Unavailable`] when the database fails; some may have been removed.
    pub async fn sweep(&self, older_than: Timestamp, limit: u16) -> Result<u64, StoreError> {
        let swept = self.database.run(statements::sweep_statement(older_than, limit)).await?;
        // Counted by rows: `changes` counts the chunks too on some databases.
        Ok(swept.rows::<serde_json::Value>()?.len() as u64)
    }
}

#[async_trait(?Send)]
impl ImageStore for EmbeddedStore {
    fn kind(&self) -> StorageKind {
        StorageKind::D1
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        let PutObject { key, body, media, sha256: expected, metadata } = object;
        let promised_bytes = body.promised_bytes();
        if promised_bytes.is_some_and(|bytes| bytes > EMBEDDED_MAX_BYTES) {
            return Err(StoreError::too_large(EMBEDDED_MAX_BYTES));
        }
        let (body, hashing) = match body.into_parts() {
            BodyParts::Blob(blob) => {
                let digest = self.runtime.sha256(&blob).await;
                verify(digest, expected)?;
                (Body::from(blob), Hashing::Done(digest))
            }
            BodyParts::Source(source) => (Body::from_source(source, promised_bytes), Hashing::Running(Sha256::new())),
        };
        let blob = NewBlob {
            write_id: hex::encode(self.runtime.random_bytes()),
            key,
            content_type: media.content_type(),
            metadata_json: serde_json::to_string(&metadata)
                .map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error.to_string()))?,
            created_at: self.runtime.now(),
        };
        let mut write = Write::new(&*self.database, &*self.runtime, blob, hashing);
        let stored = write.store(body, expected).await;
        if stored.is_err() {
            write.discard().await;
        }
        stored
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        let first_chunk = range.map_or(0, |range| range.offset_bytes / CHUNK_BYTES as u64);
        let answer = self.database.run(statements::open(key, first_chunk)).await?;
        let Some(row) = answer.first::<BlobRow>()? else { return Ok(None) };
        let chunk = answer.bytes.into_iter().next().flatten();
        read::open(&self.database, row, range, chunk).map(Some)
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let answer = self.database.run(statements::head(key)).await?;
        answer.first::<BlobRow>()?.map(BlobRow::into_info).transpose()
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.database.run(statements::delete(key)).await?;
        Ok(())
    }

    async fn delete_all(&self, keys: &[ObjectKey]) -> Result<(), StoreError> {
        self.database.run(statements::delete_all(&to_json(keys)?)).await?;
        Ok(())
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        let limit = limit.clamp(1, LIST_LIMIT);
        let answer = self.database.run(statements::list(prefix, start_after, limit + 1)).await?;
        let mut rows = answer.rows::<BlobRow>()?;
        let truncated = rows.len() > usize::from(limit);
        rows.truncate(usize::from(limit));
        let objects = rows.into_iter().map(BlobRow::into_info).collect::<Result<_, _>>()?;
        Ok(ListPage { objects, truncated })
    }
}
