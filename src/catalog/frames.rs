//! Frames: numbered images of a session, committed many at once.
//!
//! A frame has no row before its bytes are put. What names bytes that no row names yet is the request's own row in
//! `stillstore_frame_uploads`, which stays until everything that it put is committed, or swept.

use serde::Deserialize;

use super::columns::IMAGE_COLUMNS;
use super::row::{first_record, records};
use super::{Catalog, CatalogError, ImageRecord, OwnerFilter};
use crate::image::{FrameId, FrameNumber, ObjectKey, SessionId, UserId};
use crate::runtime::Timestamp;
use crate::sql::{Lease, Statement, lease_is_free, lease_is_held, to_json};

const MAKE_SESSION: &str = "INSERT INTO stillstore_collections (id, kind, state, owner_id, created_at_ms, updated_at_ms) \
    VALUES (?1, 'session', 'open', ?2, ?3, ?3) ON CONFLICT (id) DO NOTHING";

const BEGIN: &str = concat!(
    "INSERT INTO stillstore_frame_uploads (token, session_id, state, began_at_ms) \
    SELECT ?1, id, 'under-way', ?2 FROM stillstore_collections WHERE id = ?3 AND kind = 'session' AND state = 'open' \
    AND (?4 IS NULL OR owner_id = ?4) AND ",
    lease_is_free!("?2"),
    " ON CONFLICT (token) DO NOTHING"
);

const SELECT_BEGUN: &str = "SELECT owner_id, \
    (SELECT max(ordinal) FROM stillstore_images INDEXED BY stillstore_images_by_collection \
    WHERE status = 'stored' AND collection_id = ?1) AS highest, \
    EXISTS (SELECT 1 FROM stillstore_frame_uploads WHERE token = ?2) AS begun \
    FROM stillstore_collections WHERE id = ?1 AND kind = 'session' AND state <> 'deleting' AND (?3 IS NULL OR owner_id = ?3)";

/// A request's right to commit frames to a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameUpload {
    pub session: SessionId,
    /// Tells this request from every other.
    pub token: String,
}

/// What became of the beginning of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FramesBegun {
    Begun {
        /// Whose the session is, and hence its frames.
        owner_id: Option<UserId>,
        /// The highest number that a frame has.
        highest: Option<u32>,
    },
    /// The session's frames are being deleted, or left-overs are being removed.
    Busy,
    /// The session is another owner's, or its id is no session's.
    NotFound,
}

#[derive(Deserialize)]
struct BegunRow {
    owner_id: Option<UserId>,
    highest: Option<u32>,
    begun: u8,
}

#[derive(Deserialize)]
struct SessionRow {
    session_id: SessionId,
}

#[derive(Deserialize)]
struct KeyRow {
    storage_key: ObjectKey,
}

#[derive(Deserialize)]
struct CountRow {
    uploads: u64,
}

impl Catalog {
    /// Begins an upload of frames, and makes the session if there is none.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may have begun.
    pub async fn begin_frames(
        &self,
        upload: &FrameUpload,
        owner: &OwnerFilter,
        now: Timestamp,
    ) -> Result<FramesBegun, CatalogError> {
        let id = upload.session.as_str();
        let make = Statement::new(MAKE_SESSION).bind(id).bind(owner.param()).bind(now.as_millis());
        let begin =
            Statement::new(BEGIN).bind(upload.token.as_str()).bind(now.as_millis()).bind(id).bind(owner.param());
        let select = Statement::new(SELECT_BEGUN).bind(id).bind(upload.token.as_str()).bind(owner.param());
        let [_, _, row] = self.batch("begin_frames", [make, begin, select]).await?;
        let row: Option<BegunRow> = row.first().map_err(CatalogError::during("begin_frames"))?;
        Ok(match row {
            None => FramesBegun::NotFound,
            Some(BegunRow { begun: 0, .. }) => FramesBegun::Busy,
            Some(BegunRow { owner_id, highest, .. }) => FramesBegun::Begun { owner_id, highest },
        })
    }

    /// Forgets an upload, everything of which is committed.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be forgotten.
    pub async fn end_upload(&self, token: &str) -> Result<(), CatalogError> {
        let end = Statement::new("DELETE FROM stillstore_frame_uploads WHERE token = ?1").bind(token);
        self.batch("end_upload", [end]).await.map(drop)
    }

