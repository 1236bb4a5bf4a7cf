//! One image a key: who may do the work, who waits, and which image came of it.

use serde::Deserialize;

use super::row::corrupt;
use super::{Catalog, CatalogError, IdempotencyKey, Status};
use crate::image::{ImageId, Sha256Digest};
use crate::runtime::Timestamp;
use crate::sql::Statement;

/// How long a key is remembered after its last claim: 24 hours. After that it counts as never used.
pub const IDEMPOTENCY_RETENTION_MS: i64 = 24 * 60 * 60 * 1000;

// A key past its time, and one whose unfinished image is being deleted, hence could never be stored.
const FORGET: &str = "DELETE FROM stillstore_idempotency WHERE key_digest = ?1 AND (\
    expires_at_ms <= ?2 OR (state = 'claimed' AND lease_expires_at_ms <= ?2 AND body_digest = ?3 AND EXISTS (\
    SELECT 1 FROM stillstore_images AS image \
    WHERE image.id = stillstore_idempotency.image_id AND image.status IN ('deleting', 'deleted'))))";

// Taking over an expired lease keeps the image and its time of creation, hence its key in the store: no orphan arises.
const CLAIM: &str = "INSERT INTO stillstore_idempotency \
    (key_digest, body_digest, image_id, created_at_ms, state, lease_expires_at_ms, expires_at_ms) \
    VALUES (?1, ?2, ?3, ?4, 'claimed', ?5, ?6) \
    ON CONFLICT (key_digest) DO UPDATE \
    SET lease_expires_at_ms = excluded.lease_expires_at_ms, expires_at_ms = excluded.expires_at_ms \
    WHERE state = 'claimed' AND lease_expires_at_ms <= ?4 AND body_digest = excluded.body_digest \
    RETURNING image_id";

const SELECT_KEY: &str = "SELECT body_digest, image_id, created_at_ms, state, lease_expires_at_ms, \
    (SELECT image.status FROM stillstore_images AS image \
    WHERE image.id = stillstore_idempotency.image_id) AS image_status \
    FROM stillstore_idempotency WHERE key_digest = ?1";

const RELEASE: &str = "DELETE FROM stillstore_idempotency \
    WHERE key_digest = ?1 AND image_id = ?2 AND lease_expires_at_ms = ?3 AND state = 'claimed'";

const PURGE: &str = "DELETE FROM stillstore_idempotency WHERE key_digest IN (\
    SELECT key_digest FROM stillstore_idempotency INDEXED BY stillstore_idempotency_by_expiry \
    WHERE expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT ?2\
    ) RETURNING image_id";

/// The right to do the work of a key, alone, until it expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// The image to make: the one proposed, or the one that an earlier holder did not finish and may have put already.
    pub image_id: ImageId,
    /// The image's time of creation, which its key in the store depends on.
    pub created_at: Timestamp,
    /// From now on another may take the work over.
    pub expires_at: Timestamp,
}

/// What a key stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The caller does the work.
    Claimed(Lease),
    /// Another is at it, at most for that long.
    InProgress { retry_after_ms: u64 },
    /// The work is done.
    Completed { image_id: ImageId },
    /// The work was done, and its image deleted since. The key is not free before it is forgotten.
    CompletedThenDeleted { image_id: ImageId },
    /// The key was used for another request.
    BodyMismatch,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KeyState {
    Claimed,
    Completed,
}

#[derive(Deserialize)]
struct KeyRow {
    body_digest: Sha256Digest,
    image_id: ImageId,
    created_at_ms: Timestamp,
    state: KeyState,
    lease_expires_at_ms: Timestamp,
    image_status: Option<Status>,
}

impl Catalog {
    /// Asks for the work of a key. Of two that ask at once, one gets it.
    ///
    /// `new_image_id` is random and new with each request; with it, a claim whose answer was lost can be made again.
    /// `lease_ms` is longer than the work can last, and shorter than [`IDEMPOTENCY_RETENTION_MS`].
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the key may be claimed.
    pub async fn claim(
        &self,
        key: &IdempotencyKey,
        body_digest: Sha256Digest,
        new_image_id: ImageId,
        now: Timestamp,
        lease_ms: u32,
    ) -> Result<Claim, CatalogError> {
        let during = CatalogError::during("claim");
        let forget =
            Statement::new(FORGET).bind(key.digest().to_string()).bind(now.as_millis()).bind(body_digest.to_string());
        let claim = Statement::new(CLAIM)
            .bind(key.digest().to_string())
            .bind(body_digest.to_string())
            .bind(new_image_id.to_string())
            .bind(now.as_millis())
            .bind(now.plus_millis(lease_ms.into()).as_millis())
            .bind(now.plus_millis(IDEMPOTENCY_RETENTION_MS).as_millis());
        let select = Statement::new(SELECT_KEY).bind(key.digest().to_string());
        let [_, claimed, row] = self.batch("claim", [forget, claim, select]).await?;
        let claimed = claimed.first::<serde_json::Value>().map_err(&during)?.is_some();
        let row: Option<KeyRow> = row.first().map_err(&during)?;
        row.ok_or_else(|| corrupt("no row after a claim"))
            .map(|row| row.claim(claimed, body_digest, new_image_id, now))
            .map_err(during)
    }

    /// Gives the work of a key up, so that the client may try again at once. Without effect when the work was completed, or
    /// another took it over.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the key is free once the lease has expired.
    pub async fn release(&self, key: &IdempotencyKey, lease: &Lease) -> Result<(), CatalogError> {
        let release = Statement::new(RELEASE)
            .bind(key.digest().to_string())
            .bind(lease.image_id.to_string())
            .bind(lease.expires_at.as_millis());
        self.batch("release", [release]).await.map(drop)
    }

    /// Removes forgotten keys, at most `limit` of them, and says how many.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the rows may be gone.
    pub async fn purge_idempotency(&self, now: Timestamp, limit: u16) -> Result<usize, CatalogError> {
        let purge = Statement::new(PURGE).bind(now.as_millis()).bind(i64::from(limit));
        let [rows] = self.batch("purge_idempotency", [purge]).await?;
        let purged = rows.rows::<serde_json::Value>().map_err(CatalogError::during("purge_idempotency"))?;
        Ok(purged.len())
    }
}

impl KeyRow {
    /// What the row says to one whose claim took it, or did not.
    fn claim(self, claimed: bool, body_digest: Sha256Digest, new_image_id: ImageId, now: Timestamp) -> Claim {
        let Self { image_id, created_at_ms: created_at, lease_expires_at_ms: expires_at, .. } = self;
        // The row of this very image is this request's own claim, made before and answered in vain.
        if claimed || (self.state == KeyState::Claimed && image_id == new_image_id) {
            return Claim::Claimed(Lease { image_id, created_at, expires_at });
        }
        if self.body_digest != body_digest {
            return Claim::BodyMismatch;
        }
        match (self.state, self.image_status) {
            (KeyState::Claimed, _) => Claim::InProgress { retry_after_ms: expires_at.millis_since(now).max(1) },
            (KeyState::Completed, Some(Status::Stored)) => Claim::Completed { image_id },
            (KeyState::Completed, _) => Claim::CompletedThenDeleted { image_id },
        }
    }
}
