//! What the periodic sweep needs to know: work that nobody finished, and rows that nobody needs.

use super::columns::IMAGE_COLUMNS;
use super::row::records;
use super::{Catalog, CatalogError, ImageRecord};
use crate::runtime::Timestamp;
use crate::sql::Statement;

const PURGE_TOMBSTONES: &str = "DELETE FROM stillstore_images WHERE id IN (\
    SELECT id FROM stillstore_images INDEXED BY stillstore_images_tombstones \
    WHERE status = 'deleted' AND updated_at_ms <= ?1 ORDER BY updated_at_ms LIMIT ?2\
    ) RETURNING id";

impl Catalog {
    /// Reservations that were not committed and deletions that were not finished, untouched since `untouched_since` or
    /// earlier, longest first.
    ///
    /// Finish each with [`Catalog::begin_delete`], the removal of its bytes, and [`Catalog::finish_delete`]. That time must
    /// lie further back than a request can last, so that no put of a swept reservation is still under way.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn stale(&self, untouched_since: Timestamp, limit: u16) -> Result<Vec<ImageRecord>, CatalogError> {
        let select = format!(
            "SELECT {IMAGE_COLUMNS} FROM stillstore_images INDEXED BY stillstore_images_unfinished \
            WHERE status IN ('pending', 'deleting') AND updated_at_ms <= ?1 ORDER BY updated_at_ms LIMIT ?2"
        );
        let select = Statement::new(select).bind(untouched_since.as_millis()).bind(i64::from(limit));
        let [rows] = self.batch("stale", [select]).await?;
        records(&rows).map_err(CatalogError::during("stale"))
    }

    /// Forgets images deleted at `deleted_until` or earlier, at most `limit` of them, and says how many. Their ids are
    /// unknown from then on.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the rows may be gone.
    pub async fn purge_tombstones(&self, deleted_until: Timestamp, limit: u16) -> Result<usize, CatalogError> {
        let purge = Statement::new(PURGE_TOMBSTONES).bind(deleted_until.as_millis()).bind(i64::from(limit));
        let [rows] = self.batch("purge_tombstones", [purge]).await?;
        let purged = rows.rows::<serde_json::Value>().map_err(CatalogError::during("purge_tombstones"))?;
        Ok(purged.len())
    }
}
