//! Boxes of the ISO base media file format.

use super::Rejection;
use super::byte_cursor::ByteCursor;

/// A box: its type, and its content cut to what there is of it.
#[derive(Clone, Copy)]
pub(super) struct IsoBox<'bytes> {
    pub kind: [u8; 4],
    pub body: &'bytes [u8],
}

/// A box type is four printable characters.
pub(super) fn box_kind(kind: [u8; 4]) -> Result<[u8; 4], Rejection> {
    let is_printable = kind.iter().all(|byte| matches!(byte, b' '..=b'~' | 0xA9));
    if is_printable { Ok(kind) } else { Err(Rejection::Malformed) }
}

/// The next box. A length of zero means all that is left.
pub(super) fn next_box<'bytes>(cursor: &mut ByteCursor<'bytes>) -> Result<IsoBox<'bytes>, Rejection> {
    let short_length = cursor.u32_be()?;
    let kind = box_kind(cursor.array()?)?;
    let body = match short_length {
        0 => cursor.take(cursor.rest().len() as u64)?,
        1 => {
            let length_bytes = cursor.u64_be()?;
            cursor.take(length_bytes.checked_sub(16).ok_or(Rejection::Malformed)?)?
        }
        _ => cursor.take(u64::from(short_length).checked_sub(8).ok_or(Rejection::Malformed)?)?,
    };
    Ok(IsoBox { kind, body })
}
