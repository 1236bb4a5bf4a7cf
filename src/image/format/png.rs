//! PNG and APNG: a signature, then chunks from IHDR to IEND.

use super::byte_cursor::ByteCursor;
use super::exif::orientation_of;
use super::reader::Reader;
use super::{Dimensions, Geometry, Rejection};

const SIGNATURE: &[u8; 8] = b"\x89PNG\r\n\x1A\n";

/// The specification's limit for chunk lengths, widths and heights: 2^31 - 1.
const MAX_FIELD: u32 = 0x7FFF_FFFF;

/// Longer EXIF data is passed over: a JPEG segment, from which it mostly comes, holds less.
const MAX_EXIF_BYTES: u32 = 128 * 1024;

/// Bytes of pixels that decoders do without: the checksum of the compressed data, and the mark of its end before it.
const SPARE_BYTES: u64 = 4 + 2;

pub(super) fn matches(prefix: &[u8]) -> bool {
    prefix.starts_with(SIGNATURE)
}

/// What comes before the pixels: IHDR, and the EXIF data that browsers heed.
pub(super) fn header(reader: &mut Reader) -> Result<Geometry, Rejection> {
    Ok(up_to_pixels(reader)?.0)
}

/// Everything that the first picture needs. Decoders have the picture once its pixels have come: whatever else follows them (the
/// end marker, further frames of an animation, other bytes) may be cut off or broken.
pub(super) fn inspect(reader: &mut Reader) -> Result<Geometry, Rejection> {
    let (geometry, mut length_bytes) = up_to_pixels(reader)?;
    let mut length_before = None;
    loop {
        if pass_pixels(reader, length_bytes, length_before)? == Pixels::AtEnd {
            return Ok(geometry);
        }
        length_before = Some(length_bytes);
        length_bytes = reader.u32_be()?;
        if &reader.array::<4>()? != b"IDAT" {
            return Ok(geometry);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Pixels {
    /// More may follow.
    Passed,
    /// The file ends with them.
    AtEnd,
}

/// Moves past the data and checksum of an IDAT of `length_bytes`.
///
/// Writers cut compressed data into chunks of one length and a shorter last one. So where the file ends within the twelve bytes of
/// the next chunk's frame or this one's end, all pixels are there if this is the only chunk or a shorter one than the one before.
fn pass_pixels(reader: &mut Reader, length_bytes: u32, length_before: Option<u32>) -> Result<Pixels, Rejection> {
    const CRC_BYTES: u64 = 4;
    const NEXT_FRAME_BYTES: u64 = 8;
    let data_bytes = u64::from(length_bytes);
    if reader.rest_bytes() >= data_bytes + CRC_BYTES + NEXT_FRAME_BYTES {
        reader.skip(data_bytes + CRC_BYTES)?;
        return Ok(Pixels::Passed);
    }
    let is_last = length_before.is_none_or(|before| length_bytes < before);
    let is_there = reader.rest_bytes() >= data_bytes.saturating_sub(SPARE_BYTES) && data_bytes > SPARE_BYTES;
    if is_last && is_there { Ok(Pixels::AtEnd) } else { Err(Rejection::Truncated) }
}

/// The geometry, and the length of the first IDAT, up to whose data the reader has come.
fn up_to_pixels(reader: &mut Reader) -> Result<(Geometry, u32), Rejection> {
    let coded = image_header(reader)?;
    let mut exif = None;
    loop {
        let length_bytes = reader.u32_be()?;
        let name = reader.array::<4>()?;
        if length_bytes > MAX_FIELD || &name == b"IHDR" {
            return Err(Rejection::Malformed);
        }
        match &name {
            b"IDAT" => return Ok((Geometry::of_coded(coded, exif.flatten()), length_bytes)),
            b"IEND" => return Err(Rejection::Malformed),
            b"eXIf" if exif.is_none() && length_bytes <= MAX_EXIF_BYTES => {
                exif = exif_data(reader, length_bytes)?.map(|tiff| orientation_of(&tiff));
            }
            _ => reader.skip(u64::from(length_bytes) + 4)?,
        }
    }
}

/// The TIFF structure in an `eXIf` chunk, if its checksum is right.
fn exif_data(reader: &mut Reader, length_bytes: u32) -> Result<Option<Vec<u8>>, Rejection> {
    let data = reader.take(length_bytes.into())?;
    let crc = reader.u32_be()?;
    Ok((crc == crc32(&[b"eXIf", &data])).then_some(data))
}

/// The signature and a valid IHDR chunk.
fn image_header(reader: &mut Reader) -> Result<Dimensions, Rejection> {
    reader.skip(SIGNATURE.len() as u64)?;
    let length_bytes = reader.u32_be()?;
    let chunk = reader.array::<17>()?;
    let crc = reader.u32_be()?;

    let mut fields = ByteCursor::new(&chunk);
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
        && crc == crc32(&[&chunk]);
    if valid { Ok(dimensions) } else { Err(Rejection::Malformed) }
}

/// The CRC-32 of ISO 3309, bit by bit: a header and EXIF data need no table.
fn crc32(runs: &[&[u8]]) -> u32 {
    !runs.iter().copied().flatten().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg()))
    })
}
