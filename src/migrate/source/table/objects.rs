//! Which objects of the bucket a table answers for.

use std::rc::Rc;

use super::catalogue::TableCatalogue;
use super::keys;
use crate::image::{ImageId, ObjectKey};
use crate::migrate::source::Objects;
use crate::sql::{Database, Statement};
use crate::store::ObjectInfo;

/// The objects of one table. The journal has each, but for pictures that were replaced, which the catalogue has.
pub struct TableObjects {
    pub catalogue: TableCatalogue,
}

impl Objects for TableObjects {
    fn prefix(&self) -> String {
        keys::prefix(&self.catalogue.source)
    }

    fn owns(&self, object: &ObjectInfo) -> bool {
        keys::image_id(&object.key).is_some()
    }

    fn image_of(&self, object: &ObjectInfo) -> Option<ImageId> {
        keys::image_id(&object.key)
    }

    fn catalogue(&self) -> Option<&Rc<dyn Database>> {
        self.catalogue.elsewhere.as_ref()
    }

    fn rows_in_bucket(&self, _after: Option<&ObjectKey>) -> Option<Statement> {
        None
    }
}
