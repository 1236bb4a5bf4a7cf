//! Images of our own whose bytes the database holds, for a backup.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::originals::PLACE;
use crate::bytes::Blob;
use crate::catalog::Status;
use crate::image::{Sha256Digest, Visibility};
use crate::migrate::archive::backup::{BackupItem, Data, Split, blob_extent};
use crate::migrate::archive::{PieceError, Pieces, Saving, refusal};
use crate::migrate::runs::{IdType, Line, Run, Verdict};
use crate::migrate::source::{EMBEDDED, SavedRows};
use crate::migrate::task::{
    Bounds, Interruption, Page, PageItem, Refusal, SliceContext, item_id, listed_ids, listed_page,
};
use crate::runtime::Timestamp;
use crate::sql::{Database, DatabaseError, QueryResult, Statement, from_json};
use crate::store::{CHUNK_BYTES, StorageKind};

const SELECT: &str = "SELECT stillstore_images.*, data FROM stillstore_images";

const JOIN: &str =
    "LEFT JOIN stillstore_chunks ON write_id = embedded_write_id AND chunk_index = 0 AND size_bytes <= ?1";

// One that moved to R2 counts as long as the database keeps its original.
const EMBEDDED_IMAGES: &str = "status = 'stored' AND (storage = 'd1' OR embedded_write_id IS NOT NULL)";

const SELECT_CHUNK: &str = "SELECT data FROM stillstore_chunks WHERE write_id = ?1 AND chunk_index = ?2";

/// Before all images; further back than any clock goes, and exact as a JS number.
const EARLIEST: Timestamp = Timestamp::from_millis(-(1 << 52));

/// The rows of [`EMBEDDED`].
pub struct EmbeddedSavedRows {
    pub database: Rc<dyn Database>,
    /// Whoever knows a key can read the object.
    pub bucket_is_public: bool,
}

/// The image behind which the next slice begins, in order of creation.
#[derive(Deserialize)]
struct Cursor {
    at: Timestamp,
    id: String,
}

/// What a backup looks at in a row; all of it goes into the backup.
#[derive(Deserialize)]
struct Row {
    id: String,
    status: Status,
    storage: StorageKind,
    visibility: Visibility,
    content_type: String,
    size_bytes: Option<u64>,
    sha256: Option<Sha256Digest>,
    embedded_write_id: Option<String>,
    created_at_ms: Timestamp,
}

/// A row, as the database wrote it, and its only chunk when it has one.
struct Found {
    row: Row,
    columns: Box<RawValue>,
    inline: Option<Blob>,
}

impl EmbeddedSavedRows {
    fn saving(&self, Found { row, columns, inline }: Found) -> Result<Result<Saving, Refusal>, DatabaseError> {
        if row.status != Status::Stored {
            return Ok(Err(Refusal::failed("not-found", "there is no such image")));
        }
        if row.storage != StorageKind::D1 && row.embedded_write_id.is_none() {
            return Ok(Err(Refusal::skipped("moved", "the image is in R2 only")));
        }
        if self.bucket_is_public && row.visibility == Visibility::Private {
            let detail = "whoever knew the backup's key could read it";
            return Ok(Err(Refusal::withheld("private-image-and-public-bucket", detail)));
        }
        let (Some(write_id), Some(size_bytes), Some(sha256)) = (row.embedded_write_id, row.size_bytes, row.sha256)
        else {
            return Ok(Err(missing()));
        };
        let id = item_id(IdType::Text, &row.id)?;
        let chunks = u32::try_from(size_bytes.div_ceil(CHUNK_BYTES as u64)).unwrap_or(u32::MAX);
        Ok(Ok(Saving {
            line: Line::new(id.clone(), Verdict::Saved)
                .with_bytes(sha256, size_bytes, row.content_type)
                .from_place(PLACE),
            data_bytes: size_bytes,
            extent: blob_extent(&id, size_bytes),
            reads: if inline.is_some() { 0 } else { u64::from(chunks) },
            pieces: Rc::new(Chunks { database: Rc::clone(&self.database), write_id, count: chunks, inline }),
            item: BackupItem {
                id,
                source: EMBEDDED.to_owned(),
                columns,
                data: Data::Blob { bytes: size_bytes, sha256 },
            },
        }))
    }
}

