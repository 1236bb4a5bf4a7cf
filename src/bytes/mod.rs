//! Bytes that travel: [`Blob`] is a run that is all there, [`Body`] a run that is still arriving, [`Text`] is what encodes a run.
//!
//! All may live outside wasm memory (a JS typed array, a JS stream, a JS string). Code that only moves bytes never asks for them; code
//! that must look at them asks for as few as it needs.

mod blob;
mod body;
mod byte_queue;
mod digest;
mod encoding;
mod foreign;
mod resumable;
mod text;

pub use blob::Blob;
pub use body::{Body, BodyError, BodyParts, ByteSource};
pub use byte_queue::ByteQueue;
pub use digest::Sha256Digest;
pub use encoding::{Encoding, InvalidText, LineLayout, TextEncoding};
pub use foreign::{ForeignBytes, ForeignText};
pub use resumable::ResumableSha256;
pub use text::Text;

/// A part of a run of bytes: `length_bytes` from `offset_bytes`, within the run, not empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub offset_bytes: u64,
    pub length_bytes: u64,
}
