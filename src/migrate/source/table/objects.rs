//! Which objects of the bucket a table answers for.

use super::keys;
use crate::image::{ImageId, ObjectKey};
use crate::migrate::source::Objects;
use crate::sql::Statement;

/// The objects of one table; the journal has each.
pub struct TableObjects {
    pub source: String,
}

impl Objects for TableObjects {
    fn prefix(&self) -> String {
        keys::prefix(&self.source)
    }

    fn owns(&self, key: &ObjectKey) -> bool {
        keys::image_id(key).is_some()
    }

    fn image_of(&self, key: &ObjectKey) -> Option<ImageId> {
        keys::image_id(key)
    }

    fn rows_in_bucket(&self, _after: Option<&ObjectKey>) -> Option<Statement> {
        None
    }
}
