//! Collections of images: shoots and sessions, as rows of one table. An image names its collection in `collection_id`.

use std::fmt;
use std::str::FromStr;

use base64_simd::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{Catalog, CatalogError, OwnerFilter, PageSize};
use crate::image::{CollectionId, UserId};
use crate::runtime::Timestamp;
use crate::sql::Statement;

/// The columns of [`Row`].
macro_rules! columns {
    () => {
        "id, kind, state, owner_id, name, created_at_ms, updated_at_ms, leaving"
    };
}

const INSERT: &str = concat!(
    "INSERT INTO stillstore_collections (",
    columns!(),
    ") VALUES (?1, ?2, 'open', ?3, ?4, ?5, ?5, 0) ON CONFLICT (id) DO NOTHING"
);

const SELECT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM stillstore_collections WHERE id = ?1 AND kind = ?2 AND state <> 'deleting' AND (?3 IS NULL OR owner_id = ?3)"
);

// An empty name is refused when there is no such row, NULL where it is not open; see the schema.
const REQUIRE_OPEN: &str = "INSERT INTO stillstore_collections (id, kind, state, name, created_at_ms, updated_at_ms) \
    VALUES (?1, 'shoot', 'open', '', ?2, ?2) ON CONFLICT (id) DO UPDATE \
    SET state = CASE WHEN state = 'open' THEN 'open' END, updated_at_ms = excluded.updated_at_ms";

/// What a collection is to those who made it. The text forms are part of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectionKind {
    /// Members are assets and what was made from them, oldest first.
    Shoot,
    /// Members are numbered frames.
    Session,
}

/// Whether a collection takes members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectionState {
    /// It does.
    Open,
    /// Its members are being deleted; then it is open again.
    Emptying,
    /// Its members are being deleted; then it is gone.
    Deleting,
}

/// A whole row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collection {
    pub id: CollectionId,
    pub kind: CollectionKind,
    pub state: CollectionState,
    pub owner_id: Option<UserId>,
    pub name: Option<String>,
    pub created_at: Timestamp,
    /// When it last took a member, or when its members were told to go.
    pub updated_at: Timestamp,
    /// How many members were told to go then, while it is not open.
    pub leaving: u64,
}

/// A part of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionPage {
    pub collections: Vec<Collection>,
    /// Where the next page starts; `None` when there were no more.
    pub next: Option<CollectionCursor>,
}

/// The place after a collection in a listing, newest first. Its text form is opaque to callers and safe in a URL as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionCursor {
    created_at: Timestamp,
    id: CollectionId,
}

/// The text is not a cursor that a listing gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCollectionCursor;

#[derive(Deserialize)]
pub(super) struct Row {
    id: CollectionId,
    kind: CollectionKind,
    state: CollectionState,
    owner_id: Option<UserId>,
    name: Option<String>,
    created_at_ms: Timestamp,
    updated_at_ms: Timestamp,
    leaving: u64,
}

impl CollectionKind {
    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shoot => "shoot",
            Self::Session => "session",
        }
    }
}

impl Catalog {
    /// Makes a collection. One with its id that is there already stays as it is, and `false` is the answer.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; the collection may be there.
    pub async fn create_collection(&self, collection: &Collection) -> Result<bool, CatalogError> {
        let insert = Statement::new(INSERT)
            .bind(collection.id.as_str())
            .bind(collection.kind.as_str())
            .bind(collection.owner_id.as_ref().map(UserId::as_str))
            .bind(collection.name.as_deref())
            .bind(collection.created_at.as_millis());
        let [inserted] = self.batch("create_collection", [insert]).await?;
        Ok(inserted.changes > 0)
    }

    /// A collection of the owner's that is not being deleted.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn find_collection(
        &self,
        id: &CollectionId,
        kind: CollectionKind,
        owner: &OwnerFilter,
    ) -> Result<Option<Collection>, CatalogError> {
        let select = Statement::new(SELECT).bind(id.as_str()).bind(kind.as_str()).bind(owner.param());
        let [row] = self.batch("find_collection", [select]).await?;
        let row: Option<Row> = row.first().map_err(CatalogError::during("find_collection"))?;
        Ok(row.map(Collection::from))
    }

    /// The owner's collections of a kind after `cursor`, or the first ones, newest first. Those that are being deleted are not shown.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn list_collections(
        &self,
        kind: CollectionKind,
        owner: &OwnerFilter,
        cursor: Option<&CollectionCursor>,
        size: PageSize,
    ) -> Result<CollectionPage, CatalogError> {
        let [rows] = self.batch("list_collections", [list_statement(kind, owner, cursor, size)]).await?;
        let rows: Vec<Row> = rows.rows().map_err(CatalogError::during("list_collections"))?;
        let more = rows.len() > size.get();
        let collections: Vec<_> = rows.into_iter().take(size.get()).map(Collection::from).collect();
        let next = collections.last().filter(|_| more).map(CollectionCursor::after);
        Ok(CollectionPage { collections, next })
    }
}

