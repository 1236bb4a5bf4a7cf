//! Objects of another bucket, at any server that speaks S3: copied under their keys, each as it is.
//!
//! An object is an item, by its key. It is copied when the journal does not have it, or has another state of it (`ETag`, size and time), so
//! that a later run copies what is new or changed only. Objects that are images become images of the catalogue. The other bucket is read and
//! never written.

mod config;
mod in_parts;
mod items;
mod kind;
mod movable;
mod originals;
mod reached;
mod state;

pub use config::{BucketSource, Others};
pub use kind::BucketKind;
