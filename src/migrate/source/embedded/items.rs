//! Images of our own that are embedded in the database, on their way into the bucket.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::bytes::{Blob, Body, ByteQueue};
use crate::catalog::{Description, IMAGE_COLUMNS, ImageRecord, Status, records};
use crate::image::{Sha256Digest, Visibility};
use crate::library::object_metadata;
use crate::migrate::destination::NewCopy;
use crate::migrate::runs::{Entry, IdType, InFlight, Run, Stage, journal};
use crate::migrate::source::{Contents, EMBEDDED, Items, Movable, Prepared, Surroundings, Switch};
use crate::migrate::task::{
    Bounds, Counted, Interruption, Page, PageItem, Refusal, SliceContext, item_id, listed_ids, listed_page,
};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, from_json};
use crate::store::{CHUNK_BYTES, EmbeddedStore, ImageStore, Media, PutReceipt, StorageKind, StoreErrorKind};

// An upsert, because one that finds its row counts as no row read. Without the row, the schema refuses what it would insert.
const SWITCH_TO_R2: &str = "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, \
    version, created_at_ms, updated_at_ms) VALUES (?1, 'pending', 'd1', '', '', 'public', '{}', 1, ?3, ?3) \
    ON CONFLICT (id) DO UPDATE SET storage = 'r2', two_homes = 1, version = version + 1, updated_at_ms = excluded.updated_at_ms \
    WHERE version = ?2 AND status = 'stored' AND storage = 'd1'";

const NAMES: &str =
    "SELECT storage = 'd1' AS waits FROM stillstore_images WHERE storage_key = ?1 AND status IN ('pending', 'stored')";

const COUNT: &str = "SELECT sum(images) AS items FROM stillstore_counters WHERE status = 'stored' AND storage = 'd1' AND fallback IN (0, 1)";

/// Before all images; further back than any clock goes, and exact as a JS number.
const EARLIEST: Timestamp = Timestamp::from_millis(-(1 << 52));

/// The embedded images.
pub struct EmbeddedItems {
    pub surroundings: Surroundings,
    /// Images that fell back only.
    pub fallback_only: bool,
}

/// The image behind which the next slice begins, in order of creation.
#[derive(Deserialize)]
struct Cursor {
    at: Timestamp,
    id: String,
}

/// An embedded image as it was read.
struct Found {
    record: ImageRecord,
    write_id: Option<String>,
    /// How far an earlier move of it went.
    stage: Option<Stage>,
    /// Its chunks, when all of the slice's fit in memory together.
    chunks: Vec<Blob>,
}

/// An embedded image that can be moved.
struct Ready {
    found: Found,
    write_id: String,
    contents: Contents,
    embedded: Rc<EmbeddedStore>,
    prompt_in_metadata: bool,
    /// Images of up to so many bytes are read together with those of the slice's other images.
    inline_max_bytes: u64,
}

#[derive(Deserialize)]
struct WriteRow {
    embedded_write_id: Option<String>,
    stage: Option<Stage>,
}

impl EmbeddedItems {
    fn ready(&self, found: Found, inline_max_bytes: u64) -> Result<Box<dyn Movable>, Refusal> {
        let record = &found.record;
        if record.status != Status::Stored {
            return Err(Refusal::failed("not-found", "there is no such image"));
        }
        if record.storage != StorageKind::D1 {
            return Err(Refusal::skipped("already-moved", "the image is in R2"));
        }
        if self.surroundings.bucket_is_public && record.description.visibility == Visibility::Private {
            return Err(Refusal::withheld("private-image-and-public-bucket", "whoever knew its key could read it"));
        }
        let (Some(content), Some(write_id)) = (&record.content, &found.write_id) else {
            return Err(missing());
        };
        Ok(Box::new(Ready {
            contents: Contents { size_bytes: content.size_bytes, sha256: content.sha256 },
            write_id: write_id.clone(),
            found,
            embedded: Rc::clone(&self.surroundings.embedded),
            prompt_in_metadata: self.surroundings.prompt_in_metadata,
            inline_max_bytes,
        }))
    }
}

