//! PNG and APNG: a signature, then chunks from IHDR to IEND.

use super::cursor::Cursor;
use super::{Dimensions, Rejection, trailing};

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1A\n";

/// The specification's limit for chunk lengths, widths and heights: 2^31 - 1.
const MAX_FIELD: u32 = 0x7FFF_FFFF;

pub(super) fn matches(prefix: &[u8]) -> bool {
    prefix.starts_with(SIGNATURE)
}

pub(super) fn dimensions(prefix: &[u8]) -> Option<Dimensions> {
    header(&mut Cursor::new(prefix)).ok()
}

pub(super) fn inspect(bytes: &[u8]) -> Result<Dimensions, Rejection> {
    let mut cursor = Cursor::new(bytes);
    let dimensions = header(&mut cursor)?;
    let mut has_pixels = false;
    loop {
        let length_bytes = cursor.u32_be()?;
        let name = cursor.array::<4>()?;
        if length_bytes > MAX_FIELD || !name.iter().all(u8::is_ascii_alphabetic) || &name == b"IHDR" {
            return Err(Rejection::Malformed);
        }
        cursor.take(length_bytes.into())?;
        let _crc = cursor.u32_be()?;
        match &name {
            b"IDAT" => has_pixels = true,
            b"IEND" => break,
            _ => {}
        }
    }
    if !has_pixels {
        return Err(Rejection::Malformed);
    }
    trailing::expect_padding(cursor.rest())?;
    Ok(dimensions)
}

/// The signature and a valid IHDR chunk.
fn header(cursor: &mut Cursor) -> Result<Dimensions, Rejection> {
    cursor.take(SIGNATURE.len() as u64)?;
    let length_bytes = cursor.u32_be()?;
    let chunk = cursor.array::<17>()?;
    let crc = cursor.u32_be()?;

    let mut fields = Cursor::new(&chunk);
    let name = fields.array::<4>()?;
    let dimensions = Dimensions { width: fields.u32_be()?, height: fields.u32_be()? };
    let [depth, color, compression, filter, interlace] = fields.array()?;

    let sizes_allowed = [dimensions.width, dimensions.height].iter().all(|side| (1..=MAX_FIELD).contains(side));
    let depth_allowed = match color {
        0 => matches!(depth, 1 | 2 | 4 | 8 | 16),
        3 => matches!(depth, 1 | 2 | 4 | 8),
        2 | 4 | 6 => matches!(depth, 8 | 16),
        _ => false,
    };
    let valid = length_bytes == 13
        && &name == b"IHDR"
        && sizes_allowed
        && depth_allowed
        && (compression, filter) == (0, 0)
        && interlace <= 1
        && crc == crc32(&chunk);
    if valid { Ok(dimensions) } else { Err(Rejection::Malformed) }
}

/// The CRC-32 of ISO 3309, bit by bit: seventeen bytes need no table.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}
