//! What users may have, and what they have of it: counted in the transaction that adds an image, so that no two requests at once exceed a
//! limit.
//!
//! An image that is being added holds a claim. Triggers turn it into the image's own bytes when it is stored, and give it back when it is
//! given up; they give the bytes back when the image is deleted. Without limits there are no claims, and nothing is counted.

use serde::Deserialize;

use super::limits::{DAY_MS, Limit, LimitReached, UserLimits};
use super::row::corrupt;
use super::{Catalog, CatalogError};
use crate::image::{ImageId, UserId};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseErrorKind, QueryResult, Statement, Value};

/// How often to try when a limit that refused is out of the way by the time it is looked at.
const MAX_ATTEMPTS: usize = 3;

// The sum is made once a user: for the images that were added before there was a limit.
const OPEN: &str = "INSERT INTO stillstore_usage (owner_id, bytes, day, images, generations) \
    SELECT ?1, (SELECT ifnull(sum(size_bytes), 0) FROM stillstore_images INDEXED BY stillstore_images_by_owner \
    WHERE owner_id = ?1 AND status = 'stored') \
    + (SELECT ifnull(sum(size_bytes), 0) FROM stillstore_variants INDEXED BY stillstore_variants_by_owner \
    WHERE owner_id = ?1 AND owner_id IS NOT NULL AND state = 'stored'), ?2, 0, 0 \
    WHERE NOT EXISTS (SELECT 1 FROM stillstore_usage WHERE owner_id = ?1)";

// Of a reserved image only when its row is there, which takes the claim with it when it is given up; of one that is stored at once only when
// no row is there. A claim that is there counts already, but for what it says of the size.
const CLAIM: &str = "INSERT INTO stillstore_usage_claims (image_id, owner_id, bytes, generations, day, claimed_at_ms) \
    SELECT ?1, owner_id, ?3, ?4, max(day, ?5), ?6 FROM stillstore_usage WHERE owner_id = ?2 \
    AND CASE ?7 WHEN 'generation' THEN 1 \
    WHEN 'grant' THEN EXISTS (SELECT 1 FROM stillstore_uploads WHERE asset_id = ?1) \
    WHEN 'reservation' THEN EXISTS (SELECT 1 FROM stillstore_images WHERE id = ?1 AND status = 'pending') \
    ELSE NOT EXISTS (SELECT 1 FROM stillstore_images WHERE id = ?1) END \
    ON CONFLICT (image_id) DO UPDATE SET bytes = excluded.bytes";

// NULL is refused, and with it the whole batch. An image whose row has changed since it was made was let in by its reservation.
const GUARD: &str = "UPDATE stillstore_usage SET bytes = CASE WHEN (?2 IS NULL OR bytes <= ?2) \
    AND (?3 IS NULL OR images <= ?3) AND (?4 IS NULL OR generations <= ?4) \
    OR (SELECT version FROM stillstore_images WHERE id = ?5) > 1 THEN bytes END WHERE owner_id = ?1";

// As CLAIM of images that are stored at once; a row of the catalogue takes its claim.
const CLAIM_ALL: &str = "INSERT INTO stillstore_usage_claims (image_id, owner_id, bytes, generations, day, claimed_at_ms) \
    SELECT value ->> 'id', owner_id, value ->> 'bytes', 0, max(day, ?3), ?4 FROM stillstore_usage, json_each(?2) WHERE owner_id = ?1 \
    AND NOT EXISTS (SELECT 1 FROM stillstore_images WHERE id = value ->> 'id')";

const RELEASE_ALL: &str =
    "DELETE FROM stillstore_usage_claims WHERE image_id IN (SELECT value ->> 'id' FROM json_each(?1))";

const SELECT_USAGE: &str = "SELECT bytes, day, images, generations, \
    (SELECT bytes FROM stillstore_usage_claims WHERE image_id = ?2) AS claimed_bytes \
    FROM stillstore_usage WHERE owner_id = ?1";

// A pending row takes the claim with it.
const RELEASE: &str = "DELETE FROM stillstore_usage_claims WHERE image_id = ?1 \
    AND NOT EXISTS (SELECT 1 FROM stillstore_images WHERE id = ?1 AND status = 'pending')";

