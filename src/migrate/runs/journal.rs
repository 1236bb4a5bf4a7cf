//! The journal of moves: what went where, and what the source's row said before.

use serde::Deserialize;

use super::id::RunId;
use crate::image::{ImageId, ObjectKey, Sha256Digest};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, Value, from_json};

macro_rules! move_columns {
    () => {
        "item_id, stage, image_id, storage_key, content_type, size_bytes, sha256, original, run_id, moved_at_ms"
    };
}

// `item_id` is NOT NULL: when the statement before did not change exactly one row, the entry is refused and its batch with it.
macro_rules! insert {
    () => {
        "INSERT INTO stillstore_moves (source, item_id, stage, image_id, storage_key, content_type, size_bytes, \
         sha256, original, run_id, moved_at_ms, catalogue, image) \
         VALUES (?1, CASE changes() WHEN 1 THEN ?2 END, 'moved', ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"
    };
}

macro_rules! record {
    ($original:literal) => {
        concat!(
            insert!(),
            " ON CONFLICT (source, item_id) DO UPDATE SET original = ",
            $original,
            ", stage = 'moved', image_id = excluded.image_id, storage_key = excluded.storage_key, \
             content_type = excluded.content_type, size_bytes = excluded.size_bytes, sha256 = excluded.sha256, \
             run_id = excluded.run_id, moved_at_ms = excluded.moved_at_ms, catalogue = excluded.catalogue, image = excluded.image"
        )
    };
}

// The first original counts until it is restored: a second move of the same row starts from what the first one wrote.
const RECORD: &str = record!("CASE stage WHEN 'restored' THEN excluded.original ELSE original END");

const RECORD_ANEW: &str = record!("excluded.original");

const RECORD_FIRST: &str = insert!();

const REQUIRE_UNCHANGED: &str =
    "UPDATE stillstore_moves SET stage = stage WHERE source = ?1 AND item_id = ?2 AND stage = ?3 AND storage_key = ?4";

/// Entries whose sizes stand for those of their source.
pub const SAMPLED: u16 = 1_000;

// As many counters as there are sources and stages, and a sample of entries for each source.
const SELECT_KEPT_ORIGINALS: &str = "SELECT source, items, CAST(ifnull((SELECT avg(size_bytes) FROM (\
    SELECT size_bytes FROM stillstore_moves AS moves WHERE moves.source = counters.source LIMIT ?1)), 0) AS INTEGER) AS average_bytes \
    FROM stillstore_move_counters AS counters WHERE stage = 'moved' AND items > 0";

const SELECT_AFTER: &str = concat!(
    "SELECT ",
    move_columns!(),
    " FROM stillstore_moves WHERE source = ?1 AND item_id > ?2 ORDER BY item_id LIMIT ?3"
);

const SELECT_ONE: &str =
    concat!("SELECT ", move_columns!(), " FROM stillstore_moves WHERE source = ?1 AND item_id = ?2");

// An image that is being deleted may have lost its object already, and keeps its entry until the deletion is done.
const SELECT_STANDING: &str = concat!(
    "SELECT ",
    move_columns!(),
    " FROM stillstore_moves WHERE source = ?1 AND item_id = ?2 \
     AND (source <> 'embedded' OR EXISTS (SELECT 1 FROM stillstore_images WHERE id = item_id AND status = 'stored'))"
);

const SET_STAGE: &str = "UPDATE stillstore_moves SET stage = ?4, original = ?5 \
    WHERE source = ?1 AND item_id = ?2 AND stage = ?3 AND storage_key = ?6";

// A reader who fetches the item may be about to make its copy the same object.
const FORGET: &str = "DELETE FROM stillstore_moves WHERE source = ?1 AND item_id = ?2 AND storage_key = ?3 \
    AND NOT EXISTS (SELECT 1 FROM stillstore_read_throughs WHERE source = ?1 AND item_id = ?2)";

