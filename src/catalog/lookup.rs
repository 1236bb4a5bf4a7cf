//! Reading one row.

use serde::Deserialize;

use super::columns::IMAGE_COLUMNS;
use super::row::{corrupt, first_record, select_image, select_image_by_key};
use super::{Catalog, CatalogError, ImageRecord, OwnerFilter, Status};
use crate::bytes::Blob;
use crate::image::{Format, ImageId, ObjectKey, Sha256Digest, Visibility};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use crate::store::{CHUNK_BYTES, StorageKind};

// The columns of `ServingRow`: of an image, and of one that was moved out of a table and has no row yet.
macro_rules! serving_columns {
    (image) => {
        "status, storage, storage_key, content_type, size_bytes, sha256, visibility, created_at_ms, version, filename"
    };
    (waiting) => {
        "'stored' AS status, 'r2' AS storage, storage_key, content_type, size_bytes, sha256, \
        ifnull(image ->> 'visibility', 'public') AS visibility, moved_at_ms AS created_at_ms, 1 AS version, NULL AS filename"
    };
}

// A user is shown what is public and what is theirs.
macro_rules! is_shown {
    () => {
        " AND (?2 IS NULL OR visibility = 'public' OR owner_id = ?2)"
    };
}

macro_rules! waiting {
    () => {
        " FROM stillstore_moves INDEXED BY stillstore_moves_uncatalogued \
        WHERE image_id = ?1 AND source <> 'embedded' AND stage <> 'restored' AND catalogue <> 'present' \
        AND (?2 IS NULL OR ifnull(image ->> 'visibility', 'public') = 'public')"
    };
}

// One statement, because between two the row may be made. The journal is looked at only when there is no row.
pub(super) const SELECT_SERVING: &str = concat!(
    "SELECT ",
    serving_columns!(image),
    " FROM stillstore_images WHERE id = ?1",
    is_shown!(),
    " UNION ALL SELECT ",
    serving_columns!(waiting),
    waiting!(),
    " LIMIT 1"
);

// With the bytes of a public image that is embedded in one chunk; every other row has NULL for a write. They are looked up outside of the
// UNION, which would copy them.
const SELECT_SERVING_BYTES: &str = concat!(
    "SELECT found.*, (SELECT data FROM stillstore_chunks WHERE write_id = found.write_id AND chunk_index = 0) AS data FROM (SELECT ",
    serving_columns!(image),
    ", CASE WHEN storage = 'd1' AND status = 'stored' AND visibility = 'public' AND size_bytes <= ?3 THEN embedded_write_id END \
    AS write_id FROM stillstore_images WHERE id = ?1",
    is_shown!(),
    " UNION ALL SELECT ",
    serving_columns!(waiting),
    ", NULL",
    waiting!(),
    " LIMIT 1) AS found"
);

const SELECT_WAITING: &str = concat!("SELECT ", serving_columns!(waiting), waiting!());

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

impl ServableImage {
    /// What serving a stored image takes, out of its whole row.
    #[must_use]
    pub fn of_record(record: &ImageRecord) -> Option<Self> {
        let description = &record.description;
        let content = record.content.as_ref().filter(|_| record.status == Status::Stored)?;
        Some(Self {
            id: description.id,
            storage: record.storage,
            key: description.key.clone(),
            format: description.format,
            size_bytes: content.size_bytes,
            sha256: content.sha256,
            visibility: description.visibility,
            filename: description.filename.clone(),
            created_at: description.created_at,
            version: record.version,
        })
    }
}

/// What there is to serve under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serving {
    Found(ServableImage),
    /// There was such an image; it was deleted on purpose, or given up before it was stored.
    Gone,
    /// No such image, or not yet.
    Unknown,
    /// No such image in the catalogue; the further databases were asked for nothing so often that they are not asked now.
    Unasked,
}

#[derive(Deserialize)]
struct ServingRow {
    status: Status,
    storage: StorageKind,
    /// Of a tombstone, this is no key that an object can have.
    storage_key: String,
    content_type: String,
    size_bytes: Option<u64>,
    sha256: Option<Sha256Digest>,
    visibility: Visibility,
    created_at_ms: Timestamp,
    version: i64,
    filename: Option<String>,
}

