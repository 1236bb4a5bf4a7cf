//! Images in a table of an application: read where they are, moved, and put back.
//!
//! A row at each moment:
//! - before: the data column holds the image;
//! - moved: the url column names the copy, and the data column still holds the image;
//! - cleaned: the data column is NULL, and the copy has proved that it gives the value back;
//! - restored: every column is as it was before.

mod backup_rows;
mod columns;
mod config;
mod count;
mod datum;
mod found;
mod identifier;
mod move_table;
mod original;
mod originals;
mod returned;
mod row_data;
mod schema;
mod sql;
mod statements;

pub(super) use backup_rows::TableRows;
pub use config::{BUILT_IN, OWN_BINDING, TableSource};
pub use count::COUNTED_ROWS;
pub(super) use count::{AtOnce, KeptCounts, UNDER_WAY};
pub use identifier::Identifier;
pub(super) use move_table::MoveTable;
pub(super) use originals::TableOriginals;
pub(super) use returned::TableReturn;
pub use schema::{Schema, Unusable};

/// A source whose columns the live schema has.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub source: TableSource,
    pub schema: Schema,
}
