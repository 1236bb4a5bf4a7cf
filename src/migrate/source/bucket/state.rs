//! What is remembered of an object: which state of it was copied.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::image::{ImageId, Sha256Digest};
use crate::migrate::runs::Stage;
use crate::s3::ListedObject;
use crate::sql::{DatabaseError, QueryResult, Statement, to_json};

/// A state of an object. Its JSON is what the journal keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectState {
    pub etag: String,
    #[serde(rename = "size")]
    pub size_bytes: u64,
    pub modified: String,
}

/// What the journal says of an object.
#[derive(Debug, Deserialize)]
pub struct Copied {
    pub item: String,
    pub stage: Stage,
    pub storage_key: String,
    pub etag: Option<String>,
    pub size_bytes: Option<u64>,
    pub modified: Option<String>,
}

#[derive(Deserialize)]
struct Deleted {
    id: ImageId,
}

impl ObjectState {
    pub fn of(object: &ListedObject) -> Self {
        Self { etag: object.etag.clone(), size_bytes: object.size_bytes, modified: object.modified.clone() }
    }

    /// Whether the journal has this very state. Where a server gives no `ETag`, the time decides.
    pub fn is_copied(&self, copied: &Copied) -> bool {
        let is_same = copied.size_bytes == Some(self.size_bytes) && copied.etag.as_ref() == Some(&self.etag);
        is_same && (!self.etag.is_empty() || copied.modified.as_ref() == Some(&self.modified))
    }

    /// Tells states of one object apart, in keys.
    pub fn digits(&self) -> String {
        let text = json!([self.etag, self.size_bytes, self.modified]).to_string();
        Sha256Digest::of(text.as_bytes()).to_string().chars().take(16).collect()
    }

    /// The image that this state of an object is.
    pub fn image_id(&self, source: &str, key: &str) -> ImageId {
        let text = json!([source, key, self.etag, self.size_bytes, self.modified]).to_string();
        ImageId::from_digest(&Sha256Digest::of(text.as_bytes()))
    }

    /// The MD5 of the object, where its `ETag` is one: not that of an object that came in parts.
    pub fn md5(&self) -> Option<String> {
        let is_md5 = self.etag.len() == 32 && self.etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_md5.then(|| self.etag.to_ascii_lowercase())
    }
}

/// Asks what the journal says of objects, and which of their images were deleted on purpose.
///
/// # Errors
/// When a value has no JSON form.
pub fn known(source: &str, objects: &[ListedObject]) -> Result<[Statement; 2], DatabaseError> {
    let keys: Vec<_> = objects.iter().map(|object| object.key.as_str()).collect();
    let images: Vec<_> = objects.iter().map(|object| ObjectState::of(object).image_id(source, &object.key)).collect();
    let copied = "SELECT item_id AS item, stage, storage_key, original ->> 'etag' AS etag, original ->> 'size' AS size_bytes, \
        original ->> 'modified' AS modified FROM stillstore_moves WHERE source = ?1 AND item_id IN (SELECT value FROM json_each(?2))";
    let deleted = "SELECT id FROM stillstore_images WHERE id IN (SELECT value FROM json_each(?1)) AND status IN ('deleted', 'deleting') \
        UNION ALL SELECT image_id FROM stillstore_deleted_moves WHERE image_id IN (SELECT value FROM json_each(?1))";
    Ok([Statement::new(copied).bind(source).bind(to_json(&keys)?), Statement::new(deleted).bind(to_json(&images)?)])
}

/// The answers to [`known`].
///
/// # Errors
/// When they are none.
pub fn known_of(answers: &[QueryResult]) -> Result<(Vec<Copied>, Vec<ImageId>), DatabaseError> {
    let copied = answers.first().map(QueryResult::rows::<Copied>).transpose()?.unwrap_or_default();
    let deleted = answers.get(1).map(QueryResult::rows::<Deleted>).transpose()?.unwrap_or_default();
    Ok((copied, deleted.into_iter().map(|deleted| deleted.id).collect()))
}
