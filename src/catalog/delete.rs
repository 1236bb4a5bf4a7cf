//! Deletion in two steps, around the removal of the bytes: a crash in between leaves a row that the sweep finds.

use std::sync::LazyLock;

use serde::Deserialize;

use super::columns::{IMAGE_COLUMNS, erased_columns};
use super::purges::{DuePurges, select_due};
use super::row::first_record;
use super::variants::select_leaving;
use super::{CachePurge, Catalog, CatalogError, ImageRecord, LeavingVariant, OwnerFilter, SourceItem, Status};
use crate::image::ImageId;
use crate::runtime::Timestamp;
use crate::sql::{QueryResult, Statement};

const BEGIN_DELETE: &str = "UPDATE stillstore_images \
    SET status = 'deleting', version = version + 1, updated_at_ms = ?3, deleted_by = ?5 \
    WHERE id = ?1 AND (?2 IS NULL OR owner_id = ?2) AND status IN ('pending', 'stored') AND (source IS NULL OR ?4)";

/// The row of an image that is the owner's, or was until they deleted it.
static SELECT_TO_DELETE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT {IMAGE_COLUMNS} FROM stillstore_images WHERE id = ?1 \
        AND (?2 IS NULL OR owner_id = ?2 OR (deleted_by = ?3 AND status IN ('deleting', 'deleted')))"
    )
});

static FINISH_DELETE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE stillstore_images SET status = 'deleted', version = version + 1, updated_at_ms = ?3, {} \
        WHERE id = ?1 AND version = ?2 AND status = 'deleting'",
        erased_columns(true)
    )
});

// What says where bytes may be stays. So does the time of the deletion, for the sweep to come to it in turn.
static ERASE: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE stillstore_images SET version = version + 1, {} WHERE id = ?1 AND version = ?2 AND status = 'deleting'",
        erased_columns(false)
    )
});

// A journal line names the key; without its image there is nothing left to roll back.
macro_rules! is_being_deleted {
    () => {
        " AND EXISTS (SELECT 1 FROM stillstore_images WHERE id = ?1 AND (status = 'deleted' OR status = 'deleting'))"
    };
}

/// Of an image of our own that moved to R2, and of one that was moved out of a table.
const FORGET_MOVES: [&str; 4] = [
    concat!(
        "UPDATE stillstore_move_counters SET items = items - 1 WHERE source = 'embedded' \
         AND stage = (SELECT stage FROM stillstore_moves WHERE source = 'embedded' AND item_id = ?1)",
        is_being_deleted!()
    ),
    concat!("DELETE FROM stillstore_moves WHERE source = 'embedded' AND item_id = ?1", is_being_deleted!()),
    concat!(
        "UPDATE stillstore_move_counters SET items = items - 1 \
         WHERE source = (SELECT source FROM stillstore_moves WHERE source <> 'embedded' AND image_id = ?1) \
         AND stage = (SELECT stage FROM stillstore_moves WHERE source <> 'embedded' AND image_id = ?1)",
        is_being_deleted!()
    ),
    concat!("DELETE FROM stillstore_moves WHERE source <> 'embedded' AND image_id = ?1", is_being_deleted!()),
];

const POSTPONE_DELETE: &str = "UPDATE stillstore_images SET version = version + 1, updated_at_ms = ?3 \
    WHERE id = ?1 AND version = ?2 AND status = 'deleting'";

/// Purges of other images that are sent together with a deletion's own: with it, as many as one call takes.
const PURGES_BESIDE: u16 = 99;

const SELECT_STATUS: &str = "SELECT status FROM stillstore_images WHERE id = ?1";

/// What to do next to delete an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteStep {
    /// Remove the bytes under the record's key, then [`Catalog::finish_delete`] its version, or [`Catalog::erase`] it when they are to
    /// be removed once more. Remove them from every home: a put that failed without an answer may have left some in another home than
    /// the record's.
    Delete {
        /// The row as it is now, `deleting`.
        record: Box<ImageRecord>,
        /// When the row changed before: as stored, moved, or marked by an earlier call.
        unchanged_since: Timestamp,
        /// Purges of other images that are due.
        due_purges: DuePurges,
        /// Its variants, whose bytes are to go with it.
        variants: Vec<LeavingVariant>,
    },
    AlreadyDeleted,
    NotFound,
    /// It was moved out of a table, and nobody said that it may go all the same. Nothing happened.
    Moved(SourceItem),
}

/// Whether images go whose rows in an application's table may still show them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovedImages {
    Stay,
    Go,
}

/// What became of the last step of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteFinished {
    /// The row is a tombstone, or gone.
    Deleted,
    /// The row is not at that version of a deletion, because another worker postponed it, or no deletion had begun. Nothing
    /// happened; the image is as unreadable as it was.
    Changed,
}

#[derive(Deserialize)]
struct StatusRow {
    status: Status,
}

