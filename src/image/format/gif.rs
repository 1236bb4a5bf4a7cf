//! GIF: a screen, then blocks up to the trailer.

use super::cursor::Cursor;
use super::{Dimensions, Rejection, trailing};

pub(super) fn matches(prefix: &[u8]) -> bool {
    prefix.starts_with(b"GIF87a") || prefix.starts_with(b"GIF89a")
}

pub(super) fn dimensions(prefix: &[u8]) -> Option<Dimensions> {
    screen(&mut Cursor::new(prefix)).ok()?.dimensions
}

pub(super) fn inspect(bytes: &[u8]) -> Result<Option<Dimensions>, Rejection> {
    let mut cursor = Cursor::new(bytes);
    let screen = screen(&mut cursor)?;
    skip_color_table(&mut cursor, screen.flags)?;
    let mut has_picture = false;
    loop {
        match cursor.u8()? {
            b'!' => {
                let _label = cursor.u8()?;
                skip_data(&mut cursor)?;
            }
            b',' => {
                let [.., flags] = cursor.array::<9>()?;
                skip_color_table(&mut cursor, flags)?;
                let _code_size_bits = cursor.u8()?;
                skip_data(&mut cursor)?;
                has_picture = true;
            }
            b';' => break,
            _ => return Err(Rejection::Malformed),
        }
    }
    if !has_picture {
        return Err(Rejection::Malformed);
    }
    trailing::expect_padding(cursor.rest())?;
    Ok(screen.dimensions)
}

struct Screen {
    /// `None` when a side is zero, which leaves the size to the first picture.
    dimensions: Option<Dimensions>,
    flags: u8,
}

fn screen(cursor: &mut Cursor) -> Result<Screen, Rejection> {
    let _signature = cursor.array::<6>()?;
    let dimensions = Dimensions { width: cursor.u16_le()?.into(), height: cursor.u16_le()?.into() };
    let [flags, _background, _aspect] = cursor.array()?;
    Ok(Screen { dimensions: Some(dimensions).filter(|sides| sides.width > 0 && sides.height > 0), flags })
}

/// Three bytes a colour, 2 to 256 colours, when the flags say that there is a table.
fn skip_color_table(cursor: &mut Cursor, flags: u8) -> Result<(), Rejection> {
    if flags & 0x80 != 0 {
        cursor.take(3 << ((flags & 7) + 1))?;
    }
    Ok(())
}

/// Sub-blocks, each behind its length, up to one of length zero.
fn skip_data(cursor: &mut Cursor) -> Result<(), Rejection> {
    loop {
        let length_bytes = cursor.u8()?;
        if length_bytes == 0 {
            return Ok(());
        }
        cursor.take(length_bytes.into())?;
    }
}
