//! The step that makes an image readable.

use std::sync::LazyLock;

use super::columns::{IMAGE_COLUMNS, committed_columns};
use super::limits::LimitReached;
use super::row::{corrupt, first_record, insert_record, select_image};
use super::usage::{Claim, ClaimStage, open};
use super::{
    Catalog, CatalogError, Content, Description, GenerationRecord, IdempotencyKey, ImageRecord, OwnerFilter, Status,
};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, Statement};
use crate::store::StorageKind;

// A row that is not this reservation makes `status` NULL. The NOT NULL rule then refuses it, and with it the whole batch:
// statements that come along take effect only if the image is stored.
static OR_COMMIT: LazyLock<String> = LazyLock::new(|| {
    format!(
        " ON CONFLICT (id) DO UPDATE SET \
        status = CASE WHEN status = 'pending' AND storage_key = excluded.storage_key THEN 'stored' END, \
        two_homes = excluded.two_homes = 1 OR excluded.storage <> storage, {}, version = version + 1 \
        RETURNING {IMAGE_COLUMNS}",
        committed_columns()
    )
});

const COMPLETE_KEY: &str =
    "UPDATE stillstore_idempotency SET state = 'completed' WHERE key_digest = ?1 AND image_id = ?2";

const SELECT_KEY_OWNER: &str = "SELECT id FROM stillstore_images WHERE storage_key = ?1";

/// An image whose bytes are durable, about to become readable.
#[derive(Debug, Clone)]
pub struct Commit<'image> {
    /// As it was reserved, if it was. The row keeps what the reservation wrote.
    pub description: &'image Description,
    /// The home that took the bytes, which a fallback may have changed since the reservation.
    pub storage: StorageKind,
    pub content: &'image Content,
    pub generation: Option<&'image GenerationRecord>,
    /// Why the bytes are not in the first-choice store; a code, not prose.
    pub fallback_reason: Option<&'image str>,
    /// Marked completed together with the image.
    pub idempotency: Option<&'image IdempotencyKey>,
    /// Statements that take effect exactly when this call stores the row, such as a store's adoption of its bytes.
    pub extra: Vec<Statement>,
    pub now: Timestamp,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// The image is readable from now on.
    Done(ImageRecord),
    /// The row was stored before: by this commit when its answer was lost, or by another of the same image. Nothing
    /// happened now. Where the record names other bytes or another home than the caller put, the caller's are to be removed.
    AlreadyStored(ImageRecord),
    /// The image was deleted or abandoned meanwhile, or is reserved under another key. Nothing happened. The caller's bytes
    /// are to be removed.
    Lost,
    /// Another image has the key. Nothing happened, and the bytes under the key are not the caller's.
    KeyTaken,
    /// The image was not reserved, and its owner may not have it. Nothing happened.
    LimitReached(LimitReached),
}

impl Catalog {
    /// Makes an image readable, with or without a reservation, and completes its idempotency key.
    ///
    /// One round trip when it is [`Committed::Done`], two otherwise.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed, and then the image may be stored: commit again, or ask
    /// [`Catalog::find`]. Also when one of the `extra` statements was refused, and then nothing happened.
    pub async fn commit(&self, commit: Commit<'_>) -> Result<Committed, CatalogError> {
        let during = CatalogError::during("commit");
        let (description, now) = (commit.description, commit.now);
        let claim = self.limited(description.owner_id.as_ref()).map(|owner| Claim {
            owner,
            image_id: description.id,
            size_bytes: commit.content.size_bytes,
            stage: ClaimStage::Commit,
        });
        let mut statements = statements(commit).map_err(&during)?;
        let mut row_at = 0;
        if let Some(claim) = &claim {
            let counted = [open(claim.owner, now), claim.insert(now)];
            row_at = counted.len();
            statements.splice(0..0, counted);
            statements.push(self.limits_hold(claim));
        }
        match self.database.batch(statements).await {
            Ok(results) => {
                let row = results.get(row_at).map(first_record).transpose().map_err(&during)?.flatten();
                row.map(Committed::Done).ok_or_else(|| during(corrupt("no row after a commit")))
            }
            Err(error) if error.kind == DatabaseErrorKind::Constraint => {
                self.why_refused(description, claim, now, error).await
            }
            Err(error) => Err(during(error)),
        }
    }

    /// What stood in the way of a commit that the database refused.
    async fn why_refused(
        &self,
        description: &Description,
        claim: Option<Claim<'_>>,
        now: Timestamp,
        refusal: DatabaseError,
    ) -> Result<Committed, CatalogError> {
        let during = CatalogError::during("commit");
        let select_owner = Statement::new(SELECT_KEY_OWNER).bind(description.key.as_str());
        let [row, owner] =
            self.batch("commit", [select_image(description.id, &OwnerFilter::Any), select_owner]).await?;
        let key_taken = !owner.rows::<serde_json::Value>().map_err(&during)?.is_empty();
        let row = first_record(&row).map_err(&during)?;
        if let (None, false, Some(claim)) = (&row, key_taken, claim)
            && let Some(limit) = self.limit_reached("commit", &claim, now).await?
        {
            return Ok(Committed::LimitReached(limit));
        }
        match row {
            Some(record) if record.status == Status::Stored => Ok(Committed::AlreadyStored(record)),
            Some(record) if record.status != Status::Pending || record.description.key != description.key => {
                Ok(Committed::Lost)
            }
            None if key_taken => Ok(Committed::KeyTaken),
            _ => Err(during(refusal)),
        }
    }
}

/// The statements of a commit; the first answers with the row.
fn statements(commit: Commit<'_>) -> Result<Vec<Statement>, DatabaseError> {
    let Commit { description, storage, content, generation, fallback_reason, idempotency, extra, now } = commit;
    let stored = ImageRecord {
        description: description.clone(),
        version: 1,
        status: Status::Stored,
        storage,
        content: Some(content.clone()),
        generation: generation.cloned(),
        fallback_reason: fallback_reason.map(str::to_owned),
        embedded_write_id: None,
        // The first choice may have taken the bytes all the same.
        two_homes: Some(fallback_reason.is_some()),
        placeholder: None,
        updated_at: now,
    };
    let complete_key = idempotency
        .map(|key| Statement::new(COMPLETE_KEY).bind(key.digest().to_string()).bind(description.id.to_string()));
    Ok([insert_record(&stored, &OR_COMMIT)?].into_iter().chain(complete_key).chain(extra).collect())
}
