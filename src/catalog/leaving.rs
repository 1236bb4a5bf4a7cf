//! The deletion of all members of a collection: marked at once, removed slice by slice by one worker at a time.

use std::sync::LazyLock;

use super::collections::{Collection, CollectionKind, CollectionState, Row, select_any};
use super::columns::{IMAGE_COLUMNS, erased_columns};
use super::purges::queue_purges;
use super::row::records;
use super::{Catalog, CatalogError, ImageRecord, OwnerFilter};
use crate::image::{CollectionId, ImageId};
use crate::runtime::Timestamp;
use crate::sql::{Lease, Statement, lease_given_back, lease_is_free, lease_is_held, to_json};

const TELL_TO_GO: &str = "UPDATE stillstore_collections SET state = ?4, updated_at_ms = ?5, leaving = \
    (SELECT count(*) FROM stillstore_images INDEXED BY stillstore_images_by_collection WHERE status = 'stored' AND collection_id = ?1) \
    WHERE id = ?1 AND kind = ?2 AND state = 'open' AND (?3 IS NULL OR owner_id = ?3)";

// A session has at most 10,000 frames, so that one statement makes all of them unreadable.
const MARK: &str = "UPDATE stillstore_images SET status = 'deleting', version = version + 1, updated_at_ms = ?2 \
    WHERE id IN (SELECT id FROM stillstore_images INDEXED BY stillstore_images_by_collection \
    WHERE status = 'stored' AND collection_id = ?1 LIMIT 10000) \
    AND EXISTS (SELECT 1 FROM stillstore_collections WHERE id = ?1 AND state <> 'open')";

const CLAIM: &str = concat!(
    "UPDATE stillstore_collections SET lease_token = ?2, lease_expires_at_ms = ?3 WHERE id = ?1 AND ",
    lease_is_free!("?4")
);

static FINISH: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE stillstore_images SET status = 'deleted', version = version + 1, updated_at_ms = ?2, {} \
        WHERE id IN (SELECT value FROM json_each(?1)) AND status = 'deleting'",
        erased_columns(true)
    )
});

// A journal line names the key; without its image there is nothing left to roll back.
const FORGET_MOVES: [&str; 2] = [
    "UPDATE stillstore_move_counters SET items = items - (SELECT count(*) FROM stillstore_moves AS moved \
    WHERE moved.source = 'embedded' AND moved.item_id IN (SELECT value FROM json_each(?1)) \
    AND moved.stage = stillstore_move_counters.stage) WHERE source = 'embedded'",
    "DELETE FROM stillstore_moves WHERE source = 'embedded' AND item_id IN (SELECT value FROM json_each(?1))",
];

macro_rules! nobody_is_left {
    () => {
        " AND NOT EXISTS (SELECT 1 FROM stillstore_images INDEXED BY stillstore_images_leaving \
         WHERE status = 'deleting' AND collection_id = ?1) \
         AND NOT EXISTS (SELECT 1 FROM stillstore_images INDEXED BY stillstore_images_by_collection \
         WHERE status = 'stored' AND collection_id = ?1)"
    };
}

const OPEN_AGAIN: &str = concat!(
    "UPDATE stillstore_collections SET state = 'open', leaving = 0 WHERE id = ?1 AND state = 'emptying' AND ",
    lease_is_held!("?2"),
    nobody_is_left!()
);

// Left-overs of uploads are swept by the collection's row.
const DELETE: &str = concat!(
    "DELETE FROM stillstore_collections WHERE id = ?1 AND state = 'deleting' AND ",
    lease_is_held!("?2"),
    nobody_is_left!(),
    " AND NOT EXISTS (SELECT 1 FROM stillstore_frame_uploads WHERE session_id = ?1)"
);

const RELEASE: &str =
    concat!("UPDATE stillstore_collections SET ", lease_given_back!(), " WHERE id = ?1 AND ", lease_is_held!("?2"));

/// What becomes of a collection whose members are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It stays, without members.
    Emptied,
    Deleted,
}

#[derive(serde::Deserialize)]
struct CountRow {
    members: u64,
}

#[derive(serde::Deserialize)]
struct IdRow {
    id: CollectionId,
}

impl Catalog {
    /// Makes all members of an open collection unreadable and tells them to go. One that was told so before stays as it is. `None` when
    /// there is no such collection of the owner's.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may have been told.
    pub async fn tell_to_go(
        &self,
        id: &CollectionId,
        kind: CollectionKind,
        owner: &OwnerFilter,
        fate: Fate,
        now: Timestamp,
    ) -> Result<Option<Collection>, CatalogError> {
        let state = match fate {
            Fate::Emptied => "emptying",
            Fate::Deleted => "deleting",
        };
        let tell = Statement::new(TELL_TO_GO)
            .bind(id.as_str())
            .bind(kind.as_str())
            .bind(owner.param())
            .bind(state)
            .bind(now.as_millis());
        let [_, _, row] = self.batch("tell_to_go", [tell, mark(id, now), select_any(id, kind, owner)]).await?;
        let row: Option<Row> = row.first().map_err(CatalogError::during("tell_to_go"))?;
        Ok(row.map(Collection::from).filter(|collection| collection.state != CollectionState::Open))
    }

