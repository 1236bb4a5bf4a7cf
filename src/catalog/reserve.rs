//! Rows for images whose bytes are not there yet.

use super::limits::LimitReached;
use super::row::{first_record, insert_record, select_image};
use super::usage::{Claim, ClaimStage};
use super::{Catalog, CatalogError, Description, ImageRecord, OwnerFilter, Status};
use crate::image::ImageId;
use crate::runtime::Timestamp;
use crate::sql::{QueryResult, Statement};
use crate::store::StorageKind;

// Without a conflict target: whether the id or the key is taken is told by the row that is there afterwards.
const UNLESS_TAKEN: &str = " ON CONFLICT DO NOTHING";

const ABANDON: &str = "UPDATE stillstore_images \
    SET status = 'deleting', version = version + 1, updated_at_ms = ?2 \
    WHERE id = ?1 AND status = 'pending'";

const WITHDRAW: &str = "DELETE FROM stillstore_images WHERE id = ?1 AND status = 'pending'";

/// What became of a reservation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reservation {
    /// The row is pending under this key, be it by this call or by an earlier one for the same image. Put the bytes.
    Reserved,
    /// Another image has the key. Put nothing there; take another id.
    KeyTaken,
    /// This image's row is past a reservation, or pending under another key, because the work was done before and came out
    /// in another format. Put nothing: use the row when it is stored, else abandon it and take another id.
    Exists(Box<ImageRecord>),
    /// The owner may not have it. Nothing happened.
    LimitReached(LimitReached),
}

impl Catalog {
    /// Inserts a pending row, so that bytes put under its key can be found again whatever happens next.
    ///
    /// The image counts for its owner from here on, as `size_bytes`, until it is stored and counts as large as it is.
    ///
    /// One round trip when it inserts the row, two otherwise.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the row may be there.
    pub async fn reserve(
        &self,
        description: &Description,
        storage: StorageKind,
        size_bytes: u64,
        now: Timestamp,
    ) -> Result<Reservation, CatalogError> {
        let during = CatalogError::during("reserve");
        let pending = ImageRecord {
            description: description.clone(),
            version: 1,
            status: Status::Pending,
            storage,
            content: None,
            generation: None,
            fallback_reason: None,
            embedded_write_id: None,
            two_homes: None,
            placeholder: None,
            updated_at: now,
        };
        let insert = insert_record(&pending, UNLESS_TAKEN).map_err(&during)?;
        let claim = self.limited(description.owner_id.as_ref()).map(|owner| Claim {
            owner,
            image_id: description.id,
            size_bytes,
            stage: ClaimStage::Reservation,
        });
        let inserted = match self.batch_of_reservation(vec![insert.clone()], claim, now).await? {
            Ok(results) => results,
            Err(limit) => return Ok(Reservation::LimitReached(limit)),
        };
        if inserted.first().is_some_and(|result| result.changes > 0) {
            return Ok(Reservation::Reserved);
        }
        // Inserted once more, since what was in the way may be gone.
        let statements = vec![insert, select_image(description.id, &OwnerFilter::Any)];
        let row = match self.batch_of_reservation(statements, claim, now).await? {
            Ok(results) => results.last().map(first_record).transpose().map_err(&during)?.flatten(),
            Err(limit) => return Ok(Reservation::LimitReached(limit)),
        };
        Ok(match row {
            Some(record) if record.status == Status::Pending && record.description.key == description.key => {
                Reservation::Reserved
            }
            Some(record) => Reservation::Exists(Box::new(record)),
            None => Reservation::KeyTaken,
        })
    }

    async fn batch_of_reservation(
        &self,
        statements: Vec<Statement>,
        claim: Option<Claim<'_>>,
        now: Timestamp,
    ) -> Result<Result<Vec<QueryResult>, LimitReached>, CatalogError> {
        match claim {
            Some(claim) => self.batch_within_limits("reserve", statements, claim, now).await,
            None => self.database.batch(statements).await.map(Ok).map_err(CatalogError::during("reserve")),
        }
    }

    /// Takes a reservation back after a put that certainly stored nothing: the bytes under the key, if any, are not this
    /// image's and must stay. A row that is not pending stays as it is.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the row may be gone, or is swept later.
    pub async fn withdraw(&self, id: ImageId) -> Result<(), CatalogError> {
        let withdraw = Statement::new(WITHDRAW).bind(id.to_string());
        self.batch("withdraw", [withdraw]).await.map(drop)
    }

    /// Gives a reservation up after a put that failed, or may have: the row becomes one that the sweep finishes deleting.
    /// A row that is not pending stays as it is.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the sweep finds the pending row all the same, only later.
    pub async fn abandon(&self, id: ImageId, now: Timestamp) -> Result<(), CatalogError> {
        let abandon = Statement::new(ABANDON).bind(id.to_string()).bind(now.as_millis());
        self.batch("abandon", [abandon]).await.map(drop)
    }
}
