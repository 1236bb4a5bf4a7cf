//! The orientation in EXIF data, as browsers read it.

use std::fmt;

use super::cursor::Cursor;
use super::{Dimensions, Geometry, Rejection};

const ORIENTATION_TAG: u16 = 0x0112;
/// The type of a 16-bit number.
const SHORT: u16 = 3;

/// How a picture is to be turned before it is shown: the number that EXIF gives it, 1 (upright) to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Orientation(u8);

/// A number outside 1 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidOrientation;

impl Orientation {
    /// The orientation that the first directory of a TIFF structure gives, if it is one that browsers follow.
    pub(super) fn of_tiff(tiff: &[u8]) -> Option<Self> {
        orientation(tiff).ok()?.try_into().ok()
    }

    /// The number that EXIF gives it.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// By a quarter turn, mirrored or not: width and height change places.
    const fn is_quarter_turn(self) -> bool {
        self.0 >= 5
    }
}

impl TryFrom<u16> for Orientation {
    type Error = InvalidOrientation;

    fn try_from(number: u16) -> Result<Self, InvalidOrientation> {
        match u8::try_from(number) {
            Ok(number @ 1..=8) => Ok(Self(number)),
            _ => Err(InvalidOrientation),
        }
    }
}

impl From<Orientation> for u16 {
    fn from(orientation: Orientation) -> Self {
        orientation.0.into()
    }
}

impl fmt::Display for InvalidOrientation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an orientation is 1 to 8")
    }
}

impl Geometry {
    /// The geometry of a picture of `coded` dimensions whose EXIF data gives `orientation`.
    pub(super) fn of_coded(coded: Dimensions, orientation: Option<Orientation>) -> Self {
        let dimensions = if orientation.is_some_and(Orientation::is_quarter_turn) {
            Dimensions { width: coded.height, height: coded.width }
        } else {
            coded
        };
        Self { dimensions, orientation }
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
