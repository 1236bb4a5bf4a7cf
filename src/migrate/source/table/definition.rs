//! A table that can be moved from.

use super::config::TableSource;
use super::keys;
use super::schema::Schema;

/// A source whose columns the live schema has.
#[derive(Debug, Clone)]
pub struct Table {
    pub source: TableSource,
    pub schema: Schema,
}

impl Table {
    /// What the keys of the copies start with.
    #[must_use]
    pub fn key_prefix(&self) -> String {
        keys::prefix(&self.source.name)
    }
}
