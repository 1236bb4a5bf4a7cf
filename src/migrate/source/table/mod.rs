//! Images in a table of an application: read where they are, moved, and put back.
//!
//! A row at each moment:
//! - before: the data column holds the image;
//! - moved: the url column names the copy, and the data column still holds the image;
//! - cleaned: the data column is NULL, and the copy has proved that it gives the value back;
//! - restored: every column is as it was before.

mod catalogue;
mod columns;
mod config;
mod count;
mod datum;
mod definition;
mod found;
mod identifier;
mod items;
mod keys;
mod kind;
mod objects;
mod original;
mod originals;
mod returned_rows;
mod row_data;
mod saved_rows;
mod schema;
mod sql;
mod statements;
mod status;
pub mod value;

pub use config::{BUILT_IN, InvalidSource, TableSource};
pub use count::COUNTED_ROWS;
pub use identifier::Identifier;
pub use kind::TableKind;
