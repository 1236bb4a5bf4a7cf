//! Uploads that a client sends in parts: rows beside those of `stillstore_uploads`.

use serde::Deserialize;

use super::uploads::number;
use super::{Catalog, CatalogError};
use crate::image::ImageId;
use crate::sql::Statement;
use crate::store::{PartNumber, UploadedPart};

const SELECT_PARTS: &str =
    "SELECT part_number, etag, size_bytes FROM stillstore_upload_parts WHERE asset_id = ?1 ORDER BY part_number";

const KEEP_PART: &str = "INSERT INTO stillstore_upload_parts (asset_id, part_number, etag, size_bytes) \
    SELECT asset_id, ?2, ?3, ?4 FROM stillstore_uploads WHERE asset_id = ?1 AND state = 'granted' \
    ON CONFLICT (asset_id, part_number) DO UPDATE SET etag = excluded.etag, size_bytes = excluded.size_bytes";

/// A part that came by way of the Worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptPart {
    pub part: UploadedPart,
    pub size_bytes: u64,
}

#[derive(Deserialize)]
struct Row {
    part_number: PartNumber,
    etag: String,
    size_bytes: u64,
}

impl Catalog {
    /// The parts of an upload that came by way of the Worker, in order of their numbers.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn parts_of(&self, asset_id: ImageId) -> Result<Vec<KeptPart>, CatalogError> {
        let [rows] = self.batch("parts_of", [Statement::new(SELECT_PARTS).bind(asset_id.to_string())]).await?;
        let rows: Vec<Row> = rows.rows().map_err(CatalogError::during("parts_of"))?;
        let part = |Row { part_number, etag, size_bytes }| KeptPart {
            part: UploadedPart { number: part_number, etag },
            size_bytes,
        };
        Ok(rows.into_iter().map(part).collect())
    }

    /// Records a part, in the place of one that had its number. False where the upload is not granted any more.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; it may be recorded.
    pub async fn keep_part(&self, asset_id: ImageId, kept: &KeptPart) -> Result<bool, CatalogError> {
        let keep = Statement::new(KEEP_PART)
            .bind(asset_id.to_string())
            .bind(i64::from(kept.part.number.get()))
            .bind(kept.part.etag.as_str())
            .bind(number(kept.size_bytes).map_err(CatalogError::during("keep_part"))?);
        let [kept] = self.batch("keep_part", [keep]).await?;
        Ok(kept.changes > 0)
    }
}
