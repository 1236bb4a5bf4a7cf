//! Which images the cache in front must still forget.
//!
//! A purge is queued in the transaction that makes its image unreadable, so that no crash loses it. It is sent twice: the second time
//! when no read can be left that began before.

use serde::Deserialize;

use super::{Catalog, CatalogError};
use crate::image::ImageId;
use crate::runtime::Timestamp;
use crate::sql::{self, DatabaseError, QueryResult, Statement};

/// Time in milliseconds from a purge to its repetition: one hour, far longer than any read lives.
const AGAIN_AFTER_MS: i64 = 60 * 60 * 1000;
/// What a purge waits for in milliseconds that was refused once: one minute.
const FIRST_BACKOFF_MS: i64 = 60 * 1000;

macro_rules! or_anew {
    () => {
        " ON CONFLICT (image_id) DO UPDATE SET stage = excluded.stage, due_at_ms = excluded.due_at_ms, failures = excluded.failures"
    };
}

// Right after the statement that makes the image unreadable: nothing is queued when that changed nothing.
const QUEUE_CHANGED: &str = concat!(
    "INSERT INTO stillstore_purges (image_id, stage, due_at_ms, failures) SELECT ?1, ?2, ?3, ?4 WHERE changes() = 1",
    or_anew!()
);

const QUEUE: &str = concat!(
    "INSERT INTO stillstore_purges (image_id, stage, due_at_ms, failures) SELECT value, 'first', ?2, 0 FROM json_each(?1) \
     WHERE NOT EXISTS (SELECT 1 FROM stillstore_images WHERE id = value AND visibility = 'private')",
    or_anew!()
);

const SELECT_DUE: &str = "SELECT image_id FROM stillstore_purges WHERE due_at_ms <= ?1 ORDER BY due_at_ms LIMIT ?2";

const SELECT_WAITING: &str = "SELECT image_id FROM stillstore_purges WHERE image_id = ?1 AND stage = 'first'";

// What was queued anew since the purges were read is due later than that, and stays.
const DROP_REPEATED: &str = "DELETE FROM stillstore_purges WHERE image_id IN (SELECT value FROM json_each(?1)) \
    AND stage = 'again' AND due_at_ms <= ?2";

const MARK_SENT: &str = "UPDATE stillstore_purges SET stage = 'again', due_at_ms = ?3, failures = 0 \
    WHERE image_id IN (SELECT value FROM json_each(?1)) AND stage = 'first' AND due_at_ms <= ?2";

// A minute, doubled with each refusal up to an hour.
const POSTPONE: &str = "UPDATE stillstore_purges SET failures = failures + 1, due_at_ms = ?3 + min(60000 << min(failures, 6), 3600000) \
    WHERE image_id IN (SELECT value FROM json_each(?1)) AND due_at_ms <= ?2";

/// Purges that were due at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuePurges {
    pub ids: Vec<ImageId>,
    read_at: Timestamp,
}

/// What the cache in front was told of an image that becomes unreadable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePurge {
    /// Nothing: no cache can hold it.
    Needless,
    /// Nothing yet.
    Queued,
    /// It forgot the image, and these with it.
    Sent(DuePurges),
    /// It took neither the image nor these.
    Refused(DuePurges),
}

#[derive(Deserialize)]
struct IdRow {
    image_id: ImageId,
}

impl DuePurges {
    /// What [`select_due`] answered.
    pub(super) fn read(answer: &QueryResult, read_at: Timestamp) -> Result<Self, DatabaseError> {
        let ids = answer.rows::<IdRow>()?.into_iter().map(|row| row.image_id).collect();
        Ok(Self { ids, read_at })
    }

    /// The statements that mark them as sent, for the first time or once more.
    fn mark_sent(&self, now: Timestamp) -> Result<Vec<Statement>, DatabaseError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        let again_at = now.plus_millis(AGAIN_AFTER_MS);
        Ok(vec![self.of_these(DROP_REPEATED)?, self.of_these(MARK_SENT)?.bind(again_at.as_millis())])
    }

    /// The statements that let them wait.
    fn postpone(&self, now: Timestamp) -> Result<Vec<Statement>, DatabaseError> {
        if self.ids.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![self.of_these(POSTPONE)?.bind(now.as_millis())])
    }

    fn of_these(&self, sql: &'static str) -> Result<Statement, DatabaseError> {
        Ok(Statement::new(sql).bind(sql::to_json(&self.ids)?).bind(self.read_at.as_millis()))
    }
}

impl CachePurge {
    /// The statements that record it: the first must be right behind the one that makes the image unreadable.
    pub(super) fn statements(&self, id: ImageId, now: Timestamp) -> Result<Vec<Statement>, DatabaseError> {
        let queue = |stage: &str, due_at: Timestamp, failures: i64| {
            Statement::new(QUEUE_CHANGED).bind(id.to_string()).bind(stage).bind(due_at.as_millis()).bind(failures)
        };
        let (own, others) = match self {
            Self::Needless => return Ok(Vec::new()),
            Self::Queued => (queue("first", now, 0), Vec::new()),
            Self::Sent(others) => (queue("again", now.plus_millis(AGAIN_AFTER_MS), 0), others.mark_sent(now)?),
            Self::Refused(others) => (queue("first", now.plus_millis(FIRST_BACKOFF_MS), 1), others.postpone(now)?),
        };
        Ok(std::iter::once(own).chain(others).collect())
    }
}

impl Catalog {
    /// Purges that are due, longest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn due_purges(&self, now: Timestamp, limit: u16) -> Result<DuePurges, CatalogError> {
        let [due] = self.batch("due_purges", [select_due(now, limit)]).await?;
        DuePurges::read(&due, now).map_err(CatalogError::during("due_purges"))
    }

    /// Records that the cache forgot these images, or took nothing and is asked again later.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; they may be sent once too often.
    pub async fn settle_purges(&self, purges: &DuePurges, was_sent: bool, now: Timestamp) -> Result<(), CatalogError> {
        let statements = if was_sent { purges.mark_sent(now) } else { purges.postpone(now) };
        let statements = statements.map_err(CatalogError::during("settle_purges"))?;
        if !statements.is_empty() {
            self.database.batch(statements).await.map_err(CatalogError::during("settle_purges"))?;
        }
        Ok(())
    }

    /// Whether the cache was not yet made to forget an image that is unreadable.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn purge_waits(&self, id: ImageId) -> Result<bool, CatalogError> {
        let [row] = self.batch("purge_waits", [Statement::new(SELECT_WAITING).bind(id.to_string())]).await?;
        Ok(row.first::<IdRow>().map_err(CatalogError::during("purge_waits"))?.is_some())
    }
}

/// Reads purges that are due.
pub(super) fn select_due(now: Timestamp, limit: u16) -> Statement {
    Statement::new(SELECT_DUE).bind(now.as_millis()).bind(i64::from(limit))
}

/// Queues purges of images that become unreadable in the same transaction, or whose bytes are replaced in it. To stand in front of the
/// statements that remove their rows: a private one is in no cache.
///
/// # Errors
/// When the ids have no form in the database.
pub fn queue_purges(ids: &[ImageId], now: Timestamp) -> Result<Statement, DatabaseError> {
    Ok(Statement::new(QUEUE).bind(sql::to_json(&ids)?).bind(now.as_millis()))
}
