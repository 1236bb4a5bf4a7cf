//! Decoded pixels on their way to a variant.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};

use crate::Refusal;
use crate::geometry::Plan;

/// A decoded image, perhaps already reduced.
pub struct Pixels {
    pub width: u32,
    pub height: u32,
    /// Four bytes a pixel: red, green, blue, alpha, not multiplied.
    pub rgba: Vec<u8>,
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
    pub rgba: Vec<u8>,
    pub is_opaque: bool,
}

impl Pixels {
    /// The part that the plan shows, at the variant's size.
    pub fn scaled(self) -> Result<Canvas, Refusal> {
        let Self { width, height, rgba, has_alpha, plan, reduced_by, .. } = self;
        let clamped = |from: f64, length: f64, limit: u32| {
            let limit = f64::from(limit);
            let from = (from / reduced_by).min(limit);
            (from, (length / reduced_by).min(limit - from))
        };
        let (left, shown_width) = clamped(plan.left, plan.shown_width, width);
        let (top, shown_height) = clamped(plan.top, plan.shown_height, height);
        let source = ImageRef::new(width, height, &rgba, PixelType::U8x4).map_err(|_| Refusal::Undecodable)?;
        let mut scaled = Image::new(plan.width, plan.height, PixelType::U8x4);
        let options = ResizeOptions::new()
            .resize_alg(ResizeAlg::Convolution(FilterType::Lanczos3))
            .crop(left, top, shown_width, shown_height)
            .use_alpha(has_alpha);
        Resizer::new().resize(&source, &mut scaled, &options).map_err(|_| Refusal::Undecodable)?;
        let rgba = scaled.into_vec();
        let is_opaque = !has_alpha || rgba.chunks_exact(4).all(|pixel| pixel[3] == u8::MAX);
        Ok(Canvas { width: plan.width, height: plan.height, rgba, is_opaque })
    }
}

impl Canvas {
    /// Turned and mirrored, so that it is upright without its EXIF orientation.
    pub fn oriented(self, orientation: u8) -> Self {
        let (width, height) = (self.width as usize, self.height as usize);
        let (to_width, to_height) = if orientation >= 5 { (height, width) } else { (width, height) };
        // Where the pixel in a column and a row of the output comes from.
        let origin = |column: usize, row: usize| match orientation {
            2 => (width - 1 - column, row),
            3 => (width - 1 - column, height - 1 - row),
            4 => (column, height - 1 - row),
            5 => (row, column),
            6 => (row, height - 1 - column),
            7 => (width - 1 - row, height - 1 - column),
            8 => (width - 1 - row, column),
            _ => (column, row),
        };
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let mut rgba = Vec::with_capacity(self.rgba.len());
        for row in 0..to_height {
            for column in 0..to_width {
                let (from_column, from_row) = origin(column, row);
                let at = (from_row * width + from_column) * 4;
                rgba.extend_from_slice(&self.rgba[at..at + 4]);
            }
        }
        let (width, height) = if orientation >= 5 { (self.height, self.width) } else { (self.width, self.height) };
        Self { width, height, rgba, ..self }
    }
}
