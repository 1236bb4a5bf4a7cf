//! Images that were moved out of an application's table: rows like any other, made and forgotten by the runs that move them.
//!
//! Where the journal is in the catalogue's own database, the row changes in the transaction that changes the journal. Where it is in
//! another, the two cannot change together:
//! - a move writes the journal first, as `absent`, and the row after it. Until it is there, the journal serves the image;
//! - a row is made in three steps: the entries become `entering`, the rows are made, the entries become `present`. Whoever finds an entry
//!   that is not `present` does the same again;
//! - a rollback makes the entry `absent` first, then removes the row, and then restores the original only if the entry is `absent` still.

use serde_json::json;

use super::row::insert_record;
use super::{ImageRecord, queue_purges};
use crate::image::ImageId;
use crate::runtime::Timestamp;
use crate::sql::{self, DatabaseError, Statement};

/// Entries that become rows in one statement: with ids of 1,024 bytes, six times that in JSON, they are below 1 MB.
pub const ADOPTED_AT_ONCE: u16 = 100;

// An image that is being deleted may lose its object at any moment, and one that was deleted may have lost it behind the move's put, which is no longer
// ago than a lease: NULL is refused, and the item's move with it.
const TAKE_OVER: &str = " ON CONFLICT (id) DO UPDATE SET status = CASE WHEN status = 'deleting' \
    OR status = 'deleted' AND updated_at_ms > excluded.updated_at_ms - 600000 THEN NULL ELSE 'stored' END, \
    storage = excluded.storage, storage_key = excluded.storage_key, visibility = excluded.visibility, labels = excluded.labels, \
    version = version + 1, updated_at_ms = excluded.updated_at_ms, source = excluded.source, source_item = excluded.source_item";

const RELEASE: &str = "UPDATE stillstore_images SET source = NULL, source_item = NULL, version = version + 1, updated_at_ms = ?4 \
    WHERE source = ?1 AND source_item = ?2 AND id <> ?3";

const FORGET: &str =
    "DELETE FROM stillstore_images WHERE id IN (SELECT value FROM json_each(?1)) AND source = ?2 AND status = 'stored'";

/// The entries that have no row yet, of the journal in the catalogue's own database.
macro_rules! waiting {
    () => {
        "(SELECT source, item_id, image_id, storage_key, content_type, size_bytes, sha256, moved_at_ms, image FROM stillstore_moves \
         INDEXED BY stillstore_moves_uncatalogued WHERE image_id > '' AND source <> 'embedded' AND stage <> 'restored' AND catalogue <> 'present' \
         ORDER BY image_id LIMIT 100)"
    };
}

/// The entries of a journal in another database, as a JSON array.
macro_rules! listed {
    () => {
        "(SELECT value ->> 'source' AS source, value ->> 'item_id' AS item_id, value ->> 'image_id' AS image_id, \
         value ->> 'storage_key' AS storage_key, value ->> 'content_type' AS content_type, value ->> 'size_bytes' AS size_bytes, \
         value ->> 'sha256' AS sha256, value ->> 'moved_at_ms' AS moved_at_ms, value ->> 'image' AS image FROM json_each(?1))"
    };
}

/// Another picture of the same item keeps its row, which no source stands behind any more.
macro_rules! release_all {
    ($entries:expr) => {
        concat!(
            "UPDATE stillstore_images SET source = NULL, source_item = NULL, version = version + 1 WHERE id IN (SELECT former.id FROM ",
            $entries,
            " AS moved CROSS JOIN stillstore_images AS former ON former.source = moved.source AND former.source_item = moved.item_id \
             AND former.id <> moved.image_id)"
        )
    };
}

macro_rules! record_all {
    ($entries:expr) => {
        concat!(
            "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, context, size_bytes, sha256, \
             width, height, orientation, version, created_at_ms, updated_at_ms, source, source_item, two_homes) \
             SELECT image_id, 'stored', 'r2', storage_key, content_type, ifnull(image ->> 'visibility', 'public'), \
             ifnull(image -> 'labels', '{}'), image ->> 'context', size_bytes, sha256, image ->> 'width', image ->> 'height', image ->> 'orientation', \
             1, moved_at_ms, moved_at_ms, source, item_id, 0 FROM ",
            $entries,
            " AS moved WHERE true ON CONFLICT (id) DO UPDATE SET source = excluded.source, source_item = excluded.source_item \
             WHERE status = 'stored' AND source IS NULL"
        )
    };
}