#[async_trait(?Send)]
impl Items for EmbeddedItems {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        // Images of one chunk come with it.
        let inline_max_bytes = bounds.inline_max_bytes.min(CHUNK_BYTES as u64);
        let select = |rest: &str| {
            Statement::new(format!(
                "SELECT {IMAGE_COLUMNS}, data, (SELECT stage FROM stillstore_moves \
                 WHERE source = 'embedded' AND item_id = id) AS stage FROM stillstore_images {rest}"
            ))
        };
        let join =
            "LEFT JOIN stillstore_chunks ON write_id = embedded_write_id AND chunk_index = 0 AND size_bytes <= ?1";
        if let Some(ids) = listed_ids(run, bounds.limit) {
            let sql = format!("{join} WHERE id = ?2");
            let one = |id| select(&sql).bind(integer(inline_max_bytes)).bind(id).with_bytes_column("data");
            return Ok(ids.into_iter().map(one).collect());
        }
        let Cursor { at, id } = cursor_of(run)?.unwrap_or(Cursor { at: EARLIEST, id: String::new() });
        let fallback = if self.fallback_only { "AND fallback_reason IS NOT NULL" } else { "" };
        let sql = format!(
            "INDEXED BY stillstore_images_by_storage {join} WHERE status = 'stored' AND storage = 'd1' {fallback} \
             AND (created_at_ms, id) > (?2, ?3) ORDER BY created_at_ms, id LIMIT ?4"
        );
        Ok(vec![
            select(&sql)
                .bind(integer(inline_max_bytes))
                .bind(at.as_millis())
                .bind(id)
                .bind(i64::from(bounds.limit))
                .with_bytes_column("data"),
        ])
    }

    fn count(&self, _run: &Run) -> Statement {
        Statement::new(COUNT)
    }

    async fn prepare(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        _context: &SliceContext<'_>,
    ) -> Result<Prepared, Interruption> {
        let Page { items, is_last, largest_bytes } = page(run, &found, bounds)?;
        let items = items.into_iter().map(|PageItem { id, found, cursor }| {
            let found = found.ok_or_else(|| Refusal::failed("not-found", "there is no such image"));
            let found = Some(found.and_then(|found| self.ready(found, bounds.inline_max_bytes)));
            PageItem { id, found, cursor }
        });
        Ok(Prepared::of(Page { items: items.collect(), is_last, largest_bytes }))
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        Statement::new(NAMES).bind(in_flight.key.as_str())
    }
}

#[async_trait(?Send)]
impl Movable for Ready {
    fn copy(&self) -> NewCopy {
        let description = &self.found.record.description;
        NewCopy {
            key: description.key.clone(),
            media: Media::image(description.format, description.visibility),
            sha256: Some(self.contents.sha256),
            metadata: object_metadata(description, self.found.record.generation.as_ref(), self.prompt_in_metadata),
            headers: None,
        }
    }

    fn reads(&self) -> Vec<Statement> {
        // A longer image is read chunk by chunk as it is put.
        let is_read_here = (CHUNK_BYTES as u64 + 1..=self.inline_max_bytes).contains(&self.contents.size_bytes);
        if !self.found.chunks.is_empty() || !is_read_here {
            return Vec::new();
        }
        let chunk = |index| {
            Statement::new("SELECT data FROM stillstore_chunks WHERE write_id = ?1 AND chunk_index = ?2")
                .bind(self.write_id.as_str())
                .bind(integer(index))
                .with_bytes_column("data")
        };
        (0..self.contents.size_bytes.div_ceil(CHUNK_BYTES as u64)).map(chunk).collect()
    }

    fn take(&mut self, answers: Vec<QueryResult>) {
        self.found.chunks.extend(answers.into_iter().filter_map(|answer| answer.bytes.into_iter().flatten().next()));
    }

    async fn open(&self) -> Result<Body, Refusal> {
        let chunks = &self.found.chunks;
        if let [only] = &chunks[..] {
            return Ok(only.clone().into());
        }
        if !chunks.is_empty() {
            let size_bytes = chunks.iter().map(|chunk| chunk.size_bytes() as u64).sum();
            let runs = chunks.iter().cloned().collect::<ByteQueue>();
            return Ok(Body::from_source(Box::new(runs), Some(size_bytes)));
        }
        match self.embedded.get(&self.found.record.description.key, None).await {
            Ok(Some(object)) => Ok(object.body),
            Ok(None) => Err(missing()),
            Err(error) if error.kind == StoreErrorKind::Unavailable => {
                Err(Refusal::of_source("original-unreadable", error.code()))
            }
            Err(error) => Err(Refusal::failed("original-unreadable", error.code())),
        }
    }

