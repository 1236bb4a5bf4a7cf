//! Listings in pages, newest first.

use std::fmt;

use super::row::{image_columns, records};
use super::{Catalog, CatalogError, Cursor, ImageRecord, Status};
use crate::sql::{Statement, Value};
use crate::store::StorageKind;

/// The columns of a listed image. A prompt of more than 4,000 characters is cut, and marked: a page of 100 whole ones would take 12.8 MB,
/// several times over while it is read and written. Most generations are shorter than that as JSON, and are not looked into.
macro_rules! listed_columns {
    () => {
        image_columns!(
            "CASE WHEN LENGTH(generation) > 4000 AND LENGTH(generation ->> '$.prompt') > 4000 \
             THEN json_set(generation, '$.prompt', SUBSTR(generation ->> '$.prompt', 1, 4000), '$.prompt_cut', json('true')) \
             ELSE generation END AS generation"
        )
    };
}

/// Which images to list: those that match every field that is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFilter {
    pub status: Status,
    pub persona_id: Option<String>,
    pub session_id: Option<String>,
    pub storage: Option<StorageKind>,
}

/// How many images a page holds at most: 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageSize(u8);

/// A number of images outside 1 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPageSize;

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub records: Vec<ImageRecord>,
    /// Where the next page starts; `None` when there were no more images.
    pub next: Option<Cursor>,
}

impl Default for ListFilter {
    /// All readable images.
    fn default() -> Self {
        Self { status: Status::Stored, persona_id: None, session_id: None, storage: None }
    }
}

impl Default for PageSize {
    /// Half of the largest page.
    fn default() -> Self {
        Self(50)
    }
}

impl PageSize {
    /// The largest page.
    pub const MAX: Self = Self(100);

    /// The number of images.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0 as usize
    }
}

impl TryFrom<u64> for PageSize {
    type Error = InvalidPageSize;

    fn try_from(images: u64) -> Result<Self, InvalidPageSize> {
        match u8::try_from(images) {
            Ok(images @ 1..=100) => Ok(Self(images)),
            _ => Err(InvalidPageSize),
        }
    }
}

impl fmt::Display for InvalidPageSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a page holds 1 to 100 images")
    }
}

impl Catalog {
    /// The images after `cursor`, or the newest ones. Following `next` to the end shows every image that matches all the
    /// while exactly once, whatever is added and deleted meanwhile.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn list(
        &self,
        filter: &ListFilter,
        cursor: Option<Cursor>,
        size: PageSize,
    ) -> Result<Page, CatalogError> {
        let [rows] = self.batch("list", [statement(filter, cursor, size)]).await?;
        let mut records = records(&rows).map_err(CatalogError::during("list"))?;
        let more = records.len() > size.get();
        records.truncate(size.get());
        let next =
            records.last().filter(|_| more).map(|last| Cursor::after(last.description.created_at, last.description.id));
        Ok(Page { records, next })
    }
}

/// One row more than the page holds, which tells whether another page follows.
fn statement(filter: &ListFilter, cursor: Option<Cursor>, size: PageSize) -> Statement {
    let ListFilter { status, persona_id, session_id, storage } = filter;
    let cursor_millis = cursor.map(|cursor| cursor.created_at.as_millis());
    let cursor_id = cursor.map(|cursor| cursor.id.to_string());
    let row_limit = i64::from(size.0) + 1;
    let conditions: [(&str, Vec<Value>); 4] = [
        (" AND persona_id = ?", persona_id.iter().map(|id| id.as_str().into()).collect()),
        (" AND session_id = ?", session_id.iter().map(|id| id.as_str().into()).collect()),
        (" AND storage = ?", storage.iter().map(|storage| storage.as_str().into()).collect()),
        (
            " AND (created_at_ms, id) < (?, ?)",
            cursor_millis.into_iter().map(Value::from).chain(cursor_id.map(Value::from)).collect(),
        ),
    ];
    // The status is text, not a parameter: partial indexes serve only conditions that are known when the query is planned.
    let mut sql = format!(
        concat!("SELECT ", listed_columns!(), " FROM stillstore_images INDEXED BY {} WHERE status = '{}'"),
        index(filter),
        status.as_str()
    );
    let mut params = Vec::new();
    for (condition, values) in conditions {
        if !values.is_empty() {
            sql.push_str(condition);
            params.extend(values);
        }
    }
    sql.push_str(" ORDER BY created_at_ms DESC, id DESC LIMIT ?");
    params.push(row_limit.into());
    Statement { sql: sql.into(), params, column_apart: None }
}

/// The index to walk, named so that no change of the planner's estimates can choose a scan or a sort. A session has
/// fewer images than a persona, and a persona fewer than a home.
fn index(filter: &ListFilter) -> &'static str {
    match filter {
        // Few images are not stored: walking all of that status is cheap.
        ListFilter { status: Status::Pending | Status::Deleting | Status::Deleted, .. } => {
            "stillstore_images_by_status"
        }
        ListFilter { session_id: Some(_), .. } => "stillstore_images_by_session",
        ListFilter { persona_id: Some(_), .. } => "stillstore_images_by_persona",
        ListFilter { storage: Some(_), .. } => "stillstore_images_by_storage",
        ListFilter { .. } => "stillstore_images_by_status",
    }
}