impl Catalog {
    /// Makes an image unreadable and says which bytes to remove. Beginning again is fine, and continues. An owner finds
    /// an image that was erased only if they deleted it.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the deletion may have begun.
    pub async fn begin_delete(
        &self,
        id: ImageId,
        owner: &OwnerFilter,
        moved: MovedImages,
        now: Timestamp,
    ) -> Result<DeleteStep, CatalogError> {
        let begin = Statement::new(BEGIN_DELETE)
            .bind(id.to_string())
            .bind(owner.param())
            .bind(now.as_millis())
            .bind(i64::from(moved == MovedImages::Go))
            .bind(owner.seal(id));
        let select =
            Statement::new(SELECT_TO_DELETE.as_str()).bind(id.to_string()).bind(owner.param()).bind(owner.seal(id));
        let variants = select_leaving(&[id]).map_err(CatalogError::during("begin_delete"))?;
        let statements = [select, begin, select_due(now, PURGES_BESIDE), variants];
        let [row, _, due, variants] = self.batch("begin_delete", statements).await?;
        let Some(mut record) = first_record(&row).map_err(CatalogError::during("begin_delete"))? else {
            return Ok(DeleteStep::NotFound);
        };
        let due_purges = DuePurges::read(&due, now).map_err(CatalogError::during("begin_delete"))?;
        let unchanged_since = record.updated_at;
        match record.status {
            Status::Deleted => return Ok(DeleteStep::AlreadyDeleted),
            Status::Deleting => {}
            Status::Pending | Status::Stored => {
                let moved_from = record.description.moved_from.as_ref().filter(|_| moved == MovedImages::Stay);
                if let Some(item) = moved_from {
                    return Ok(DeleteStep::Moved(item.clone()));
                }
                record.status = Status::Deleting;
                record.version += 1;
                record.updated_at = now;
            }
        }
        let variants = variants.rows().map_err(CatalogError::during("begin_delete"))?;
        Ok(DeleteStep::Delete { record: Box::new(record), unchanged_since, due_purges, variants })
    }

    /// Turns the row, whose bytes are gone, into a tombstone: what is left is the id, the times, the media type, size and
    /// digest. Prompt, labels, names and the caller's ids are erased. `purge` is recorded with it.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the row may be a tombstone.
    pub async fn finish_delete(
        &self,
        id: ImageId,
        version: i64,
        purge: &CachePurge,
        now: Timestamp,
    ) -> Result<DeleteFinished, CatalogError> {
        let finish = Statement::new(FINISH_DELETE.as_str()).bind(id.to_string()).bind(version).bind(now.as_millis());
        let status = Statement::new(SELECT_STATUS).bind(id.to_string());
        let answers = self.delete_with("finish_delete", id, finish, purge, now, Some(status)).await?;
        let row = answers.last().map(QueryResult::first::<StatusRow>).transpose();
        let row = row.map_err(CatalogError::during("finish_delete"))?.flatten();
        Ok(match row.map(|row| row.status) {
            None | Some(Status::Deleted) => DeleteFinished::Deleted,
            Some(_) => DeleteFinished::Changed,
        })
    }

    /// Erases what people wrote of an image whose deletion is finished later: prompt, labels, names and the caller's ids; and its line
    /// in the journal. The key stays, and the file name in it. `purge` is recorded with it.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be erased.
    pub async fn erase(
        &self,
        id: ImageId,
        version: i64,
        purge: &CachePurge,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let erase = Statement::new(ERASE.as_str()).bind(id.to_string()).bind(version);
        self.delete_with("erase", id, erase, purge, now, None).await.map(drop)
    }

    /// One transaction: `change` of the image's row, its purge, its line in the journal, and `last`.
    async fn delete_with(
        &self,
        operation: &'static str,
        id: ImageId,
        change: Statement,
        purge: &CachePurge,
        now: Timestamp,
        last: Option<Statement>,
    ) -> Result<Vec<QueryResult>, CatalogError> {
        let mut statements = vec![change];
        statements.extend(purge.statements(id, now).map_err(CatalogError::during(operation))?);
        statements.extend(forget_moves(id));
        statements.extend(last);
        self.database.batch(statements).await.map_err(CatalogError::during(operation))
    }

    /// Puts a deletion whose bytes could not be removed at the end of the sweep's queue, so that it does not keep the
    /// others waiting.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the row may be postponed.
    pub async fn postpone_delete(&self, id: ImageId, version: i64, now: Timestamp) -> Result<(), CatalogError> {
        let postpone = Statement::new(POSTPONE_DELETE).bind(id.to_string()).bind(version).bind(now.as_millis());
        self.batch("postpone_delete", [postpone]).await.map(drop)
    }
}

/// The statements that take an image which is being deleted out of the journal.
fn forget_moves(id: ImageId) -> [Statement; 4] {
    FORGET_MOVES.map(|sql| Statement::new(sql).bind(id.to_string()))
}
