//! The columns of `stillstore_images`: what is selected, inserted, committed, erased and read comes from this one list.

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::record::Status;
use crate::image::{
    CollectionId, Colour, Context, ImageId, ObjectKey, Orientation, Sha256Digest, ThumbHash, UserId, Visibility,
};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, Statement, Value};
use crate::store::StorageKind;

/// One column.
pub(super) struct Column {
    pub name: &'static str,
    pub written: Written,
    pub erased: Erased,
}

/// When a column gets its value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// With the row, for good.
    Once,
    /// With the row, and again when a reservation is committed.
    Committed,
    /// As `Committed`, looked up in the database by [`EMBEDDED_WRITE`].
    LookedUp,
    /// With the row, and then by each transition in its own way.
    Stepped,
}

/// What becomes of a column when its image is deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Erased {
    Never,
    /// A person wrote it: replaced by this as soon as the bytes were removed.
    Early(&'static str),
    /// It says where bytes may be: replaced by this when they certainly are gone.
    Late(&'static str),
}

/// Makes [`ImageRow`], [`COLUMNS`] and [`IMAGE_COLUMNS`] of lines `name: type, written, erased;`.
macro_rules! columns {
    ($first:ident: $first_type:ty, $first_written:ident, $first_erased:expr; $($name:ident: $type:ty, $written:ident, $erased:expr;)*) => {
        /// One row of `stillstore_images`.
        #[derive(Serialize, Deserialize)]
        pub(super) struct ImageRow {
            pub $first: $first_type,
            $(pub $name: $type,)*
        }

        pub(super) const COLUMNS: &[Column] = &[
            Column { name: stringify!($first), written: Written::$first_written, erased: $first_erased },
            $(Column { name: stringify!($name), written: Written::$written, erased: $erased },)*
        ];

        /// The columns that [`super::records`] reads, for `SELECT`.
        pub(crate) const IMAGE_COLUMNS: &str = concat!(stringify!($first) $(, ", ", stringify!($name))*);

        impl ImageRow {
            /// The values of the columns that are not looked up.
            fn values(&self) -> Result<Vec<Value>, DatabaseError> {
                let cells = [
                    (Written::$first_written, serde_json::to_value(&self.$first)),
                    $((Written::$written, serde_json::to_value(&self.$name)),)*
                ];
                let bound = cells.into_iter().filter(|(written, _)| *written != Written::LookedUp);
                bound.map(|(_, cell)| value(cell?)).collect()
            }
        }
    };
}

use Erased::{Early, Late, Never};

columns! {
    id: ImageId, Once, Never;
    // Replaced, because it may hold a file name; `stillstore/` is no context, so no image ever has such a key.
    storage_key: ObjectKey, Once, Late("'stillstore/deleted/' || id");
    content_type: String, Once, Never;
    visibility: Visibility, Once, Never;
    filename: Option<String>, Once, Early("NULL");
    context: Option<Context>, Once, Early("NULL");
    persona_id: Option<String>, Once, Early("NULL");
    session_id: Option<String>, Once, Early("NULL");
    participant_id: Option<String>, Once, Early("NULL");
    table_id: Option<String>, Once, Early("NULL");
    labels: String, Once, Early("'{}'");
    owner_id: Option<UserId>, Once, Early("NULL");
    collection_id: Option<CollectionId>, Once, Early("NULL");
    ordinal: Option<u32>, Once, Early("NULL");
    parent_id: Option<ImageId>, Once, Early("NULL");
    source: Option<String>, Once, Early("NULL");
    source_item: Option<String>, Once, Early("NULL");
    created_at_ms: Timestamp, Once, Never;
    size_bytes: Option<u64>, Committed, Never;
    sha256: Option<Sha256Digest>, Committed, Never;
    width: Option<u32>, Committed, Never;
    height: Option<u32>, Committed, Never;
    orientation: Option<Orientation>, Committed, Never;
    generation: Option<String>, Committed, Early("NULL");
    storage: StorageKind, Committed, Never;
    fallback_reason: Option<String>, Committed, Late("NULL");
    embedded_write_id: Option<String>, LookedUp, Late("NULL");
    updated_at_ms: Timestamp, Committed, Never;
    two_homes: Option<u8>, Stepped, Never;
    status: Status, Stepped, Never;
    version: i64, Stepped, Never;
    thumbhash: Option<ThumbHash>, Stepped, Early("NULL");
    dominant_color: Option<Colour>, Stepped, Early("NULL");
    // Kept, so that whoever deleted an image of theirs may ask for it again.
    deleted_by: Option<Sha256Digest>, Stepped, Never;
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let values: Vec<_> = COLUMNS.iter().map(|column| inserted(column.name)).collect();
    format!("INSERT INTO stillstore_images ({IMAGE_COLUMNS}) VALUES ({})", values.join(", "))
});

