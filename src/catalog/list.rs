//! Listings in pages: newest first, or a collection's frames in their order.

use super::filter::{ListFilter, PageSize};
use super::row::records;
use super::walk::{EdgeRow, LISTED_COLUMNS, edge, statement, walk};
use super::{Catalog, CatalogError, ImageRecord, InvalidCursor, OwnerFilter, PageCursor};
use crate::image::ImageId;
use crate::sql::{Statement, to_json};

/// The most images that [`Catalog::made_from`] answers with: 1,000 records of 1 KB are 1 MB.
pub const MOST_OUTPUTS: u16 = 1_000;

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<ImageRecord>,
    /// Where the next page starts; `None` when there were no more images.
    pub next: Option<PageCursor>,
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListError {
    Catalog(CatalogError),
    /// The cursor is of a listing in another order.
    Cursor(InvalidCursor),
}

impl Catalog {
    /// The images after `cursor`, or the first ones. Following `next` to the end shows every image that matches all the
    /// while exactly once, whatever is added and deleted meanwhile. Where the filter looks for something, a page may be short of images, or
    /// without any, and not the last.
    ///
    /// # Errors
    /// [`ListError`].
    pub async fn list(
        &self,
        filter: &ListFilter,
        cursor: Option<PageCursor>,
        size: PageSize,
    ) -> Result<Page, ListError> {
        let during = CatalogError::during("list");
        let walk = walk(filter);
        let statement = statement(filter, &walk, cursor, size)?;
        let (rows, edge) = if filter.looked_for.is_nothing() {
            let [rows] = self.batch("list", [statement]).await?;
            (rows, None)
        } else {
            // In one transaction, so that both look through the same images.
            let [rows, edge] = self.batch("list", [statement, edge(filter, &walk, cursor)?]).await?;
            (rows, edge.first::<EdgeRow>().map_err(&during)?)
        };
        let mut records = records(&rows).map_err(&during)?;
        let more = records.len() > size.get();
        records.truncate(size.get());
        let next = match records.last().filter(|_| more) {
            Some(last) => Some(walk.order.after(last)),
            None => edge.map(|edge| edge.cursor(walk.order)),
        };
        Ok(Page { records, next: next.transpose().map_err(during)? })
    }

    /// What was made from these images, oldest first, at most `MOST_OUTPUTS`.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn made_from(&self, parents: &[ImageId], owner: &OwnerFilter) -> Result<Vec<ImageRecord>, CatalogError> {
        let during = CatalogError::during("made_from");
        let select = format!(
            "SELECT {} FROM stillstore_images INDEXED BY stillstore_images_by_parent WHERE status = 'stored' \
            AND parent_id IN (SELECT value FROM json_each(?1)) AND (?2 IS NULL OR owner_id = ?2) LIMIT {MOST_OUTPUTS}",
            *LISTED_COLUMNS
        );
        let select = Statement::new(select).bind(to_json(parents).map_err(&during)?).bind(owner.param());
        let [rows] = self.batch("made_from", [select]).await?;
        let mut records = records(&rows).map_err(during)?;
        records.sort_by_key(|record| (record.description.created_at, record.description.id));
        Ok(records)
    }
}

impl From<CatalogError> for ListError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<InvalidCursor> for ListError {
    fn from(error: InvalidCursor) -> Self {
        Self::Cursor(error)
    }
}
