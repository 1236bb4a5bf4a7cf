//! What is remembered of an object: which state of it was copied.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::BucketSource;
use crate::image::{ImageId, ObjectKey, Sha256Digest};
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

/// An image that a state of an object is, or was.
#[derive(Debug, Deserialize)]
struct KnownImage {
    id: ImageId,
    /// Where its bytes are; `None` when it was deleted on purpose.
    storage_key: Option<ObjectKey>,
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

/// What is known of some objects.
#[derive(Debug, Default)]
pub struct Known {
    copied: Vec<Copied>,
    images: Vec<KnownImage>,
    set_aside: Vec<(String, ObjectState)>,
    held: Vec<Held>,
}

/// An image that has the key that a copy would get.
#[derive(Debug, Deserialize)]
struct Held {
    id: ImageId,
    storage_key: String,
}

impl Known {
    /// What the journal says of an object.
    pub fn copied(&self, key: &str) -> Option<&Copied> {
        self.copied.iter().find(|copied| copied.item == key)
    }

    /// Whether an image was deleted here on purpose.
    pub fn is_deleted(&self, image: ImageId) -> bool {
        self.images.iter().any(|known| known.id == image && known.storage_key.is_none())
    }

    /// Where an image's bytes are, which stays in the catalogue when another state of its object takes its place.
    pub fn key_of(&self, image: ImageId) -> Option<&ObjectKey> {
        self.images.iter().find(|known| known.id == image)?.storage_key.as_ref()
    }

    /// Whether another image has a key, or had it and left its bytes: one of a state of the object that was copied before, or anybody's.
    pub fn is_held(&self, key: &ObjectKey, image: ImageId) -> bool {
        self.held.iter().any(|held| held.storage_key == key.as_str() && held.id != image)
    }

    /// Whether this state of an object was found to be no image.
    pub fn is_set_aside(&self, key: &str, state: &ObjectState) -> bool {
        self.set_aside.iter().any(|(known, known_state)| {
            let is_same = known == key && known_state.etag == state.etag && known_state.size_bytes == state.size_bytes;
            is_same && (!state.etag.is_empty() || known_state.modified == state.modified)
        })
    }
}

/// Asks what the journal says of objects, what the catalogue says of their images, which were found to be no images, and who has the
/// keys of their copies.
///
/// # Errors
/// When a value has no JSON form.
pub fn known(source: &BucketSource, objects: &[ListedObject]) -> Result<[Statement; 4], DatabaseError> {
    let wanted: Vec<_> = objects.iter().filter_map(|object| source.key_of(&object.key, None)).collect();
    let source = source.name.as_str();
    let keys: Vec<_> = objects.iter().map(|object| object.key.as_str()).collect();
    let images: Vec<_> = objects.iter().map(|object| ObjectState::of(object).image_id(source, &object.key)).collect();
    let copied = "SELECT item_id AS item, stage, storage_key, original ->> 'etag' AS etag, original ->> 'size' AS size_bytes, \
        original ->> 'modified' AS modified FROM stillstore_moves WHERE source = ?1 AND item_id IN (SELECT value FROM json_each(?2))";
    let catalogued = "SELECT id, CASE status WHEN 'stored' THEN storage_key END AS storage_key FROM stillstore_images \
        WHERE id IN (SELECT value FROM json_each(?1)) \
        UNION ALL SELECT image_id, NULL FROM stillstore_deleted_moves WHERE image_id IN (SELECT value FROM json_each(?1))";
    let set_aside = "SELECT item_id, etag, size_bytes AS size, modified FROM stillstore_set_aside \
        WHERE source = ?1 AND item_id IN (SELECT value FROM json_each(?2))";
    let held = "SELECT id, storage_key FROM stillstore_images WHERE storage_key IN (SELECT value FROM json_each(?1)) \
        UNION ALL SELECT image_id, storage_key FROM stillstore_left_copies WHERE storage_key IN (SELECT value FROM json_each(?1))";
    let keys = to_json(&keys)?;
    Ok([
        Statement::new(copied).bind(source).bind(keys.as_str()),
        Statement::new(catalogued).bind(to_json(&images)?),
        Statement::new(set_aside).bind(source).bind(keys),
        Statement::new(held).bind(to_json(&wanted)?),
    ])
}

/// The answers to [`known`].
///
/// # Errors
/// When they are none.
pub fn known_of(answers: &[QueryResult]) -> Result<Known, DatabaseError> {
    #[derive(Deserialize)]
    struct Row {
        item_id: String,
        #[serde(flatten)]
        state: ObjectState,
    }
    let rows = answers.get(2).map(QueryResult::rows::<Row>).transpose()?.unwrap_or_default();
    Ok(Known {
        copied: answers.first().map(QueryResult::rows::<Copied>).transpose()?.unwrap_or_default(),
        images: answers.get(1).map(QueryResult::rows::<KnownImage>).transpose()?.unwrap_or_default(),
        held: answers.get(3).map(QueryResult::rows::<Held>).transpose()?.unwrap_or_default(),
        set_aside: rows.into_iter().map(|row| (row.item_id, row.state)).collect(),
    })
}

/// Remembers where the copy is that the journal names and that `key` takes the place of, unless the catalogue does. Another state of the
/// object must not get its key again.
pub fn leave_copy(source: &str, object: &str, key: &ObjectKey) -> Statement {
    let sql = "INSERT INTO stillstore_left_copies (storage_key, image_id) SELECT storage_key, image_id FROM stillstore_moves AS moves \
        WHERE source = ?1 AND item_id = ?2 AND storage_key <> ?3 \
        AND NOT EXISTS (SELECT 1 FROM stillstore_images WHERE storage_key = moves.storage_key) ON CONFLICT (storage_key) DO NOTHING";
    Statement::new(sql).bind(source).bind(object).bind(key.as_str())
}

/// Remembers that this state of an object is no image.
pub fn set_aside(source: &str, key: &str, state: &ObjectState) -> Statement {
    let sql = "INSERT INTO stillstore_set_aside (source, item_id, etag, size_bytes, modified) VALUES (?1, ?2, ?3, ?4, ?5) \
        ON CONFLICT (source, item_id) DO UPDATE SET etag = excluded.etag, size_bytes = excluded.size_bytes, modified = excluded.modified";
    Statement::new(sql)
        .bind(source)
        .bind(key)
        .bind(state.etag.as_str())
        .bind(i64::try_from(state.size_bytes).unwrap_or(i64::MAX))
        .bind(state.modified.as_str())
}