/// What an insertion writes into a column: a parameter, or for embedded bytes the write that holds them.
fn inserted(name: &str) -> String {
    if name == "embedded_write_id" {
        return format!(
            "CASE {} WHEN 'd1' THEN (SELECT write_id FROM stillstore_blobs WHERE object_key = {} AND stored_at_ms IS NOT NULL) END",
            inserted("storage"),
            inserted("storage_key")
        );
    }
    let bound = COLUMNS.iter().filter(|column| column.written != Written::LookedUp);
    let before = bound.take_while(|column| column.name != name).count();
    format!("?{}", before + 1)
}

/// Inserts the row; `rest` may follow.
pub(super) fn insert(row: &ImageRow, rest: &str) -> Result<Statement, DatabaseError> {
    Ok(Statement { params: row.values()?, ..Statement::new(format!("{}{rest}", *INSERT)) })
}

/// Inserts the row if `condition` holds and neither its id nor its key is taken. The parameters of the condition are numbered from
/// [`FIRST_FURTHER_PARAM`] on, and bound by the caller.
pub(super) fn insert_if(row: &ImageRow, condition: &str) -> Result<Statement, DatabaseError> {
    let values: Vec<_> = COLUMNS.iter().map(|column| inserted(column.name)).collect();
    let sql = format!(
        "INSERT INTO stillstore_images ({IMAGE_COLUMNS}) SELECT {} WHERE {condition} ON CONFLICT DO NOTHING RETURNING id",
        values.join(", ")
    );
    Ok(Statement { params: row.values()?, ..Statement::new(sql) })
}

/// The number of the first parameter after those of a row.
pub(super) static FIRST_FURTHER_PARAM: LazyLock<usize> =
    LazyLock::new(|| COLUMNS.iter().filter(|column| column.written != Written::LookedUp).count() + 1);

/// What a row that was reserved takes over when it is committed, for `ON CONFLICT DO UPDATE SET`.
pub(super) fn committed_columns() -> String {
    let is_committed = |column: &&Column| matches!(column.written, Written::Committed | Written::LookedUp);
    assignments(COLUMNS.iter().filter(is_committed).map(|Column { name, .. }| (*name, format!("excluded.{name}"))))
}

/// What is erased of an image, for `SET`: what people wrote, or, at the end, all that is.
pub(super) fn erased_columns(at_the_end: bool) -> String {
    assignments(COLUMNS.iter().filter_map(|column| match column.erased {
        Erased::Early(replacement) => Some((column.name, replacement.to_owned())),
        Erased::Late(replacement) if at_the_end => Some((column.name, replacement.to_owned())),
        Erased::Late(_) | Erased::Never => None,
    }))
}

fn assignments<'name>(pairs: impl Iterator<Item = (&'name str, String)>) -> String {
    pairs.map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

/// A parameter. D1 speaks in JS numbers, which are exact up to 2^53.
fn value(cell: serde_json::Value) -> Result<Value, DatabaseError> {
    const EXACT: std::ops::RangeInclusive<i64> = -(1 << 53)..=1 << 53;
    match cell {
        serde_json::Value::Null => Ok(Value::Null),
        serde_json::Value::String(text) => Ok(text.into()),
        cell => {
            let number = cell.as_i64().filter(|number| EXACT.contains(number));
            number.map(Value::Integer).ok_or_else(|| refused("a number over 2^53"))
        }
    }
}

fn refused(detail: &str) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Constraint, detail)
}
