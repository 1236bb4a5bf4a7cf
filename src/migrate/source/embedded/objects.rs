//! Which objects of the bucket our own images answer for.

use crate::image::{ImageId, ObjectKey, ParsedKey};
use crate::migrate::source::Objects;
use crate::sql::Statement;
use crate::store::LIST_LIMIT;
use crate::store::ObjectInfo;

/// The objects of catalogued images.
pub struct EmbeddedObjects;

impl Objects for EmbeddedObjects {
    fn prefix(&self) -> String {
        String::new()
    }

    fn owns(&self, object: &ObjectInfo) -> bool {
        ParsedKey::parse(&object.key).is_some()
    }

    fn image_of(&self, _object: &ObjectInfo) -> Option<ImageId> {
        None
    }

    fn rows_in_bucket(&self, after: Option<&ObjectKey>) -> Option<Statement> {
        let select = Statement::new(
            "SELECT id, storage_key, EXISTS (SELECT 1 FROM stillstore_moves WHERE source = 'embedded' AND item_id = id) AS was_moved \
             FROM stillstore_images WHERE storage_key > ?1 AND +status = 'stored' AND +storage = 'r2' AND source IS NULL \
             ORDER BY storage_key LIMIT ?2",
        );
        Some(select.bind(after.map_or("", ObjectKey::as_str)).bind(i64::from(LIST_LIMIT)))
    }
}