const PURGE: &str = "DELETE FROM stillstore_usage_claims WHERE image_id IN (\
    SELECT image_id FROM stillstore_usage_claims AS claim INDEXED BY stillstore_usage_claims_by_age \
    WHERE claimed_at_ms <= ?1 AND NOT EXISTS (\
    SELECT 1 FROM stillstore_images WHERE id = claim.image_id AND status = 'pending') AND NOT EXISTS (\
    SELECT 1 FROM stillstore_uploads WHERE asset_id = claim.image_id AND state = 'granted') \
    ORDER BY claimed_at_ms LIMIT ?2)";

// A call of a model beyond those that its job was made with.
const CALL: &str = "UPDATE stillstore_usage SET images = iif(?2 > day, 0, images), generations = iif(?2 > day, 0, generations) + 1, \
    day = max(day, ?2) WHERE owner_id = ?1";

/// What an image that is being added takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim<'user> {
    pub owner: &'user UserId,
    pub image_id: ImageId,
    pub size_bytes: u64,
    pub stage: ClaimStage,
}

/// How far an image has come that claims a part of its owner's limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimStage {
    /// A provider is about to make it; nothing is reserved yet.
    Generation,
    /// A client was granted to upload it; nothing is reserved.
    Grant,
    /// Its row is made, `pending`.
    Reservation,
    /// It is stored, without a reservation if there is none.
    Commit,
}

/// What an owner may still have, by the counters of a moment.
pub(super) struct Room {
    usage: UsageRow,
    limits: UserLimits,
    now: Timestamp,
}

#[derive(Deserialize)]
struct UsageRow {
    bytes: i64,
    day: i64,
    images: i64,
    generations: i64,
    claimed_bytes: Option<i64>,
}

