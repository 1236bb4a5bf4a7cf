//! Variants of images: one row for each form that was asked for.
//!
//! ```text
//!            claim            keep                  triggers, give_up_variant          forget_variants
//! (no row) --------> making --------> stored ------------------------------> leaving ----------------> (no row)
//!                       \  refuse                                               ^
//!                        \---------> refused -----------------------------------/ due_variants
//! ```
//!
//! - The row names the bytes before they are written, and until they are gone.
//! - One request has the lease and makes it. When its time is over, the next one takes it.
//! - A trigger makes variants leave when their image is deleted or moves to another home. One that is being made then leaves when no put
//!   can be under way any more.

use serde::{Deserialize, Serialize};

use super::lookup::{SELECT_SERVING, serving_answer, serving_statement};
use super::placeholders::keep_placeholder;
use super::row::corrupt;
use super::{Catalog, CatalogError, OwnerFilter, Serving};
use crate::bytes::Blob;
use crate::image::{Format, ImageId, ObjectKey, Placeholder, Sha256Digest, VariantForm};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, Lease, QueryResult, Statement, to_json};
use crate::store::{CHUNK_BYTES, StorageKind};

/// Time in milliseconds from the end of a lease until no put of its holder can be under way: one hour.
const PUT_IS_OVER_MS: i64 = 60 * 60 * 1000;
/// How long a refusal is kept, in milliseconds: a day, so that an image that cannot be decoded is not tried for each request.
const REFUSAL_MS: i64 = 24 * 60 * 60 * 1000;

macro_rules! variant_columns {
    () => {
        "form, state, storage, storage_key, content_type, size_bytes, sha256, is_of_animation, refusal, lease_token, created_at_ms, due_at_ms"
    };
}

// With the bytes when they are embedded in one chunk and wanted.
const SELECT_WITH_BYTES: &str = concat!(
    "SELECT ",
    variant_columns!(),
    ", CASE WHEN ?3 AND state = 'stored' AND storage = 'd1' AND size_bytes <= ?4 THEN (SELECT data FROM stillstore_chunks WHERE write_id = \
     (SELECT write_id FROM stillstore_blobs WHERE object_key = storage_key AND stored_at_ms IS NOT NULL) AND chunk_index = 0) END AS data \
     FROM stillstore_variants WHERE image_id = ?1 AND form = ?2"
);

const SELECT: &str =
    concat!("SELECT ", variant_columns!(), " FROM stillstore_variants WHERE image_id = ?1 AND form = ?2");

// Of a readable image that is where the caller saw it. An abandoned row is taken over however many there are.
const CLAIM: &str = "INSERT INTO stillstore_variants (image_id, form, state, storage, storage_key, owner_id, lease_token, \
    lease_expires_at_ms, created_at_ms, due_at_ms) \
    SELECT id, ?2, 'making', storage, ?3, owner_id, ?4, ?5, ?6, ?7 FROM stillstore_images \
    WHERE id = ?1 AND status = 'stored' AND storage = ?8 \
    AND (EXISTS (SELECT 1 FROM stillstore_variants WHERE image_id = ?1 AND form = ?2) \
    OR (SELECT count(*) FROM stillstore_variants WHERE image_id = ?1) < ?9) \
    ON CONFLICT (image_id, form) DO UPDATE SET lease_token = excluded.lease_token, \
    lease_expires_at_ms = excluded.lease_expires_at_ms, due_at_ms = excluded.due_at_ms \
    WHERE state = 'making' AND lease_expires_at_ms <= ?6";

// And whether the image has a placeholder: its first variant makes one.
const COUNT: &str = "SELECT count(*) AS variants, (SELECT thumbhash IS NOT NULL FROM stillstore_images WHERE id = ?1) AS has_placeholder \
    FROM stillstore_variants WHERE image_id = ?1";

const KEEP: &str = "UPDATE stillstore_variants SET state = 'stored', content_type = ?4, size_bytes = ?5, sha256 = ?6, \
    is_of_animation = ?7, created_at_ms = ?8, lease_token = NULL, due_at_ms = NULL \
    WHERE image_id = ?1 AND form = ?2 AND state = 'making' AND lease_token = ?3";

