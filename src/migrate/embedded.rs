//! Images of our own that are embedded in the database.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::candidates::{Candidate, Candidates, item_id, listed_candidates, listed_ids};
use super::copy::{Copier, Copy, CopyError};
use super::item::{IdType, ItemId};
use super::journal::{self, Entry, Stage};
use super::line::{Line, Verdict};
use super::run::{InFlight, Run};
use super::slice::{Bounds, Counted, Hand, Interruption, Outcome, Slice, Work};
use crate::bytes::{Blob, Body, RunQueue};
use crate::catalog::{Description, IMAGE_COLUMNS, ImageRecord, Status, records};
use crate::image::{Sha256Digest, Visibility};
use crate::library::object_metadata;
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement};
use crate::store::{CHUNK_BYTES, EmbeddedStore, ImageStore, StorageKind};

/// The source's name.
pub const EMBEDDED: &str = "embedded";

/// What receipts call the place of its images in the database.
pub(super) const EMBEDDED_PLACE: &str = "d1";

// An upsert, because one that finds its row counts as no row read. Without the row, the schema refuses what it would insert.
const SWITCH_TO_R2: &str = "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, \
    version, created_at_ms, updated_at_ms) VALUES (?1, 'pending', 'd1', '', '', 'public', '{}', 1, ?3, ?3) \
    ON CONFLICT (id) DO UPDATE SET storage = 'r2', version = version + 1, updated_at_ms = excluded.updated_at_ms \
    WHERE version = ?2 AND status = 'stored' AND storage = 'd1'";

const NAMES: &str =
    "SELECT storage = 'd1' AS waits FROM stillstore_images WHERE storage_key = ?1 AND status IN ('pending', 'stored')";

const COUNT: &str = "SELECT sum(images) AS items FROM stillstore_counters WHERE status = 'stored' AND storage = 'd1' AND fallback IN (0, 1)";

/// Before all images; further back than any clock goes, and exact as a JS number.
const EARLIEST: Timestamp = Timestamp::from_millis(-(1 << 52));

/// Moves embedded images into the bucket.
pub(super) struct MoveEmbedded {
    pub copier: Copier,
    pub embedded: Rc<EmbeddedStore>,
    /// Whoever knows a key can read the object.
    pub bucket_is_public: bool,
    pub prompt_in_metadata: bool,
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

#[derive(Deserialize)]
struct WriteRow {
    embedded_write_id: Option<String>,
    stage: Option<Stage>,
}

impl MoveEmbedded {
    fn candidates(run: &Run, answers: &[QueryResult], bounds: Bounds) -> Result<Candidates<Found>, DatabaseError> {
        let listed = listed_candidates(run, IdType::Text, answers, |answer| Ok(read(answer)?.pop()))?;
        let mut candidates = if let Some(listed) = listed {
            listed
        } else {
            let found = answers.first().map(read).transpose()?.unwrap_or_default();
            let is_last = found.len() < usize::from(bounds.limit);
            let items = found.into_iter().map(candidate).collect::<Result<_, _>>()?;
            Candidates { items, is_last, largest_bytes: 0 }
        };
        let sizes = candidates.items.iter().filter_map(|item| Some(item.found.as_ref()?.size_bytes()));
        candidates.largest_bytes = sizes.max().unwrap_or(0);
        Ok(candidates)
    }

