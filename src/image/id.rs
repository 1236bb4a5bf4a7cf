//! The name of an image.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Sha256Digest;

/// An image's id: a random (version 4) UUID, or for an image of an application's table one made of a digest (version 8). Its text form is the 36-character lower-case one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(Uuid);

/// The start of an [`ImageId`]: enough to tell apart images of one name. Its text form is 8 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortId(u32);

/// The text is not a UUID in its 36-character form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidImageId;

impl ImageId {
    /// An id from sixteen random bytes.
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// The id that the first sixteen bytes of a digest make.
    #[must_use]
    pub fn from_digest(digest: &Sha256Digest) -> Self {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.as_bytes()).for_each(|(byte, digest)| *byte = *digest);
        Self(uuid::Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Whether the id was made of a digest.
    #[must_use]
    pub fn is_of_digest(&self) -> bool {
        self.0.get_version() == Some(uuid::Version::Custom)
    }

    /// The first eight hexadecimal digits, for keys that people read. Not unique on their own.
    #[must_use]
    pub fn short(&self) -> ShortId {
        ShortId(self.0.as_fields().0)
    }
}

impl ShortId {
    /// The id written as `digits`.
    pub(super) fn parse(digits: &str) -> Option<Self> {
        let is_plain = digits.len() == 8 && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u32::from_str_radix(digits, 16).ok().filter(|_| is_plain).map(Self)
    }
}

impl FromStr for ImageId {
    type Err = InvalidImageId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `Uuid::parse_str` takes braces, URNs and upper case too; one image has one URL.
        let id = Uuid::try_parse(text).map_err(|_| InvalidImageId)?;
        if id.hyphenated().to_string() == text { Ok(Self(id)) } else { Err(InvalidImageId) }
    }
}

impl TryFrom<String> for ImageId {
    type Error = InvalidImageId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImageId> for String {
    fn from(id: ImageId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl fmt::Display for ShortId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:08x}", self.0)
    }
}

impl fmt::Display for InvalidImageId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an image id is a UUID of 36 lower-case characters")
    }
}
