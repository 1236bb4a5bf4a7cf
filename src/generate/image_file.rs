//! Image bytes that were looked at.

use std::fmt;

use super::GenerateError;
use crate::image::{Format, Geometry};

/// The longest image taken from a provider: a 1792x1024 RGB PNG that does not compress at all has 5.3 MiB, a 3840x2160 one 23.7 MiB, 31.6
/// with transparency; real pictures compress to two thirds of that or less, as JPEG or WebP to a tenth. It bounds wasm memory, where the bytes are looked at.
pub const MAX_GENERATED_BYTES: u64 = 20 * 1024 * 1024;

/// A whole image of a known format, at most [`MAX_GENERATED_BYTES`] long.
#[derive(Clone, PartialEq, Eq)]
pub struct ImageFile {
    bytes: Vec<u8>,
    format: Format,
    geometry: Option<Geometry>,
}

impl ImageFile {
    /// Believes `bytes` if they are a whole image.
    ///
    /// # Errors
    /// [`GenerateError::EmptyAnswer`], [`GenerateError::TooLarge`], [`GenerateError::NotAnImage`] or [`GenerateError::Truncated`].
    pub fn inspect(bytes: Vec<u8>) -> Result<Self, GenerateError> {
        if bytes.is_empty() {
            return Err(GenerateError::EmptyAnswer);
        }
        if bytes.len() as u64 > MAX_GENERATED_BYTES {
            return Err(GenerateError::TooLarge { limit_bytes: MAX_GENERATED_BYTES });
        }
        let (format, geometry) = Format::inspect(&bytes)?;
        Ok(Self { bytes, format, geometry })
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, without copying.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The format that the bytes have, whatever the provider said.
    #[must_use]
    pub const fn format(&self) -> Format {
        self.format
    }

    /// Width and height in pixels, when the format says, and the orientation.
    #[must_use]
    pub const fn geometry(&self) -> Option<Geometry> {
        self.geometry
    }
}

impl fmt::Debug for ImageFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ImageFile({:?}, {:?}, {} bytes)", self.format, self.geometry, self.bytes.len())
    }
}