/// What is in the database of a source although it is in the bucket.
#[derive(Debug, Clone, Deserialize)]
pub struct KeptOriginals {
    pub source: String,
    pub items: u64,
    pub average_bytes: u64,
}

/// The answer has [`KeptOriginals`] of each source of the database that has any.
pub fn kept_originals() -> Statement {
    Statement::new(SELECT_KEPT_ORIGINALS).bind(i64::from(SAMPLED))
}

/// How far a move has gone. The text forms are part of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The source names the copy; the original is still in the database.
    Moved,
    /// The original is gone from the database.
    Cleaned,
    /// The source names the original again; the copy may still be in the bucket.
    Restored,
}

impl Stage {
    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Cleaned => "cleaned",
            Self::Restored => "restored",
        }
    }
}

/// One entry of the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The item's id as text, which is how the journal orders entries.
    pub item: String,
    pub stage: Stage,
    pub image_id: ImageId,
    pub key: ObjectKey,
    pub content_type: String,
    pub size_bytes: u64,
    pub sha256: Sha256Digest,
    /// What the source needs to restore the item, in its own words.
    pub original: serde_json::Value,
    pub run_id: RunId,
    pub moved_at: Timestamp,
}

/// Whether the catalogue has a row for an entry. The text forms are part of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalogued {
    /// It gets one later; the journal serves the image meanwhile.
    Absent,
    /// It was made in the same transaction, or before.
    Present,
}

impl Catalogued {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Present => "present",
        }
    }
}

/// Records a move. To stand right behind the statement that switches the source's row: when that changed nothing, the whole batch
/// fails with [`crate::sql::DatabaseErrorKind::Constraint`].
pub fn record(source: &str, entry: &Entry) -> Statement {
    record_by(RECORD, source, entry).bind(Catalogued::Present.as_str()).bind(Value::Null)
}

/// As `record`, for a source that knows itself which original counts, the entry's, and whose image becomes a row of the catalogue:
/// `image` is what that says beside the entry.
#[must_use]
pub fn record_anew(source: &str, entry: &Entry, catalogued: Catalogued, image: &str) -> Statement {
    record_by(RECORD_ANEW, source, entry).bind(catalogued.as_str()).bind(image)
}

/// As [`record_anew`], refused when the item has an entry.
#[must_use]
pub fn record_first(source: &str, entry: &Entry, catalogued: Catalogued, image: &str) -> Statement {
    record_by(RECORD_FIRST, source, entry).bind(catalogued.as_str()).bind(image)
}

/// Changes one row when an entry is in this stage and names this object still, and none otherwise.
#[must_use]
pub fn require_unchanged(source: &str, item: &str, stage: Stage, key: &str) -> Statement {
    Statement::new(REQUIRE_UNCHANGED).bind(source).bind(item).bind(stage.as_str()).bind(key)
}

fn record_by(sql: &'static str, source: &str, entry: &Entry) -> Statement {
    Statement::new(sql)
        .bind(source)
        .bind(entry.item.as_str())
        .bind(entry.image_id.to_string())
        .bind(entry.key.as_str())
        .bind(entry.content_type.as_str())
        .bind(i64::try_from(entry.size_bytes).unwrap_or(i64::MAX))
        .bind(entry.sha256.to_string())
        .bind(entry.original.to_string())
        .bind(entry.run_id.as_str())
        .bind(entry.moved_at.as_millis())
}

/// Entries of `source` after the item `after`, in the order of their items' text.
pub fn after(source: &str, after: &str, limit: u16) -> Statement {
    Statement::new(SELECT_AFTER).bind(source).bind(after).bind(i64::from(limit))
}

/// The entry of one item.
pub fn one(source: &str, item: &str) -> Statement {
    Statement::new(SELECT_ONE).bind(source).bind(item)
}

