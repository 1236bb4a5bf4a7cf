//! Items that readers fetch before a run has moved them: who is fetching which, what was asked for in vain, and how much was fetched.
//!
//! The row of an item excludes runs, and a run excludes it: it is not made while a run has the item in flight, and a run that announces an
//! item reads afterwards whether there is one. So nobody removes what the other is putting under the same key.

use serde::Deserialize;

use super::journal::Stage;
use crate::image::{ImageId, ObjectKey, Sha256Digest};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, Lease, QueryResult, Statement, lease_is_free, lease_is_held, to_json};

/// What was asked for in vain is kept in as many places.
const SLOTS: u16 = 4_096;

const MOVED: &str =
    "SELECT image_id, storage_key FROM stillstore_moves WHERE source = ?1 AND item_id = ?2 AND stage <> 'restored'";

const MISSED: &str =
    "SELECT reason FROM stillstore_read_misses WHERE slot = ?1 AND source = ?2 AND item_id = ?3 AND until_ms > ?4";

// `WHERE` of the SELECT tells `ON CONFLICT` from a join.
const CLAIM: &str = concat!(
    "INSERT INTO stillstore_read_throughs (source, item_id, storage_key, lease_token, lease_expires_at_ms) \
    SELECT ?1, ?2, NULL, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM stillstore_runs INDEXED BY stillstore_runs_exclusive, json_each(in_flight) \
    WHERE source = ?1 AND exclusive = 1 AND state IN ('running', 'paused') AND value ->> 'item' = ?2) \
    ON CONFLICT (source, item_id) DO UPDATE SET lease_token = excluded.lease_token, lease_expires_at_ms = excluded.lease_expires_at_ms \
    WHERE ",
    lease_is_free!("?5"),
    " RETURNING source, item_id, storage_key"
);

const ANNOUNCE: &str = concat!(
    "UPDATE stillstore_read_throughs SET storage_key = ?4, lease_expires_at_ms = ?5 WHERE source = ?1 AND item_id = ?2 AND ",
    lease_is_held!("?3")
);

const RELEASE: &str =
    concat!("DELETE FROM stillstore_read_throughs WHERE source = ?1 AND item_id = ?2 AND ", lease_is_held!("?3"));

const MISS: &str = "INSERT INTO stillstore_read_misses (slot, source, item_id, reason, until_ms) VALUES (?1, ?2, ?3, ?4, ?5) \
    ON CONFLICT (slot) DO UPDATE SET source = excluded.source, item_id = excluded.item_id, reason = excluded.reason, \
    until_ms = excluded.until_ms";

const COUNT: &str = "INSERT INTO stillstore_read_counters (source, items, bytes, last_at_ms) VALUES (?1, 1, ?2, ?3) \
    ON CONFLICT (source) DO UPDATE SET items = items + 1, bytes = bytes + excluded.bytes, last_at_ms = max(last_at_ms, excluded.last_at_ms)";

const TAKE_OVER: &str = "UPDATE stillstore_read_throughs SET lease_token = ?1, lease_expires_at_ms = ?2 \
    WHERE (source, item_id) IN (SELECT source, item_id FROM stillstore_read_throughs \
    INDEXED BY stillstore_read_throughs_by_lease WHERE lease_expires_at_ms <= ?3 LIMIT ?4) RETURNING source, item_id, storage_key";

const NAMED: &str = "SELECT 1 AS one FROM stillstore_moves WHERE source = ?1 AND item_id = ?2 AND storage_key = ?3 \
    UNION ALL SELECT 1 FROM stillstore_images WHERE storage_key = ?3 LIMIT 1";

/// An item that somebody fetches, or fetched when his isolate ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Claimed {
    pub source: String,
    pub item_id: String,
    /// What was being put for it.
    pub storage_key: Option<ObjectKey>,
}

/// What an item became.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct MovedTo {
    pub image_id: ImageId,
    pub storage_key: ObjectKey,
}

/// Asks for the copy of an item; answers with a [`MovedTo`] when it has one.
#[must_use]
pub fn moved(source: &str, item: &str) -> Statement {
    Statement::new(MOVED).bind(source).bind(item)
}

/// Asks whether something of a source was asked for in vain: an item, or whatever else a miss was remembered by. [`reason_of`] reads the answer.
#[must_use]
pub fn missed(source: &str, name: &str, now: Timestamp) -> Statement {
    Statement::new(MISSED).bind(slot(source, name)).bind(source).bind(name).bind(now.as_millis())
}

/// Why it was in vain, from the answer to [`missed`].
///
/// # Errors
/// When it is none.
pub fn reason_of(answer: &QueryResult) -> Result<Option<String>, DatabaseError> {
    #[derive(Deserialize)]
    struct Missed {
        reason: String,
    }
    Ok(answer.first::<Missed>()?.map(|missed| missed.reason))
}

