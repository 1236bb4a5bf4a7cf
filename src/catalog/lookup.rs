//! Reading one row.

use serde::Deserialize;

use super::row::{corrupt, first_record, format_of, image_columns, select_image};
use super::{Catalog, CatalogError, ImageRecord, Status};
use crate::bytes::Blob;
use crate::image::{Format, ImageId, ObjectKey, Sha256Digest, Visibility};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use crate::store::{CHUNK_BYTES, StorageKind};

const SELECT_STORED: &str =
    concat!("SELECT ", image_columns!(), " FROM stillstore_images WHERE id = ?1 AND status = 'stored'");

// The second part, an image of an application's table, is looked at only when the first found nothing.
const SELECT_SERVING: &str = "SELECT id, status, storage, storage_key, content_type, size_bytes, sha256, visibility, \
    filename, created_at_ms, version FROM stillstore_images WHERE id = ?1 \
    UNION ALL SELECT image_id, 'stored', 'r2', storage_key, content_type, size_bytes, sha256, 'public', NULL, moved_at_ms, 1 \
    FROM stillstore_moves WHERE image_id = ?1 AND source <> 'embedded' AND stage <> 'restored' LIMIT 1";

// With the bytes of a public image that is embedded in one chunk; every other row has NULL for a write. They are looked up outside of the
// UNION, which would copy them.
const SELECT_SERVING_BYTES: &str = "SELECT id, status, storage, storage_key, content_type, size_bytes, sha256, visibility, \
    filename, created_at_ms, version, \
    (SELECT data FROM stillstore_chunks WHERE write_id = found.write_id AND chunk_index = 0) AS data FROM ( \
    SELECT id, status, storage, storage_key, content_type, size_bytes, sha256, visibility, filename, created_at_ms, version, \
    CASE WHEN storage = 'd1' AND status = 'stored' AND visibility = 'public' AND size_bytes <= ?2 THEN embedded_write_id END \
    AS write_id FROM stillstore_images WHERE id = ?1 \
    UNION ALL SELECT image_id, 'stored', 'r2', storage_key, content_type, size_bytes, sha256, 'public', NULL, moved_at_ms, 1, NULL \
    FROM stillstore_moves WHERE image_id = ?1 AND source <> 'embedded' AND stage <> 'restored' LIMIT 1) AS found";

#[expect(clippy::cast_possible_wrap, reason = "1 MiB")]
const ONE_CHUNK_BYTES: i64 = CHUNK_BYTES as i64;

const PING: &str = "SELECT images FROM stillstore_counters WHERE status = 'stored' AND storage = 'r2' AND fallback = 0";

/// What serving an image takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServableImage {
    pub id: ImageId,
    pub storage: StorageKind,
    pub key: ObjectKey,
    pub format: Format,
    pub size_bytes: u64,
    pub sha256: Sha256Digest,
    pub visibility: Visibility,
    pub filename: Option<String>,
    /// When the image was created. Its bytes never change, so this is its `Last-Modified` too.
    pub created_at: Timestamp,
    pub version: i64,
}

/// What there is to serve under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serving {
    Found(ServableImage),
    /// There was such an image; it was deleted on purpose, or given up before it was stored.
    Gone,
    /// No such image, or not yet.
    Unknown,
}

#[derive(Deserialize)]
struct ServingRow {
    id: ImageId,
    status: Status,
    storage: StorageKind,
    storage_key: ObjectKey,
    content_type: String,
    size_bytes: Option<u64>,
    sha256: Option<Sha256Digest>,
    visibility: Visibility,
    filename: Option<String>,
    created_at_ms: Timestamp,
    version: i64,
}

