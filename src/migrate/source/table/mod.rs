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
pub(super) mod fields;
mod found;
mod identifier;
mod items;
mod keys;
mod kind;
mod objects;
mod original;
mod originals;
mod ready;
mod returned_rows;
mod row_data;
mod saved_rows;
mod schema;
mod sql;
mod statements;
mod status;
pub mod value;

pub(super) use catalogue::TableCatalogue;
pub use config::{BUILT_IN, TableSource};
pub use count::COUNTED_ROWS;
pub(super) use datum::Datum;
pub(super) use definition::Table;
pub use fields::InvalidSource;
pub use identifier::Identifier;
pub(in crate::migrate) use keys::image_id as image_of_key;
pub use kind::TableKind;
pub(super) use objects::TableObjects;
pub(super) use original::Original;
pub(super) use ready::{
    ImageBytes, Inspected, Ready, RowAsRead, columns_too_large, of_rejection, private_image_and_public_bucket,
};
pub(super) use schema::Schema;
pub(super) use sql::{Sql, whole};
