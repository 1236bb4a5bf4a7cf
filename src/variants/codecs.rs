//! The seam to what decodes, scales and encodes.

use async_trait::async_trait;

use crate::bytes::Blob;
use crate::image::{Colour, Fit, Format, Placeholder, ThumbHash, VariantForm, VariantFormat};

/// What to make of an image.
#[derive(Debug, Clone)]
pub struct Job {
    /// The whole image.
    pub bytes: Blob,
    /// Its format.
    pub original: Format,
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
    /// Whether the whole image's placeholder is measured by the way.
    pub with_placeholder: bool,
}

/// A variant that was made.
#[derive(Debug, Clone)]
pub struct MadeVariant {
    pub bytes: Blob,
    pub format: Format,
    /// Whether it shows the first frame of several.
    pub is_of_animation: bool,
    pub placeholder: Option<Placeholder>,
}

/// What to measure.
#[derive(Debug, Clone)]
pub struct MeasureJob {
    /// The whole image.
    pub bytes: Blob,
    /// As of [`Job`].
    pub orientation: u8,
    pub max_pixels: u32,
    pub coarseness: u8,
}

/// A colour, and how many hundredths of the visible pixels have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DominantColour {
    pub rgb: [u8; 3],
    pub per_cent: u8,
}

/// What can be said of an image without a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measures {
    /// Of evanw's `ThumbHash`, at most 25 bytes.
    pub thumbhash: Vec<u8>,
    /// At most five, the most frequent first.
    pub colours: Vec<DominantColour>,
    /// The variance of the brightness's Laplacian, of the image at 512 by 512 pixels at most.
    pub sharpness: u32,
    /// Near-duplicates differ in few bits.
    pub difference_hash: u64,
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

    /// Whether variants are made outside of this isolate, so that no pixels are in its memory.
    fn works_elsewhere(&self) -> bool;

    /// Makes a variant.
    ///
    /// # Errors
    /// [`CodecError`].
    async fn transform(&self, job: Job) -> Result<MadeVariant, CodecError>;

    /// Measures an image.
    ///
    /// # Errors
    /// [`CodecError`].
    async fn measure(&self, job: MeasureJob) -> Result<Measures, CodecError>;
}

/// Quality that stands where a format has none.
const NO_QUALITY: u8 = 100;

impl Measures {
    /// The measures in the bytes that the codecs' module answers with; `None` when they are cut off.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (sharpness, bytes) = bytes.split_first_chunk()?;
        let (difference_hash, bytes) = bytes.split_first_chunk()?;
        let (count, bytes) = bytes.split_first()?;
        let (colours, thumbhash) = bytes.split_at_checked(usize::from(*count) * 4)?;
        let colour =
            |[red, green, blue, per_cent]: &[u8; 4]| DominantColour { rgb: [*red, *green, *blue], per_cent: *per_cent };
        Some(Self {
            thumbhash: thumbhash.to_vec(),
            colours: colours.as_chunks().0.iter().map(colour).collect(),
            sharpness: u32::from_le_bytes(*sharpness),
            difference_hash: u64::from_le_bytes(*difference_hash),
        })
    }
}

impl Measures {
    /// What a page shows of the image until it is there.
    #[must_use]
    pub fn placeholder(&self) -> Option<Placeholder> {
        let dominant_colour = self.colours.first().map(|colour| Colour::new(colour.rgb));
        Some(Placeholder { thumbhash: ThumbHash::from_bytes(&self.thumbhash)?, dominant_colour })
    }
}

impl MadeVariant {
    /// The placeholder in the bytes that the codecs' module answers with; `None` when there are none, or they are cut off.
    #[must_use]
    pub fn placeholder_from_bytes(bytes: &[u8]) -> Option<Placeholder> {
        let ([has_colour, rgb @ ..], thumbhash) = bytes.split_first_chunk::<4>()?;
        let dominant_colour = (*has_colour == 1).then(|| Colour::new(*rgb));
        Some(Placeholder { thumbhash: ThumbHash::from_bytes(thumbhash)?, dominant_colour })
    }
}

impl Job {
    /// The job that makes `form` of an image of this format.
    pub(super) fn new(bytes: Blob, form: &VariantForm, original: Format) -> Self {
        let format = match form.format() {
            VariantFormat::Original => made_of(original),
            format => format,
        };
        Self {
            bytes,
            original,
            width: form.width(),
            height: form.height(),
            fit: form.fit(),
            orientation: 1,
            format,
            quality: form.quality().unwrap_or(NO_QUALITY),
            max_pixels: 1,
            coarseness: 1,
            enhances: false,
            with_placeholder: false,
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
