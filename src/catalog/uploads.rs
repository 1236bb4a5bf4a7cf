//! Uploads that a client was granted: rows of `stillstore_uploads`.
//!
//! ```text
//!           grant            confirmation, with the image's commit
//! (no row) -------> granted ---------------------------------------> confirmed
//!                      \  close_upload                                   |
//!                       `------------> closed ------- forget_upload -----'---> (no row)
//! ```
//!
//! A row stays until no put of its grant can be under way any more, so that what such a put left under the key is found.

use serde::{Deserialize, Serialize};

use super::row::{corrupt, first_record, select_image};
use super::usage::{Claim, ClaimStage};
use super::{Catalog, CatalogError, ImageRecord, LimitReached, OwnerFilter, Status};
use crate::image::{Format, ImageId, ObjectKey, Sha256Digest, ShootId, UserId};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, Statement};
use crate::store::{MultipartId, StorageKind};

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "asset_id, state, close_reason, shoot_id, owner_id, storage_key, content_type, filename, size_bytes, sha256, limit_bytes, storage, \
         fallback_reason, created_at_ms, expires_at_ms"
    };
}

// Makes no row where the shoot is not one that the caller may add to. What nobody owns in a user's shoot is that user's.
const GRANT: &str = concat!(
    "INSERT INTO stillstore_uploads (",
    columns!(),
    ", due_at_ms) SELECT ?1, 'granted', NULL, id, coalesce(?3, owner_id), ?4, ?5, ?6, ?7, ?8, ?9, NULL, NULL, ?10, ?11, ?12 \
     FROM stillstore_collections WHERE id = ?2 AND kind = 'shoot' AND state = 'open' AND (?3 IS NULL OR owner_id = ?3)"
);

// There is no row without the grant's, which is not made where the shoot is not the caller's.
const BEGIN_MULTIPART: &str = "INSERT INTO stillstore_multipart_uploads (asset_id, upload_id) \
    SELECT asset_id, ?2 FROM stillstore_uploads WHERE asset_id = ?1";

/// The column of [`Row`] that is another table's.
macro_rules! multipart_id {
    () => {
        ", (SELECT upload_id FROM stillstore_multipart_uploads WHERE asset_id = stillstore_uploads.asset_id) AS multipart_id"
    };
}

const SELECT: &str = concat!(
    "SELECT ",
    columns!(),
    multipart_id!(),
    " FROM stillstore_uploads WHERE asset_id = ?1 AND (?2 IS NULL OR owner_id = ?2)"
);

const SELECT_BY_KEY: &str = concat!(
    "SELECT ",
    columns!(),
    multipart_id!(),
    " FROM stillstore_uploads WHERE storage_key = ?1 AND (?2 IS NULL OR owner_id = ?2)"
);

const RECEIVED: &str =
    "UPDATE stillstore_uploads SET storage = ?2, fallback_reason = ?3 WHERE asset_id = ?1 AND state = 'granted'";

// A row that is not granted makes `state` NULL, which the schema refuses, and with it the whole transaction.
const CONFIRM: &str =
    "UPDATE stillstore_uploads SET state = CASE state WHEN 'granted' THEN 'confirmed' END WHERE asset_id = ?1";

const CLOSE: &str = "UPDATE stillstore_uploads SET state = 'closed', close_reason = ?2, due_at_ms = max(due_at_ms, ?3) \
    WHERE asset_id = ?1 AND state = 'granted'";

const SELECT_DUE: &str = concat!(
    "SELECT ",
    columns!(),
    multipart_id!(),
    ", (SELECT status FROM stillstore_images WHERE id = asset_id) AS image_status \
     FROM stillstore_uploads INDEXED BY stillstore_uploads_due WHERE due_at_ms <= ?1 ORDER BY due_at_ms LIMIT ?2"
);

const POSTPONE: &str = "UPDATE stillstore_uploads SET due_at_ms = ?2 WHERE asset_id = ?1";

const FORGET: &str = "DELETE FROM stillstore_uploads WHERE asset_id = ?1 AND state <> 'granted'";

/// What a client may upload, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upload {
    pub asset_id: ImageId,
    pub shoot_id: ShootId,
    /// The owner of the image that it becomes.
    pub owner_id: Option<UserId>,
    pub key: ObjectKey,
    pub format: Format,
    pub filename: String,
    /// The length that the client promised.
    pub size_bytes: Option<u64>,
    /// The digest that the client promised.
    pub sha256: Option<Sha256Digest>,
    pub limit_bytes: u64,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub state: UploadState,
    /// What R2 calls it, where it is sent in parts.
    pub multipart_id: Option<MultipartId>,
    /// What the Worker put, where the bytes came by way of it.
    pub received: Option<Received>,
}