/// What the journal keeps for an image's row beside its own columns, until the row is there.
///
/// # Errors
/// When a value has no JSON form.
pub fn kept_by_journal(image: &ImageRecord) -> Result<String, DatabaseError> {
    let ImageRecord { description, content, .. } = image;
    let dimensions = content.as_ref().and_then(|content| content.dimensions);
    sql::to_json(&json!({
        "visibility": description.visibility,
        "labels": description.labels,
        "context": description.context,
        "width": dimensions.map(|dimensions| dimensions.width),
        "height": dimensions.map(|dimensions| dimensions.height),
        "orientation": content.as_ref().and_then(|content| content.orientation),
    }))
}

/// Makes the row of an image that was moved, in the transaction that moves it. It fails while the image is being deleted.
///
/// # Errors
/// When a value has no form in the database.
pub fn record_moved(image: &ImageRecord) -> Result<Statement, DatabaseError> {
    insert_record(image, TAKE_OVER)
}

/// Another picture than `id` that the item held before keeps its row, and no source stands behind it any more.
#[must_use]
pub fn release_moved(source: &str, item: &str, id: ImageId, now: Timestamp) -> Statement {
    Statement::new(RELEASE).bind(source).bind(item).bind(id.to_string()).bind(now.as_millis())
}

/// Forgets images that their source shows no more, and has the cache in front forget them. One that is being deleted stays, for the sweep
/// to find.
///
/// # Errors
/// When the ids have no form in the database.
pub fn forget_moved(source: &str, ids: &[ImageId], now: Timestamp) -> Result<[Statement; 2], DatabaseError> {
    let forget = Statement::new(FORGET).bind(sql::to_json(&ids)?).bind(source);
    Ok([queue_purges(ids, now)?, forget])
}

/// Makes rows of up to [`ADOPTED_AT_ONCE`] entries that have none, in the catalogue's own database. The last statement answers with a
/// row for each.
#[must_use]
pub fn adopt_own() -> [Statement; 3] {
    const RELEASE_ALL: &str = release_all!(waiting!());
    const RECORD_ALL: &str = record_all!(waiting!());
    const MARK: &str = concat!(
        "UPDATE stillstore_moves SET catalogue = 'present' WHERE source <> 'embedded' AND image_id IN (SELECT image_id FROM ",
        waiting!(),
        ") RETURNING image_id"
    );
    [RELEASE_ALL, RECORD_ALL, MARK].map(Statement::new)
}

/// Makes rows of the entries of another database's journal, which [`enter`] answered with as JSON.
#[must_use]
pub fn adopt_entries(entries_json: &str) -> [Statement; 2] {
    const RELEASE_ALL: &str = release_all!(listed!());
    const RECORD_ALL: &str = record_all!(listed!());
    [RELEASE_ALL, RECORD_ALL].map(|sql| Statement::new(sql).bind(entries_json))
}

/// Marks up to [`ADOPTED_AT_ONCE`] entries of a journal whose rows are about to be made, and answers with them.
#[must_use]
pub fn enter() -> Statement {
    Statement::new(concat!(
        "UPDATE stillstore_moves SET catalogue = 'entering' WHERE source <> 'embedded' AND image_id IN (SELECT image_id FROM ",
        waiting!(),
        ") RETURNING source, item_id, image_id, storage_key, content_type, size_bytes, sha256, moved_at_ms, image"
    ))
}

/// Marks entries whose rows were made, and answers with those that were about to be entered still.
///
/// # Errors
/// When the ids have no form in the database.
pub fn entered(ids: &[ImageId]) -> Result<Statement, DatabaseError> {
    let sql = "UPDATE stillstore_moves SET catalogue = 'present' WHERE source <> 'embedded' AND catalogue <> 'absent' \
        AND image_id IN (SELECT value FROM json_each(?1)) RETURNING image_id";
    Ok(Statement::new(sql).bind(sql::to_json(&ids)?))
}

/// Takes entries out of the catalogue, in the journal's database, before their rows are removed from the catalogue's.
///
/// # Errors
/// When the ids have no form in the database.
pub fn withdraw(source: &str, ids: &[ImageId]) -> Result<Statement, DatabaseError> {
    let sql = "UPDATE stillstore_moves SET catalogue = 'absent' WHERE source = ?1 AND catalogue <> 'entering' \
        AND source <> 'embedded' AND image_id IN (SELECT value FROM json_each(?2))";
    Ok(Statement::new(sql).bind(source).bind(sql::to_json(&ids)?))
}

/// Changes one row when the entry is out of the catalogue still, and none otherwise.
#[must_use]
pub fn require_withdrawn(source: &str, item: &str) -> Statement {
    Statement::new(
        "UPDATE stillstore_moves SET catalogue = 'absent' WHERE source = ?1 AND item_id = ?2 AND catalogue = 'absent'",
    )
    .bind(source)
    .bind(item)
}
