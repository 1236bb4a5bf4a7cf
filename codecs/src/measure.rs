//! What can be said of an image without a model: a placeholder, its colours, how sharp it is, and what it looks like from afar.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::enhance::luma;
use crate::pixels::{Canvas, Pixels};
use crate::reduce::{Reducer, rgba_of};
use crate::{Fit, Refusal, Request, Target};

/// Images are measured at this size at most: what is blurred when it is seen in a page counts as blurred.
pub const MEASURED_SIDE: u32 = 512;
/// The longest side that `ThumbHash` takes.
const THUMB_SIDE: u32 = 100;
/// Colours are counted in an image of this size at most.
const COLOUR_SIDE: u32 = 64;
/// The most colours that are named.
const MOST_COLOURS: usize = 5;
/// Colours that differ by less than this, as a distance in RGB, are one.
const NEAR_COLOUR: u32 = 48;
/// A colour that fewer pixels have is not named, in hundredths.
const LEAST_PER_CENT: usize = 2;

/// A colour, and how many hundredths of the visible pixels have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour {
    pub rgb: [u8; 3],
    pub per_cent: u8,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Measures {
    /// At most 25 bytes.
    pub thumbhash: Vec<u8>,
    /// The most frequent first; none of an image in which nothing is visible.
    pub colours: Vec<Colour>,
    /// The variance of the brightness's Laplacian: below about 100 an image looks blurred.
    pub sharpness: u32,
    /// A bit for each of 8 by 8 places, whether it is brighter than its left neighbour: near-duplicates differ in few.
    pub difference_hash: u64,
}

/// What a page shows while an image is on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// At most 25 bytes.
    pub thumbhash: Vec<u8>,
    /// The most frequent colour; none of an image in which nothing is visible.
    pub colour: Option<[u8; 3]>,
}

/// Pixels of a whole image, as they are stored.
pub struct Whole<'samples> {
    pub width: u32,
    pub height: u32,
    /// As of [`Pixels`].
    pub channels: usize,
    pub samples: &'samples [u8],
    pub has_alpha: bool,
}

impl<'samples> From<&'samples Pixels> for Whole<'samples> {
    fn from(pixels: &'samples Pixels) -> Self {
        let Pixels { width, height, channels, has_alpha, ref samples, .. } = *pixels;
        Self { width, height, channels, samples, has_alpha }
    }
}

impl<'samples> From<&'samples Canvas> for Whole<'samples> {
    fn from(canvas: &'samples Canvas) -> Self {
        let Canvas { width, height, channels, is_opaque, ref samples } = *canvas;
        Self { width, height, channels, samples, has_alpha: !is_opaque }
    }
}

impl Placeholder {
    /// Of an image with this EXIF orientation, which is averaged row by row, so that it takes no memory to speak of.
    ///
    /// # Errors
    /// [`Refusal::Undecodable`] of one without pixels.
    pub fn of(whole: &Whole<'_>, orientation: u8) -> Result<Self, Refusal> {
        let Whole { width, height, channels, samples, has_alpha } = *whole;
        let reduction = f64::from(width.max(height)) / f64::from(THUMB_SIDE);
        let mut reducer = Reducer::new(width, height, reduction, has_alpha);
        for row in samples.chunks_exact(width as usize * channels) {
            reducer.push(row, channels);
        }
        let (width, height, samples) = reducer.finish();
        let small = Canvas { width, height, channels: 4, samples, is_opaque: false }.oriented(orientation);
        let (size, rgba) = ((small.width, small.height), &small.samples[..]);
        let (thumb_width, thumb_height) = within(size, THUMB_SIDE);
        let thumb = resized(rgba, size, (thumb_width, thumb_height)).ok_or(Refusal::Undecodable)?;
        let coloured = resized(rgba, size, within(size, COLOUR_SIDE)).ok_or(Refusal::Undecodable)?;
        Ok(Self {
            thumbhash: thumbhash::rgba_to_thumb_hash(thumb_width as usize, thumb_height as usize, &thumb),
            colour: colours(&coloured).first().map(|colour| colour.rgb),
        })
    }

    /// The form in which it leaves the module: whether there is a colour, that, and the `ThumbHash`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![u8::from(self.colour.is_some())];
        bytes.extend(self.colour.unwrap_or_default());
        bytes.extend(&self.thumbhash);
        bytes
    }
}

/// What an image is decoded for.
pub fn request(orientation: u8, max_pixels: u32, coarseness: u8) -> Request {
    Request {
        width: MEASURED_SIDE,
        height: MEASURED_SIDE,
        fit: Fit::ScaleDown,
        orientation,
        target: Target::Png,
        quality: 1,
        max_pixels,
        coarseness,
        enhances: false,
        with_placeholder: false,
    }
}

/// Measures an upright canvas.
///
/// # Errors
/// [`Refusal::Undecodable`] of one without pixels.
pub fn measure(canvas: &Canvas) -> Result<Measures, Refusal> {
    let rgba: Vec<u8> = canvas.samples.chunks_exact(canvas.channels).flat_map(rgba_of).collect();
    let (width, height) = (canvas.width, canvas.height);
    let within = |side: u32| within((width, height), side);
    let resized = |(to_width, to_height)| resized(&rgba, (width, height), (to_width, to_height));
    let (thumb_width, thumb_height) = within(THUMB_SIDE);
    let thumb = resized((thumb_width, thumb_height)).ok_or(Refusal::Undecodable)?;
    let coloured = resized(within(COLOUR_SIDE)).ok_or(Refusal::Undecodable)?;
    let tiny = resized((9, 8)).ok_or(Refusal::Undecodable)?;
    Ok(Measures {
        thumbhash: thumbhash::rgba_to_thumb_hash(thumb_width as usize, thumb_height as usize, &thumb),
        colours: colours(&coloured),
        sharpness: sharpness(&rgba, width as usize),
        difference_hash: difference_hash(&tiny),
    })
}

