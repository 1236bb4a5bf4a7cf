//! All SQL of the embedded store.

use crate::bytes::Blob;
use crate::image::{ImageId, ObjectKey, Sha256Digest};
use crate::runtime::Timestamp;
use crate::sql::{Statement, Value};

/// The columns that [`super::read::BlobRow`] is made of.
macro_rules! blob_columns {
    () => {
        "object_key, write_id, size_bytes, sha256, content_type, metadata_json, stored_at_ms"
    };
}

/// A write that has begun.
pub(super) struct NewBlob {
    /// Names the write's chunks: 32 random hexadecimal digits.
    pub write_id: String,
    pub key: ObjectKey,
    pub content_type: &'static str,
    pub metadata_json: String,
    pub created_at: Timestamp,
}

/// What is known once all bytes of a write have arrived.
pub(super) struct Arrived {
    pub size_bytes: u64,
    pub sha256: Sha256Digest,
    pub chunk_count: u32,
    pub stored_at: Timestamp,
}

/// Marks the object under `key` as belonging to the image `image_id`, so that the sweep leaves it alone.
///
/// For the transaction that commits the image's row: when there is no such object (swept away, never stored) or another image
/// owns it, the statement fails with [`crate::sql::DatabaseErrorKind::Constraint`] and the transaction with it. Repeating it is fine.
#[must_use]
pub fn adopt_statement(key: &ObjectKey, image_id: &ImageId) -> Statement {
    // An UPDATE that finds no row succeeds. This fails: the subquery yields NULL, which `write_id` refuses.
    Statement::new(
        "INSERT INTO stillstore_blobs (write_id, object_key, content_type, metadata_json, created_at_ms, owner_id) \
         VALUES ((SELECT write_id FROM stillstore_blobs WHERE object_key = ?1 AND stored_at_ms IS NOT NULL \
                  AND (owner_id IS NULL OR owner_id = ?2)), ?1, '', '{}', 0, ?2) \
         ON CONFLICT (write_id) DO UPDATE SET owner_id = excluded.owner_id",
    )
    .bind(key.as_str())
    .bind(image_id.to_string())
}