/// Where an upload is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadState {
    /// Bytes may arrive.
    Granted,
    /// They are an image of the catalogue, or were until it was deleted.
    Confirmed,
    /// They are none.
    Closed(CloseReason),
}

/// Why an upload became no image. The text forms are part of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloseReason {
    /// It was not confirmed in time.
    Expired,
    /// It has another length than was promised, or is over the limit.
    SizeDiffers,
    /// Its bytes are not of the type that was promised.
    TypeDiffers,
    /// Its bytes stop early.
    Truncated,
    /// Its bytes contradict their format.
    Malformed,
    /// It has another SHA-256 than was promised.
    ChecksumDiffers,
}

/// Bytes of an upload that the Worker put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub storage: StorageKind,
    /// Why the home is not the first choice.
    pub fallback_reason: Option<String>,
}

/// What became of the wish for a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granted {
    Done,
    /// There is no such shoot of the owner's that takes assets. Nothing happened.
    NoShoot,
    /// Its owner may not have it. Nothing happened.
    LimitReached(LimitReached),
}

/// An upload that the sweep is to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueUpload {
    pub upload: Upload,
    /// The state of its image, if there is a row of it.
    pub image: Option<Status>,
}

#[derive(Deserialize)]
struct Row {
    asset_id: ImageId,
    state: String,
    close_reason: Option<CloseReason>,
    shoot_id: ShootId,
    owner_id: Option<UserId>,
    storage_key: ObjectKey,
    content_type: String,
    filename: String,
    size_bytes: Option<u64>,
    sha256: Option<Sha256Digest>,
    limit_bytes: u64,
    storage: Option<StorageKind>,
    fallback_reason: Option<String>,
    created_at_ms: Timestamp,
    expires_at_ms: Timestamp,
    multipart_id: Option<MultipartId>,
    image_status: Option<Status>,
}

impl CloseReason {
    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::SizeDiffers => "size-differs",
            Self::TypeDiffers => "type-differs",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::ChecksumDiffers => "checksum-differs",
        }
    }
}

impl Catalog {
    /// Records a grant, which the sweep looks at from `due_at` on, and counts it for an owner with limits: as large as was promised, until
    /// it is an image and counts as large as it is, or is closed.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the row may be there.
    pub async fn grant_upload(&self, upload: &Upload, due_at: Timestamp) -> Result<Granted, CatalogError> {
        let during = CatalogError::during("grant_upload");
        let begin = upload
            .multipart_id
            .as_ref()
            .map(|id| Statement::new(BEGIN_MULTIPART).bind(upload.asset_id.to_string()).bind(id.as_str()));
        let statements = [insert(upload, due_at).map_err(&during)?].into_iter().chain(begin).collect();
        let claim = self.limited(upload.owner_id.as_ref()).map(|owner| Claim {
            owner,
            image_id: upload.asset_id,
            // No image is empty, and nobody knows yet how large one is that has no promise.
            size_bytes: upload.size_bytes.unwrap_or(1),
            stage: ClaimStage::Grant,
        });
        let results = match claim {
            Some(claim) => self.batch_within_limits("grant_upload", statements, claim, upload.created_at).await?,
            None => Ok(self.database.batch(statements).await.map_err(&during)?),
        };
        Ok(match results {
            Ok(results) if results.first().is_some_and(|granted| granted.changes > 0) => Granted::Done,
            Ok(_) => Granted::NoShoot,
            Err(limit) => Granted::LimitReached(limit),
        })
    }

