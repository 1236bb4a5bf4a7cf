//! The orientation in EXIF data, as browsers read it.

use super::cursor::Cursor;
use super::{Dimensions, Rejection};

const ORIENTATION_TAG: u16 = 0x0112;
/// The type of a 16-bit number.
const SHORT: u16 = 3;

/// How a picture is to be turned before it is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    /// By a quarter turn, mirrored or not: width and height change places.
    is_quarter_turn: bool,
}

impl Orientation {
    /// The orientation that the first directory of a TIFF structure gives; upright when it gives none, or none that browsers follow.
    pub(super) fn of_tiff(tiff: &[u8]) -> Self {
        let value = orientation(tiff).unwrap_or(1);
        Self { is_quarter_turn: (5..=8).contains(&value) }
    }

    /// The dimensions of a picture of `coded` dimensions when it is shown.
    pub(super) const fn apply(self, coded: Dimensions) -> Dimensions {
        if self.is_quarter_turn { Dimensions { width: coded.height, height: coded.width } } else { coded }
    }
}

/// The first entry for the orientation that is one 16-bit number decides. A directory may end before all of its entries.
fn orientation(tiff: &[u8]) -> Result<u16, Rejection> {
    let mut header = Cursor::new(tiff);
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
    let mut directory = Cursor::new(tiff);
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