/// Begins a write: an invisible row for its chunks to hang on.
pub(super) fn begin(blob: &NewBlob) -> Statement {
    Statement::new(
        "INSERT INTO stillstore_blobs (write_id, object_key, content_type, metadata_json, created_at_ms) \
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .bind(blob.write_id.as_str())
    .bind(blob.key.as_str())
    .bind(blob.content_type)
    .bind(blob.metadata_json.as_str())
    .bind(blob.created_at.as_millis())
}

/// Adds a chunk; fails by its foreign key when the write was swept away meanwhile.
pub(super) fn add_chunk(write_id: &str, chunk_index: u32, data: Blob) -> Statement {
    Statement::new("INSERT INTO stillstore_chunks (write_id, chunk_index, data) VALUES (?1, ?2, ?3)")
        .bind(write_id)
        .bind(i64::from(chunk_index))
        .bind(data)
}

/// Makes a write visible if all its chunks are there and its key is free.
pub(super) fn publish(blob: &NewBlob, arrived: &Arrived) -> Statement {
    Statement::new(
        "UPDATE stillstore_blobs SET size_bytes = ?2, sha256 = ?3, stored_at_ms = ?4 \
         WHERE write_id = ?1 AND stored_at_ms IS NULL \
         AND (SELECT count(*) FROM stillstore_chunks WHERE write_id = ?1) = ?5 \
         AND NOT EXISTS (SELECT 1 FROM stillstore_blobs WHERE object_key = ?6 AND stored_at_ms IS NOT NULL)",
    )
    .bind(blob.write_id.as_str())
    .bind(integer(arrived.size_bytes))
    .bind(arrived.sha256.to_string())
    .bind(arrived.stored_at.as_millis())
    .bind(i64::from(arrived.chunk_count))
    .bind(blob.key.as_str())
}

/// Removes a write that is not visible, with its chunks.
pub(super) fn discard(write_id: &str) -> Statement {
    Statement::new("DELETE FROM stillstore_blobs WHERE write_id = ?1 AND stored_at_ms IS NULL").bind(write_id)
}

/// Starts the time until the sweep afresh for an unowned object with the same bytes: its new writer is about to adopt it.
pub(super) fn renew(blob: &NewBlob, arrived: &Arrived) -> Statement {
    Statement::new(
        "UPDATE stillstore_blobs SET created_at_ms = ?2 WHERE object_key = ?1 AND stored_at_ms IS NOT NULL \
         AND owner_id IS NULL AND sha256 = ?3 AND created_at_ms < ?2",
    )
    .bind(blob.key.as_str())
    .bind(blob.created_at.as_millis())
    .bind(arrived.sha256.to_string())
}

/// What is known of the object under `key`.
pub(super) fn head(key: &ObjectKey) -> Statement {
    Statement::new(concat!(
        "SELECT ",
        blob_columns!(),
        " FROM stillstore_blobs WHERE object_key = ?1 AND stored_at_ms IS NOT NULL"
    ))
    .bind(key.as_str())
}

/// What is known of the object under `key`, and one of its chunks.
pub(super) fn open(key: &ObjectKey, chunk_index: u64) -> Statement {
    Statement::new(
        "SELECT object_key, blob.write_id, size_bytes, sha256, content_type, metadata_json, stored_at_ms, data \
         FROM stillstore_blobs AS blob LEFT JOIN stillstore_chunks AS chunk \
         ON chunk.write_id = blob.write_id AND chunk.chunk_index = ?2 \
         WHERE object_key = ?1 AND stored_at_ms IS NOT NULL",
    )
    .bind(key.as_str())
    .bind(integer(chunk_index))
    .with_bytes_column("data")
}

/// One chunk of a write.
pub(super) fn chunk(write_id: &str, chunk_index: u64) -> Statement {
    Statement::new("SELECT data FROM stillstore_chunks WHERE write_id = ?1 AND chunk_index = ?2")
        .bind(write_id)
        .bind(integer(chunk_index))
        .with_bytes_column("data")
}

/// Removes the object under `key`, with its chunks.
pub(super) fn delete(key: &ObjectKey) -> Statement {
    Statement::new("DELETE FROM stillstore_blobs WHERE object_key = ?1 AND stored_at_ms IS NOT NULL").bind(key.as_str())
}

/// The first `max_rows` objects under `prefix`, after `start_after`.
pub(super) fn list(prefix: &str, start_after: Option<&ObjectKey>, max_rows: u16) -> Statement {
    // Keys are made of the bytes '!' to '~'. So the next key after K is at least K + '!', and all that start with P are below P + DEL.
    // One lower and one upper bound let the index do all the work.
    let after = start_after.map(|key| format!("{key}!")).unwrap_or_default();
    let from = if after.as_str() > prefix { after } else { prefix.to_owned() };
    Statement::new(concat!(
        "SELECT ",
        blob_columns!(),
        " FROM stillstore_blobs WHERE stored_at_ms IS NOT NULL AND object_key >= ?1 AND object_key < ?2 \
         ORDER BY object_key LIMIT ?3"
    ))
    .bind(from)
    .bind(format!("{prefix}\u{7f}"))
    .bind(i64::from(max_rows))
}

/// Removes up to `limit` writes begun before `older_than` that no image owns, the oldest first; a row for each.
pub(crate) fn sweep_statement(older_than: Timestamp, limit: u16) -> Statement {
    Statement::new(
        "DELETE FROM stillstore_blobs WHERE write_id IN (SELECT write_id FROM stillstore_blobs \
         WHERE owner_id IS NULL AND created_at_ms < ?1 ORDER BY created_at_ms LIMIT ?2) RETURNING write_id",
    )
    .bind(older_than.as_millis())
    .bind(i64::from(limit))
}

fn integer(number: u64) -> Value {
    Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Removes the objects under the keys in a JSON array, with their chunks.
pub(super) fn delete_all(keys_json: &str) -> Statement {
    Statement::new(
        "DELETE FROM stillstore_blobs WHERE stored_at_ms IS NOT NULL AND object_key IN (SELECT value FROM json_each(?1))",
    )
    .bind(keys_json)
}
