//! JPEG: markers from SOI to EOI, with entropy-coded data behind each SOS.

use super::cursor::Cursor;
use super::{Dimensions, Rejection, isobmff, trailing};

const START_OF_IMAGE: &[u8; 2] = b"\xFF\xD8";

pub(super) fn matches(prefix: &[u8]) -> bool {
    matches!(prefix, [0xFF, 0xD8, 0xFF, code, ..] if *code >= 0xC0)
}

pub(super) fn dimensions(prefix: &[u8]) -> Option<Dimensions> {
    let mut cursor = Cursor::new(prefix);
    cursor.take(START_OF_IMAGE.len() as u64).ok()?;
    loop {
        match segment(&mut cursor).ok()? {
            Segment::Frame(dimensions) => return Some(dimensions),
            Segment::Other => {}
            Segment::Scan | Segment::EndOfImage => return None,
        }
    }
}

pub(super) fn inspect(bytes: &[u8]) -> Result<Dimensions, Rejection> {
    let mut cursor = Cursor::new(bytes);
    let dimensions = image(&mut cursor)?;
    check_trailer(cursor)?;
    Ok(dimensions)
}

/// One image from SOI to EOI: one frame, then at least one scan.
fn image(cursor: &mut Cursor) -> Result<Dimensions, Rejection> {
    cursor.take(START_OF_IMAGE.len() as u64)?;
    let mut frame = None;
    let mut has_scan = false;
    loop {
        match segment(cursor)? {
            Segment::Frame(_) if frame.is_some() => return Err(Rejection::Malformed),
            Segment::Frame(dimensions) => frame = Some(dimensions),
            Segment::Scan if frame.is_none() => return Err(Rejection::Malformed),
            Segment::Scan => has_scan = true,
            Segment::Other => {}
            Segment::EndOfImage => break,
        }
    }
    frame.filter(|_| has_scan).ok_or(Rejection::Malformed)
}

/// What cameras put behind the image: padding, further pictures (Multi-Picture Format, gain maps), a movie (motion photos),
/// a Samsung trailer. Further pictures and movies must be whole, too.
fn check_trailer(mut cursor: Cursor) -> Result<(), Rejection> {
    loop {
        let rest = cursor.rest();
        let padding_bytes = trailing::padding_bytes(rest);
        // What looks like padding may end with the first bytes of what follows: 0xFF of SOI, or the three high, zero bytes of
        // the length of a movie's first box.
        let picture_at = padding_bytes.saturating_sub(1);
        let movie = rest.get(padding_bytes.saturating_sub(3)..).unwrap_or_default();
        if padding_bytes == rest.len() {
            return trailing::expect_padding(rest);
        }
        if rest.ends_with(b"SEFT") {
            return Ok(());
        }
        if isobmff::is_file(movie) {
            return isobmff::check_boxes(movie);
        }
        cursor.take(picture_at as u64)?;
        if !cursor.rest().starts_with(START_OF_IMAGE) {
            return Err(Rejection::Malformed);
        }
        image(&mut cursor)?;
    }
}

enum Segment {
    /// `SOFn`.
    Frame(Dimensions),
    /// SOS; its entropy-coded data follows.
    Scan,
    Other,
    EndOfImage,
}

fn segment(cursor: &mut Cursor) -> Result<Segment, Rejection> {
    let code = marker(cursor)?;
    if code == 0xD9 {
        return Ok(Segment::EndOfImage);
    }
    // A second SOI, and codes that the standard reserves: no decoder goes on from there.
    if code == 0xD8 || code < 0xC0 {
        return Err(Rejection::Malformed);
    }
    let length_bytes = cursor.u16_be()?;
    let parameter_bytes = length_bytes.checked_sub(2).ok_or(Rejection::Malformed)?;
    let parameters = cursor.take(parameter_bytes.into())?;
    match code {
        // DHT, JPG and DAC lie among the SOFn.
        0xC4 | 0xC8 | 0xCC => Ok(Segment::Other),
        0xC0..=0xCF => frame(parameters).map(Segment::Frame),
        0xDA => Ok(Segment::Scan),
        _ => Ok(Segment::Other),
    }
}

/// The code of the next marker. Skips entropy-coded data (stuffed zeros, restart markers), fill bytes and, as decoders do,
/// stray bytes between segments.
fn marker(cursor: &mut Cursor) -> Result<u8, Rejection> {
    loop {
        cursor.skip_past(0xFF)?;
        let mut code = cursor.u8()?;
        while code == 0xFF {
            code = cursor.u8()?;
        }
        if !matches!(code, 0x00 | 0x01 | 0xD0..=0xD7) {
            return Ok(code);
        }
    }
}

/// The parameters of `SOFn`: precision, height, width, and three bytes a component.
fn frame(parameters: &[u8]) -> Result<Dimensions, Rejection> {
    let read = |mut cursor: Cursor| {
        let _precision = cursor.u8()?;
        let (height, width, components) = (cursor.u16_be()?, cursor.u16_be()?, cursor.u8()?);
        Ok((height, width, components, cursor.rest().len()))
    };
    let (height, width, components, component_bytes) =
        read(Cursor::new(parameters)).map_err(|_: Rejection| Rejection::Malformed)?;
    // Height 0 announces a DNL marker, which no common decoder supports.
    if height == 0 || width == 0 || components == 0 || component_bytes != 3 * usize::from(components) {
        return Err(Rejection::Malformed);
    }
    Ok(Dimensions { width: width.into(), height: height.into() })
}
