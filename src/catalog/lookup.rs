//! Reading one row.

use serde::Deserialize;

use super::row::{corrupt, first_record, image_columns, select_image};
use super::{Catalog, CatalogError, ImageRecord, Status};
use crate::bytes::Blob;
use crate::image::{Format, ImageId, ObjectKey, Sha256Digest, Visibility};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use crate::store::{CHUNK_BYTES, StorageKind};

const SELECT_STORED: &str =
    concat!("SELECT ", image_columns!(), " FROM stillstore_images WHERE id = ?1 AND status = 'stored'");

// A row as lines of one text, since every read of an image waits for it to be passed on and taken apart: `serving_of` reads them. What is
// missing is an empty line. The file's name, which may hold line breaks, comes last, and only where there is one.
macro_rules! image_lines {
    () => {
        "status || '\n' || storage || '\n' || storage_key || '\n' || content_type || '\n' || ifnull(size_bytes, '') || '\n' || \
        ifnull(sha256, '') || '\n' || visibility || '\n' || created_at_ms || '\n' || version || ifnull('\n' || filename, '')"
    };
}

macro_rules! move_lines {
    () => {
        "'stored\nr2\n' || storage_key || '\n' || content_type || '\n' || size_bytes || '\n' || sha256 || '\npublic\n' || \
        moved_at_ms || '\n1'"
    };
}

// The second part, an image of an application's table, is looked at only when the first found nothing.
const SELECT_SERVING: &str = concat!(
    "SELECT ",
    image_lines!(),
    " AS lines FROM stillstore_images WHERE id = ?1 UNION ALL SELECT ",
    move_lines!(),
    " FROM stillstore_moves WHERE image_id = ?1 AND source <> 'embedded' AND stage <> 'restored' LIMIT 1"
);

// With the bytes of a public image that is embedded in one chunk; every other row has NULL for a write. They are looked up outside of the
// UNION, which would copy them.
const SELECT_SERVING_BYTES: &str = concat!(
    "SELECT lines, (SELECT data FROM stillstore_chunks WHERE write_id = found.write_id AND chunk_index = 0) AS data FROM (SELECT ",
    image_lines!(),
    " AS lines, CASE WHEN storage = 'd1' AND status = 'stored' AND visibility = 'public' AND size_bytes <= ?2 THEN embedded_write_id END \
    AS write_id FROM stillstore_images WHERE id = ?1 UNION ALL SELECT ",
    move_lines!(),
    ", NULL FROM stillstore_moves WHERE image_id = ?1 AND source <> 'embedded' AND stage <> 'restored' LIMIT 1) AS found"
);

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
    lines: String,
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
        let [row] = self.batch("find_for_serving", [serving_statement(id)]).await?;
        self.find_elsewhere(id, serving_answer(id, &row)?).await
    }

    /// [`Catalog::find_for_serving`], and in the same call the bytes of a public image that is embedded in one chunk, when they are
    /// as many as the row says.
    ///
    /// # Errors
    /// [`CatalogError`] when a database failed.
    pub async fn find_with_bytes(&self, id: ImageId) -> Result<(Serving, Option<Blob>), CatalogError> {
        let statement = Statement::new(SELECT_SERVING_BYTES).bind(id.to_string()).bind(ONE_CHUNK_BYTES);
        let [mut row] = self.batch("find_for_serving", [statement.with_bytes_column("data")]).await?;
        let found = self.find_elsewhere(id, serving_answer(id, &row)?).await?;
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
            match database.run(serving_statement(id)).await {
                Ok(row) => found = serving_answer(id, &row)?,
                // Stillstore's tables are not in it yet.
                Err(error) if error.kind == DatabaseErrorKind::Schema => {}
                Err(error) => return Err(CatalogError::during("find_for_serving")(error)),
            }
        }
        Ok(found)
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

fn serving_statement(id: ImageId) -> Statement {
    Statement::new(SELECT_SERVING).bind(id.to_string())
}

/// What the answer to a statement with `lines` says of the image `id`.
fn serving_answer(id: ImageId, result: &QueryResult) -> Result<Serving, CatalogError> {
    let during = CatalogError::during("find_for_serving");
    let Some(row) = result.first_parsed::<ServingRow>().map_err(&during)? else {
        return Ok(Serving::Unknown);
    };
    serving_of(id, &row.lines).map_err(|column| during(corrupt(column)))
}

/// What the lines of a row say of the image `id`. Fails with the first column that is not as it should be.
fn serving_of(id: ImageId, lines: &str) -> Result<Serving, &'static str> {
    let mut lines = lines.splitn(10, '\n');
    let mut line = || lines.next().unwrap_or_default();
    match Status::from_text(line()).ok_or("status")? {
        Status::Pending => return Ok(Serving::Unknown),
        Status::Deleting | Status::Deleted => return Ok(Serving::Gone),
        Status::Stored => {}
    }
    Ok(Serving::Found(ServableImage {
        id,
        storage: StorageKind::from_text(line()).ok_or("storage")?,
        key: line().to_owned().try_into().map_err(|_| "storage_key")?,
        format: Format::from_content_type(line()).ok_or("content_type")?,
        size_bytes: line().parse().map_err(|_| "size_bytes")?,
        sha256: line().parse().map_err(|_| "sha256")?,
        visibility: Visibility::from_text(line()).ok_or("visibility")?,
        created_at: Timestamp::from_millis(line().parse().map_err(|_| "created_at_ms")?),
        version: line().parse().map_err(|_| "version")?,
        filename: lines.next().map(str::to_owned),
    }))
}