// Embedded bytes are swept until they are owned. Those of a variant that left meanwhile are removed by its row.
const ADOPT: &str = "UPDATE stillstore_blobs SET owner_id = ?1 WHERE object_key = ?3 AND stored_at_ms IS NOT NULL AND EXISTS \
    (SELECT 1 FROM stillstore_variants WHERE image_id = ?1 AND form = ?2 AND state = 'stored' AND storage = 'd1' AND storage_key = ?3)";

const REFUSE: &str = "UPDATE stillstore_variants SET state = 'refused', refusal = ?4, lease_token = NULL, due_at_ms = ?5 \
    WHERE image_id = ?1 AND form = ?2 AND state = 'making' AND lease_token = ?3";

const RELEASE: &str = "UPDATE stillstore_variants SET lease_token = NULL, lease_expires_at_ms = 0 \
    WHERE image_id = ?1 AND form = ?2 AND state = 'making' AND lease_token = ?3";

const GIVE_UP: &str = "UPDATE stillstore_variants SET state = 'leaving', due_at_ms = ?4 \
    WHERE image_id = ?1 AND form = ?2 AND state = 'stored' AND sha256 = ?3";

const MARK_DUE: &str = "UPDATE stillstore_variants SET state = 'leaving', lease_token = NULL \
    WHERE (image_id, form) IN (SELECT image_id, form FROM stillstore_variants INDEXED BY stillstore_variants_due \
    WHERE due_at_ms <= ?1 ORDER BY due_at_ms LIMIT ?2) AND state <> 'leaving'";

const SELECT_DUE: &str = "SELECT image_id, form, storage, storage_key, due_at_ms FROM stillstore_variants \
    INDEXED BY stillstore_variants_due WHERE due_at_ms <= ?1 AND state = 'leaving' ORDER BY due_at_ms LIMIT ?2";

const SELECT_LEAVING: &str = "SELECT image_id, form, storage, storage_key, due_at_ms FROM stillstore_variants \
    WHERE image_id IN (SELECT value FROM json_each(?1)) AND state = 'leaving'";

const FORGET: &str = "DELETE FROM stillstore_variants WHERE (image_id, form) IN \
    (SELECT value ->> 'image_id', value ->> 'form' FROM json_each(?1)) AND state = 'leaving' AND due_at_ms <= ?2";

/// A variant that can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVariant {
    pub storage: StorageKind,
    pub key: ObjectKey,
    pub format: Format,
    pub size_bytes: u64,
    pub sha256: Sha256Digest,
    /// Whether it shows the first frame of several.
    pub is_of_animation: bool,
    pub created_at: Timestamp,
}

/// A variant whose bytes are to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavingVariant {
    pub image_id: ImageId,
    pub form: String,
    pub storage: StorageKind,
    #[serde(rename = "storage_key")]
    pub key: ObjectKey,
    /// From when on no put of it can be under way.
    #[serde(rename = "due_at_ms")]
    pub due_at: Timestamp,
}

/// What a row says of a variant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariantState {
    /// It is not there.
    Unknown,
    Stored(StoredVariant),
    /// Another request makes it.
    Making,
    /// The image cannot become that; the code says why.
    Refused(String),
    Leaving(LeavingVariant),
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VariantClaim {
    /// The lease is the caller's.
    Claimed { has_placeholder: bool },
    /// It is not free.
    Taken(VariantState),
    /// The image has as many variants as it may.
    LimitReached,
    /// There is no row to hang it on: the image has moved, was deleted, or waits for its row.
    NoImage,
}

/// A variant of an image.
#[derive(Debug, Clone, Copy)]
pub struct VariantName<'form> {
    pub image_id: ImageId,
    pub form: &'form VariantForm,
}

#[derive(Deserialize)]
struct Row {
    form: String,
    state: String,
    storage: StorageKind,
    storage_key: ObjectKey,
    content_type: Option<String>,
    size_bytes: Option<u64>,
    sha256: Option<Sha256Digest>,
    is_of_animation: u8,
    refusal: Option<String>,
    lease_token: Option<String>,
    created_at_ms: Timestamp,
    due_at_ms: Option<Timestamp>,
}

#[derive(Deserialize)]
struct CountRow {
    variants: u64,
    has_placeholder: Option<u8>,
}

