//! What a page shows while an image is on its way.

use std::fmt;

use base64_simd::STANDARD;
use serde::{Deserialize, Serialize};

/// The bytes of a `ThumbHash`: five of an image of one colour, 25 at most.
const HASH_BYTES: std::ops::RangeInclusive<usize> = 5..=25;

/// Measured once some of the image's pixels were decoded for another reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    pub thumbhash: ThumbHash,
    /// `None` of an image in which nothing is visible.
    pub dominant_colour: Option<Colour>,
}

/// evanw's `ThumbHash` of an image. Its text form is base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThumbHash(String);

/// A colour in sRGB. Its text form is `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Colour([u8; 3]);

/// A text that is no colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidColour;

impl ThumbHash {
    /// The hash with these bytes; `None` when they are too few or too many.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        HASH_BYTES.contains(&bytes.len()).then(|| Self(STANDARD.encode_to_string(bytes)))
    }

    /// The text form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Colour {
    /// Of red, green and blue.
    #[must_use]
    pub const fn new(rgb: [u8; 3]) -> Self {
        Self(rgb)
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "#{}", hex::encode(self.0))
    }
}

impl From<Colour> for String {
    fn from(colour: Colour) -> Self {
        colour.to_string()
    }
}

impl TryFrom<String> for Colour {
    type Error = InvalidColour;

    fn try_from(text: String) -> Result<Self, InvalidColour> {
        let mut rgb = [0; 3];
        let digits = text.strip_prefix('#').ok_or(InvalidColour)?;
        hex::decode_to_slice(digits, &mut rgb).map_err(|_| InvalidColour)?;
        Ok(Self(rgb))
    }
}

impl fmt::Display for InvalidColour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a colour is a # and six hexadecimal digits")
    }
}
