//! Inspection of bytes that may be outside wasm memory, in bounded memory.

use super::{Dimensions, Format, Rejection, trailing};
use crate::bytes::Blob;

/// Up to this many bytes outside wasm memory are copied in to be inspected whole, one blob at a time: with the code and what else a
/// request holds, wasm memory stays under 16 MiB. A row of D1 has at most 2,000,000 bytes; more come from a local database only.
pub const INSPECT_WHOLE_BYTES: usize = 8 * 1024 * 1024;

/// How much of the start of a larger one is looked at: a JPEG's metadata, of 64 KiB a segment, is mostly shorter.
const START_BYTES: usize = 256 * 1024;

/// How much of its end: padding and, before it, a PNG's last chunk.
const END_BYTES: usize = trailing::MAX_PADDING_BYTES + 16;

impl Format {
    /// [`Format::inspect`] of bytes that may be outside wasm memory, with less certainty above [`INSPECT_WHOLE_BYTES`] there: then only
    /// the start is looked at, and the end where the format marks it (JPEG, PNG, GIF) or gives its length (WebP). The dimensions of
    /// a JPEG are `None` when they lie behind its first 256 KiB, and one with a movie behind it (a motion photo) is rejected.
    ///
    /// # Errors
    /// As [`Format::inspect`].
    pub fn inspect_blob(blob: &Blob) -> Result<(Self, Option<Dimensions>), Rejection> {
        match blob.as_local() {
            Some(bytes) => Self::inspect(bytes),
            None if blob.size_bytes() <= INSPECT_WHOLE_BYTES => Self::inspect(&blob.to_vec()),
            None => inspect_ends(blob),
        }
    }
}

fn inspect_ends(blob: &Blob) -> Result<(Format, Option<Dimensions>), Rejection> {
    let start = blob.prefix(START_BYTES);
    let format = Format::sniff(&start).ok_or(Rejection::NotAnImage)?;
    let dimensions = Format::dimensions_from_prefix(&start);
    if dimensions.is_none() && matches!(format, Format::Png | Format::Webp) {
        return Err(Rejection::Malformed);
    }
    let end = blob.slice(blob.size_bytes().saturating_sub(END_BYTES)..blob.size_bytes()).to_vec();
    let end = end.get(..end.len() - trailing::padding_bytes_at_end(&end)).unwrap_or_default();
    let is_whole = match format {
        Format::Jpeg => end.ends_with(b"\xFF\xD9") || end.ends_with(b"SEFT"),
        Format::Png => end.ends_with(b"\0\0\0\0IEND\xAE\x42\x60\x82"),
        Format::Gif => end.ends_with(b";"),
        Format::Webp => return check_riff_length(&start, blob).map(|()| (format, dimensions)),
        Format::Svg | Format::Avif | Format::Heic => true,
    };
    if is_whole { Ok((format, dimensions)) } else { Err(Rejection::Truncated) }
}

fn check_riff_length(start: &[u8], blob: &Blob) -> Result<(), Rejection> {
    let mut cursor = super::cursor::Cursor::new(start);
    let _riff = cursor.array::<4>()?;
    let content_bytes = usize::try_from(cursor.u32_le()?).map_err(|_| Rejection::Truncated)?;
    let riff_bytes = content_bytes.checked_add(8).ok_or(Rejection::Truncated)?;
    let behind_bytes = blob.size_bytes().checked_sub(riff_bytes).ok_or(Rejection::Truncated)?;
    if behind_bytes > trailing::MAX_PADDING_BYTES {
        return Err(Rejection::Malformed);
    }
    trailing::expect_padding(&blob.slice(riff_bytes..blob.size_bytes()).to_vec())
}
