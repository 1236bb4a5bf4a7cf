//! GIF: a screen, then blocks up to the trailer.

use super::reader::Reader;
use super::{Dimensions, Rejection};

pub(super) fn matches(prefix: &[u8]) -> bool {
    prefix.starts_with(b"GIF87a") || prefix.starts_with(b"GIF89a")
}

/// The screen, made larger where the first picture exceeds it, as browsers do; later pictures are cut to it.
pub(super) fn header(reader: &mut Reader) -> Result<Option<Dimensions>, Rejection> {
    reader.skip(6)?;
    let (width, height) = (reader.u16_le()?, reader.u16_le()?);
    let [flags, _background, _aspect] = reader.array()?;
    skip_color_table(reader, flags)?;
    up_to_picture(reader)?;
    let end = |start: u16, length: u16| u32::from(start) + u32::from(length);
    let (left, top, frame_width, frame_height) =
        (reader.u16_le()?, reader.u16_le()?, reader.u16_le()?, reader.u16_le()?);
    let flags = reader.u8()?;
    skip_color_table(reader, flags)?;
    let dimensions = Dimensions {
        width: end(left, frame_width).max(width.into()),
        height: end(top, frame_height).max(height.into()),
    };
    Ok(Some(dimensions).filter(|sides| sides.width > 0 && sides.height > 0))
}

/// Everything up to the end of the first picture. Readers show it whatever follows, a trailer or not.
pub(super) fn inspect(reader: &mut Reader) -> Result<Option<Dimensions>, Rejection> {
    let dimensions = header(reader)?;
    // LZW codes have at most 12 bits, and start one bit longer than colours.
    if !(1..=11).contains(&reader.u8()?) {
        return Err(Rejection::Malformed);
    }
    skip_pixels(reader)?;
    Ok(dimensions)
}

/// Sub-blocks up to one of length zero, which readers do without: writers cut the pixels into sub-blocks of 255 bytes and a shorter last
/// one.
fn skip_pixels(reader: &mut Reader) -> Result<(), Rejection> {
    let mut is_last = false;
    loop {
        if is_last && reader.rest_bytes() == 0 {
            return Ok(());
        }
        let length_bytes = reader.u8()?;
        if length_bytes == 0 {
            return Ok(());
        }
        reader.skip(length_bytes.into())?;
        is_last = length_bytes < u8::MAX;
    }
}

/// Moves past the separator of the first picture. Bytes that begin no block are passed over, as readers do.
fn up_to_picture(reader: &mut Reader) -> Result<(), Rejection> {
    loop {
        match reader.u8()? {
            b'!' => {
                let _label = reader.u8()?;
                skip_data(reader)?;
            }
            b',' => return Ok(()),
            b';' => return Err(Rejection::Malformed),
            _ => {}
        }
    }
}

/// Three bytes a colour, 2 to 256 colours, when the flags say that there is a table.
fn skip_color_table(reader: &mut Reader, flags: u8) -> Result<(), Rejection> {
    if flags & 0x80 != 0 {
        reader.skip(3 << ((flags & 7) + 1))?;
    }
    Ok(())
}

/// Sub-blocks, each after its length, up to one of length zero.
fn skip_data(reader: &mut Reader) -> Result<(), Rejection> {
    loop {
        let length_bytes = reader.u8()?;
        if length_bytes == 0 {
            return Ok(());
        }
        reader.skip(length_bytes.into())?;
    }
}