    async fn handle(&self, run: &Run, id: ItemId, found: Option<Found>, hand: &Hand<'_>) -> Outcome {
        let Some(found) = found else {
            return Outcome::only(Line::failed(id, "not-found", "there is no such image"));
        };
        if found.record.status != Status::Stored {
            return Outcome::only(Line::failed(id, "not-found", "there is no such image"));
        }
        if found.record.storage != StorageKind::D1 {
            return Outcome::only(Line::skipped(id, "already-moved", "the image is in R2"));
        }
        if self.bucket_is_public && found.record.description.visibility == Visibility::Private {
            return Outcome::only(Line::skipped(
                id,
                "private-image-and-public-bucket",
                "whoever knew its key could read it",
            ));
        }
        let (Some(content), Some(write_id)) = (&found.record.content, &found.write_id) else {
            return Outcome::only(Line::failed(id, "original-missing", "the database does not hold the bytes"));
        };
        let (sha256, size_bytes) = (content.sha256, content.size_bytes);
        let key = found.record.description.key.clone();
        let line = |verdict| {
            Line::new(id.clone(), verdict)
                .with_bytes(sha256, size_bytes, found.record.description.format.content_type())
                .from_place(EMBEDDED_PLACE)
                .to_object(&key)
        };
        if run.parameters.dry_run {
            return Outcome::only(match self.check(&found, sha256).await {
                Ok(()) => line(Verdict::WouldMove),
                Err(error) => Line::failed(id.clone(), error.reason, &error.detail),
            });
        }
        hand.count(|operations| operations.r2_class_a += 1);
        match self.put(&found, sha256).await {
            Ok(()) => {
                let now = hand.runtime.now();
                Outcome {
                    statements: vec![switch(&found.record, now), record_move(run, &found, write_id, now)],
                    put: Some(key.clone()),
                    counted: Some(Counted {
                        to: StorageKind::R2,
                        size_bytes,
                        fallback: found.record.fallback_reason.is_some(),
                    }),
                    staged: (found.stage, Some(Stage::Moved)),
                    ..Outcome::only(line(Verdict::Moved))
                }
            }
            Err(error) => Outcome {
                put: Some(key),
                uncertain: error.uncertain,
                ..Outcome::only(Line::failed(id, error.reason, &error.detail))
            },
        }
    }

    async fn put(&self, found: &Found, sha256: Sha256Digest) -> Result<(), CopyError> {
        let description = &found.record.description;
        let copy = Copy {
            key: description.key.clone(),
            format: description.format,
            sha256,
            metadata: object_metadata(description, found.record.generation.as_ref(), self.prompt_in_metadata),
        };
        self.copier.put(&copy, async || self.open(found).await).await
    }

    async fn open(&self, found: &Found) -> Result<Body, CopyError> {
        if let [only] = &found.chunks[..] {
            return Ok(only.clone().into());
        }
        if !found.chunks.is_empty() {
            let size_bytes = found.chunks.iter().map(|chunk| chunk.size_bytes() as u64).sum();
            let runs = found.chunks.iter().cloned().collect::<RunQueue>();
            return Ok(Body::from_source(Box::new(runs), Some(size_bytes)));
        }
        let object = self.embedded.get(&found.record.description.key, None).await;
        match object {
            Ok(Some(object)) => Ok(object.body),
            Ok(None) => Err(CopyError::unreadable("original-missing", "the database does not hold the bytes")),
            Err(error) => Err(CopyError::unreadable("original-unreadable", error.code())),
        }
    }

    /// Reads everything and compares the digest, a chunk at a time.
    async fn check(&self, found: &Found, sha256: Sha256Digest) -> Result<(), CopyError> {
        let mut body = self.open(found).await?;
        let mut hasher = Sha256::new();
        let unreadable = |_| CopyError::unreadable("original-unreadable", "the bytes could not be read to their end");
        while let Some(run) = body.next(CHUNK_BYTES).await.map_err(unreadable)? {
            hasher.update(run.to_vec());
        }
        if Sha256Digest::from_bytes(hasher.finalize().into()) == sha256 {
            Ok(())
        } else {
            Err(CopyError::unreadable("original-corrupt", "the bytes do not have the digest that was recorded"))
        }
    }
}

#[async_trait(?Send)]
impl Work for MoveEmbedded {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        // Images of one chunk come with it.
        let inline_max_bytes = bounds.inline_max_bytes.min(CHUNK_BYTES as u64);
        let select = |rest: &str| {
            Statement::new(format!(
                "SELECT {IMAGE_COLUMNS}, embedded_write_id, data, (SELECT stage FROM stillstore_moves \
                 WHERE source = 'embedded' AND item_id = id) AS stage FROM stillstore_images {rest}"
            ))
        };
        let join =
            "LEFT JOIN stillstore_chunks ON write_id = embedded_write_id AND chunk_index = 0 AND size_bytes <= ?1";
        if let Some(ids) = listed_ids(run, bounds.limit) {
            let sql = format!("{join} WHERE id = ?2");
            let one = |id| select(&sql).bind(bytes(inline_max_bytes)).bind(id).with_bytes_column("data");
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
                .bind(bytes(inline_max_bytes))
                .bind(at.as_millis())
                .bind(id)
                .bind(i64::from(bounds.limit))
                .with_bytes_column("data"),
        ])
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        hand: &Hand<'_>,
    ) -> Result<Slice, Interruption> {
        let mut candidates = Self::candidates(run, &found, bounds)?;
        let keys: Vec<_> = candidates.items.iter().filter_map(in_flight).collect();
        let long: Vec<_> = candidates
            .items
            .iter_mut()
            .filter_map(|item| item.found.as_mut().filter(|found| found.wants_chunks(bounds.inline_max_bytes)))
            .collect();
        let reads: Vec<_> = long.iter().flat_map(|found| found.chunk_statements()).collect();
        let answers = match (keys.is_empty(), run.parameters.dry_run) {
            (true, _) => Vec::new(),
            (false, true) => hand.read(reads).await?,
            (false, false) => hand.intend(&keys, reads).await?,
        };
        let mut chunks = answers.into_iter().filter_map(|answer| answer.bytes.into_iter().flatten().next());
        for found in long {
            found.chunks = chunks.by_ref().take(found.chunk_count()).collect();
        }
        candidates.handle(hand, async |id, found| Ok(self.handle(run, id, found, hand).await)).await
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        match &run.parameters.item_ids {
            Some(ids) => Some(Statement::new("SELECT ?1 AS items").bind(i64::try_from(ids.len()).unwrap_or(0))),
            None => Some(Statement::new(COUNT)),
        }
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        Statement::new(NAMES).bind(in_flight.key.as_str())
    }
}

