//! WebP: a RIFF file whose length is in its header, holding VP8, VP8L or VP8X chunks.
//!
//! Browsers do not heed the orientation in its EXIF data.

use super::byte_cursor::ByteCursor;
use super::reader::Reader;
use super::{Dimensions, Rejection};

/// How much of the first chunk tells the dimensions.
const FIRST_CHUNK_BYTES: u32 = 10;

pub(super) fn matches(prefix: &[u8]) -> bool {
    prefix.starts_with(b"RIFF") && matches!(prefix.get(8..16), Some(b"WEBPVP8 " | b"WEBPVP8L" | b"WEBPVP8X"))
}

pub(super) fn header(reader: &mut Reader) -> Result<Dimensions, Rejection> {
    Ok(start(reader)?.dimensions)
}

/// All that the length in the header covers. What follows is not looked at.
pub(super) fn inspect(reader: &mut Reader) -> Result<Dimensions, Rejection> {
    let Start { dimensions, content_end, name, rest_bytes } = start(reader)?;
    if content_end > reader.size_bytes() {
        return Err(Rejection::Truncated);
    }
    // From here on, missing bytes are missing from a length that the file itself gives: it contradicts itself.
    let mut chunk = (name, rest_bytes);
    let mut has_pixels = false;
    loop {
        let (name, length_bytes) = chunk;
        has_pixels |= matches!(&name, b"VP8 " | b"VP8L" | b"ANMF");
        let left_bytes = content_end.checked_sub(reader.position()).ok_or(Rejection::Malformed)?;
        if left_bytes < length_bytes {
            return Err(Rejection::Malformed);
        }
        // Chunks are padded to even length; some writers leave the last one's padding out.
        reader.skip((length_bytes + length_bytes % 2).min(left_bytes))?;
        match content_end - reader.position() {
            0 if has_pixels => return Ok(dimensions),
            0..8 => return Err(Rejection::Malformed),
            _ => {
                let (name, length_bytes) = chunk_header(reader)?;
                chunk = (name, length_bytes.into());
            }
        }
    }
}

struct Start {
    dimensions: Dimensions,
    /// Where the length in the header says that the image ends.
    content_end: u64,
    /// The first chunk's name.
    name: [u8; 4],
    /// How many bytes of the first chunk have not been read.
    rest_bytes: u64,
}

fn start(reader: &mut Reader) -> Result<Start, Rejection> {
    reader.skip(4)?;
    let content_end = 8 + u64::from(reader.u32_le()?);
    reader.skip(4)?;
    let (name, length_bytes) = chunk_header(reader)?;
    let body = reader.take(length_bytes.min(FIRST_CHUNK_BYTES).into())?;
    let dimensions = first_chunk(name, ByteCursor::new(&body)).map_err(|_| Rejection::Malformed)?;
    Ok(Start { dimensions, content_end, name, rest_bytes: u64::from(length_bytes) - body.len() as u64 })
}

fn chunk_header(reader: &mut Reader) -> Result<([u8; 4], u32), Rejection> {
    Ok((reader.array()?, reader.u32_le()?))
}

/// The dimensions in the first chunk, which every WebP has there.
fn first_chunk(name: [u8; 4], mut body: ByteCursor) -> Result<Dimensions, Rejection> {
    match &name {
        b"VP8 " => {
            let [frame_tag, _, _, 0x9D, 0x01, 0x2A] = body.array()? else { return Err(Rejection::Malformed) };
            let is_key_frame = frame_tag & 1 == 0;
            // The two high bits of each side are a scale for display.
            let (width, height) = (body.u16_le()? & 0x3FFF, body.u16_le()? & 0x3FFF);
            if !is_key_frame || width == 0 || height == 0 {
                return Err(Rejection::Malformed);
            }
            Ok(Dimensions { width: width.into(), height: height.into() })
        }
        b"VP8L" => {
            let signature = body.u8()?;
            let fields = body.u32_le()?;
            let version = fields >> 29;
            if signature != 0x2F || version != 0 {
                return Err(Rejection::Malformed);
            }
            Ok(Dimensions { width: (fields & 0x3FFF) + 1, height: (fields >> 14 & 0x3FFF) + 1 })
        }
        b"VP8X" => {
            let _flags = body.array::<4>()?;
            Ok(Dimensions { width: body.u24_le()? + 1, height: body.u24_le()? + 1 })
        }
        _ => Err(Rejection::Malformed),
    }
}