impl Row {
    fn state(self, image_id: ImageId) -> Result<VariantState, &'static str> {
        Ok(match self.state.as_str() {
            "stored" => VariantState::Stored(StoredVariant {
                storage: self.storage,
                key: self.storage_key,
                format: self.content_type.as_deref().and_then(Format::from_content_type).ok_or("content_type")?,
                size_bytes: self.size_bytes.ok_or("size_bytes")?,
                sha256: self.sha256.ok_or("sha256")?,
                is_of_animation: self.is_of_animation == 1,
                created_at: self.created_at_ms,
            }),
            "making" => VariantState::Making,
            "refused" => VariantState::Refused(self.refusal.ok_or("refusal")?),
            "leaving" => VariantState::Leaving(LeavingVariant {
                image_id,
                form: self.form,
                storage: self.storage,
                key: self.storage_key,
                due_at: self.due_at_ms.ok_or("due_at_ms")?,
            }),
            _ => return Err("state"),
        })
    }
}

impl Catalog {
    /// [`Catalog::find_for_serving`], and in the same call what there is of a variant; with the bytes when they are embedded in one chunk
    /// and `with_bytes` says that they are wanted.
    ///
    /// # Errors
    /// [`CatalogError`] when a database failed.
    pub async fn find_variant(
        &self,
        name: VariantName<'_>,
        reader: &OwnerFilter,
        with_bytes: bool,
    ) -> Result<(Serving, VariantState, Option<Blob>), CatalogError> {
        let serving = serving_statement(SELECT_SERVING, name.image_id, reader);
        #[expect(clippy::cast_possible_wrap, reason = "1 MiB")]
        let variant = select(SELECT_WITH_BYTES, name)
            .bind(i64::from(with_bytes))
            .bind(CHUNK_BYTES as i64)
            .with_bytes_column("data");
        let [image, mut variant] = self.batch("find_variant", [serving, variant]).await?;
        let found = serving_answer(name.image_id, &image)?;
        let found = self.or_waiting_elsewhere(name.image_id, reader, found).await?;
        let bytes = variant.bytes.pop().flatten();
        let state = state_of(&variant, name.image_id, "find_variant")?;
        let is_whole = |bytes: &Blob| matches!(&state, VariantState::Stored(stored) if stored.size_bytes == bytes.size_bytes() as u64);
        let bytes = bytes.filter(is_whole);
        Ok((found, state, bytes))
    }