impl Measures {
    /// The form in which they leave the module: sharpness and hash, little-endian, the number of colours, four bytes for each, and the
    /// `ThumbHash`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.sharpness.to_le_bytes().to_vec();
        bytes.extend(self.difference_hash.to_le_bytes());
        // At most five.
        bytes.push(u8::try_from(self.colours.len()).unwrap_or(0));
        for Colour { rgb, per_cent } in &self.colours {
            bytes.extend(rgb);
            bytes.push(*per_cent);
        }
        bytes.extend(&self.thumbhash);
        bytes
    }
}

/// A size, as large as possible within a square.
fn within((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longer = width.max(height).max(side);
    let scaled = |length: u32| (length * side / longer).max(1);
    (scaled(width), scaled(height))
}

fn resized(rgba: &[u8], (width, height): (u32, u32), (to_width, to_height): (u32, u32)) -> Option<Vec<u8>> {
    let source = ImageRef::new(width, height, rgba, PixelType::U8x4).ok()?;
    let mut target = Image::new(to_width, to_height, PixelType::U8x4);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).use_alpha(true);
    Resizer::new().resize(&source, &mut target, &options).ok()?;
    Some(target.into_vec())
}

/// Groups of near colours, each around the most frequent one that is left.
fn colours(rgba: &[u8]) -> Vec<Colour> {
    let mut counts = vec![(0_usize, [0_u32; 3]); 4096];
    let mut visible = 0;
    for [red, green, blue, alpha] in rgba.as_chunks().0 {
        if *alpha < 128 {
            continue;
        }
        visible += 1;
        let cell = usize::from(red >> 4) << 8 | usize::from(green >> 4) << 4 | usize::from(blue >> 4);
        let (count, sums) = &mut counts[cell];
        *count += 1;
        for (sum, colour) in sums.iter_mut().zip([red, green, blue]) {
            *sum += u32::from(*colour);
        }
    }
    let mut cells: Vec<(usize, [u8; 3])> =
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, sums)| (count, mean(count, sums))).collect();
    cells.sort_by_key(|(count, rgb)| (usize::MAX - count, *rgb));
    let mut groups: Vec<(usize, [u8; 3])> = Vec::new();
    for (count, rgb) in cells {
        match groups.iter_mut().find(|(_, other)| distance_squared(*other, rgb) < NEAR_COLOUR * NEAR_COLOUR) {
            Some((total, _)) => *total += count,
            None => groups.push((count, rgb)),
        }
    }
    groups.sort_by_key(|(count, _)| usize::MAX - count);
    let named = groups.into_iter().enumerate();
    let named = named.filter(|(number, (count, _))| *number == 0 || count * 100 >= LEAST_PER_CENT * visible);
    let named =
        named.map(|(_, (count, rgb))| Colour { rgb, per_cent: u8::try_from(count * 100 / visible).unwrap_or(100) });
    named.take(MOST_COLOURS).collect()
}

fn mean(count: usize, sums: [u32; 3]) -> [u8; 3] {
    let count = u32::try_from(count).unwrap_or(u32::MAX).max(1);
    // Means of bytes.
    sums.map(|sum| u8::try_from((sum + count / 2) / count).unwrap_or(u8::MAX))
}

fn distance_squared(one: [u8; 3], other: [u8; 3]) -> u32 {
    one.iter().zip(other).map(|(one, other)| u32::from(one.abs_diff(other)).pow(2)).sum()
}

/// The variance of what a pixel's brightness differs by from that of its four neighbours.
fn sharpness(rgba: &[u8], width: usize) -> u32 {
    let lumas: Vec<i64> = rgba.chunks_exact(4).map(|pixel| i64::from(luma(pixel))).collect();
    let rows: Vec<&[i64]> = lumas.chunks_exact(width).collect();
    let (mut count, mut sum, mut squares) = (0, 0, 0);
    for three in rows.windows(3) {
        let (above, middle, below) = (three[0], three[1], three[2]);
        for column in 1..width.saturating_sub(1) {
            let around = above[column] + below[column] + middle[column - 1] + middle[column + 1];
            let difference = 4 * middle[column] - around;
            count += 1;
            sum += difference;
            squares += difference * difference;
        }
    }
    if count == 0 {
        return 0;
    }
    u32::try_from((squares - sum * sum / count) / count).unwrap_or(0)
}

/// Of 9 by 8 pixels.
fn difference_hash(rgba: &[u8]) -> u64 {
    let lumas: Vec<u8> = rgba.chunks_exact(4).map(luma).collect();
    let brighter = lumas.chunks_exact(9).flat_map(|row| row.windows(2).map(|two| two[1] > two[0]));
    brighter.fold(0, |hash, is_brighter| hash << 1 | u64::from(is_brighter))
}
