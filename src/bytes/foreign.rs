//! Bytes and texts outside wasm memory, each of which can become the other there.

use std::any::Any;
use std::ops::Range;
use std::rc::Rc;

use super::encoding::{Encoding, InvalidText, TextEncoding};

/// Bytes held outside wasm memory, such as a JS `Uint8Array`.
pub trait ForeignBytes: 'static {
    /// Length in bytes.
    fn size_bytes(&self) -> usize;

    /// Copies the bytes of `range` into `target`, which is exactly as long. `range` is within bounds.
    fn copy_to(&self, range: Range<usize>, target: &mut [u8]);

    /// A view of `range`, which is within bounds, without copying.
    fn view(&self, range: Range<usize>) -> Rc<dyn ForeignBytes>;

    /// These bytes and then those of `others`, joined where they are; `None` when that is to be done with copies.
    fn join(&self, _others: &[&dyn ForeignBytes]) -> Option<Rc<dyn ForeignBytes>> {
        None
    }

    /// The text of [`super::Text::encode`], made where the bytes are; `None` when it is to be made from a copy.
    fn encode(&self, _before: &str, _encoding: TextEncoding, _after: &str) -> Option<Rc<dyn ForeignText>> {
        None
    }

    /// The concrete type, for the adapter that made it.
    fn as_any(&self) -> &dyn Any;
}

/// Text held outside wasm memory, such as a JS string. Lengths and offsets are in its own units: bytes of UTF-8 or of UTF-16 halved,
/// which are equal for ASCII.
pub trait ForeignText: 'static {
    /// Length in units.
    fn size_bytes(&self) -> usize;

    /// A copy of the first `max_chars` units.
    fn prefix(&self, max_chars: usize) -> String;

    /// A copy of the last `max_chars` units.
    fn suffix(&self, max_chars: usize) -> String;

    /// Whether `wanted` occurs from the unit `from` on, which is not behind the end.
    fn contains(&self, wanted: char, from: usize) -> bool;

    /// The bytes that the text encodes from the unit `from` on; see [`super::Text::decode`].
    ///
    /// # Errors
    /// When it is not in that encoding.
    fn decode(&self, from: usize, encoding: Encoding) -> Result<Rc<dyn ForeignBytes>, InvalidText>;

    /// Whether `other`, which is outside wasm memory too, is the same text.
    fn is_same(&self, other: &dyn ForeignText) -> bool;

    /// The concrete type, for the adapter that made it.
    fn as_any(&self) -> &dyn Any;
}