/// Answers with a row when an image that was moved was deleted here, or is being deleted. For the catalogue's database.
#[must_use]
pub fn was_deleted(image: ImageId) -> Statement {
    const DELETED: &str = "SELECT 1 AS one FROM stillstore_deleted_moves WHERE image_id = ?1 \
        UNION ALL SELECT 1 FROM stillstore_images WHERE id = ?1 AND status <> 'stored' LIMIT 1";
    Statement::new(DELETED).bind(image.to_string())
}

/// Takes an item, unless somebody else fetches it or a run has it in flight; answers with a [`Claimed`] then.
#[must_use]
pub fn claim(source: &str, item: &str, lease: &Lease, now: Timestamp) -> Statement {
    let claim = Statement::new(CLAIM).bind(source).bind(item).bind(lease.token());
    claim.bind(lease.expires_at().as_millis()).bind(now.as_millis())
}

/// Writes down the key that is about to be put. It changes a row while the lease is held.
#[must_use]
pub fn announce(source: &str, item: &str, lease: &Lease, key: &ObjectKey, now: Timestamp) -> Statement {
    let announce = Statement::new(ANNOUNCE).bind(source).bind(item).bind(lease.token());
    announce.bind(key.as_str()).bind(lease.renewed_at(now).as_millis())
}

/// Gives an item back. It changes a row while the lease is held.
#[must_use]
pub fn release(source: &str, item: &str, lease: &Lease) -> Statement {
    Statement::new(RELEASE).bind(source).bind(item).bind(lease.token())
}

/// Remembers until a moment that something was asked for in vain.
#[must_use]
pub fn miss(source: &str, name: &str, reason: &str, until: Timestamp) -> Statement {
    Statement::new(MISS).bind(slot(source, name)).bind(source).bind(name).bind(reason).bind(until.as_millis())
}

/// Counts an item that was fetched.
#[must_use]
pub fn count(source: &str, size_bytes: u64, now: Timestamp) -> Statement {
    let bytes = i64::try_from(size_bytes).unwrap_or(i64::MAX);
    Statement::new(COUNT).bind(source).bind(bytes).bind(now.as_millis())
}

/// Counts entries that left a stage and reached one.
#[must_use]
pub fn count_stages(source: &str, staged: (Option<Stage>, Option<Stage>)) -> Vec<Statement> {
    if staged.0 == staged.1 {
        return Vec::new();
    }
    let left = staged.0.map(|stage| super::journal::count_stage(source, stage, -1));
    left.into_iter().chain(staged.1.map(|stage| super::journal::count_stage(source, stage, 1))).collect()
}

/// Takes over items whose lease ended at `ended_until` or earlier; answers with a [`Claimed`] for each.
#[must_use]
pub fn take_over(lease: &Lease, ended_until: Timestamp, limit: u16) -> Statement {
    let take_over = Statement::new(TAKE_OVER).bind(lease.token()).bind(lease.expires_at().as_millis());
    take_over.bind(ended_until.as_millis()).bind(i64::from(limit))
}

/// Answers with a row when something names the object of an item.
#[must_use]
pub fn named(source: &str, item: &str, key: &ObjectKey) -> Statement {
    Statement::new(NAMED).bind(source).bind(item).bind(key.as_str())
}

/// Asks when a reader last fetched something of a source, whether one does now, and whether a run moves something of it.
#[must_use]
pub fn needs_source(source: &str) -> [Statement; 3] {
    const LAST: &str = "SELECT last_at_ms FROM stillstore_read_counters WHERE source = ?1";
    const BEING_READ: &str = "SELECT 1 AS one FROM stillstore_read_throughs WHERE source = ?1 LIMIT 1";
    const BEING_MOVED: &str = "SELECT 1 AS one FROM stillstore_runs INDEXED BY stillstore_runs_exclusive \
        WHERE source = ?1 AND exclusive = 1 AND state IN ('running', 'paused') LIMIT 1";
    [LAST, BEING_READ, BEING_MOVED].map(|sql| Statement::new(sql).bind(source))
}

/// Answers with those of `items` that readers are fetching.
///
/// # Errors
/// When a value has no JSON form.
pub fn claimed_of(source: &str, items: &[String]) -> Result<Statement, DatabaseError> {
    let sql = "SELECT source, item_id, storage_key FROM stillstore_read_throughs WHERE source = ?1 \
        AND item_id IN (SELECT value FROM json_each(?2))";
    Ok(Statement::new(sql).bind(source).bind(to_json(&items)?))
}

fn slot(source: &str, item: &str) -> i64 {
    let digest = Sha256Digest::of([source, "/", item].concat().as_bytes());
    let [first, second, ..] = digest.as_bytes();
    i64::from(u16::from_be_bytes([*first, *second]) % SLOTS)
}
