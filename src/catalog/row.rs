//! Image rows as the database holds them, and records as the rest of the crate knows them.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::record::{Associations, Content, Description, GenerationRecord, ImageRecord, Status};
use crate::image::{Context, Dimensions, Format, ImageId, ObjectKey, Sha256Digest, Visibility};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement, Value};
use crate::store::StorageKind;

/// The columns of [`ImageRow`], for `SELECT`.
macro_rules! image_columns {
    () => {
        image_columns!("generation")
    };
    ($generation:literal) => {
        concat!(
            "id, storage_key, content_type, visibility, filename, context, ",
            "persona_id, session_id, participant_id, table_id, labels, created_at_ms, ",
            "version, status, storage, size_bytes, sha256, width, height, ",
            $generation,
            ", fallback_reason, embedded_write_id IS NOT NULL AS has_embedded_bytes, updated_at_ms"
        )
    };
}

/// The columns that [`bind_description`] binds to `?1` up to `?14`, for `INSERT`.
macro_rules! description_columns {
    () => {
        "id, storage_key, content_type, visibility, filename, context, \
         persona_id, session_id, participant_id, table_id, labels, created_at_ms, storage, updated_at_ms"
    };
}

pub(super) use {description_columns, image_columns};

const SELECT_IMAGE: &str = concat!("SELECT ", image_columns!(), " FROM stillstore_images WHERE id = ?1");

/// One row of `stillstore_images`.
#[derive(Deserialize)]
struct ImageRow {
    id: ImageId,
    storage_key: ObjectKey,
    content_type: String,
    visibility: Visibility,
    filename: Option<String>,
    context: Option<Context>,
    persona_id: Option<String>,
    session_id: Option<String>,
    participant_id: Option<String>,
    table_id: Option<String>,
    labels: String,
    created_at_ms: Timestamp,
    version: i64,
    status: Status,
    storage: StorageKind,
    size_bytes: Option<u64>,
    sha256: Option<Sha256Digest>,
    width: Option<u32>,
    height: Option<u32>,
    generation: Option<String>,
    fallback_reason: Option<String>,
    has_embedded_bytes: u8,
    updated_at_ms: Timestamp,
}

impl TryFrom<ImageRow> for ImageRecord {
    type Error = DatabaseError;

    fn try_from(row: ImageRow) -> Result<Self, DatabaseError> {
        let dimensions = row.width.zip(row.height).map(|(width, height)| Dimensions { width, height });
        let content = match (row.size_bytes, row.sha256) {
            (Some(size_bytes), Some(sha256)) => Some(Content { size_bytes, sha256, dimensions }),
            (None, None) => None,
            _ => return Err(corrupt("a size without a digest, or the reverse")),
        };
        Ok(Self {
            description: Description {
                id: row.id,
                key: row.storage_key,
                format: format_of(&row.content_type)?,
                visibility: row.visibility,
                filename: row.filename,
                context: row.context,
                associations: Associations {
                    persona_id: row.persona_id,
                    session_id: row.session_id,
                    participant_id: row.participant_id,
                    table_id: row.table_id,
                },
                labels: from_json("labels", &row.labels)?,
                created_at: row.created_at_ms,
            },
            version: row.version,
            status: row.status,
            storage: row.storage,
            content,
            generation: row.generation.map(|json| from_json::<GenerationRecord>("generation", &json)).transpose()?,
            fallback_reason: row.fallback_reason,
            has_embedded_bytes: row.has_embedded_bytes == 1,
            updated_at: row.updated_at_ms,
        })
    }
}

/// The whole row of one image.
pub(super) fn select_image(id: ImageId) -> Statement {
    Statement::new(SELECT_IMAGE).bind(id.to_string())
}

/// The columns that [`records`] reads.
pub(crate) const IMAGE_COLUMNS: &str = image_columns!();

/// The records in an answer that has [`IMAGE_COLUMNS`].
pub(crate) fn records(result: &QueryResult) -> Result<Vec<ImageRecord>, DatabaseError> {
    result.rows::<ImageRow>()?.into_iter().map(ImageRecord::try_from).collect()
}

/// The first record in an answer that has [`image_columns`].
pub(super) fn first_record(result: &QueryResult) -> Result<Option<ImageRecord>, DatabaseError> {
    result.first::<ImageRow>()?.map(ImageRecord::try_from).transpose()
}

/// The format that a row's media type stands for.
pub(super) fn format_of(content_type: &str) -> Result<Format, DatabaseError> {
    Format::from_content_type(content_type).ok_or_else(|| corrupt("unknown content_type"))
}

/// Binds the values of [`description_columns`].
pub(super) fn bind_description(
    statement: Statement,
    description: &Description,
    storage: StorageKind,
    now: Timestamp,
) -> Result<Statement, DatabaseError> {
    let Description { id, key, format, visibility, filename, context, associations, labels, created_at } = description;
    Ok(statement
        .bind(id.to_string())
        .bind(key.as_str())
        .bind(format.content_type())
        .bind(visibility.as_str())
        .bind(filename.clone())
        .bind(context.as_ref().map(Context::as_str))
        .bind(associations.persona_id.clone())
        .bind(associations.session_id.clone())
        .bind(associations.participant_id.clone())
        .bind(associations.table_id.clone())
        .bind(to_json(labels)?)
        .bind(created_at.as_millis())
        .bind(storage.as_str())
        .bind(now.as_millis()))
}

/// A value as JSON text, for a column that holds JSON.
pub(super) fn to_json(value: &impl serde::Serialize) -> Result<String, DatabaseError> {
    serde_json::to_string(value).map_err(|error| refused(error.to_string()))
}

/// A count as a parameter: D1 speaks in JS numbers, which are exact up to 2^53.
pub(super) fn integer(count: u64) -> Result<Value, DatabaseError> {
    const MAX_EXACT: i64 = 1 << 53;
    i64::try_from(count)
        .ok()
        .filter(|count| *count <= MAX_EXACT)
        .map(Value::Integer)
        .ok_or_else(|| refused("a count over 2^53"))
}

/// Rows of an unexpected shape.
pub(super) fn corrupt(detail: &'static str) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Corrupt, detail)
}

fn refused(detail: impl Into<String>) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Constraint, detail)
}

/// The value of a column that holds JSON. The error says where, not what: the text may be a prompt.
fn from_json<T: DeserializeOwned>(column: &str, json: &str) -> Result<T, DatabaseError> {
    serde_json::from_str(json).map_err(|error| {
        let place = format!("{column} at line {} column {}", error.line(), error.column());
        DatabaseError::new(DatabaseErrorKind::Corrupt, place)
    })
}