impl Catalog {
    /// The owner, if what they add is counted.
    #[must_use]
    pub fn limited<'user>(&self, owner: Option<&'user UserId>) -> Option<&'user UserId> {
        owner.filter(|_| self.limits.is_any())
    }

    /// Counts an image that a provider is about to make for an owner with limits, under the id that it will have. [`Catalog::reserve`] goes on from there; [`Catalog::release_usage`] gives it back.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be counted.
    pub async fn claim_generation(
        &self,
        owner: &UserId,
        image_id: ImageId,
        now: Timestamp,
    ) -> Result<Result<(), LimitReached>, CatalogError> {
        // No image is empty, and nobody knows yet how large this one is.
        let claim = Claim { owner, image_id, size_bytes: 1, stage: ClaimStage::Generation };
        let outcome = self.batch_within_limits("claim_generation", Vec::new(), claim, now).await?;
        Ok(outcome.map(drop))
    }

    /// Gives back what an image was counted for that is not reserved, and will not be.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it is given back by the sweep.
    pub async fn release_usage(&self, image_id: ImageId) -> Result<(), CatalogError> {
        self.batch("release_usage", [Statement::new(RELEASE).bind(image_id.to_string())]).await.map(drop)
    }

    /// Gives back what was claimed at `claimed_until` or earlier for at most `limit` images that are neither reserved nor granted.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn purge_usage_claims(&self, claimed_until: Timestamp, limit: u16) -> Result<(), CatalogError> {
        let purge = Statement::new(PURGE).bind(claimed_until.as_millis()).bind(i64::from(limit));
        self.batch("purge_usage_claims", [purge]).await.map(drop)
    }

    /// Runs `statements` and counts the claim with them, or does nothing when the owner has reached a limit. Answers with one result a
    /// statement.
    pub(super) async fn batch_within_limits(
        &self,
        operation: &'static str,
        statements: Vec<Statement>,
        claim: Claim<'_>,
        now: Timestamp,
    ) -> Result<Result<Vec<QueryResult>, LimitReached>, CatalogError> {
        let during = CatalogError::during(operation);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let counted = [claim.insert(now), self.limits_hold(&claim)];
            let batch = [open(claim.owner, now)].into_iter().chain(statements.clone()).chain(counted).collect();
            match self.database.batch(batch).await {
                Ok(results) => return Ok(Ok(results.into_iter().skip(1).take(statements.len()).collect())),
                Err(refusal) if refusal.kind == DatabaseErrorKind::Constraint => {
                    match self.limit_reached(operation, &claim, now).await? {
                        Some(limit) => return Ok(Err(limit)),
                        None if attempt < MAX_ATTEMPTS => {}
                        None => return Err(during(refusal)),
                    }
                }
                Err(error) => return Err(during(error)),
            }
        }
    }

    /// As [`Catalog::batch_within_limits`], where a trigger counts `calls` calls of a model with one of the statements, unless it changes nothing.
    pub(super) async fn batch_with_calls(
        &self,
        operation: &'static str,
        statements: Vec<Statement>,
        owner: &UserId,
        calls: u32,
        now: Timestamp,
    ) -> Result<Result<Vec<QueryResult>, LimitReached>, CatalogError> {
        let during = CatalogError::during(operation);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let guard = [self.calls_hold(owner)];
            let batch = [open(owner, now)].into_iter().chain(statements.clone()).chain(guard).collect();
            match self.database.batch(batch).await {
                Ok(results) => return Ok(Ok(results.into_iter().skip(1).take(statements.len()).collect())),
                Err(refusal) if refusal.kind == DatabaseErrorKind::Constraint => {
                    match self.calls_limit_reached(owner, calls, now).await? {
                        Some(limit) => return Ok(Err(limit)),
                        None if attempt < MAX_ATTEMPTS => {}
                        None => return Err(during(refusal)),
                    }
                }
                Err(error) => return Err(during(error)),
            }
        }
    }

    /// The limit that so many calls of a model would exceed now.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn calls_limit_reached(
        &self,
        owner: &UserId,
        calls: u32,
        now: Timestamp,
    ) -> Result<Option<LimitReached>, CatalogError> {
        let Room { usage, limits, .. } = self.room(owner, now).await?;
        let made = if usage.day >= day(now) { usage.generations } else { 0 };
        let is_reached = limits.generations_a_day.is_some_and(|limit| made + i64::from(calls) > whole(limit));
        Ok(is_reached.then(|| Limit::GenerationsADay.reached_at(now)))
    }

    /// Counts one more call of a model, and fails the transaction where that is one too many.
    pub(super) fn count_call(&self, owner: &UserId, now: Timestamp) -> [Statement; 3] {
        let count = Statement::new(CALL).bind(owner.as_str()).bind(day(now));
        [open(owner, now), count, self.calls_hold(owner)]
    }

    fn calls_hold(&self, owner: &UserId) -> Statement {
        let limits = [None, None, self.limits.generations_a_day].map(|limit| Value::from(limit.map(whole)));
        limits.into_iter().fold(Statement::new(GUARD).bind(owner.as_str()), Statement::bind).bind("")
    }

    /// What an owner may still have.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub(super) async fn room(&self, owner: &UserId, now: Timestamp) -> Result<Room, CatalogError> {
        let during = CatalogError::during("room");
        let select = Statement::new(SELECT_USAGE).bind(owner.as_str()).bind("");
        let [_, usage] = self.batch("room", [open(owner, now), select]).await?;
        let usage: Option<UsageRow> = usage.first().map_err(&during)?;
        let usage = usage.ok_or_else(|| corrupt("no usage after it was opened")).map_err(during)?;
        Ok(Room { usage, limits: self.limits, now })
    }

    /// The limit that an image of `size_bytes` would exceed now, in the place of one of `replaced_bytes`.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn limit_for(
        &self,
        owner: Option<&UserId>,
        size_bytes: u64,
        replaced_bytes: u64,
        now: Timestamp,
    ) -> Result<Option<LimitReached>, CatalogError> {
        let Some(owner) = self.limited(owner) else { return Ok(None) };
        let mut room = self.room(owner, now).await?;
        room.usage.bytes -= whole(replaced_bytes);
        Ok(room.take(size_bytes).err())
    }

    /// As [`Catalog::limits_hold`], of images that are stored at once.
    pub(super) fn limits_hold_for(&self, owner: &UserId) -> Statement {
        let UserLimits { bytes, images_a_day, .. } = self.limits;
        let limits = [bytes, images_a_day, None].map(|limit| Value::from(limit.map(whole)));
        limits.into_iter().fold(Statement::new(GUARD).bind(owner.as_str()), Statement::bind).bind("")
    }

    /// The limit that the claim would exceed now.
    pub(super) async fn limit_reached(
        &self,
        operation: &'static str,
        claim: &Claim<'_>,
        now: Timestamp,
    ) -> Result<Option<LimitReached>, CatalogError> {
        let during = CatalogError::during(operation);
        let [_, usage] = self.batch(operation, [open(claim.owner, now), claim.select_usage()]).await?;
        let usage: Option<UsageRow> = usage.first().map_err(&during)?;
        let usage = usage.ok_or_else(|| corrupt("no usage after it was opened")).map_err(during)?;
        let image = Added {
            size_bytes: claim.size_bytes,
            claimed_bytes: usage.claimed_bytes,
            is_generation: claim.stage == ClaimStage::Generation,
        };
        Ok(reached(&self.limits, &usage, image, now).map(|limit| limit.reached_at(now)))
    }

    /// A statement at the end of a transaction that fails all of it when the owner has more than they may.
    pub(super) fn limits_hold(&self, claim: &Claim<'_>) -> Statement {
        let UserLimits { bytes, images_a_day, generations_a_day } = self.limits;
        let generations_a_day = generations_a_day.filter(|_| claim.stage == ClaimStage::Generation);
        let limits = [bytes, images_a_day, generations_a_day].map(|limit| Value::from(limit.map(whole)));
        let guard = limits.into_iter().fold(Statement::new(GUARD).bind(claim.owner.as_str()), Statement::bind);
        guard.bind(claim.image_id.to_string())
    }
}

