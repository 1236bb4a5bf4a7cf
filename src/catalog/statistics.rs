//! Totals that cost the same however many images there are.

use serde::Deserialize;

use super::row::corrupt;
use super::{Catalog, CatalogError, Status};
use crate::sql::Statement;
use crate::store::StorageKind;

// Twelve rows at most: the table has one for each status, home and fallback, kept exact by triggers.
const SELECT_COUNTERS: &str = "SELECT status, storage, fallback, images, bytes FROM stillstore_counters \
    WHERE status IN ('pending', 'stored', 'deleting')";

/// How many images there are, and how large they are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Readable images in R2.
    pub r2_images: u64,
    /// Readable images embedded in D1.
    pub d1_images: u64,
    /// Size of the readable images in R2.
    pub r2_bytes: u64,
    /// Size of the readable images embedded in D1, as images; base64 makes them a third larger in the database.
    pub d1_bytes: u64,
    /// Readable images that are not in the first-choice store.
    pub fallback_images: u64,
    pub pending_images: u64,
    pub deleting_images: u64,
}

#[derive(Deserialize)]
struct CounterRow {
    status: Status,
    storage: StorageKind,
    fallback: u8,
    images: u64,
    bytes: u64,
}

impl Statistics {
    /// Readable images, wherever they are.
    #[must_use]
    pub const fn total_images(&self) -> u64 {
        self.r2_images.saturating_add(self.d1_images)
    }

    fn add(&mut self, row: &CounterRow) {
        let CounterRow { status, storage, fallback, images, bytes } = row;
        let (image_count, byte_count) = match (status, storage) {
            (Status::Stored, StorageKind::R2) => (&mut self.r2_images, Some(&mut self.r2_bytes)),
            (Status::Stored, StorageKind::D1) => (&mut self.d1_images, Some(&mut self.d1_bytes)),
            (Status::Pending, _) => (&mut self.pending_images, None),
            (Status::Deleting, _) => (&mut self.deleting_images, None),
            (Status::Deleted, _) => return,
        };
        *image_count = image_count.saturating_add(*images);
        if let Some(byte_count) = byte_count {
            *byte_count = byte_count.saturating_add(*bytes);
        }
        if *status == Status::Stored && *storage == StorageKind::D1 && *fallback == 1 {
            self.fallback_images = self.fallback_images.saturating_add(*images);
        }
    }
}

impl Catalog {
    /// The totals at this moment.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn statistics(&self) -> Result<Statistics, CatalogError> {
        let [counters] = self.batch("statistics", [Statement::new(SELECT_COUNTERS)]).await?;
        let rows: Vec<CounterRow> = counters.rows().map_err(CatalogError::during("statistics"))?;
        if rows.len() != 12 {
            return Err(CatalogError::during("statistics")(corrupt("counters are missing")));
        }
        let mut statistics = Statistics::default();
        for row in &rows {
            statistics.add(row);
        }
        Ok(statistics)
    }
}
