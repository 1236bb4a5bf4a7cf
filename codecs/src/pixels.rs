//! Decoded pixels on their way to a variant.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::Refusal;
use crate::geometry::Plan;
use crate::reduce::rgba_of;

/// Rows of an image that are turned into RGBA and scaled at once: 8 MB of one that is 4,000 pixels wide.
const ROWS_AT_ONCE: u32 = 512;
/// How far Lanczos3 looks, in pixels of whichever is smaller, and a little more.
const REACH: f64 = 4.0;

/// A decoded image, perhaps already reduced.
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    /// Bytes of a pixel: grey; grey and alpha; red, green, blue; and alpha, by which they are not multiplied.
    pub channels: usize,
    pub samples: Vec<u8>,
    /// Whether alpha is something else than 255 anywhere, or may be.
    pub has_alpha: bool,
    pub profile: Option<Vec<u8>>,
    pub is_of_animation: bool,
    pub plan: Plan,
    /// How many of the image's pixels one of these stands for, along each side.
    pub reduced_by: f64,
}

/// What is to be encoded.
pub struct Canvas {
    pub width: u32,
    pub height: u32,
    /// Bytes of a pixel: 1, 3 or 4, as in [`Pixels`].
    pub channels: usize,
    pub samples: Vec<u8>,
    pub is_opaque: bool,
}

/// The part of decoded pixels that a variant shows.
#[derive(Clone, Copy)]
struct Shown {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Pixels {
    /// The part that the plan shows, at the variant's size.
    pub fn scaled(self) -> Result<Canvas, Refusal> {
        let plan = self.plan;
        if self.is_the_variant() {
            let is_opaque = self.channels != 4 || !self.has_alpha || is_opaque(&self.samples);
            return Ok(Canvas {
                width: self.width,
                height: self.height,
                channels: self.channels,
                samples: self.samples,
                is_opaque,
            });
        }
        let clamped = |from: f64, length: f64, limit: u32| {
            let limit = f64::from(limit);
            let from = (from / self.reduced_by).min(limit);
            (from, (length / self.reduced_by).min(limit - from))
        };
        let (left, width) = clamped(plan.left, plan.shown_width, self.width);
        let (top, height) = clamped(plan.top, plan.shown_height, self.height);
        let shown = Shown { left, top, width, height };
        let mut rgba = vec![0; plan.width as usize * plan.height as usize * 4];
        let scaled = if self.channels == 4 {
            self.scale_rows(&mut rgba, shown, (0, plan.height), (0, self.height), &self.samples)
        } else {
            self.scale_in_strips(&mut rgba, shown)
        };
        scaled.ok_or(Refusal::Undecodable)?;
        let is_opaque = !self.has_alpha || is_opaque(&rgba);
        Ok(Canvas { width: plan.width, height: plan.height, channels: 4, samples: rgba, is_opaque })
    }

    /// Whether the variant shows the whole image: what is cut off is cut off at both sides.
    pub fn shows_all(&self) -> bool {
        self.plan.left <= 0.0 && self.plan.top <= 0.0
    }

    /// Whether the variant is these pixels as they are: they are then not in memory twice.
    fn is_the_variant(&self) -> bool {
        let plan = self.plan;
        self.channels != 2 && self.shows_all() && (self.width, self.height) == (plan.width, plan.height)
    }

    /// Scales some rows of the variant after the others, so that not the whole image is there as RGBA.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rows of the image")]
    fn scale_in_strips(&self, rgba: &mut [u8], shown: Shown) -> Option<()> {
        let rows_of_one = shown.height / f64::from(self.plan.height);
        let reach = REACH * rows_of_one.max(1.0);
        let strip = ((f64::from(ROWS_AT_ONCE) - 2.0 * reach).max(reach) / rows_of_one).max(1.0) as u32;
        let mut number = 0;
        while number < self.plan.height {
            let end = number.saturating_add(strip).min(self.plan.height);
            let first = (shown.top + f64::from(number) * rows_of_one - reach).max(0.0) as u32;
            let last = ((shown.top + f64::from(end) * rows_of_one + reach).ceil() as u32).min(self.height);
            let row_bytes = self.width as usize * self.channels;
            let samples = self.samples.get(first as usize * row_bytes..last as usize * row_bytes)?;
            let source = match self.channels {
                3 => opaque(samples),
                channels => samples.chunks_exact(channels).flat_map(rgba_of).collect(),
            };
            self.scale_rows(rgba, shown, (number, end), (first, last), &source)?;
            number = end;
        }
        Some(())
    }

    /// Scales the rows of the variant from one number to another out of the image's rows in `source`.
    fn scale_rows(
        &self,
        rgba: &mut [u8],
        shown: Shown,
        (from, to): (u32, u32),
        (first, last): (u32, u32),
        source: &[u8],
    ) -> Option<()> {
        let source = ImageRef::new(self.width, last - first, source, PixelType::U8x4).ok()?;
        let row_bytes = self.plan.width as usize * 4;
        let rows = rgba.get_mut(from as usize * row_bytes..to as usize * row_bytes)?;
        let mut target = Image::from_slice_u8(self.plan.width, to - from, rows, PixelType::U8x4).ok()?;
        let rows_of_one = shown.height / f64::from(self.plan.height);
        let top = (shown.top + f64::from(from) * rows_of_one - f64::from(first)).max(0.0);
        let height = (f64::from(to - from) * rows_of_one).min(f64::from(last - first) - top);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .crop(shown.left, top, shown.width, height)
            .use_alpha(self.has_alpha);
        Resizer::new().resize(&source, &mut target, &options).ok()
    }
}

fn is_opaque(rgba: &[u8]) -> bool {
    rgba.chunks_exact(4).all(|pixel| pixel[3] == u8::MAX)
}

fn opaque(rgb: &[u8]) -> Vec<u8> {
    let mut rgba = Vec::with_capacity(rgb.len() / 3 * 4);
    rgba.extend(rgb.as_chunks().0.iter().flat_map(|[red, green, blue]| [*red, *green, *blue, u8::MAX]));
    rgba
}

impl Canvas {
    /// The width and the height once an EXIF orientation is applied.
    pub fn upright_size(&self, orientation: u8) -> (u32, u32) {
        if (5..=8).contains(&orientation) { (self.height, self.width) } else { (self.width, self.height) }
    }

    /// The bytes of the pixel that is in a column and a row once an EXIF orientation is applied.
    pub fn upright_pixel(&self, orientation: u8, column: usize, row: usize) -> &[u8] {
        let (width, height) = (self.width as usize, self.height as usize);
        let (from_column, from_row) = match orientation {
            2 => (width - 1 - column, row),
            3 => (width - 1 - column, height - 1 - row),
            4 => (column, height - 1 - row),
            5 => (row, column),
            6 => (row, height - 1 - column),
            7 => (width - 1 - row, height - 1 - column),
            8 => (width - 1 - row, column),
            _ => (column, row),
        };
        &self.samples[(from_row * width + from_column) * self.channels..][..self.channels]
    }

    /// Turned and mirrored, so that it is upright without its EXIF orientation.
    pub fn oriented(self, orientation: u8) -> Self {
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let (width, height) = self.upright_size(orientation);
        let mut samples = Vec::with_capacity(self.samples.len());
        for row in 0..height as usize {
            for column in 0..width as usize {
                samples.extend_from_slice(self.upright_pixel(orientation, column, row));
            }
        }
        Self { width, height, samples, ..self }
    }
}