    /// The readable frames that have these numbers.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn frames_numbered(
        &self,
        session: &SessionId,
        numbers: &[FrameNumber],
    ) -> Result<Vec<ImageRecord>, CatalogError> {
        let during = CatalogError::during("frames_numbered");
        let numbers: Vec<_> = numbers.iter().map(|number| number.get()).collect();
        let select = format!(
            "SELECT {IMAGE_COLUMNS} FROM stillstore_images INDEXED BY stillstore_images_by_collection \
            WHERE status = 'stored' AND collection_id = ?1 AND ordinal IN (SELECT value FROM json_each(?2))"
        );
        let numbers = to_json(&numbers).map_err(&during)?;
        let [rows] =
            self.batch("frames_numbered", [Statement::new(select).bind(session.as_str()).bind(numbers)]).await?;
        records(&rows).map_err(during)
    }

    /// A readable frame of the owner's.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_frame(&self, frame: &FrameId, owner: &OwnerFilter) -> Result<Option<ImageRecord>, CatalogError> {
        let select = format!(
            "SELECT {IMAGE_COLUMNS} FROM stillstore_images INDEXED BY stillstore_images_by_collection \
            WHERE status = 'stored' AND collection_id = ?1 AND ordinal = ?2 AND (?3 IS NULL OR owner_id = ?3)"
        );
        let select =
            Statement::new(select).bind(frame.session.as_str()).bind(i64::from(frame.number.get())).bind(owner.param());
        let [row] = self.batch("find_frame", [select]).await?;
        first_record(&row).map_err(CatalogError::during("find_frame"))
    }

    /// How many uploads to a session did not end as they should, as far as that is known: those that broke off or were lost, and those
    /// that began at `before` or earlier and are under way still.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn unfinished_uploads(&self, session: &SessionId, before: Timestamp) -> Result<u64, CatalogError> {
        let count = Statement::new(
            "SELECT count(*) AS uploads FROM stillstore_frame_uploads INDEXED BY stillstore_frame_uploads_by_session \
            WHERE session_id = ?1 AND (state <> 'under-way' OR began_at_ms <= ?2)",
        );
        let [row] = self.batch("unfinished_uploads", [count.bind(session.as_str()).bind(before.as_millis())]).await?;
        let row: Option<CountRow> = row.first().map_err(CatalogError::during("unfinished_uploads"))?;
        Ok(row.map_or(0, |row| row.uploads))
    }

    /// Sessions with uploads that began at `before` or earlier and have not ended, at most `limit`, and some of them twice.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn sessions_with_left_overs(
        &self,
        before: Timestamp,
        limit: u16,
    ) -> Result<Vec<SessionId>, CatalogError> {
        let during = CatalogError::during("sessions_with_left_overs");
        let select = Statement::new(
            "SELECT session_id FROM stillstore_frame_uploads INDEXED BY stillstore_frame_uploads_by_age \
            WHERE began_at_ms <= ?1 ORDER BY began_at_ms LIMIT ?2",
        );
        let select = select.bind(before.as_millis()).bind(i64::from(limit));
        let [rows] = self.batch("sessions_with_left_overs", [select]).await?;
        let rows: Vec<SessionRow> = rows.rows().map_err(during)?;
        Ok(rows.into_iter().map(|row| row.session_id).collect())
    }

    /// Claims a session so that the left-overs of its uploads can be removed: while it is claimed, no upload begins. False when an
    /// upload that began after `before` is under way, or another worker has the session. Uploads of before are lost from then on.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be claimed until the lease ends.
    pub async fn claim_left_overs(
        &self,
        session: &SessionId,
        lease: &Lease,
        before: Timestamp,
        now: Timestamp,
    ) -> Result<bool, CatalogError> {
        const CLAIM: &str = concat!(
            "UPDATE stillstore_collections SET lease_token = ?2, lease_expires_at_ms = ?3 WHERE id = ?1 AND ",
            lease_is_free!("?4"),
            " AND NOT EXISTS (SELECT 1 FROM stillstore_frame_uploads INDEXED BY stillstore_frame_uploads_by_session \
            WHERE session_id = ?1 AND began_at_ms > ?5 AND state = 'under-way')"
        );
        const LOSE: &str = concat!(
            "UPDATE stillstore_frame_uploads SET state = 'lost' WHERE session_id = ?1 AND began_at_ms <= ?3 AND state <> 'lost' \
            AND EXISTS (SELECT 1 FROM stillstore_collections WHERE id = ?1 AND ",
            lease_is_held!("?2"),
            ")"
        );
        let claim = Statement::new(CLAIM)
            .bind(session.as_str())
            .bind(lease.token())
            .bind(lease.expires_at().as_millis())
            .bind(now.as_millis())
            .bind(before.as_millis());
        let lose = Statement::new(LOSE).bind(session.as_str()).bind(lease.token()).bind(before.as_millis());
        let [claimed, _] = self.batch("claim_left_overs", [claim, lose]).await?;
        Ok(claimed.changes > 0)
    }

    /// Forgets uploads that began at `before` or earlier, whose left-overs are removed.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; they may be forgotten.
    pub async fn forget_uploads(&self, session: &SessionId, before: Timestamp) -> Result<(), CatalogError> {
        let forget = Statement::new(
            "DELETE FROM stillstore_frame_uploads WHERE session_id = ?1 AND began_at_ms <= ?2 AND state = 'lost'",
        );
        let forget = forget.bind(session.as_str()).bind(before.as_millis());
        self.batch("forget_uploads", [forget]).await.map(drop)
    }

    /// Those of the keys in the bucket that a row names.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn named_in_bucket(&self, keys: &[ObjectKey]) -> Result<Vec<ObjectKey>, CatalogError> {
        let during = CatalogError::during("named_in_bucket");
        let select = Statement::new(
            "SELECT storage_key FROM stillstore_images WHERE storage_key IN (SELECT value FROM json_each(?1)) \
            AND (storage = 'r2' OR status <> 'stored' OR two_homes IS NOT 0)",
        );
        let [rows] = self.batch("named_in_bucket", [select.bind(to_json(keys).map_err(&during)?)]).await?;
        let rows: Vec<KeyRow> = rows.rows().map_err(during)?;
        Ok(rows.into_iter().map(|row| row.storage_key).collect())
    }
}
