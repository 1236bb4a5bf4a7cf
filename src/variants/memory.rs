//! What making a variant takes of memory, from an image's header: asked for before anything is decoded.
//!
//! The factors are above what was measured in V8; docs/variants.md has the figures.

use crate::image::{Dimensions, Fit, Format, VariantForm, VariantFormat};
use crate::store::EMBEDDED_MAX_BYTES;

/// How much of a file holds its header. Photographs carry a small picture of themselves, and more, in front of theirs.
pub const HEADER_BYTES: usize = 256 * 1024;
/// What the module takes at rest, and small things.
const BASE_BYTES: u64 = 4 * 1024 * 1024;
/// 512 rows of 4,000 pixels as RGBA.
const STRIP_BYTES: u64 = 8 * 1024 * 1024;

/// A JPEG of more pixels is encoded without its own Huffman tables, for which all coefficients would be in memory.
const WITHOUT_COEFFICIENTS_PIXELS: u64 = 2_000_000;

/// The longest variant that is taken from elsewhere.
const MAX_MADE_BYTES: u64 = EMBEDDED_MAX_BYTES;

/// An image that a variant is to be made of.
#[derive(Debug, Clone, Copy)]
pub struct Original<'image> {
    pub format: Format,
    /// Its first [`HEADER_BYTES`].
    pub header: &'image [u8],
    pub size_bytes: u64,
    pub dimensions: Dimensions,
}

/// What a variant takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    pub peak_bytes: u64,
    /// The part of its size that a JPEG is decoded at, at most: 1, 2, 4 or 8.
    pub coarseness: u8,
}

/// What making `form` takes. If that is more than `limit_bytes`, a JPEG is decoded at a half, a quarter or an eighth of its size; `None`
/// when that does not help.
pub fn need(original: &Original<'_>, form: &VariantForm, limit_bytes: u64) -> Option<Need> {
    least(original, limit_bytes, |coarseness| peak_bytes(original, form, coarseness))
}

/// What it takes to have `form` made elsewhere: the image twice, on its way out, and the variant. `None` when that is more than `limit_bytes`.
pub fn need_elsewhere(original: &Original<'_>, form: &VariantForm, limit_bytes: u64) -> Option<Need> {
    let made_bytes = 4 * made_pixels(original.dimensions, form);
    let peak_bytes = 2 * original.size_bytes + made_bytes.min(MAX_MADE_BYTES);
    (peak_bytes <= limit_bytes).then_some(Need { peak_bytes, coarseness: 1 })
}

/// What it takes to enhance an image in its own size; a JPEG in a half of it or less, where that is more than `limit_bytes`.
pub fn need_to_enhance(original: &Original<'_>, limit_bytes: u64) -> Option<Need> {
    least(original, limit_bytes, |coarseness| enhancing_bytes(original, coarseness))
}

/// The need with the finest decoding for which there is memory.
fn least(original: &Original<'_>, limit_bytes: u64, peak_bytes: impl Fn(u64) -> u64) -> Option<Need> {
    let all: &[u8] = if original.format == Format::Jpeg { &[1, 2, 4, 8] } else { &[1] };
    let need = |coarseness: &u8| Need { peak_bytes: peak_bytes((*coarseness).into()), coarseness: *coarseness };
    all.iter().map(need).find(|need| need.peak_bytes <= limit_bytes)
}

fn enhancing_bytes(original: &Original<'_>, coarseness: u64) -> u64 {
    let Original { format, header, size_bytes, dimensions } = *original;
    let pixels = u64::from(dimensions.width) * u64::from(dimensions.height);
    let peak_bytes = match format {
        // Red, green and blue, with their planes while it is decoded, and with the file, which grows by doubling, while it is encoded.
        Format::Jpeg => {
            let made = pixels / (coarseness * coarseness);
            let (coefficients, planes) = jpeg_bytes(header, pixels, made);
            coefficients + planes + 4 * made
        }
        // RGBA, turned, without alpha, and the file.
        Format::Png | Format::Gif | Format::Webp => 13 * pixels,
        Format::Svg | Format::Avif | Format::Heic => 0,
    };
    BASE_BYTES + 2 * size_bytes + peak_bytes
}

