//! The originals of embedded images: chunks in the database, which stay while `embedded_write_id` names them.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use crate::bytes::Body;
use crate::catalog::{IMAGE_COLUMNS, ImageRecord, Status, queue_purges, records};
use crate::library::object_metadata;
use crate::migrate::destination::{Destination, digest};
use crate::migrate::runs::{Entry, InFlight, Stage};
use crate::migrate::source::{Change, Originals};
use crate::migrate::task::{Counted, ItemError, Refusal, SliceContext};
use crate::sql::{QueryResult, Statement};
use crate::store::{
    CHUNK_BYTES, EmbeddedStore, ImageStore, PutObject, StorageKind, StoreError, StoreErrorKind, adopt_statement,
};

/// What receipts call the place of embedded images.
pub const PLACE: &str = "d1";

const SWITCH_TO_D1: &str = "UPDATE stillstore_images SET storage = 'd1', two_homes = 1, version = version + 1, updated_at_ms = ?3, \
    embedded_write_id = (SELECT write_id FROM stillstore_blobs WHERE object_key = ?4 AND stored_at_ms IS NOT NULL) \
    WHERE id = ?1 AND version = ?2 AND status = 'stored' AND +storage = 'r2'";

const DROP_ORIGINAL: &str = "DELETE FROM stillstore_blobs WHERE write_id = ?1 AND owner_id = ?2";

const FORGET_ORIGINAL: &str = "UPDATE stillstore_images SET embedded_write_id = NULL, two_homes = fallback_reason IS NOT NULL, \
    version = version + 1, updated_at_ms = ?3 WHERE id = ?1 AND version = ?2 AND status = 'stored' AND +storage = 'r2'";

const DROP_BYTES: &str =
    "DELETE FROM stillstore_blobs WHERE object_key = ?1 AND stored_at_ms IS NOT NULL AND owner_id = ?2";

const FORGET_ENTRY: &str = "DELETE FROM stillstore_moves WHERE source = 'embedded' AND item_id = ?1 AND stage = ?2 \
    AND NOT EXISTS (SELECT 1 FROM stillstore_images WHERE id = ?1 AND status <> 'deleted')";

// Nothing is put here, only removed: a row that names its original will not come to name the copy.
const NAMES: &str = "SELECT 0 AS waits FROM stillstore_images \
    WHERE storage_key = ?1 AND status IN ('pending', 'stored') AND +storage = 'r2'";

/// What a chunk takes in the database: 4 characters for each 3 bytes begun.
const BASE64_CHARACTERS: u64 = 4;
const BASE64_BYTES: u64 = 3;

/// Statements of a put beside one a chunk: it begins, publishes, discards, renews, and looks at what is there.
pub const STATEMENTS_PER_PUT: u64 = 5;

/// The originals of [`EMBEDDED`].
pub struct EmbeddedOriginals {
    pub embedded: Rc<EmbeddedStore>,
    pub destination: Destination,
    pub prompt_in_metadata: bool,
}

#[derive(Deserialize)]
struct WriteRow {
    embedded_write_id: Option<String>,
}

/// An image in R2 as its row has it, with its first chunk when that is the original's only one.
struct Row {
    record: ImageRecord,
    write_id: Option<String>,
    only_chunk: Option<Body>,
}

impl EmbeddedOriginals {
    fn row(entry: &Entry, answer: &QueryResult) -> Result<Row, ItemError> {
        let Some(record) = records(answer)?.into_iter().next() else {
            return Err(Refusal::skipped("deleted", "the image was deleted").into());
        };
        if record.status != Status::Stored {
            return Err(Refusal::skipped("deleted", "the image was deleted").into());
        }
        if record.storage != StorageKind::R2 || entry.stage == Stage::Restored {
            return Err(Refusal::skipped("already-restored", "the image is in the database").into());
        }
        let write_id = answer.first::<WriteRow>()?.and_then(|row| row.embedded_write_id);
        Ok(Row { record, write_id, only_chunk: only_chunk(entry, answer) })
    }

    /// Reads the original and compares its digest.
    async fn verify(&self, entry: &Entry, chunk: Option<Body>, context: &SliceContext<'_>) -> Result<(), Refusal> {
        let body = if let Some(chunk) = chunk {
            chunk
        } else {
            // What is there, and each chunk.
            count_statements(context, 1 + chunks(entry));
            match self.embedded.get(&entry.key, None).await {
                Ok(Some(object)) => object.body,
                Ok(None) => return Err(Refusal::failed("original-missing", "the database does not hold the bytes")),
                Err(error) => return Err(unreadable(&error)),
            }
        };
        match digest(&*self.destination.runtime, body, entry.size_bytes).await {
            Ok(sha256) if sha256 == entry.sha256 => Ok(()),
            Ok(_) => {
                Err(Refusal::failed("original-corrupt", "the original does not have the digest of what was moved"))
            }
            Err(detail) => Err(Refusal::failed("original-unreadable", detail)),
        }
    }

    /// Copies the bytes back into the database, where they belong to nobody until the row names them.
    async fn bring_back(&self, entry: &Entry, record: &ImageRecord, context: &SliceContext<'_>) -> Result<(), Refusal> {
        let object = self.destination.open(entry, context).await?;
        count_statements(context, STATEMENTS_PER_PUT + chunks(entry));
        let description = &record.description;
        let put = self.embedded.put(PutObject {
            key: entry.key.clone(),
            body: object.body,
            media: description.format.into(),
            sha256: Some(entry.sha256),
            metadata: object_metadata(description, record.generation.as_ref(), self.prompt_in_metadata),
        });
        match put.await {
            Ok(_) => self.verify(entry, None, context).await,
            Err(error) => Err(match error.kind {
                StoreErrorKind::ChecksumMismatch => {
                    Refusal::failed("digest-differs", "the copy does not have the digest of what was moved")
                }
                StoreErrorKind::TooLarge { limit_bytes } => too_large(limit_bytes),
                _ => Refusal::failed("database-unavailable", error.code()),
            }),
        }
    }
}

