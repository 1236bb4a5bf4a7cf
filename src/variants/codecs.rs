//! The seam to what decodes, scales and encodes.

use async_trait::async_trait;

use crate::bytes::Blob;
use crate::image::{Fit, Format, VariantForm, VariantFormat};

/// What to make of an image.
#[derive(Debug, Clone)]
pub struct Job {
    /// The whole image.
    pub bytes: Blob,
    pub width: Option<u32>,
    pub height: Option<u32>,
    pub fit: Fit,
    /// The EXIF orientation of the image, 1 to 8, which is applied.
    pub orientation: u8,
    /// Never [`VariantFormat::Original`].
    pub format: VariantFormat,
    /// Of JPEG.
    pub quality: u8,
    /// More pixels than this are neither decoded nor made.
    pub max_pixels: u32,
    /// 1, 2, 4 or 8: a JPEG is decoded at this part of its size at most, and not made larger than that unless the fit enlarges.
    pub coarseness: u8,
    /// Whether its levels are made to use the whole range, and its edges are sharpened.
    pub enhances: bool,
}

/// A variant that was made.
#[derive(Debug, Clone)]
pub struct MadeVariant {
    pub bytes: Blob,
    pub format: Format,
    /// Whether it shows the first frame of several.
    pub is_of_animation: bool,
}

/// Why nothing was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodecError {
    /// The format, or a rare kind of it, is not decoded.
    Unsupported,
    /// The bytes contradict their format.
    Undecodable,
    TooManyPixels,
    /// The decoder broke down; the next one is a new one.
    Trapped(String),
    /// They cannot be asked now.
    Unavailable(String),
}

/// What decodes, scales and encodes. Nothing is loaded until it is asked for the first time.
#[async_trait(?Send)]
pub trait Codecs: 'static {
    /// Whether images of this format are decoded.
    fn decodes(&self, format: Format) -> bool;

    /// Makes a variant.
    ///
    /// # Errors
    /// [`CodecError`].
    async fn transform(&self, job: Job) -> Result<MadeVariant, CodecError>;
}

/// Quality that stands where a format has none.
const NO_QUALITY: u8 = 100;

impl Job {
    /// The job that makes `form` of an image of this format.
    pub(super) fn new(bytes: Blob, form: &VariantForm, original: Format) -> Self {
        let format = match form.format() {
            VariantFormat::Original => made_of(original),
            format => format,
        };
        Self {
            bytes,
            width: form.width(),
            height: form.height(),
            fit: form.fit(),
            orientation: 1,
            format,
            quality: form.quality().unwrap_or(NO_QUALITY),
            max_pixels: 1,
            coarseness: 1,
            enhances: false,
        }
    }
}

/// The format of what is made of an image, unless another one is asked for.
pub(super) const fn made_of(original: Format) -> VariantFormat {
    match original {
        Format::Png | Format::Gif => VariantFormat::Png,
        Format::Webp => VariantFormat::JpegOrWebp,
        Format::Jpeg | Format::Svg | Format::Avif | Format::Heic => VariantFormat::Jpeg,
    }
}