    /// An upload of the owner's by its key.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_upload_by_key(
        &self,
        key: &ObjectKey,
        owner: &OwnerFilter,
    ) -> Result<Option<Upload>, CatalogError> {
        let during = CatalogError::during("find_upload_by_key");
        let select = Statement::new(SELECT_BY_KEY).bind(key.as_str()).bind(owner.param());
        let [upload] = self.batch("find_upload_by_key", [select]).await?;
        let row: Option<Row> = upload.first().map_err(&during)?;
        row.map(Upload::try_from).transpose().map_err(during)
    }

    /// An upload of the owner's and the image that it became, each if it is there.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_upload(
        &self,
        asset_id: ImageId,
        owner: &OwnerFilter,
    ) -> Result<(Option<Upload>, Option<ImageRecord>), CatalogError> {
        let during = CatalogError::during("find_upload");
        let select = Statement::new(SELECT).bind(asset_id.to_string()).bind(owner.param());
        let [upload, image] = self.batch("find_upload", [select, select_image(asset_id, owner)]).await?;
        let row: Option<Row> = upload.first().map_err(&during)?;
        let upload = row.map(Upload::try_from).transpose().map_err(&during)?;
        Ok((upload, first_record(&image).map_err(&during)?))
    }

    /// Records where the Worker put the bytes of a granted upload. False where it is not granted any more.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be recorded.
    pub async fn receive_upload(&self, asset_id: ImageId, received: &Received) -> Result<bool, CatalogError> {
        let statement = Statement::new(RECEIVED)
            .bind(asset_id.to_string())
            .bind(received.storage.as_str())
            .bind(received.fallback_reason.as_deref());
        let [updated] = self.batch("receive_upload", [statement]).await?;
        Ok(updated.changes > 0)
    }

    /// Closes a granted upload: it becomes no image. The sweep does not look at it before `due_at`. Another stays as it is.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be closed.
    pub async fn close_upload(
        &self,
        asset_id: ImageId,
        reason: CloseReason,
        due_at: Timestamp,
    ) -> Result<(), CatalogError> {
        let close = Statement::new(CLOSE).bind(asset_id.to_string()).bind(reason.as_str()).bind(due_at.as_millis());
        self.batch("close_upload", [close]).await.map(drop)
    }

    /// Uploads that are due, at most `limit` of them, longest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn due_uploads(&self, now: Timestamp, limit: u16) -> Result<Vec<DueUpload>, CatalogError> {
        let select = Statement::new(SELECT_DUE).bind(now.as_millis()).bind(i64::from(limit));
        let [rows] = self.batch("due_uploads", [select]).await?;
        let during = CatalogError::during("due_uploads");
        let rows: Vec<Row> = rows.rows().map_err(&during)?;
        let due = rows.into_iter().map(|row| {
            let image = row.image_status;
            Ok(DueUpload { upload: row.try_into()?, image })
        });
        due.collect::<Result<_, DatabaseError>>().map_err(during)
    }

    /// Has the sweep look at an upload at `due_at`.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the row may be changed.
    pub async fn postpone_upload(&self, asset_id: ImageId, due_at: Timestamp) -> Result<(), CatalogError> {
        let postpone = Statement::new(POSTPONE).bind(asset_id.to_string()).bind(due_at.as_millis());
        self.batch("postpone_upload", [postpone]).await.map(drop)
    }

    /// Forgets an upload that is not granted any more.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be forgotten.
    pub async fn forget_upload(&self, asset_id: ImageId) -> Result<(), CatalogError> {
        let forget = Statement::new(FORGET).bind(asset_id.to_string());
        self.batch("forget_upload", [forget]).await.map(drop)
    }
}

/// Confirms an upload, together with the commit of its image: makes the transaction that it is part of fail, as a constraint does, where
/// the upload is confirmed already or closed.
#[must_use]
pub fn confirm_upload(asset_id: ImageId) -> Statement {
    Statement::new(CONFIRM).bind(asset_id.to_string())
}

fn insert(upload: &Upload, due_at: Timestamp) -> Result<Statement, DatabaseError> {
    Ok(Statement::new(GRANT)
        .bind(upload.asset_id.to_string())
        .bind(upload.shoot_id.to_string())
        .bind(upload.owner_id.as_ref().map(UserId::as_str))
        .bind(upload.key.as_str())
        .bind(upload.format.content_type())
        .bind(upload.filename.as_str())
        .bind(upload.size_bytes.map(number).transpose()?)
        .bind(upload.sha256.map(|sha256| sha256.to_string()))
        .bind(number(upload.limit_bytes)?)
        .bind(upload.created_at.as_millis())
        .bind(upload.expires_at.as_millis())
        .bind(due_at.as_millis()))
}

impl TryFrom<Row> for Upload {
    type Error = DatabaseError;

    fn try_from(row: Row) -> Result<Self, DatabaseError> {
        let state = match (row.state.as_str(), row.close_reason) {
            ("granted", None) => UploadState::Granted,
            ("confirmed", None) => UploadState::Confirmed,
            ("closed", Some(close_reason)) => UploadState::Closed(close_reason),
            _ => return Err(corrupt("an upload in an unknown state")),
        };
        let format = Format::from_content_type(&row.content_type).ok_or_else(|| corrupt("unknown content_type"))?;
        Ok(Self {
            asset_id: row.asset_id,
            shoot_id: row.shoot_id,
            owner_id: row.owner_id,
            key: row.storage_key,
            format,
            filename: row.filename,
            size_bytes: row.size_bytes,
            sha256: row.sha256,
            limit_bytes: row.limit_bytes,
            created_at: row.created_at_ms,
            expires_at: row.expires_at_ms,
            state,
            multipart_id: row.multipart_id,
            received: row.storage.map(|storage| Received { storage, fallback_reason: row.fallback_reason }),
        })
    }
}

pub(super) fn number(bytes: u64) -> Result<i64, DatabaseError> {
    i64::try_from(bytes).map_err(|_| DatabaseError::new(DatabaseErrorKind::Constraint, "a number over 2^63"))
}
