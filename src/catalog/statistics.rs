//! Totals that cost the same however many images there are.

use serde::Deserialize;

use super::row::corrupt;
use super::{Catalog, CatalogError};
use crate::sql::Statement;
use crate::store::StorageKind;

// Four rows: the table has one for each home, with and without fallback, kept exact by triggers.
const SELECT_COUNTERS: &str =
    "SELECT storage, fallback, images, bytes FROM stillstore_counters WHERE status = 'stored'";

/// How many readable images there are, and how large they are together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Statistics {
    /// Images in R2.
    pub r2_images: u64,
    /// Images embedded in D1.
    pub d1_images: u64,
    /// Size of the images in R2.
    pub r2_bytes: u64,
    /// Size of the images embedded in D1, as images; base64 makes them a third larger in the database.
    pub d1_bytes: u64,
    /// Images that are not in the first-choice store.
    pub fallback_images: u64,
}

#[derive(Deserialize)]
struct CounterRow {
    storage: StorageKind,
    fallback: u8,
    images: u64,
    bytes: u64,
}

impl Statistics {
    /// Images, wherever they are.
    #[must_use]
    pub const fn total_images(&self) -> u64 {
        self.r2_images.saturating_add(self.d1_images)
    }

    fn add(&mut self, row: &CounterRow) {
        let CounterRow { storage, fallback, images, bytes } = row;
        let (image_count, byte_count) = match storage {
            StorageKind::R2 => (&mut self.r2_images, &mut self.r2_bytes),
            StorageKind::D1 => (&mut self.d1_images, &mut self.d1_bytes),
        };
        *image_count = image_count.saturating_add(*images);
        *byte_count = byte_count.saturating_add(*bytes);
        if *storage == StorageKind::D1 && *fallback == 1 {
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
        if rows.len() != 4 {
            return Err(CatalogError::during("statistics")(corrupt("counters are missing")));
        }
        let mut statistics = Statistics::default();
        for row in &rows {
            statistics.add(row);
        }
        Ok(statistics)
    }
}
