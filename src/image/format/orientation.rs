//! How a picture is turned.

use std::fmt;

/// How a picture is to be turned before it is shown: the number that EXIF gives it, 1 (upright) to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Orientation(u8);

/// A number outside 1 to 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidOrientation;

impl Orientation {
    /// The number that EXIF gives it.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// By a quarter turn, mirrored or not: width and height change places.
    pub(super) const fn is_quarter_turn(self) -> bool {
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
