//! The orientation in EXIF data, as browsers read it.

use super::byte_cursor::ByteCursor;
use super::kind::Rejection;
use super::orientation::Orientation;

const ORIENTATION_TAG: u16 = 0x0112;
/// The type of a 16-bit number.
const SHORT: u16 = 3;

/// The orientation that the first directory of a TIFF structure gives, if it is one that browsers follow.
pub(super) fn orientation_of(tiff: &[u8]) -> Option<Orientation> {
    orientation(tiff).ok()?.try_into().ok()
}

/// The first entry for the orientation that is one 16-bit number decides. A directory may end before all of its entries.
fn orientation(tiff: &[u8]) -> Result<u16, Rejection> {
    let mut header = ByteCursor::new(tiff);
    let is_big_endian = match &header.array()? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return Err(Rejection::Malformed),
    };
    let u16_of = |bytes| if is_big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
    let u32_of = |bytes| if is_big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    let offset = u32_of(header.array()?);
    if offset < 8 {
        return Err(Rejection::Malformed);
    }
    let mut directory = ByteCursor::new(tiff);
    directory.take(offset.into())?;
    for _ in 0..u16_of(directory.array()?) {
        let (tag, kind) = (u16_of(directory.array()?), u16_of(directory.array()?));
        let count = u32_of(directory.array()?);
        let value = u16_of(directory.array()?);
        directory.take(2)?;
        if (tag, kind, count) == (ORIENTATION_TAG, SHORT, 1) {
            return Ok(value);
        }
    }
    Err(Rejection::Malformed)
}