    /// Reads everything and compares the digest, a chunk at a time.
    async fn check(&self) -> Result<Contents, Refusal> {
        let mut body = self.open().await?;
        let mut hasher = Sha256::new();
        let unreadable = |_| Refusal::failed("original-unreadable", "the bytes could not be read to their end");
        while let Some(run) = body.next(CHUNK_BYTES).await.map_err(unreadable)? {
            hasher.update(run.to_vec());
        }
        if Sha256Digest::from_bytes(hasher.finalize().into()) == self.contents.sha256 {
            Ok(self.contents)
        } else {
            Err(Refusal::failed("original-corrupt", "the bytes do not have the digest that was recorded"))
        }
    }

    fn switch(&self, run: &Run, _receipt: &PutReceipt, now: Timestamp) -> Result<Switch, DatabaseError> {
        let ImageRecord { description, version, fallback_reason, .. } = &self.found.record;
        let switch = Statement::new(SWITCH_TO_R2).bind(description.id.to_string()).bind(*version).bind(now.as_millis());
        let entry = Entry {
            item: description.id.to_string(),
            stage: Stage::Moved,
            image_id: description.id,
            key: description.key.clone(),
            content_type: description.format.content_type().to_owned(),
            size_bytes: self.contents.size_bytes,
            sha256: self.contents.sha256,
            original: json!({ "writeId": self.write_id }),
            run_id: run.id.clone(),
            moved_at: now,
        };
        Ok(Switch {
            statements: vec![switch, journal::record(EMBEDDED, &entry)],
            staged: (self.found.stage, Some(Stage::Moved)),
            counted: Some(Counted {
                to: StorageKind::R2,
                size_bytes: self.contents.size_bytes,
                fallback: fallback_reason.is_some(),
            }),
            ..Switch::default()
        })
    }
}

fn missing() -> Refusal {
    Refusal::failed("original-missing", "the database does not hold the bytes")
}

fn page(run: &Run, answers: &[QueryResult], bounds: Bounds) -> Result<Page<Found>, DatabaseError> {
    let listed = listed_page(run, IdType::Text, answers, |answer| Ok(read(answer)?.pop()))?;
    let mut page = if let Some(listed) = listed {
        listed
    } else {
        let found = answers.first().map(read).transpose()?.unwrap_or_default();
        let is_last = found.len() < usize::from(bounds.limit);
        let items = found.into_iter().map(page_item).collect::<Result<_, _>>()?;
        Page { items, is_last, largest_bytes: 0 }
    };
    let sizes = page.items.iter().filter_map(|item| Some(item.found.as_ref()?.record.content.as_ref()?.size_bytes));
    page.largest_bytes = sizes.max().unwrap_or(0);
    Ok(page)
}

fn page_item(found: Found) -> Result<PageItem<Found>, DatabaseError> {
    let Description { id, created_at, .. } = &found.record.description;
    let cursor = json!({ "at": created_at.as_millis(), "id": id });
    Ok(PageItem { id: item_id(IdType::Text, &id.to_string())?, found: Some(found), cursor })
}

fn cursor_of(run: &Run) -> Result<Option<Cursor>, DatabaseError> {
    run.cursor.as_ref().map(|cursor| from_json(&cursor.to_string())).transpose()
}

fn read(answer: &QueryResult) -> Result<Vec<Found>, DatabaseError> {
    let writes = answer.rows::<WriteRow>()?;
    let found = records(answer)?.into_iter().zip(writes).zip(answer.bytes.iter().cloned());
    Ok(found
        .map(|((record, write), chunk)| Found {
            record,
            write_id: write.embedded_write_id,
            stage: write.stage,
            chunks: chunk.into_iter().collect(),
        })
        .collect())
}

fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