impl Catalog {
    /// The row of an image in any status. A tombstone has a key that no object has.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find(&self, id: ImageId) -> Result<Option<ImageRecord>, CatalogError> {
        let [row] = self.batch("find", [select_image(id)]).await?;
        first_record(&row).map_err(CatalogError::during("find"))
    }

    /// The row of a readable image.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_stored(&self, id: ImageId) -> Result<Option<ImageRecord>, CatalogError> {
        let [row] = self.batch("find_stored", [Statement::new(SELECT_STORED).bind(id.to_string())]).await?;
        first_record(&row).map_err(CatalogError::during("find_stored"))
    }

    /// What there is to serve under an id: an image of the catalogue, or one moved out of a table. The further databases are asked,
    /// a round trip each, only when the catalogue's has nothing.
    ///
    /// # Errors
    /// [`CatalogError`] when a database failed.
    pub async fn find_for_serving(&self, id: ImageId) -> Result<Serving, CatalogError> {
        let [row] = self.batch("find_for_serving", [Self::serving_statement(id)]).await?;
        self.find_elsewhere(id, Self::serving_answer(&row)?).await
    }

    /// [`Catalog::find_for_serving`], and in the same call the bytes of a public image that is embedded in one chunk, when they are
    /// as many as the row says.
    ///
    /// # Errors
    /// [`CatalogError`] when a database failed.
    pub async fn find_with_bytes(&self, id: ImageId) -> Result<(Serving, Option<Blob>), CatalogError> {
        let statement = Statement::new(SELECT_SERVING_BYTES).bind(id.to_string()).bind(ONE_CHUNK_BYTES);
        let [mut row] = self.batch("find_for_serving", [statement.with_bytes_column("data")]).await?;
        let found = self.find_elsewhere(id, Self::serving_answer(&row)?).await?;
        let bytes = match &found {
            Serving::Found(image) => {
                row.bytes.pop().flatten().filter(|bytes| bytes.size_bytes() as u64 == image.size_bytes)
            }
            Serving::Gone | Serving::Unknown => None,
        };
        Ok((found, bytes))
    }

    /// What `found` is, or what the further databases have when it is nothing.
    async fn find_elsewhere(&self, id: ImageId, mut found: Serving) -> Result<Serving, CatalogError> {
        for (_, database) in &*self.others {
            if found != Serving::Unknown {
                break;
            }
            match database.run(Self::serving_statement(id)).await {
                Ok(row) => found = Self::serving_answer(&row)?,
                // Stillstore's tables are not in it yet.
                Err(error) if error.kind == DatabaseErrorKind::Schema => {}
                Err(error) => return Err(CatalogError::during("find_for_serving")(error)),
            }
        }
        Ok(found)
    }

    /// The statement of [`Catalog::find_for_serving`], for a batch that reads the bytes in the same round trip.
    #[must_use]
    pub fn serving_statement(id: ImageId) -> Statement {
        Statement::new(SELECT_SERVING).bind(id.to_string())
    }

    /// What the answer to [`Catalog::serving_statement`] says.
    ///
    /// # Errors
    /// [`CatalogError`] when the row does not have the expected shape.
    pub fn serving_answer(result: &QueryResult) -> Result<Serving, CatalogError> {
        let during = CatalogError::during("find_for_serving");
        let Some(row) = result.first_parsed::<ServingRow>().map_err(&during)? else {
            return Ok(Serving::Unknown);
        };
        match row.status {
            Status::Pending => Ok(Serving::Unknown),
            Status::Stored => row.try_into().map(Serving::Found).map_err(&during),
            Status::Deleting | Status::Deleted => Ok(Serving::Gone),
        }
    }

    /// Whether the database answers and has the catalogue's tables.
    ///
    /// # Errors
    /// [`CatalogError`] when it does not; of kind [`DatabaseErrorKind::Schema`] when migrations were not applied.
    pub async fn ping(&self) -> Result<(), CatalogError> {
        let [counter] = self.batch("ping", [Statement::new(PING)]).await?;
        let during = CatalogError::during("ping");
        match counter.first::<serde_json::Value>().map_err(&during)? {
            Some(_) => Ok(()),
            None => Err(during(DatabaseError::new(DatabaseErrorKind::Schema, "the counters have no rows"))),
        }
    }
}

impl TryFrom<ServingRow> for ServableImage {
    type Error = DatabaseError;

    fn try_from(row: ServingRow) -> Result<Self, DatabaseError> {
        let (Some(size_bytes), Some(sha256)) = (row.size_bytes, row.sha256) else {
            return Err(corrupt("a stored image without size or digest"));
        };
        Ok(Self {
            id: row.id,
            storage: row.storage,
            key: row.storage_key,
            format: format_of(&row.content_type)?,
            size_bytes,
            sha256,
            visibility: row.visibility,
            filename: row.filename,
            created_at: row.created_at_ms,
            version: row.version,
        })
    }
}
