//! Rows in the order of their keys, against the objects of the bucket; and keys that nobody may take while their objects are removed.

use serde::{Deserialize, Serialize};

use super::row::insert_record;
use super::{Associations, Catalog, CatalogError, Description, Frame, ImageRecord, Status};
use crate::image::{Format, ImageId, Labels, ObjectKey, SessionId, Visibility};
use crate::runtime::Timestamp;
use crate::sql::{Statement, to_json};
use crate::store::StorageKind;

/// Keys that are held at once, a statement each; D1 takes 1,000 in a batch.
pub const HELD_AT_ONCE: usize = 100;

// Rows of every status, so that a page costs the same however many of them are elsewhere.
const SELECT_BY_KEY: &str = "SELECT id, storage_key, status, storage, size_bytes, updated_at_ms FROM stillstore_images \
    WHERE storage_key > ?1 ORDER BY storage_key LIMIT ?2";

// Rows of the catalogue are in the page.
const SELECT_NAMES: &str = "SELECT storage_key FROM stillstore_uploads WHERE storage_key IN (SELECT value FROM json_each(?1)) UNION ALL \
    SELECT storage_key FROM stillstore_variants WHERE image_id IN (SELECT value FROM json_each(?2))";

const SELECT_SESSIONS: &str = "SELECT DISTINCT session_id FROM stillstore_frame_uploads INDEXED BY stillstore_frame_uploads_by_session \
    WHERE session_id IN (SELECT value FROM json_each(?1))";

const LET_GO: &str =
    "DELETE FROM stillstore_images WHERE id IN (SELECT value FROM json_each(?1)) AND status = 'pending'";

// NULL is refused, and with it the whole batch.
const REQUIRE_ALONE: &str = "UPDATE stillstore_images SET status = NULL WHERE id = ?1 AND EXISTS (\
    SELECT 1 FROM stillstore_images AS other INDEXED BY stillstore_images_by_collection \
    WHERE other.status = 'stored' AND other.collection_id = ?2 AND other.ordinal = ?3 AND other.id <> ?1)";

/// What a row says of an object.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct KeyedRow {
    pub id: ImageId,
    #[serde(rename = "storage_key")]
    pub key: ObjectKey,
    pub status: Status,
    pub storage: StorageKind,
    pub size_bytes: Option<u64>,
    #[serde(rename = "updated_at_ms")]
    pub updated_at: Timestamp,
}

/// Objects that may be named by other rows than those of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Unnamed {
    pub keys: Vec<ObjectKey>,
    /// The images whose variants some of them may be.
    pub images: Vec<ImageId>,
    /// The sessions whose frames some of them may be.
    pub sessions: Vec<SessionId>,
}

/// What names objects beside the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    pub keys: Vec<ObjectKey>,
    /// Sessions with an upload that has not ended: whatever lies under their prefix may be its.
    pub sessions: Vec<SessionId>,
}

#[derive(Deserialize)]
struct KeyRow {
    storage_key: ObjectKey,
}

#[derive(Deserialize)]
struct SessionRow {
    session_id: SessionId,
}

impl Catalog {
    /// The rows with keys after `after`, in the order of their keys, at most `limit`.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn rows_by_key(&self, after: Option<&ObjectKey>, limit: u16) -> Result<Vec<KeyedRow>, CatalogError> {
        let select = Statement::new(SELECT_BY_KEY).bind(after.map_or("", ObjectKey::as_str)).bind(i64::from(limit));
        let [rows] = self.batch("rows_by_key", [select]).await?;
        rows.rows().map_err(CatalogError::during("rows_by_key"))
    }

    /// Which of the objects grants, variants and uploads of frames name.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn names_of(&self, unnamed: &Unnamed) -> Result<Names, CatalogError> {
        let during = CatalogError::during("names_of");
        let json = |value: Result<String, _>| value.map_err(&during);
        let names =
            Statement::new(SELECT_NAMES).bind(json(to_json(&unnamed.keys))?).bind(json(to_json(&unnamed.images))?);
        let sessions = Statement::new(SELECT_SESSIONS).bind(json(to_json(&unnamed.sessions))?);
        let [keys, sessions] = self.batch("names_of", [names, sessions]).await?;
        let keys: Vec<KeyRow> = keys.rows().map_err(&during)?;
        let sessions: Vec<SessionRow> = sessions.rows().map_err(&during)?;
        Ok(Names {
            keys: keys.into_iter().map(|row| row.storage_key).collect(),
            sessions: sessions.into_iter().map(|row| row.session_id).collect(),
        })
    }

    /// Makes a pending row for each of the keys that no row has, under these ids, which no image has, and says which keys it made one for:
    /// until [`Catalog::let_go`] no image gets such a key. The sweep takes rows that stay, and leaves the objects, which are not theirs.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; rows may be there.
    pub async fn hold_keys(
        &self,
        wanted: &[(ImageId, ObjectKey)],
        now: Timestamp,
    ) -> Result<Vec<ObjectKey>, CatalogError> {
        let during = CatalogError::during("hold_keys");
        let inserts = wanted.iter().map(|(id, key)| insert_record(&holding(*id, key, now), " ON CONFLICT DO NOTHING"));
        let inserts = inserts.collect::<Result<Vec<_>, _>>().map_err(&during)?;
        let results = self.database.batch(inserts).await.map_err(during)?;
        let held = wanted.iter().zip(results).filter(|(_, result)| result.changes > 0);
        Ok(held.map(|((_, key), _)| key.clone()).collect())
    }

    /// Takes the rows of [`Catalog::hold_keys`] back.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the sweep takes what is left.
    pub async fn let_go(&self, ids: &[ImageId]) -> Result<(), CatalogError> {
        let ids = to_json(ids).map_err(CatalogError::during("let_go"))?;
        self.batch("let_go", [Statement::new(LET_GO).bind(ids)]).await.map(drop)
    }
}

/// Makes the transaction that it is part of fail, as a constraint does, when another stored image has the frame's place.
#[must_use]
pub fn require_alone(id: ImageId, frame: &Frame) -> Statement {
    Statement::new(REQUIRE_ALONE).bind(id.to_string()).bind(frame.collection_id.as_str()).bind(i64::from(frame.ordinal))
}

/// The pending row of no image.
fn holding(id: ImageId, key: &ObjectKey, now: Timestamp) -> ImageRecord {
    ImageRecord {
        description: Description {
            id,
            key: key.clone(),
            format: Format::Png,
            visibility: Visibility::Private,
            filename: None,
            context: None,
            associations: Associations::default(),
            labels: Labels::default(),
            owner_id: None,
            frame: None,
            parent_id: None,
            moved_from: None,
            created_at: now,
        },
        version: 1,
        status: Status::Pending,
        storage: StorageKind::R2,
        content: None,
        generation: None,
        fallback_reason: None,
        embedded_write_id: None,
        two_homes: None,
        placeholder: None,
        updated_at: now,
    }
}