impl Catalog {
    /// The row of an image of the owner's in any status. A tombstone has a key that no object has, and no owner.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find(&self, id: ImageId, owner: &OwnerFilter) -> Result<Option<ImageRecord>, CatalogError> {
        let [row] = self.batch("find", [select_image(id, owner)]).await?;
        first_record(&row).map_err(CatalogError::during("find"))
    }

    /// The row of the image of the owner's with this key, in any status.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_by_key(&self, key: &ObjectKey, owner: &OwnerFilter) -> Result<Option<ImageRecord>, CatalogError> {
        let [row] = self.batch("find_by_key", [select_image_by_key(key, owner)]).await?;
        first_record(&row).map_err(CatalogError::during("find_by_key"))
    }

    /// The row of a readable image.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_stored(&self, id: ImageId) -> Result<Option<ImageRecord>, CatalogError> {
        let select = format!("SELECT {IMAGE_COLUMNS} FROM stillstore_images WHERE id = ?1 AND status = 'stored'");
        let [row] = self.batch("find_stored", [Statement::new(select).bind(id.to_string())]).await?;
        first_record(&row).map_err(CatalogError::during("find_stored"))
    }

    /// What there is to serve under an id: an image of the catalogue, or one moved out of a table. A user who reads finds what is
    /// public and what is theirs; whether another reader may see a private image is for the caller to find out. The further databases are asked,
    /// a round trip each, only when the catalogue's has nothing, and only while few such looks were for nothing lately.
    ///
    /// # Errors
    /// [`CatalogError`] when a database failed.
    pub async fn find_for_serving(&self, id: ImageId, reader: &OwnerFilter) -> Result<Serving, CatalogError> {
        let [row] = self.batch("find_for_serving", [serving_statement(SELECT_SERVING, id, reader)]).await?;
        self.or_waiting_elsewhere(id, reader, serving_answer(id, &row)?).await
    }

    /// [`Catalog::find_for_serving`], and in the same call the bytes of a public image that is embedded in one chunk, when they are
    /// as many as the row says.
    ///
    /// # Errors
    /// [`CatalogError`] when a database failed.
    pub async fn find_with_bytes(
        &self,
        id: ImageId,
        reader: &OwnerFilter,
    ) -> Result<(Serving, Option<Blob>), CatalogError> {
        let statement = serving_statement(SELECT_SERVING_BYTES, id, reader).bind(ONE_CHUNK_BYTES);
        let [mut row] = self.batch("find_for_serving", [statement.with_bytes_column("data")]).await?;
        let found = self.or_waiting_elsewhere(id, reader, serving_answer(id, &row)?).await?;
        let bytes = match &found {
            Serving::Found(image) => {
                row.bytes.pop().flatten().filter(|bytes| bytes.size_bytes() as u64 == image.size_bytes)
            }
            Serving::Gone | Serving::Unknown | Serving::Unasked => None,
        };
        Ok((found, bytes))
    }

    /// What `found` is, or when it is nothing an image that another database's journal has yet to make a row of.
    pub(super) async fn or_waiting_elsewhere(
        &self,
        id: ImageId,
        reader: &OwnerFilter,
        found: Serving,
    ) -> Result<Serving, CatalogError> {
        // Only the images of tables have such ids, so that made-up random ones cost one query.
        if found != Serving::Unknown || self.others.is_empty() || !id.is_of_digest() {
            return Ok(found);
        }
        if self.misses.as_ref().is_some_and(|misses| !misses.take()) {
            return Ok(Serving::Unasked);
        }
        let found = self.search_elsewhere(id, reader).await;
        if let (Some(misses), false) = (&self.misses, matches!(found, Ok(Serving::Unknown))) {
            misses.give_back();
        }
        found
    }

    async fn search_elsewhere(&self, id: ImageId, reader: &OwnerFilter) -> Result<Serving, CatalogError> {
        let during = CatalogError::during("find_for_serving");
        for (_, database) in &*self.others {
            match database.run(serving_statement(SELECT_WAITING, id, reader)).await {
                Ok(row) => match serving_answer(id, &row)? {
                    Serving::Unknown => {}
                    waiting => return Ok(waiting),
                },
                // Stillstore's tables are not in it yet.
                Err(error) if error.kind == DatabaseErrorKind::Schema => {}
                Err(error) => return Err(during(error)),
            }
        }
        // The row may have been made between the two looks.
        let [row] = self.batch("find_for_serving", [serving_statement(SELECT_SERVING, id, reader)]).await?;
        serving_answer(id, &row)
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

pub(super) fn serving_statement(sql: &'static str, id: ImageId, reader: &OwnerFilter) -> Statement {
    Statement::new(sql).bind(id.to_string()).bind(reader.param())
}

pub(super) fn serving_answer(id: ImageId, result: &QueryResult) -> Result<Serving, CatalogError> {
    let during = CatalogError::during("find_for_serving");
    match result.first_parsed::<ServingRow>().map_err(&during)? {
        None => Ok(Serving::Unknown),
        Some(row) => serving_of(id, row).map_err(|column| during(corrupt(column))),
    }
}

/// What a row says of the image `id`. Fails with the first column that is not as it should be.
fn serving_of(id: ImageId, row: ServingRow) -> Result<Serving, &'static str> {
    match row.status {
        Status::Pending => return Ok(Serving::Unknown),
        Status::Deleting | Status::Deleted => return Ok(Serving::Gone),
        Status::Stored => {}
    }
    Ok(Serving::Found(ServableImage {
        id,
        storage: row.storage,
        key: row.storage_key.try_into().map_err(|_| "storage_key")?,
        format: Format::from_content_type(&row.content_type).ok_or("content_type")?,
        size_bytes: row.size_bytes.ok_or("size_bytes")?,
        sha256: row.sha256.ok_or("sha256")?,
        visibility: row.visibility,
        filename: row.filename,
        created_at: row.created_at_ms,
        version: row.version,
    }))
}