    /// Collections whose members are to go and that nobody works on, those told first first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn collections_to_clear(&self, now: Timestamp, limit: u16) -> Result<Vec<CollectionId>, CatalogError> {
        let select = concat!(
            "SELECT id FROM stillstore_collections INDEXED BY stillstore_collections_leaving WHERE state <> 'open' AND ",
            lease_is_free!("?1"),
            " ORDER BY updated_at_ms LIMIT ?2"
        );
        let select = Statement::new(select).bind(now.as_millis()).bind(i64::from(limit));
        let [rows] = self.batch("collections_to_clear", [select]).await?;
        let rows: Vec<IdRow> = rows.rows().map_err(CatalogError::during("collections_to_clear"))?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Sessions that took no frame after `before`, those first that took none for longest.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn aged_sessions(&self, before: Timestamp, limit: u16) -> Result<Vec<CollectionId>, CatalogError> {
        let select = "SELECT id FROM stillstore_collections INDEXED BY stillstore_collections_aging \
            WHERE kind = 'session' AND state = 'open' AND updated_at_ms <= ?1 ORDER BY updated_at_ms LIMIT ?2";
        let select = Statement::new(select).bind(before.as_millis()).bind(i64::from(limit));
        let [rows] = self.batch("aged_sessions", [select]).await?;
        let rows: Vec<IdRow> = rows.rows().map_err(CatalogError::during("aged_sessions"))?;
        Ok(rows.into_iter().map(|row| row.id).collect())
    }

    /// Claims a collection for its one worker; false when another has it, or it is not there.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be claimed until the lease ends.
    pub async fn claim_collection(
        &self,
        id: &CollectionId,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        let claim = Statement::new(CLAIM)
            .bind(id.as_str())
            .bind(lease.token())
            .bind(lease.expires_at().as_millis())
            .bind(now.as_millis());
        let [claimed] = self.batch("claim_collection", [claim]).await?;
        Ok(claimed.changes > 0)
    }

    /// Up to `limit` members that are to go, in any order; those of a collection with more than one statement marks are marked on the way.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn leaving(
        &self,
        id: &CollectionId,
        limit: u16,
        now: Timestamp,
    ) -> Result<Vec<ImageRecord>, CatalogError> {
        let select = format!(
            "SELECT {IMAGE_COLUMNS} FROM stillstore_images INDEXED BY stillstore_images_leaving \
            WHERE status = 'deleting' AND collection_id = ?1 LIMIT ?2"
        );
        let select = Statement::new(select).bind(id.as_str()).bind(i64::from(limit));
        let [_, rows] = self.batch("leaving", [mark(id, now), select]).await?;
        records(&rows).map_err(CatalogError::during("leaving"))
    }

    /// How many members are to go and have not gone yet.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn count_leaving(&self, id: &CollectionId) -> Result<u64, CatalogError> {
        let count = "SELECT count(*) AS members FROM stillstore_images INDEXED BY stillstore_images_leaving \
            WHERE status = 'deleting' AND collection_id = ?1";
        let [row] = self.batch("count_leaving", [Statement::new(count).bind(id.as_str())]).await?;
        let row: Option<CountRow> = row.first().map_err(CatalogError::during("count_leaving"))?;
        Ok(row.map_or(0, |row| row.members))
    }

    /// Turns rows whose bytes are gone into tombstones, as [`Catalog::finish_delete`] does one, and queues the purges of public ones.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the rows may be tombstones.
    pub async fn finish_leaving(&self, ids: &[ImageId], now: Timestamp) -> Result<(), CatalogError> {
        let purge = queue_purges(ids, now).map_err(CatalogError::during("finish_leaving"))?;
        let ids = to_json(ids).map_err(CatalogError::during("finish_leaving"))?;
        let finish = Statement::new(FINISH.as_str()).bind(ids.as_str()).bind(now.as_millis());
        let [uncount, forget] = FORGET_MOVES.map(|sql| Statement::new(sql).bind(ids.as_str()));
        self.batch("finish_leaving", [purge, finish, uncount, forget]).await.map(drop)
    }

    /// Gives a collection back. If no member is left, it is open again or gone, as it was told.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the lease ends by itself.
    pub async fn give_collection_back(&self, id: &CollectionId, lease: &Lease) -> Result<(), CatalogError> {
        let [open, delete, release] =
            [OPEN_AGAIN, DELETE, RELEASE].map(|sql| Statement::new(sql).bind(id.as_str()).bind(lease.token()));
        self.batch("give_collection_back", [open, delete, release]).await.map(drop)
    }
}

fn mark(id: &CollectionId, now: Timestamp) -> Statement {
    Statement::new(MARK).bind(id.as_str()).bind(now.as_millis())
}