fn peak_bytes(original: &Original<'_>, form: &VariantForm, coarseness: u64) -> u64 {
    let Original { format, header, size_bytes, dimensions } = *original;
    let pixels = u64::from(dimensions.width) * u64::from(dimensions.height);
    let reduction = reduction(dimensions, form);
    let made = made_pixels(dimensions, form) / if enlarges(form) { 1 } else { coarseness * coarseness };
    // Squares of this many pixels are averaged on the way.
    let side = (reduction / 2).max(1);
    let averaged = pixels / (side * side);
    // While it is decoded, and what of that is there while it is scaled.
    let (decoding, decoded) = match format {
        Format::Jpeg => {
            let scale = [8, 4, 2].into_iter().find(|scale| reduction >= *scale).unwrap_or(1).max(coarseness);
            let scaled = pixels / (scale * scale);
            let (coefficients, planes) = jpeg_bytes(header, pixels, scaled);
            (coefficients + planes + 4 * scaled, 3 * scaled)
        }
        Format::Png => {
            // The last byte of IHDR.
            let is_interlaced = header.get(28).is_some_and(|method| *method != 0);
            ((if is_interlaced { 4 * pixels } else { 0 }) + 4 * averaged, 4 * averaged)
        }
        Format::Gif => (pixels + 4 * averaged, 4 * averaged),
        // ARGB of a lossless one or of its alpha, otherwise planes; and RGB or RGBA.
        Format::Webp => {
            let is_lossy = header.get(12..16) == Some(b"VP8 ");
            let of_a_pixel = if is_lossy { 5 } else { 8 };
            (of_a_pixel * pixels + if side > 1 { 4 * averaged } else { 0 }, 4 * averaged)
        }
        Format::Svg | Format::Avif | Format::Heic => (0, 0),
    };
    // A strip as RGBA, and its rows once they are as wide as the variant; where there is alpha, twice.
    let scaling = decoded + decoded.min(STRIP_BYTES * 3) + 4 * made;
    // RGBA, turned; then without alpha, coefficients, and the file, which grow by doubling.
    let is_jpeg = match form.format() {
        VariantFormat::Jpeg => true,
        VariantFormat::Original => format == Format::Jpeg,
        VariantFormat::Png | VariantFormat::Webp | VariantFormat::JpegOrPng | VariantFormat::JpegOrWebp => false,
    };
    let encoding = if is_jpeg && made > WITHOUT_COEFFICIENTS_PIXELS { 8 * made } else { 18 * made };
    // The image is in JS, and until it is decoded in the module.
    BASE_BYTES + 2 * size_bytes + decoding.max(scaling).max(encoding)
}

/// Whether the variant may be larger than the image.
const fn enlarges(form: &VariantForm) -> bool {
    matches!(form.fit(), Fit::Contain | Fit::Cover)
}

/// How many pixels of the image become one along the side where they are fewest, rounded down.
fn reduction(dimensions: Dimensions, form: &VariantForm) -> u64 {
    let of = |side: Option<u32>, from: u32| side.map(|side| u64::from(from / side.max(1)));
    let (horizontal, vertical) = (of(form.width(), dimensions.width), of(form.height(), dimensions.height));
    let reduction = match (horizontal, vertical, form.fit()) {
        (Some(horizontal), Some(vertical), Fit::Contain | Fit::ScaleDown) => horizontal.max(vertical),
        (Some(horizontal), Some(vertical), Fit::Cover | Fit::Crop) => horizontal.min(vertical),
        (one, other, _) => one.or(other).unwrap_or(1),
    };
    reduction.max(1)
}

fn made_pixels(dimensions: Dimensions, form: &VariantForm) -> u64 {
    let (from_width, from_height) = (u64::from(dimensions.width.max(1)), u64::from(dimensions.height.max(1)));
    let pixels = match (form.width().map(u64::from), form.height().map(u64::from)) {
        (Some(width), Some(height)) => width * height,
        (Some(width), None) => width * (width * from_height).div_ceil(from_width),
        (None, Some(height)) => height * (height * from_width).div_ceil(from_height),
        (None, None) => from_width * from_height,
    };
    if enlarges(form) { pixels } else { pixels.min(from_width * from_height) }
}

/// What the coefficients and the planes of a JPEG take: of a baseline one no coefficients, of a progressive one two bytes for each sample.
fn jpeg_bytes(header: &[u8], pixels: u64, scaled: u64) -> (u64, u64) {
    // Three components, none of them reduced.
    let (is_progressive, samples) = frame_header(header).unwrap_or((true, vec![(1, 1); 3]));
    let most = samples.iter().map(|(horizontal, vertical)| horizontal * vertical).max().unwrap_or(1).max(1);
    let all: u64 = samples.iter().map(|(horizontal, vertical)| horizontal * vertical).sum();
    (if is_progressive { 2 * pixels * all / most } else { 0 }, scaled * all / most)
}

