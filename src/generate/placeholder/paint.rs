//! Shapes, painted a row at a time: a sky, lights in it, ridges before it.

use super::colour::{Colour, Rgb};

/// Steps of a glow's fall-off. Each is a contour that costs bytes; on a faint glow, 24 are not seen.
const GLOW_STEPS: f32 = 24.0;
/// Columns that are decided on together: behind a ridge, before it, or at its edge.
const BLOCK: usize = 32;

/// Colours from top to bottom.
#[derive(Debug, Clone, Copy)]
pub struct Gradient {
    pub top: Colour,
    pub bottom: Colour,
    /// Pixels from the picture's top to where the bottom colour is reached.
    pub height: f32,
}

/// Something round, in pixels.
#[derive(Debug, Clone, Copy)]
pub struct Disc {
    pub x: f32,
    pub y: f32,
    pub radius: f32,
    pub top: Colour,
    pub bottom: Colour,
    /// 0 to 1, which hides what is behind.
    pub alpha: f32,
    /// Whether it fades from its centre to nothing, or ends sharply.
    pub fades: bool,
}

/// Everything below a line, coloured from the line's highest point down.
#[derive(Debug, Clone)]
pub struct Ridge {
    columns: Vec<Crest>,
    /// The highest and lowest point of each block.
    blocks: Vec<(f32, f32)>,
    highest_y: f32,
    lowest_y: f32,
    pub top: Colour,
    pub bottom: Colour,
    /// Pixels from the line's highest point to where the bottom colour is reached.
    pub depth: f32,
}

/// The line at one column.
#[derive(Debug, Clone, Copy)]
struct Crest {
    /// Pixels from the top.
    y: f32,
    /// How fast the edge is crossed going down: 1 where the line is level.
    sharpness: f32,
}

/// A whole picture.
#[derive(Debug, Clone)]
pub struct Scene {
    pub sky: Gradient,
    /// From back to front.
    pub discs: Vec<Disc>,
    /// From back to front, all before the discs.
    pub ridges: Vec<Ridge>,
}

impl Ridge {
    /// The space below `line`, a height for each column.
    pub fn new(line: &[f32], top: Colour, bottom: Colour, depth: f32) -> Self {
        let next = line.iter().skip(1).chain(line.last());
        let sharpness = |rise: f32| 1.0 / (1.0 + rise * rise).sqrt();
        let columns = line.iter().zip(next).map(|(y, next)| Crest { y: *y, sharpness: sharpness(next - y) }).collect();
        let range = |heights: &[f32]| {
            heights.iter().fold((f32::MAX, f32::MIN), |(highest, lowest), y| (y.min(highest), y.max(lowest)))
        };
        let (highest_y, lowest_y) = range(line);
        Self { columns, blocks: line.chunks(BLOCK).map(range).collect(), highest_y, lowest_y, top, bottom, depth }
    }

    fn colour_at(&self, y: f32) -> Rgb {
        self.top.mix(self.bottom, ((y - self.highest_y) / self.depth).clamp(0.0, 1.0)).to_rgb()
    }
}

impl Scene {
    /// Paints the row whose pixels' centres are at `y`.
    pub fn paint_row(&self, row: &mut [Rgb], y: f32) {
        // An edge is sqrt(1 + slope^2) pixels high, half of it on either side of the line, and slopes stay below 3.
        let hides = |lowest_y: f32| lowest_y + 3.0 < y;
        let touches = |highest_y: f32| y + 3.0 > highest_y;

        let first = self.ridges.iter().rposition(|ridge| hides(ridge.lowest_y));
        if first.is_none() {
            row.fill(self.sky.top.mix(self.sky.bottom, (y / self.sky.height).min(1.0)).to_rgb());
            self.discs.iter().for_each(|disc| disc.paint(row, y));
        }
        let ridges = self.ridges.get(first.unwrap_or(0)..).unwrap_or_default();
        let ridges: Vec<_> =
            ridges.iter().filter(|ridge| touches(ridge.highest_y)).map(|ridge| (ridge, ridge.colour_at(y))).collect();
        for (index, pixels) in row.chunks_mut(BLOCK).enumerate() {
            let block = |ridge: &Ridge| ridge.blocks.get(index).copied().unwrap_or((f32::MAX, f32::MAX));
            let first = ridges.iter().rposition(|(ridge, _)| hides(block(ridge).1)).unwrap_or(0);
            for (ridge, colour) in ridges.iter().skip(first) {
                let (highest_y, lowest_y) = block(ridge);
                if hides(lowest_y) {
                    pixels.fill(*colour);
                } else if touches(highest_y) {
                    for (pixel, crest) in pixels.iter_mut().zip(ridge.columns.iter().skip(index * BLOCK)) {
                        let coverage = (y - crest.y) * crest.sharpness + 0.5;
                        blend(pixel, *colour, coverage);
                    }
                }
            }
        }
    }
}

impl Disc {
    fn paint(&self, row: &mut [Rgb], y: f32) {
        // Pairs of rows of a glow share their contours, which halves what they cost.
        let y = if self.fades { (y / 2.0).floor() * 2.0 } else { y };
        let dy = y - self.y;
        let reach = self.radius + 1.0;
        if dy.abs() >= reach {
            return;
        }
        let half = (reach * reach - dy * dy).sqrt();
        let colour = self.top.mix(self.bottom, 0.5 + 0.5 * dy / self.radius).to_rgb();
        let from = (self.x - half).max(0.0) as usize;
        let to = (self.x + half).max(0.0) as usize + 1;
        let solid = ((self.radius - 1.0) * (self.radius - 1.0) - dy * dy).max(0.0);
        for (column, pixel) in row.iter_mut().enumerate().take(to).skip(from) {
            let dx = column as f32 + 0.5 - self.x;
            let distance2 = dx * dx + dy * dy;
            let coverage = if self.fades {
                let nearness = (1.0 - distance2 / (self.radius * self.radius)).max(0.0);
                (nearness * nearness * GLOW_STEPS).floor() / GLOW_STEPS
            } else if dx * dx < solid {
                1.0
            } else {
                self.radius - distance2.sqrt() + 0.5
            };
            blend(pixel, colour, coverage.clamp(0.0, 1.0) * self.alpha);
        }
    }
}

/// Puts `colour` over the pixel; `alpha` of 1 and more hides what was there, 0 and less does nothing.
fn blend(pixel: &mut Rgb, colour: Rgb, alpha: f32) {
    if alpha >= 1.0 {
        *pixel = colour;
    } else if alpha > 0.0 {
        let alpha = (alpha * 256.0) as u32;
        let mix = |under: u8, over: u8| ((u32::from(under) * (256 - alpha) + u32::from(over) * alpha + 128) >> 8) as u8;
        *pixel = [mix(pixel[0], colour[0]), mix(pixel[1], colour[1]), mix(pixel[2], colour[2])];
    }
}
