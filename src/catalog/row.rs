//! Image rows as the database holds them, and records as the rest of the crate knows them.

use serde::de::DeserializeOwned;

use super::OwnerFilter;
use super::columns::{IMAGE_COLUMNS, ImageRow, insert};
use super::record::{Associations, Content, Description, Frame, GenerationRecord, ImageRecord, SourceItem};
use crate::image::{Dimensions, Format, ImageId, ObjectKey, Placeholder};
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement};

impl TryFrom<ImageRow> for ImageRecord {
    type Error = DatabaseError;

    fn try_from(row: ImageRow) -> Result<Self, DatabaseError> {
        let dimensions = row.width.zip(row.height).map(|(width, height)| Dimensions { width, height });
        let content = match (row.size_bytes, row.sha256) {
            (Some(size_bytes), Some(sha256)) => {
                Some(Content { size_bytes, sha256, dimensions, orientation: row.orientation })
            }
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
                owner_id: row.owner_id,
                frame: row
                    .collection_id
                    .zip(row.ordinal)
                    .map(|(collection_id, ordinal)| Frame { collection_id, ordinal }),
                parent_id: row.parent_id,
                moved_from: row.source.zip(row.source_item).map(|(source, item)| SourceItem { source, item }),
                created_at: row.created_at_ms,
            },
            version: row.version,
            status: row.status,
            storage: row.storage,
            content,
            generation: row.generation.map(|json| from_json::<GenerationRecord>("generation", &json)).transpose()?,
            fallback_reason: row.fallback_reason,
            embedded_write_id: row.embedded_write_id,
            two_homes: row.two_homes.map(|flag| flag == 1),
            placeholder: row.thumbhash.map(|thumbhash| Placeholder { thumbhash, dominant_colour: row.dominant_color }),
            updated_at: row.updated_at_ms,
        })
    }
}

impl TryFrom<&ImageRecord> for ImageRow {
    type Error = DatabaseError;

    fn try_from(record: &ImageRecord) -> Result<Self, DatabaseError> {
        let description = record.description.clone();
        let content = record.content.as_ref();
        let dimensions = content.and_then(|content| content.dimensions);
        let (collection_id, ordinal) = description.frame.map(|frame| (frame.collection_id, frame.ordinal)).unzip();
        let (source, source_item) = description.moved_from.map(|moved| (moved.source, moved.item)).unzip();
        Ok(Self {
            id: description.id,
            storage_key: description.key,
            content_type: description.format.content_type().to_owned(),
            visibility: description.visibility,
            filename: description.filename,
            context: description.context,
            persona_id: description.associations.persona_id,
            session_id: description.associations.session_id,
            participant_id: description.associations.participant_id,
            table_id: description.associations.table_id,
            labels: to_json(&description.labels)?,
            owner_id: description.owner_id,
            collection_id,
            ordinal,
            parent_id: description.parent_id,
            source,
            source_item,
            created_at_ms: description.created_at,
            size_bytes: content.map(|content| content.size_bytes),
            sha256: content.map(|content| content.sha256),
            width: dimensions.map(|dimensions| dimensions.width),
            height: dimensions.map(|dimensions| dimensions.height),
            orientation: content.and_then(|content| content.orientation),
            generation: record.generation.as_ref().map(to_json).transpose()?,
            storage: record.storage,
            fallback_reason: record.fallback_reason.clone(),
            embedded_write_id: record.embedded_write_id.clone(),
            updated_at_ms: record.updated_at,
            two_homes: record.two_homes.map(u8::from),
            status: record.status,
            version: record.version,
            thumbhash: record.placeholder.as_ref().map(|placeholder| placeholder.thumbhash.clone()),
            dominant_color: record.placeholder.as_ref().and_then(|placeholder| placeholder.dominant_colour),
            deleted_by: None,
        })
    }
}

/// The whole row of one image, if it is one of the owner's.
pub(super) fn select_image(id: ImageId, owner: &OwnerFilter) -> Statement {
    let select =
        format!("SELECT {IMAGE_COLUMNS} FROM stillstore_images WHERE id = ?1 AND (?2 IS NULL OR owner_id = ?2)");
    Statement::new(select).bind(id.to_string()).bind(owner.param())
}

/// The whole row of the image with a key, if it is one of the owner's.
pub(super) fn select_image_by_key(key: &ObjectKey, owner: &OwnerFilter) -> Statement {
    let select = format!(
        "SELECT {IMAGE_COLUMNS} FROM stillstore_images WHERE storage_key = ?1 AND (?2 IS NULL OR owner_id = ?2)"
    );
    Statement::new(select).bind(key.as_str()).bind(owner.param())
}

/// Inserts the row of `record`, with `rest` after it. The write that holds embedded bytes is looked up by their key.
pub(super) fn insert_record(record: &ImageRecord, rest: &str) -> Result<Statement, DatabaseError> {
    insert(&record.try_into()?, rest)
}

/// Inserts the row of an image whose bytes are there, as it is.
///
/// # Errors
/// When the record has no form in the database.
pub(crate) fn insert_image(record: &ImageRecord) -> Result<Statement, DatabaseError> {
    insert_record(record, "")
}

/// The records in an answer that has [`IMAGE_COLUMNS`].
pub(crate) fn records(result: &QueryResult) -> Result<Vec<ImageRecord>, DatabaseError> {
    result.rows::<ImageRow>()?.into_iter().map(ImageRecord::try_from).collect()
}

/// The first record in an answer that has [`IMAGE_COLUMNS`].
pub(super) fn first_record(result: &QueryResult) -> Result<Option<ImageRecord>, DatabaseError> {
    result.first::<ImageRow>()?.map(ImageRecord::try_from).transpose()
}

/// The format that a row's media type stands for.
fn format_of(content_type: &str) -> Result<Format, DatabaseError> {
    Format::from_content_type(content_type).ok_or_else(|| corrupt("unknown content_type"))
}

/// A value as JSON text, for a column that holds JSON.
fn to_json(value: &impl serde::Serialize) -> Result<String, DatabaseError> {
    serde_json::to_string(value).map_err(|error| DatabaseError::new(DatabaseErrorKind::Constraint, error.to_string()))
}

/// Rows of an unexpected shape.
pub(super) fn corrupt(detail: &'static str) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Corrupt, detail)
}

/// The value of a column that holds JSON. The error says where, not what: the text may be a prompt.
fn from_json<T: DeserializeOwned>(column: &str, json: &str) -> Result<T, DatabaseError> {
    serde_json::from_str(json).map_err(|error| {
        let place = format!("{column} at line {} column {}", error.line(), error.column());
        DatabaseError::new(DatabaseErrorKind::Corrupt, place)
    })
}
