//! WebP: a RIFF file whose length is in its header, holding VP8, VP8L or VP8X chunks.

use super::cursor::Cursor;
use super::{Dimensions, Rejection, trailing};

pub(super) fn matches(prefix: &[u8]) -> bool {
    prefix.starts_with(b"RIFF") && matches!(prefix.get(8..16), Some(b"WEBPVP8 " | b"WEBPVP8L" | b"WEBPVP8X"))
}

pub(super) fn dimensions(prefix: &[u8]) -> Option<Dimensions> {
    let mut cursor = Cursor::new(prefix);
    cursor.take(12).ok()?;
    let (name, _length_bytes) = chunk_header(&mut cursor).ok()?;
    first_chunk(name, cursor).ok()
}

pub(super) fn inspect(bytes: &[u8]) -> Result<Dimensions, Rejection> {
    let mut cursor = Cursor::new(bytes);
    let _riff = cursor.array::<4>()?;
    let length_bytes = cursor.u32_le()?;
    let content = cursor.take(length_bytes.into())?;
    // From here on, missing bytes are missing from a length that the file itself gives: it contradicts itself.
    let dimensions = chunks(content).map_err(|_| Rejection::Malformed)?;
    trailing::expect_padding(cursor.rest())?;
    Ok(dimensions)
}

fn chunks(content: &[u8]) -> Result<Dimensions, Rejection> {
    let mut cursor = Cursor::new(content);
    let _webp = cursor.array::<4>()?;
    let mut dimensions = None;
    let mut has_pixels = false;
    while !cursor.is_empty() {
        let (name, length_bytes) = chunk_header(&mut cursor)?;
        let body = cursor.take(length_bytes.into())?;
        if dimensions.is_none() {
            dimensions = Some(first_chunk(name, Cursor::new(body))?);
        }
        has_pixels |= matches!(&name, b"VP8 " | b"VP8L" | b"ANMF");
        // Chunks are padded to even length; some writers leave the last one's padding out.
        if length_bytes % 2 == 1 && !cursor.is_empty() {
            cursor.take(1)?;
        }
    }
    dimensions.filter(|_| has_pixels).ok_or(Rejection::Malformed)
}

fn chunk_header(cursor: &mut Cursor) -> Result<([u8; 4], u32), Rejection> {
    Ok((cursor.array()?, cursor.u32_le()?))
}

/// The dimensions in the first chunk, which every WebP has there.
fn first_chunk(name: [u8; 4], mut body: Cursor) -> Result<Dimensions, Rejection> {
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
