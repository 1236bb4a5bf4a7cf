//! Jobs for the codecs on a whole image: to enhance it, and to measure it.

use super::Refusal;
use super::codecs::{Job, MeasureJob, made_of};
use super::memory::{self, HEADER_BYTES, Need, Original};
use crate::bytes::Blob;
use crate::image::{Fit, Format, Geometry, Orientation, VariantForm, VariantFormat};
use crate::library::MemoryBudget;

/// The longest side of an image when it is measured.
const MEASURED_SIDE: u32 = 512;

/// An image whose header was read.
struct Read {
    format: Format,
    orientation: u8,
    need: Need,
}

/// The job that enhances the image in `bytes`, and what it takes of memory. A JPEG for which there is not enough becomes smaller.
///
/// # Errors
/// [`Refusal`].
pub fn enhancing(bytes: Blob, quality: u8, max_pixels: u32) -> Result<(Job, u64), Refusal> {
    let read = Read::new(&bytes, max_pixels, memory::need_to_enhance)?;
    let job = Job {
        bytes,
        original: read.format,
        width: None,
        height: None,
        fit: Fit::ScaleDown,
        orientation: read.orientation,
        format: made_of(read.format),
        quality,
        max_pixels,
        coarseness: read.need.coarseness,
        enhances: true,
        with_placeholder: false,
    };
    Ok((job, read.need.peak_bytes))
}

/// The job that measures the image in `bytes`, and what it takes of memory.
///
/// # Errors
/// [`Refusal`].
pub fn measuring(bytes: Blob, max_pixels: u32) -> Result<(MeasureJob, u64), Refusal> {
    let side = Some(MEASURED_SIDE);
    let form = VariantForm::new(side, side, Fit::ScaleDown, VariantFormat::Png, 1);
    let Read { orientation, need, .. } =
        Read::new(&bytes, max_pixels, |original, limit_bytes| memory::need(original, &form, limit_bytes))?;
    Ok((MeasureJob { bytes, orientation, max_pixels, coarseness: need.coarseness }, need.peak_bytes))
}

impl Read {
    fn new(bytes: &Blob, max_pixels: u32, need: impl Fn(&Original<'_>, u64) -> Option<Need>) -> Result<Self, Refusal> {
        let (format, geometry) = Format::inspect_blob(bytes).map_err(|_| Refusal::Impossible)?;
        let Geometry { dimensions, orientation } = geometry.ok_or(Refusal::Impossible)?;
        if u64::from(dimensions.width) * u64::from(dimensions.height) > u64::from(max_pixels) {
            return Err(Refusal::TooLarge);
        }
        let header = bytes.prefix(HEADER_BYTES);
        let original = Original { format, header: &header, size_bytes: bytes.size_bytes() as u64, dimensions };
        let need = need(&original, MemoryBudget::MAX_VARIANT_BYTES).ok_or(Refusal::TooLarge)?;
        Ok(Self { format, orientation: orientation.map_or(1, Orientation::get), need })
    }
}