    /// Claims a variant for the one that makes it, of an image whose bytes are in `storage` and that has fewer than `most` variants.
    /// One that was abandoned is taken over.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be claimed until the lease ends.
    pub async fn claim_variant(
        &self,
        name: VariantName<'_>,
        key: &ObjectKey,
        storage: StorageKind,
        most: u16,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<VariantClaim, CatalogError> {
        const OPERATION: &str = "claim_variant";
        let due_at = lease.expires_at().plus_millis(PUT_IS_OVER_MS);
        let claim = select(CLAIM, name)
            .bind(key.as_str())
            .bind(lease.token())
            .bind(lease.expires_at().as_millis())
            .bind(now.as_millis())
            .bind(due_at.as_millis())
            .bind(storage.as_str())
            .bind(i64::from(most));
        let count = Statement::new(COUNT).bind(name.image_id.to_string());
        let [_, row, count] = self.batch(OPERATION, [claim, select(SELECT, name), count]).await?;
        let during = CatalogError::during(OPERATION);
        let count: Option<CountRow> = count.first().map_err(&during)?;
        let Some(row) = row.first::<Row>().map_err(&during)? else {
            let is_full = count.map_or(0, |row| row.variants) >= u64::from(most);
            return Ok(if is_full { VariantClaim::LimitReached } else { VariantClaim::NoImage });
        };
        if row.lease_token.as_deref() == Some(lease.token()) {
            return Ok(VariantClaim::Claimed { has_placeholder: count.and_then(|row| row.has_placeholder) == Some(1) });
        }
        let state = row.state(name.image_id).map_err(|column| during(corrupt(column)))?;
        Ok(VariantClaim::Taken(state))
    }

    /// Makes a variant readable whose bytes are stored, and keeps the placeholder that was measured with it. False when the lease was lost: the image was deleted or moved, or another request took
    /// over.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be readable.
    pub async fn keep_variant(
        &self,
        name: VariantName<'_>,
        variant: &StoredVariant,
        placeholder: Option<&Placeholder>,
        lease: &Lease,
    ) -> Result<bool, CatalogError> {
        let keep = select(KEEP, name)
            .bind(lease.token())
            .bind(variant.format.content_type())
            .bind(i64::try_from(variant.size_bytes).unwrap_or(i64::MAX))
            .bind(variant.sha256.to_string())
            .bind(i64::from(variant.is_of_animation))
            .bind(variant.created_at.as_millis());
        let adopt = select(ADOPT, name).bind(variant.key.as_str());
        let placeholder = placeholder.map(|placeholder| keep_placeholder(name.image_id, placeholder));
        let statements = [keep, adopt].into_iter().chain(placeholder).collect();
        let results = self.database.batch(statements).await.map_err(CatalogError::during("keep_variant"))?;
        Ok(results.first().is_some_and(|kept| kept.changes > 0))
    }

    /// Records that the image cannot become that, for a day.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be recorded.
    pub async fn refuse_variant(
        &self,
        name: VariantName<'_>,
        refusal: &'static str,
        lease: &Lease,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let refuse =
            select(REFUSE, name).bind(lease.token()).bind(refusal).bind(now.plus_millis(REFUSAL_MS).as_millis());
        self.batch("refuse_variant", [refuse]).await.map(drop)
    }

    /// Gives a claim back, for the next request.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the lease ends by itself.
    pub async fn release_variant(&self, name: VariantName<'_>, lease: &Lease) -> Result<(), CatalogError> {
        self.batch("release_variant", [select(RELEASE, name).bind(lease.token())]).await.map(drop)
    }

    /// Makes a variant leave whose bytes are not what its row says.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may leave.
    pub async fn give_up_variant(
        &self,
        name: VariantName<'_>,
        variant: &StoredVariant,
        now: Timestamp,
    ) -> Result<(), CatalogError> {
        let give_up = select(GIVE_UP, name).bind(variant.sha256.to_string()).bind(now.as_millis());
        self.batch("give_up_variant", [give_up]).await.map(drop)
    }

    /// Variants that leave and of which no put can be under way, those first that are due for longest; with them those that were
    /// abandoned, and refusals that are old.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn due_variants(&self, now: Timestamp, limit: u16) -> Result<Vec<LeavingVariant>, CatalogError> {
        let mark = Statement::new(MARK_DUE).bind(now.as_millis()).bind(i64::from(limit));
        let due = Statement::new(SELECT_DUE).bind(now.as_millis()).bind(i64::from(limit));
        let [_, due] = self.batch("due_variants", [mark, due]).await?;
        due.rows().map_err(CatalogError::during("due_variants"))
    }

    /// The variants of these images that leave.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn leaving_variants(&self, images: &[ImageId]) -> Result<Vec<LeavingVariant>, CatalogError> {
        let select = select_leaving(images).map_err(CatalogError::during("leaving_variants"))?;
        let [rows] = self.batch("leaving_variants", [select]).await?;
        rows.rows().map_err(CatalogError::during("leaving_variants"))
    }

    /// Forgets variants whose bytes are gone and of which no put can be under way; the others stay for the sweep.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; they may be forgotten.
    pub async fn forget_variants(&self, variants: &[LeavingVariant], now: Timestamp) -> Result<(), CatalogError> {
        let names = to_json(&variants).map_err(CatalogError::during("forget_variants"))?;
        let forget = Statement::new(FORGET).bind(names).bind(now.as_millis());
        self.batch("forget_variants", [forget]).await.map(drop)
    }
}

/// The variants of images that leave.
pub(super) fn select_leaving(images: &[ImageId]) -> Result<Statement, DatabaseError> {
    Ok(Statement::new(SELECT_LEAVING).bind(to_json(&images)?))
}

fn select(sql: &'static str, name: VariantName<'_>) -> Statement {
    Statement::new(sql).bind(name.image_id.to_string()).bind(name.form.to_string())
}

fn state_of(answer: &QueryResult, image_id: ImageId, operation: &'static str) -> Result<VariantState, CatalogError> {
    let during = CatalogError::during(operation);
    match answer.first::<Row>().map_err(&during)? {
        None => Ok(VariantState::Unknown),
        Some(row) => row.state(image_id).map_err(|column| during(corrupt(column))),
    }
}