/// Whether a JPEG is progressive, and the sampling factors of its components; `None` when its frame header is not in `header`.
fn frame_header(header: &[u8]) -> Option<(bool, Vec<(u64, u64)>)> {
    let mut at = 2;
    loop {
        let marker = loop {
            match (header.get(at)?, header.get(at + 1)?) {
                (0xFF, 0xFF) => at += 1,
                (0xFF, marker) => break *marker,
                _ => return None,
            }
        };
        let length = usize::from(u16::from_be_bytes([*header.get(at + 2)?, *header.get(at + 3)?]));
        match marker {
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                let components = header.get(at + 10..at + 2 + length)?.chunks_exact(3);
                let factors = components.map(|component| (u64::from(component[1] >> 4), u64::from(component[1] & 15)));
                return Some((marker != 0xC0 && marker != 0xC1, factors.collect()));
            }
            _ => at += 2 + length,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABYTE: u64 = 1_000_000;
    const TWELVE: Dimensions = Dimensions { width: 4_000, height: 3_000 };

    fn form(width: u32) -> VariantForm {
        VariantForm::new(Some(width), None, Fit::ScaleDown, VariantFormat::Jpeg, 75)
    }

    /// A JPEG up to its frame header; the first component is sampled twice each way.
    fn jpeg(marker: u8) -> Vec<u8> {
        let mut header = vec![0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 0, 0, 0xFF, marker, 0, 17, 8, 0x0B, 0xB8, 0x0F, 0xA0, 3];
        header.extend([1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1]);
        header
    }

    #[test]
    fn twelve_megapixels_take_about_what_was_measured() {
        // Least is what was measured, in MB, with the image once more in JS.
        for (name, header, width, format, least, most) in [
            ("baseline to 640", jpeg(0xC0), 640, Format::Jpeg, 15, 20),
            ("baseline to 1080", jpeg(0xC0), 1_080, Format::Jpeg, 27, 35),
            ("baseline to 2048", jpeg(0xC0), 2_048, Format::Jpeg, 69, 85),
            ("baseline to 3840", jpeg(0xC0), 3_840, Format::Jpeg, 100, 120),
            ("progressive to 640", jpeg(0xC2), 640, Format::Jpeg, 47, 60),
            ("no frame header", vec![0xFF, 0xD8], 640, Format::Jpeg, 80, 100),
            ("PNG to 640", vec![0; 29], 640, Format::Png, 14, 30),
            ("interlaced PNG to 640", vec![1; 29], 640, Format::Png, 48, 70),
            ("lossy WebP to 640", b"RIFF....WEBPVP8 ............".to_vec(), 640, Format::Webp, 65, 85),
            ("other WebP to 640", vec![0; 29], 640, Format::Webp, 94, 120),
        ] {
            let original = Original { format, header: &header, size_bytes: 3 * MEGABYTE, dimensions: TWELVE };
            let bytes = peak_bytes(&original, &form(width), 1);
            assert!((least * MEGABYTE..most * MEGABYTE).contains(&bytes), "{name}: {bytes}");
        }
    }

    #[test]
    fn a_large_jpeg_is_decoded_more_coarsely_where_memory_is_short() {
        let header = jpeg(0xC0);
        let dimensions = Dimensions { width: 6_000, height: 4_000 };
        let original = Original { format: Format::Jpeg, header: &header, size_bytes: 6 * MEGABYTE, dimensions };
        let coarseness = |limit_bytes| need(&original, &form(3_840), limit_bytes).map(|need| need.coarseness);
        assert_eq!(coarseness(500 * MEGABYTE), Some(1));
        assert_eq!(coarseness(99 * MEGABYTE), Some(2));
        assert_eq!(coarseness(10 * MEGABYTE), None);
        let png = Original { format: Format::Png, ..original };
        assert_eq!(need(&png, &form(3_840), 95 * MEGABYTE), None);
    }

    #[test]
    fn twelve_megapixels_are_enhanced_in_their_own_size() {
        let need = |marker, dimensions, format| {
            let header = jpeg(marker);
            let original = Original { format, header: &header, size_bytes: 3 * MEGABYTE, dimensions };
            need_to_enhance(&original, 95 * 1024 * 1024).map(|need| (need.coarseness, need.peak_bytes / MEGABYTE))
        };
        // Measured: 56 and 92 MB, with a file of 1 MB.
        assert_eq!(need(0xC0, TWELVE, Format::Jpeg), Some((1, 76)));
        assert_eq!(need(0xC2, TWELVE, Format::Jpeg), Some((2, 62)));
        assert_eq!(need(0xC0, Dimensions { width: 6_000, height: 4_000 }, Format::Jpeg), Some((2, 43)));
        assert_eq!(need(0xC0, TWELVE, Format::Png), None);
        let three = Dimensions { width: 2_000, height: 1_500 };
        assert_eq!(need(0xC0, three, Format::Webp), Some((1, 49)));
    }

    #[test]
    fn a_header_that_breaks_off_counts_as_the_worst() {
        let header = jpeg(0xC0);
        for length in 0..header.len() {
            assert_eq!(jpeg_bytes(&header[..length], 10, 10), (60, 30), "{length}");
        }
        assert_eq!(jpeg_bytes(&header, 10, 10), (0, 15));
        assert_eq!(jpeg_bytes(&jpeg(0xC2), 10, 2), (30, 3));
    }
}
