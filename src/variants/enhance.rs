//! The job that enhances an image, whatever its size.

use super::Refusal;
use super::codecs::{Job, made_of};
use super::memory::{self, HEADER_BYTES, Original};
use crate::bytes::Blob;
use crate::image::{Fit, Format, Geometry, Orientation};
use crate::library::MemoryBudget;

/// The job that enhances the image in `bytes`, and what it takes of memory. A JPEG for which there is not enough becomes smaller.
///
/// # Errors
/// [`Refusal`].
pub fn enhancing(bytes: Blob, quality: u8, max_pixels: u32) -> Result<(Job, u64), Refusal> {
    let (format, geometry) = Format::inspect_blob(&bytes).map_err(|_| Refusal::Impossible)?;
    let Geometry { dimensions, orientation } = geometry.ok_or(Refusal::Impossible)?;
    if u64::from(dimensions.width) * u64::from(dimensions.height) > u64::from(max_pixels) {
        return Err(Refusal::TooLarge);
    }
    let header = bytes.prefix(HEADER_BYTES);
    let original = Original { format, header: &header, size_bytes: bytes.size_bytes() as u64, dimensions };
    let need = memory::need_to_enhance(&original, MemoryBudget::MAX_VARIANT_BYTES).ok_or(Refusal::TooLarge)?;
    let job = Job {
        bytes,
        width: None,
        height: None,
        fit: Fit::ScaleDown,
        orientation: orientation.map_or(1, Orientation::get),
        format: made_of(format),
        quality,
        max_pixels,
        coarseness: need.coarseness,
        enhances: true,
    };
    Ok((job, need.peak_bytes))
}
