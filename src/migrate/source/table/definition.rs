//! A table that can be moved from.

use super::config::TableSource;
use super::schema::Schema;

/// A source whose columns the live schema has.
#[derive(Debug, Clone)]
pub struct Table {
    pub source: TableSource,
    pub schema: Schema,
}