impl Room {
    /// Takes the room of an image, if there is room for it.
    pub fn take(&mut self, size_bytes: u64) -> Result<(), LimitReached> {
        let Self { usage, limits, now } = self;
        let image = Added { size_bytes, claimed_bytes: None, is_generation: false };
        if let Some(limit) = reached(limits, usage, image, *now) {
            return Err(limit.reached_at(*now));
        }
        usage.bytes += whole(size_bytes);
        usage.images = if usage.day >= day(*now) { usage.images + 1 } else { 1 };
        usage.day = usage.day.max(day(*now));
        Ok(())
    }
}

impl ClaimStage {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Generation => "generation",
            Self::Grant => "grant",
            Self::Reservation => "reservation",
            Self::Commit => "commit",
        }
    }
}

impl Claim<'_> {
    pub fn insert(&self, now: Timestamp) -> Statement {
        Statement::new(CLAIM)
            .bind(self.image_id.to_string())
            .bind(self.owner.as_str())
            .bind(whole(self.size_bytes))
            .bind(i64::from(self.stage == ClaimStage::Generation))
            .bind(day(now))
            .bind(now.as_millis())
            .bind(self.stage.as_str())
    }

    fn select_usage(&self) -> Statement {
        Statement::new(SELECT_USAGE).bind(self.owner.as_str()).bind(self.image_id.to_string())
    }
}

/// Begins to count what an owner has, unless it is counted already.
pub(super) fn open(owner: &UserId, now: Timestamp) -> Statement {
    Statement::new(OPEN).bind(owner.as_str()).bind(day(now))
}

/// Claims all images of the JSON list `counted` that have no row; see [`open`].
pub(super) fn claim_all(owner: &UserId, counted: &str, now: Timestamp) -> Statement {
    Statement::new(CLAIM_ALL).bind(owner.as_str()).bind(counted).bind(day(now)).bind(now.as_millis())
}

/// Gives back the claims that images of the list `counted` still have.
pub(super) fn release_all(counted: &str) -> Statement {
    Statement::new(RELEASE_ALL).bind(counted)
}

/// Days since 1970 in UTC.
const fn day(now: Timestamp) -> i64 {
    now.as_millis().div_euclid(DAY_MS)
}

/// As the database takes it: up to 2^53.
fn whole(number: u64) -> i64 {
    i64::try_from(number).map_or(1 << 53, |number| number.min(1 << 53))
}

/// An image that is to be added.
#[derive(Clone, Copy)]
struct Added {
    size_bytes: u64,
    /// What it counts as already.
    claimed_bytes: Option<i64>,
    is_generation: bool,
}

/// The limit that an image would exceed.
fn reached(limits: &UserLimits, usage: &UsageRow, image: Added, now: Timestamp) -> Option<Limit> {
    let is_today = usage.day >= day(now);
    let added = i64::from(image.claimed_bytes.is_none());
    let exceeds = |limit: Option<u64>, sum: i64| limit.is_some_and(|limit| sum > whole(limit));
    let of_today = |count: i64| if is_today { count } else { 0 };
    let bytes = usage.bytes - image.claimed_bytes.unwrap_or(0) + whole(image.size_bytes);
    if exceeds(limits.bytes, bytes) {
        Some(Limit::Bytes)
    } else if image.is_generation && exceeds(limits.generations_a_day, of_today(usage.generations) + added) {
        Some(Limit::GenerationsADay)
    } else if exceeds(limits.images_a_day, of_today(usage.images) + added) {
        Some(Limit::ImagesADay)
    } else {
        None
    }
}