#[async_trait(?Send)]
impl SavedRows for EmbeddedSavedRows {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        // Images of one chunk come with it. The chunks of a longer one are read when they are written.
        let inline_max_bytes = i64::try_from(bounds.inline_max_bytes.min(CHUNK_BYTES as u64)).unwrap_or(i64::MAX);
        if let Some(ids) = listed_ids(run, bounds.limit) {
            let select =
                |id: &str| Statement::new(format!("{SELECT} {JOIN} WHERE id = ?2")).bind(inline_max_bytes).bind(id);
            return Ok(ids.into_iter().map(|id| select(id).with_bytes_column("data")).collect());
        }
        let cursor = run.cursor.as_ref().map(|cursor| from_json(&cursor.to_string())).transpose()?;
        let Cursor { at, id } = cursor.unwrap_or(Cursor { at: EARLIEST, id: String::new() });
        let sql = format!(
            "{SELECT} INDEXED BY stillstore_images_by_status {JOIN} WHERE {EMBEDDED_IMAGES} \
             AND (created_at_ms, id) > (?2, ?3) ORDER BY created_at_ms, id LIMIT ?4"
        );
        let select =
            Statement::new(sql).bind(inline_max_bytes).bind(at.as_millis()).bind(id).bind(i64::from(bounds.limit));
        Ok(vec![select.with_bytes_column("data")])
    }

    fn count(&self, _run: &Run) -> Statement {
        // Looks at every stored image, once a run.
        Statement::new(format!("SELECT count(*) AS items FROM stillstore_images WHERE {EMBEDDED_IMAGES}"))
    }

    async fn read(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        _context: &SliceContext<'_>,
    ) -> Result<Page<Result<Saving, Refusal>>, Interruption> {
        let one = |answer: &QueryResult| rows(answer)?.pop().map(|found| self.saving(found)).transpose();
        let mut page = if let Some(listed) = listed_page(run, IdType::Text, &found, one)? {
            listed
        } else {
            let found = found.first().map(rows).transpose()?.unwrap_or_default();
            let is_last = found.len() < usize::from(bounds.limit);
            let page_item = |found: Found| {
                let cursor = json!({ "at": found.row.created_at_ms.as_millis(), "id": found.row.id });
                Ok(PageItem { id: item_id(IdType::Text, &found.row.id)?, cursor, found: Some(self.saving(found)?) })
            };
            let items = found.into_iter().map(page_item).collect::<Result<_, DatabaseError>>()?;
            Page { items, is_last, largest_bytes: 0 }
        };
        // Of a longer one no more than a row is read at first.
        let savings = page.items.iter().filter_map(|item| item.found.as_ref()?.as_ref().ok());
        let sizes = savings.map(|saving| saving.data_bytes.min(CHUNK_BYTES as u64));
        page.largest_bytes = sizes.max().unwrap_or(0);
        Ok(page)
    }
}

fn rows(answer: &QueryResult) -> Result<Vec<Found>, DatabaseError> {
    let columns = answer.raw_rows()?;
    let found = answer.rows::<Row>()?.into_iter().zip(columns).zip(answer.bytes.iter().cloned());
    Ok(found.map(|((row, columns), inline)| Found { row, columns, inline }).collect())
}

fn missing() -> Refusal {
    Refusal::failed("original-missing", "the database does not hold the bytes")
}

/// The chunks of an image.
struct Chunks {
    database: Rc<dyn Database>,
    write_id: String,
    count: u32,
    /// The only one.
    inline: Option<Blob>,
}

#[async_trait(?Send)]
impl Pieces for Chunks {
    async fn lines(&self, index: u32, split: &mut Split) -> Result<Option<String>, PieceError> {
        if index >= self.count {
            return Ok(None);
        }
        let chunk = if let Some(inline) = &self.inline {
            inline.clone()
        } else {
            let select = Statement::new(SELECT_CHUNK).bind(self.write_id.as_str()).bind(i64::from(index));
            let answer = self.database.run(select.with_bytes_column("data")).await.map_err(PieceError::Database)?;
            answer.bytes.into_iter().next().flatten().ok_or_else(|| PieceError::Item(missing()))?
        };
        let changed = |error| PieceError::Item(refusal(error));
        let lines = match chunk.as_local() {
            Some(bytes) => split.blob(bytes).map_err(changed)?.collect(),
            None => split.blob(&chunk.to_vec()).map_err(changed)?.collect(),
        };
        Ok(Some(lines))
    }
}
