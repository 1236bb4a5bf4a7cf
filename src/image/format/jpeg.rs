//! JPEG: markers from SOI to EOI, with entropy-coded data after each SOS.

use super::byte_cursor::ByteCursor;
use super::exif::orientation_of;
use super::orientation::Orientation;
use super::reader::Reader;
use super::{Dimensions, Geometry, Rejection};

const START_OF_IMAGE_BYTES: u64 = 2;

const END_OF_IMAGE: u8 = 0xD9;

/// What an `APP1` segment with EXIF data starts with.
const EXIF: &[u8; 5] = b"Exif\0";

pub(super) fn matches(prefix: &[u8]) -> bool {
    matches!(prefix, [0xFF, 0xD8, 0xFF, code, ..] if *code >= 0xC0)
}

/// What comes before the first scan: the frame, and the first EXIF segment.
pub(super) fn header(reader: &mut Reader) -> Result<Geometry, Rejection> {
    reader.skip(START_OF_IMAGE_BYTES)?;
    let mut frame = None;
    let mut exif = None;
    loop {
        match segment(reader)? {
            Segment::Frame(_) if frame.is_some() => return Err(Rejection::Malformed),
            Segment::Frame(dimensions) => frame = Some(dimensions),
            Segment::Exif(orientation) => exif = exif.or(Some(orientation)),
            Segment::Other => {}
            Segment::Scan => break,
        }
    }
    let coded = frame.ok_or(Rejection::Malformed)?;
    Ok(Geometry::of_coded(coded, exif.flatten()))
}

/// A header, then EOI somewhere: decoders make what they can of broken data up to there. What follows is not looked at: cameras put
/// further pictures and movies there, and every reader shows the first picture.
pub(super) fn inspect(reader: &mut Reader) -> Result<Geometry, Rejection> {
    let geometry = header(reader)?;
    while any_marker(reader)? != END_OF_IMAGE {}
    Ok(geometry)
}

enum Segment {
    /// `SOFn`.
    Frame(Dimensions),
    /// SOS; its entropy-coded data follows.
    Scan,
    /// `APP1` with EXIF data, and what it says of the orientation.
    Exif(Option<Orientation>),
    Other,
}

fn segment(reader: &mut Reader) -> Result<Segment, Rejection> {
    let code = marker(reader)?;
    // A second SOI, an end without a scan, and codes that the standard reserves: no decoder goes on from there.
    if matches!(code, 0xD8 | END_OF_IMAGE) || code < 0xC0 {
        return Err(Rejection::Malformed);
    }
    let length_bytes = reader.u16_be()?;
    let parameter_bytes = u64::from(length_bytes.checked_sub(2).ok_or(Rejection::Malformed)?);
    match code {
        // DHT, JPG and DAC lie among the SOFn.
        0xC4 | 0xC8 | 0xCC => {}
        0xC0..=0xCF => return frame(&reader.take(parameter_bytes)?).map(Segment::Frame),
        0xDA => return reader.skip(parameter_bytes).map(|()| Segment::Scan),
        0xE1 if parameter_bytes > EXIF.len() as u64 => return application_1(reader, parameter_bytes),
        _ => {}
    }
    reader.skip(parameter_bytes).map(|()| Segment::Other)
}

/// EXIF data; other data, such as XMP, of which there may be much, is passed over.
fn application_1(reader: &mut Reader, parameter_bytes: u64) -> Result<Segment, Rejection> {
    let name = reader.array()?;
    let data_bytes = parameter_bytes - EXIF.len() as u64;
    if &name != EXIF {
        return reader.skip(data_bytes).map(|()| Segment::Other);
    }
    // A byte of padding comes before the TIFF structure.
    let data = reader.take(data_bytes)?;
    Ok(Segment::Exif(orientation_of(data.get(1..).unwrap_or_default())))
}

/// The code of the next marker that has parameters. Skips fill bytes and, as decoders do, stray bytes between segments.
fn marker(reader: &mut Reader) -> Result<u8, Rejection> {
    loop {
        let code = any_marker(reader)?;
        if !matches!(code, 0x00 | 0x01 | 0xD0..=0xD7) {
            return Ok(code);
        }
    }
}

/// The code after the next 0xFF, be it a marker or stuffed into entropy-coded data.
fn any_marker(reader: &mut Reader) -> Result<u8, Rejection> {
    reader.skip_past(0xFF)?;
    loop {
        let code = reader.u8()?;
        if code != 0xFF {
            return Ok(code);
        }
    }
}

/// The parameters of `SOFn`: precision, height, width, and three bytes a component.
fn frame(parameters: &[u8]) -> Result<Dimensions, Rejection> {
    let read = |mut cursor: ByteCursor| {
        let _precision = cursor.u8()?;
        let (height, width, components) = (cursor.u16_be()?, cursor.u16_be()?, cursor.u8()?);
        Ok((height, width, components, cursor.rest().len()))
    };
    let (height, width, components, component_bytes) =
        read(ByteCursor::new(parameters)).map_err(|_: Rejection| Rejection::Malformed)?;
    // Height 0 announces a DNL marker, which no common decoder supports.
    if height == 0 || width == 0 || components == 0 || component_bytes != 3 * usize::from(components) {
        return Err(Rejection::Malformed);
    }
    Ok(Dimensions { width: width.into(), height: height.into() })
}
