//! How a listing goes through the table: by an index, in its order.

use std::sync::LazyLock;

use serde::Deserialize;

use super::columns::COLUMNS;
use super::cursor::Place;
use super::filter::{ListFilter, LookedFor, PageSize};
use super::row::corrupt;
use super::{ImageRecord, InvalidCursor, OwnerFilter, PageCursor, Status};
use crate::image::{CollectionId, ImageId};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, Statement, Value};
use crate::store::StorageKind;

/// The columns of a listed image. A prompt of more than 4,000 characters is cut, and marked: a page of 100 whole ones would take 12.8 MB,
/// several times over while it is read and written. Most generations are shorter than that as JSON, and are not looked into.
pub(super) static LISTED_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    const GENERATION: &str = "CASE WHEN LENGTH(generation) > 4000 AND LENGTH(generation ->> '$.prompt') > 4000 \
        THEN json_set(generation, '$.prompt', SUBSTR(generation ->> '$.prompt', 1, 4000), '$.prompt_cut', json('true')) \
        ELSE generation END AS generation";
    let listed = COLUMNS.iter().map(|column| if column.name == "generation" { GENERATION } else { column.name });
    listed.collect::<Vec<_>>().join(", ")
});

/// Images that a page looks through at most where no index has what it is filtered by. Each is a row and its entry in an index: 10,000 rows
/// read, a cent for each thousand pages.
pub const LOOKED_THROUGH: u16 = 5_000;

/// The order of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    NewestFirst,
    ByOrdinal,
}

/// How a listing goes through the table.
pub(super) struct Walk {
    index: &'static str,
    pub order: Order,
}

impl Order {
    /// The cursor after `record`.
    pub fn after(self, record: &ImageRecord) -> Result<PageCursor, DatabaseError> {
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

    /// The column that it orders by, before the id.
    const fn column(self) -> &'static str {
        match self {
            Self::NewestFirst => "created_at_ms",
            Self::ByOrdinal => "ordinal",
        }
    }
}

/// The last image that a page looked through.
#[derive(Deserialize)]
pub(super) struct EdgeRow {
    place: i64,
    id: ImageId,
}

impl EdgeRow {
    pub fn cursor(self, order: Order) -> Result<PageCursor, DatabaseError> {
        match order {
            Order::NewestFirst => Ok(PageCursor::after(Timestamp::from_millis(self.place), self.id)),
            Order::ByOrdinal => {
                let ordinal = u32::try_from(self.place).map_err(|_| corrupt("an ordinal below 0"))?;
                Ok(PageCursor::after_frame(ordinal, self.id))
            }
        }
    }
}

/// One row more than the page holds, which tells whether another page follows.
pub(super) fn statement(
    filter: &ListFilter,
    walk: &Walk,
    cursor: Option<PageCursor>,
    size: PageSize,
) -> Result<Statement, InvalidCursor> {
    let most = i64::from(size.0) + 1;
    let (conditions, looked_for) = filter.looked_for.conditions();
    if conditions.is_empty() {
        let mut walked = walked(filter, walk, cursor, &LISTED_COLUMNS)?;
        walked.params.push(most.into());
        return Ok(walked);
    }
    let Statement { sql, mut params, .. } = walked(filter, walk, cursor, "*")?;
    let sql = format!("SELECT {} FROM ({sql}) AS walked WHERE {} LIMIT ?", *LISTED_COLUMNS, conditions.join(" AND "));
    params.push(i64::from(LOOKED_THROUGH).into());
    params.extend(looked_for);
    params.push(most.into());
    Ok(Statement { params, ..Statement::new(sql) })
}

/// The last image that a page looks through, unless it looks through all that are left.
pub(super) fn edge(filter: &ListFilter, walk: &Walk, cursor: Option<PageCursor>) -> Result<Statement, InvalidCursor> {
    let columns = format!("{} AS place, id", walk.order.column());
    let Statement { sql, mut params, .. } = walked(filter, walk, cursor, &columns)?;
    params.push(1.into());
    params.push(i64::from(LOOKED_THROUGH - 1).into());
    Ok(Statement { params, ..Statement::new([&*sql, " OFFSET ?"].concat()) })
}

