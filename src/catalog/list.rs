//! Listings in pages: newest first, or a collection's frames in their order.

use std::fmt;
use std::sync::LazyLock;

use super::columns::COLUMNS;
use super::cursor::Place;
use super::row::{corrupt, records};
use super::{Catalog, CatalogError, ImageRecord, InvalidCursor, OwnerFilter, PageCursor, Status};
use crate::image::{CollectionId, ImageId};
use crate::sql::{DatabaseError, Statement, Value, to_json};
use crate::store::StorageKind;

/// The columns of a listed image. A prompt of more than 4,000 characters is cut, and marked: a page of 100 whole ones would take 12.8 MB,
/// several times over while it is read and written. Most generations are shorter than that as JSON, and are not looked into.
static LISTED_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    const GENERATION: &str = "CASE WHEN LENGTH(generation) > 4000 AND LENGTH(generation ->> '$.prompt') > 4000 \
        THEN json_set(generation, '$.prompt', SUBSTR(generation ->> '$.prompt', 1, 4000), '$.prompt_cut', json('true')) \
        ELSE generation END AS generation";
    let listed = COLUMNS.iter().map(|column| if column.name == "generation" { GENERATION } else { column.name });
    listed.collect::<Vec<_>>().join(", ")
});

/// The most images that [`Catalog::made_from`] answers with: 1,000 records of 1 KB are 1 MB.
pub const MOST_OUTPUTS: u16 = 1_000;

/// Which images to list: those that match every field that is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListFilter {
    pub status: Status,
    pub owner: OwnerFilter,
    /// Stored frames of a collection come in its order, all other images newest first.
    pub collection_id: Option<CollectionId>,
    /// Leaves out what was made from another image.
    pub originals_only: bool,
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
    pub next: Option<PageCursor>,
}

/// Why there is no page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListError {
    Catalog(CatalogError),
    /// The cursor is of a listing in another order.
    Cursor(InvalidCursor),
}

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    NewestFirst,
    ByOrdinal,
}

/// How a listing goes through the table.
struct Walk {
    index: &'static str,
    order: Order,
}

impl Default for ListFilter {
    /// All readable images.
    fn default() -> Self {
        Self {
            status: Status::Stored,
            owner: OwnerFilter::Any,
            collection_id: None,
            originals_only: false,
            persona_id: None,
            session_id: None,
            storage: None,
        }
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

impl Order {
    /// The cursor after `record`.
    fn after(self, record: &ImageRecord) -> Result<PageCursor, DatabaseError> {
        let description = &record.description;
        match (self, &description.frame) {
            (Self::NewestFirst, _) => Ok(PageCursor::after(description.created_at, description.id)),
            (Self::ByOrdinal, Some(frame)) => Ok(PageCursor::after_frame(frame.ordinal, description.id)),
            (Self::ByOrdinal, None) => Err(corrupt("a frame without an ordinal")),
        }
    }

    /// The condition and parameters that a page after `cursor` begins with.
    fn beyond(self, cursor: PageCursor) -> Result<(&'static str, [Value; 2]), InvalidCursor> {
        let id = cursor.id.to_string().into();
        match (self, cursor.place) {
            (Self::NewestFirst, Place::Created(at)) => {
                Ok((" AND (created_at_ms, id) < (?, ?)", [at.as_millis().into(), id]))
            }
            (Self::ByOrdinal, Place::Ordinal(ordinal)) => {
                Ok((" AND (ordinal, id) > (?, ?)", [i64::from(ordinal).into(), id]))
            }
            (Self::NewestFirst, Place::Ordinal(_)) | (Self::ByOrdinal, Place::Created(_)) => Err(InvalidCursor),
        }
    }

    const fn as_sql(self) -> &'static str {
        match self {
            Self::NewestFirst => " ORDER BY created_at_ms DESC, id DESC LIMIT ?",
            Self::ByOrdinal => " ORDER BY ordinal, id LIMIT ?",
        }
    }
}

impl Catalog {
    /// The images after `cursor`, or the first ones. Following `next` to the end shows every image that matches all the
    /// while exactly once, whatever is added and deleted meanwhile.
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
        let [rows] = self.batch("list", [statement(filter, &walk, cursor, size)?]).await?;
        let mut records = records(&rows).map_err(&during)?;
        let more = records.len() > size.get();
        records.truncate(size.get());
        let next = records.last().filter(|_| more).map(|last| walk.order.after(last)).transpose().map_err(during)?;
        Ok(Page { records, next })
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

/// One row more than the page holds, which tells whether another page follows.
fn statement(
    filter: &ListFilter,
    walk: &Walk,
    cursor: Option<PageCursor>,
    size: PageSize,
) -> Result<Statement, InvalidCursor> {
    let ListFilter { status, owner, collection_id, originals_only, persona_id, session_id, storage } = filter;
    let owner = match owner {
        OwnerFilter::Any => None,
        OwnerFilter::Only(user) => Some(user.as_str()),
    };
    let equal = [
        ("owner_id", owner),
        ("collection_id", collection_id.as_ref().map(CollectionId::as_str)),
        ("persona_id", persona_id.as_deref()),
        ("session_id", session_id.as_deref()),
        ("storage", storage.map(StorageKind::as_str)),
    ];
    // The status is text, not a parameter: partial indexes serve only conditions that are known when the query is planned.
    let mut sql = format!(
        "SELECT {} FROM stillstore_images INDEXED BY {} WHERE status = '{}'",
        *LISTED_COLUMNS,
        walk.index,
        status.as_str()
    );
    let mut params = Vec::new();
    for (column, value) in equal {
        if let Some(value) = value {
            sql.extend([" AND ", column, " = ?"]);
            params.push(Value::from(value));
        }
    }
    if *originals_only {
        sql.push_str(" AND parent_id IS NULL");
    }
    if let Some(cursor) = cursor {
        let (condition, values) = walk.order.beyond(cursor)?;
        sql.push_str(condition);
        params.extend(values);
    }
    sql.push_str(walk.order.as_sql());
    params.push((i64::from(size.0) + 1).into());
    Ok(Statement { params, ..Statement::new(sql) })
}

/// The index to walk, named so that no change of the planner's estimates can choose a scan or a sort. A collection has
/// fewer images than a session, a session fewer than a persona, a persona fewer than an owner, and an owner fewer than a home.
fn walk(filter: &ListFilter) -> Walk {
    let (index, order) = match filter {
        // Few images are not stored: walking all of that status is cheap.
        ListFilter { status: Status::Pending | Status::Deleting | Status::Deleted, .. } => {
            ("stillstore_images_by_status", Order::NewestFirst)
        }
        ListFilter { collection_id: Some(_), .. } => ("stillstore_images_by_collection", Order::ByOrdinal),
        ListFilter { session_id: Some(_), .. } => ("stillstore_images_by_session", Order::NewestFirst),
        ListFilter { persona_id: Some(_), .. } => ("stillstore_images_by_persona", Order::NewestFirst),
        ListFilter { owner: OwnerFilter::Only(_), .. } => ("stillstore_images_by_owner", Order::NewestFirst),
        ListFilter { storage: Some(_), .. } => ("stillstore_images_by_storage", Order::NewestFirst),
        ListFilter { .. } => ("stillstore_images_by_status", Order::NewestFirst),
    };
    Walk { index, order }
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