#[async_trait(?Send)]
impl Originals for EmbeddedOriginals {
    fn load(&self, entry: &Entry) -> Statement {
        Statement::new(format!(
            "SELECT {IMAGE_COLUMNS}, data FROM stillstore_images \
             LEFT JOIN stillstore_chunks ON write_id = embedded_write_id AND chunk_index = 0 AND size_bytes <= ?2 WHERE id = ?1"
        ))
        .bind(entry.item.as_str())
        .bind(i64::try_from(CHUNK_BYTES).unwrap_or(i64::MAX))
        .with_bytes_column("data")
    }

    async fn restore(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError> {
        let row = Self::row(entry, row)?;
        let id = row.record.description.id;
        let mut statements = Vec::new();
        if row.write_id.is_some() {
            self.verify(entry, row.only_chunk, context).await?;
        } else {
            statements.push(adopt_statement(&entry.key, &id));
            self.bring_back(entry, &row.record, context).await?;
        }
        statements.push(
            Statement::new(SWITCH_TO_D1)
                .bind(id.to_string())
                .bind(row.record.version)
                .bind(context.runtime.now().as_millis())
                .bind(entry.key.as_str()),
        );
        let fallback = row.record.fallback_reason.is_some();
        let counted = Some(Counted { to: StorageKind::D1, size_bytes: entry.size_bytes, fallback });
        Ok(Change { statements, original: entry.original.clone(), counted, ..Change::default() })
    }

    async fn forget(
        &self,
        entry: &Entry,
        row: &QueryResult,
        context: &SliceContext<'_>,
    ) -> Result<Option<Change>, ItemError> {
        if records(row)?.first().is_some_and(|record| record.status != Status::Deleted) {
            return Ok(None);
        }
        let id = entry.image_id.to_string();
        let statements = vec![
            queue_purges(&[entry.image_id], context.runtime.now())?,
            Statement::new(DROP_BYTES).bind(entry.key.as_str()).bind(id.as_str()),
            Statement::new(FORGET_ENTRY).bind(id).bind(entry.stage.as_str()),
        ];
        Ok(Some(Change { statements, ..Change::default() }))
    }

    async fn check(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<(), ItemError> {
        let row = Self::row(entry, row)?;
        match row.write_id {
            Some(_) => self.verify(entry, row.only_chunk, context).await?,
            None => self.destination.read_back(entry, context).await?,
        }
        Ok(())
    }

    async fn holds(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<(), ItemError> {
        match records(row)?.first() {
            Some(record) if record.status == Status::Stored && record.storage == StorageKind::D1 => {
                Ok(self.verify(entry, only_chunk(entry, row), context).await?)
            }
            _ => Err(Refusal::skipped("changed-meanwhile", "the row names no original").into()),
        }
    }

    async fn clean(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError> {
        let row = Self::row(entry, row)?;
        let Some(write_id) = row.write_id else {
            return Err(Refusal::skipped("already-cleaned", "the database does not hold the original").into());
        };
        self.destination.read_back(entry, context).await?;
        let id = entry.image_id.to_string();
        let statements = vec![
            Statement::new(DROP_ORIGINAL).bind(write_id).bind(id.as_str()),
            Statement::new(FORGET_ORIGINAL).bind(id).bind(row.record.version).bind(context.runtime.now().as_millis()),
        ];
        let freed_bytes = entry.size_bytes.div_ceil(BASE64_BYTES) * BASE64_CHARACTERS;
        Ok(Change { statements, original: json!({}), freed_bytes, ..Change::default() })
    }

    fn operations_per_item(&self) -> u64 {
        const ENTRY: u64 = 1;
        const ROW: u64 = 1;
        const COPY: u64 = 1;
        const ONE_CHUNK: u64 = 1;
        const READ_BACK: u64 = 1 + ONE_CHUNK;
        const OWNER: u64 = 1;
        const SWITCH_AND_JOURNAL: u64 = 2;
        const GUARDS: u64 = 2;
        const REMOVE_COPY: u64 = 1;
        ENTRY
            + ROW
            + COPY
            + STATEMENTS_PER_PUT
            + ONE_CHUNK
            + READ_BACK
            + OWNER
            + SWITCH_AND_JOURNAL
            + GUARDS
            + REMOVE_COPY
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        Statement::new(NAMES).bind(in_flight.key.as_str())
    }
}

/// The database cannot hold the image.
pub fn too_large(limit_bytes: u64) -> Refusal {
    Refusal::failed("too-large", format!("the database takes images of up to {limit_bytes} bytes"))
}

fn unreadable(error: &StoreError) -> Refusal {
    if error.kind == StoreErrorKind::Unavailable {
        Refusal::of_source("original-unreadable", error.code())
    } else {
        Refusal::failed("original-unreadable", error.code())
    }
}

fn chunks(entry: &Entry) -> u64 {
    entry.size_bytes.div_ceil(CHUNK_BYTES as u64)
}

/// Counts what the embedded store asks, at most.
fn count_statements(context: &SliceContext<'_>, statements: u64) {
    context.count(|operations| operations.count_database(statements, statements));
}

/// The chunk that came with the row, when it is all of the original.
fn only_chunk(entry: &Entry, answer: &QueryResult) -> Option<Body> {
    let chunk = answer.bytes.iter().flatten().next().cloned();
    chunk.filter(|chunk| chunk.size_bytes() as u64 == entry.size_bytes).map(Body::from)
}