/// The images after `cursor` in their order, by what an index has; how many is the last parameter, which is to be given.
fn walked(
    filter: &ListFilter,
    walk: &Walk,
    cursor: Option<PageCursor>,
    columns: &str,
) -> Result<Statement, InvalidCursor> {
    let owner = match &filter.owner {
        OwnerFilter::Any => None,
        OwnerFilter::Only(user) => Some(user.as_str()),
    };
    let equal = [
        ("owner_id", owner),
        ("collection_id", filter.collection_id.as_ref().map(CollectionId::as_str)),
        ("persona_id", filter.persona_id.as_deref()),
        ("session_id", filter.session_id.as_deref()),
        ("storage", filter.storage.map(StorageKind::as_str)),
    ];
    // The status is text, not a parameter: partial indexes serve only conditions that are known when the query is planned.
    let status = filter.status.as_str();
    let mut sql =
        format!("SELECT {columns} FROM stillstore_images INDEXED BY {} WHERE status = '{status}'", walk.index);
    let mut params = Vec::new();
    for (column, value) in equal {
        if let Some(value) = value {
            sql.extend([" AND ", column, " = ?"]);
            params.push(Value::from(value));
        }
    }
    if filter.originals_only {
        sql.push_str(" AND parent_id IS NULL");
    }
    if let Some(from) = filter.created_from {
        sql.push_str(" AND created_at_ms >= ?");
        params.push(from.as_millis().into());
    }
    // Images behind the cursor are older anyway, unless the cursor is of another listing.
    let starts_later = |cursor: &PageCursor| match cursor.place {
        Place::Created(at) => filter.created_to.is_some_and(|to| at >= to),
        Place::Ordinal(_) => false,
    };
    match (cursor, filter.created_to) {
        (Some(cursor), _) if walk.order == Order::NewestFirst && !starts_later(&cursor) => {
            let (condition, values) = walk.order.beyond(cursor)?;
            sql.push_str(condition);
            params.extend(values);
        }
        (cursor, to) => {
            if let Some(to) = to {
                sql.push_str(" AND created_at_ms < ?");
                params.push(to.as_millis().into());
            }
            if let Some(cursor) = cursor.filter(|cursor| !starts_later(cursor)) {
                let (condition, values) = walk.order.beyond(cursor)?;
                sql.push_str(condition);
                params.extend(values);
            }
        }
    }
    sql.push_str(walk.order.as_sql());
    Ok(Statement { params, ..Statement::new(sql) })
}

/// The index to walk, named so that no change of the planner's estimates can choose a scan or a sort. A collection has
/// fewer images than a session, a session fewer than a persona, a persona fewer than an owner, and an owner fewer than a home.
pub(super) fn walk(filter: &ListFilter) -> Walk {
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

impl LookedFor {
    /// The conditions, and their parameters.
    fn conditions(&self) -> (Vec<&'static str>, Vec<Value>) {
        const TEXT: &str = "(instr(lower(ifnull(filename, '')), ?) > 0 OR (labels <> '{}' AND EXISTS (\
            SELECT 1 FROM json_each(labels) WHERE instr(lower(value), ?) > 0)))";
        const LABEL: &str = "EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND value = ?)";
        let (mut conditions, mut params) = (Vec::new(), Vec::new());
        if let Some(context) = &self.context {
            conditions.push("context = ?");
            params.push(context.as_str().into());
        }
        if let Some(text) = &self.text {
            let text = text.to_ascii_lowercase();
            conditions.push(TEXT);
            params.extend([Value::from(text.as_str()), text.as_str().into()]);
        }
        for (name, value) in self.labels.iter() {
            conditions.push(LABEL);
            params.extend([Value::from(name), value.into()]);
        }
        (conditions, params)
    }
}
