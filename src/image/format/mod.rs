//! What kind of image some bytes are, and whether they are all there.
//!
//! Nothing here decodes a picture: each format's structure is walked, in time linear in the bytes and without allocating by
//! numbers that a file claims.

mod byte_cursor;
mod exif;
mod gif;
mod header;
mod heif_meta;
mod inspect;
mod iso_box;
mod isobmff;
mod jpeg;
mod kind;
mod orientation;
mod png;
mod reader;
mod svg;
mod svg_size;
mod webp;

pub use header::HeaderWalk;
pub use inspect::SNIFF_BYTES;
pub use kind::{Dimensions, Format, Geometry, Rejection};
pub use orientation::{InvalidOrientation, Orientation};