impl Found {
    fn size_bytes(&self) -> u64 {
        self.record.content.as_ref().map_or(0, |content| content.size_bytes)
    }

    fn chunk_count(&self) -> usize {
        usize::try_from(self.size_bytes().div_ceil(CHUNK_BYTES as u64)).unwrap_or(usize::MAX)
    }

    /// Whether its chunks are to be read with those of the slice's other images. A longer image is read chunk by chunk as it is put.
    fn wants_chunks(&self, max_bytes: u64) -> bool {
        self.chunks.is_empty() && (CHUNK_BYTES as u64 + 1..=max_bytes).contains(&self.size_bytes())
    }

    fn chunk_statements(&self) -> impl Iterator<Item = Statement> {
        let write_id = self.write_id.clone().unwrap_or_default();
        (0..self.chunk_count()).map(move |index| {
            Statement::new("SELECT data FROM stillstore_chunks WHERE write_id = ?1 AND chunk_index = ?2")
                .bind(write_id.as_str())
                .bind(i64::try_from(index).unwrap_or(i64::MAX))
                .with_bytes_column("data")
        })
    }
}

fn candidate(found: Found) -> Result<Candidate<Found>, DatabaseError> {
    let Description { id, created_at, .. } = &found.record.description;
    let cursor = json!({ "at": created_at.as_millis(), "id": id });
    Ok(Candidate { id: item_id(IdType::Text, &id.to_string())?, found: Some(found), cursor })
}

fn in_flight(candidate: &Candidate<Found>) -> Option<InFlight> {
    let key = candidate.found.as_ref()?.record.description.key.clone();
    Some(InFlight { item: candidate.id.clone(), key })
}

fn cursor_of(run: &Run) -> Result<Option<Cursor>, DatabaseError> {
    run.cursor.as_ref().map(|cursor| super::ledger::from_json(&cursor.to_string())).transpose()
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

fn switch(record: &ImageRecord, now: Timestamp) -> Statement {
    Statement::new(SWITCH_TO_R2).bind(record.description.id.to_string()).bind(record.version).bind(now.as_millis())
}

fn record_move(run: &Run, found: &Found, write_id: &str, now: Timestamp) -> Statement {
    let description = &found.record.description;
    let content = found.record.content.as_ref();
    journal::record(
        EMBEDDED,
        &Entry {
            item: description.id.to_string(),
            stage: Stage::Moved,
            image_id: description.id,
            key: description.key.clone(),
            content_type: description.format.content_type().to_owned(),
            size_bytes: content.map_or(0, |content| content.size_bytes),
            sha256: content.map_or_else(|| Sha256Digest::of(b""), |content| content.sha256),
            original: json!({ "writeId": write_id }),
            run_id: run.id.clone(),
            moved_at: now,
        },
    )
}

fn bytes(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