/// The entry of one item, unless its image is being deleted.
pub fn one_standing(source: &str, item: &str) -> Statement {
    Statement::new(SELECT_STANDING).bind(source).bind(item)
}

/// Moves an entry on, if it is as it was read.
pub fn set_stage(source: &str, entry: &Entry, stage: Stage, original: &serde_json::Value) -> Statement {
    Statement::new(SET_STAGE)
        .bind(source)
        .bind(entry.item.as_str())
        .bind(entry.stage.as_str())
        .bind(stage.as_str())
        .bind(original.to_string())
        .bind(entry.key.as_str())
}

/// Notes that `item`, if it is in `stage`, is in another, and that the catalogue has no row for it.
pub fn mark(source: &str, item: &str, stage: Stage, reached: Stage) -> Statement {
    Statement::new("UPDATE stillstore_moves SET stage = ?4, catalogue = 'absent' WHERE source = ?1 AND item_id = ?2 AND stage = ?3")
        .bind(source)
        .bind(item)
        .bind(stage.as_str())
        .bind(reached.as_str())
}

/// Drops an entry whose copy goes too, unless a reader fetches the item.
pub fn forget(source: &str, entry: &Entry) -> Statement {
    Statement::new(FORGET).bind(source).bind(entry.item.as_str()).bind(entry.key.as_str())
}

/// Drops the entry of an item's image, and counts it out.
pub fn forget_image(source: &str, item: &str, image: ImageId) -> [Statement; 2] {
    let uncount = "UPDATE stillstore_move_counters SET items = items - 1 WHERE source = ?1 AND stage = \
        (SELECT stage FROM stillstore_moves WHERE source = ?1 AND item_id = ?2 AND image_id = ?3)";
    let forget = "DELETE FROM stillstore_moves WHERE source = ?1 AND item_id = ?2 AND image_id = ?3";
    [uncount, forget].map(|sql| Statement::new(sql).bind(source).bind(item).bind(image.to_string()))
}

/// Counts entries that reached a stage, or left it.
pub fn count_stage(source: &str, stage: Stage, items: i64) -> Statement {
    Statement::new(
        "INSERT INTO stillstore_move_counters (source, stage, items) VALUES (?1, ?2, ?3) \
         ON CONFLICT (source, stage) DO UPDATE SET items = items + excluded.items",
    )
    .bind(source)
    .bind(stage.as_str())
    .bind(items)
}

/// How many entries of `source` are in each stage.
pub fn stages(source: &str) -> Statement {
    Statement::new("SELECT stage, items FROM stillstore_move_counters WHERE source = ?1").bind(source)
}

/// How many entries are in `stage`, from the answer to [`stages`].
pub fn items_in(stage: Stage, answer: &QueryResult) -> Result<u64, DatabaseError> {
    #[derive(Deserialize)]
    struct Row {
        stage: Stage,
        items: u64,
    }
    Ok(answer.rows::<Row>()?.into_iter().filter(|row| row.stage == stage).map(|row| row.items).sum())
}

#[derive(Deserialize)]
struct EntryRow {
    item_id: String,
    stage: Stage,
    image_id: ImageId,
    storage_key: ObjectKey,
    content_type: String,
    size_bytes: u64,
    sha256: Sha256Digest,
    original: String,
    run_id: RunId,
    moved_at_ms: Timestamp,
}

/// The entries in an answer that has the columns of a move.
pub fn entries(result: &QueryResult) -> Result<Vec<Entry>, DatabaseError> {
    result
        .rows::<EntryRow>()?
        .into_iter()
        .map(|row| {
            Ok(Entry {
                item: row.item_id,
                stage: row.stage,
                image_id: row.image_id,
                key: row.storage_key,
                content_type: row.content_type,
                size_bytes: row.size_bytes,
                sha256: row.sha256,
                original: from_json(&row.original)?,
                run_id: row.run_id,
                moved_at: row.moved_at_ms,
            })
        })
        .collect()
}