/// Makes the transaction that it is part of fail, as a constraint does, unless the collection is there and open. For whatever adds a
/// member.
#[must_use]
pub fn require_open(id: &CollectionId, now: Timestamp) -> Statement {
    Statement::new(REQUIRE_OPEN).bind(id.as_str()).bind(now.as_millis())
}

/// A collection of the owner's in any state.
pub(super) fn select_any(id: &CollectionId, kind: CollectionKind, owner: &OwnerFilter) -> Statement {
    const SELECT_ANY: &str = concat!(
        "SELECT ",
        columns!(),
        " FROM stillstore_collections WHERE id = ?1 AND kind = ?2 AND (?3 IS NULL OR owner_id = ?3)"
    );
    Statement::new(SELECT_ANY).bind(id.as_str()).bind(kind.as_str()).bind(owner.param())
}

/// One row more than the page holds, which tells whether another page follows.
fn list_statement(
    kind: CollectionKind,
    owner: &OwnerFilter,
    cursor: Option<&CollectionCursor>,
    size: PageSize,
) -> Statement {
    let (index, condition) = match owner {
        OwnerFilter::Any => ("stillstore_collections_by_kind", ""),
        OwnerFilter::Only(_) => ("stillstore_collections_by_owner", " AND owner_id = ?2"),
    };
    let beyond = if cursor.is_some() { " AND (created_at_ms, id) < (?3, ?4)" } else { "" };
    // The limit is text: the numbers of the parameters are the same for every form of the statement.
    let sql = format!(
        "SELECT {} FROM stillstore_collections INDEXED BY {index} WHERE state <> 'deleting' AND kind = ?1{condition}{beyond} \
        ORDER BY created_at_ms DESC, id DESC LIMIT {}",
        columns!(),
        size.get() + 1
    );
    let select = Statement::new(sql).bind(kind.as_str());
    match (owner, cursor) {
        (OwnerFilter::Any, None) => select,
        (OwnerFilter::Only(_), None) => select.bind(owner.param()),
        (_, Some(cursor)) => select.bind(owner.param()).bind(cursor.created_at.as_millis()).bind(cursor.id.as_str()),
    }
}

impl From<Row> for Collection {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            kind: row.kind,
            state: row.state,
            owner_id: row.owner_id,
            name: row.name,
            created_at: row.created_at_ms,
            updated_at: row.updated_at_ms,
            leaving: row.leaving,
        }
    }
}

impl CollectionCursor {
    fn after(collection: &Collection) -> Self {
        Self { created_at: collection.created_at, id: collection.id.clone() }
    }
}

impl fmt::Display for CollectionCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = format!("{}/{}", self.created_at.as_millis(), self.id.as_str());
        formatter.write_str(&URL_SAFE_NO_PAD.encode_to_string(place))
    }
}

impl FromStr for CollectionCursor {
    type Err = InvalidCollectionCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCollectionCursor> {
        /// Parameters are exact up to here (JS numbers); no collection was created later.
        const MAX_MILLIS: u64 = 1 << 53;

        let place = URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| InvalidCollectionCursor)?;
        let place = String::from_utf8(place).map_err(|_| InvalidCollectionCursor)?;
        let (millis, id) = place.split_once('/').ok_or(InvalidCollectionCursor)?;
        let millis: i64 = millis.parse().map_err(|_| InvalidCollectionCursor)?;
        let id = CollectionId::try_from(id.to_owned()).map_err(|_| InvalidCollectionCursor)?;
        let cursor = Self { created_at: Timestamp::from_millis(millis), id };
        // Other spellings of the same number are refused too: one place has one text.
        let is_as_given = millis.unsigned_abs() <= MAX_MILLIS && cursor.to_string() == text;
        if is_as_given { Ok(cursor) } else { Err(InvalidCollectionCursor) }
    }
}
