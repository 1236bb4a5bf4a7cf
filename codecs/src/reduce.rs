//! Averages squares of pixels while rows arrive, so that a large image need not be in memory whole.

/// The longest side of a square: sums of 64 * 64 products of two bytes are below 2^32.
const MAX_SIDE: u32 = 64;

/// Takes an image row by row.
pub struct Reducer {
    side: usize,
    width: usize,
    has_alpha: bool,
    rows_in_sum: usize,
    /// Red, green, blue and alpha of each square; where there is alpha, the colours are multiplied by it.
    sums: Vec<[u32; 4]>,
    rgba: Vec<u8>,
    height: u32,
}

impl Reducer {
    /// For rows of `width` pixels, `height` of them, of which `reduction` become one in the end. At least two are left for Lanczos.
    pub fn new(width: u32, height: u32, reduction: f64, has_alpha: bool) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 64")]
        let side = (reduction / 2.0).floor().clamp(1.0, f64::from(MAX_SIDE)) as u32;
        let columns = width.div_ceil(side) as usize;
        let sums = if side == 1 { Vec::new() } else { vec![[0; 4]; columns] };
        let rgba = Vec::with_capacity(columns * height.div_ceil(side) as usize * 4);
        Self { side: side as usize, width: width as usize, has_alpha, rows_in_sum: 0, sums, rgba, height: 0 }
    }

    /// How many pixels become one, along each side.
    pub fn side(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "at most 64")]
        let side = self.side as f64;
        side
    }

    /// Takes one row: `channels` bytes a pixel, which are grey, grey and alpha, RGB, or RGBA.
    pub fn push(&mut self, row: &[u8], channels: usize) {
        let row = &row[..self.width * channels];
        if self.side == 1 {
            self.rgba.reserve(self.width * 4);
            match channels {
                4 => self.rgba.extend_from_slice(row),
                _ => self.rgba.extend(row.chunks_exact(channels).flat_map(rgba_of)),
            }
            self.height += 1;
            return;
        }
        for (square, sum) in row.chunks(self.side * channels).zip(&mut self.sums) {
            for pixel in square.chunks_exact(channels) {
                let [red, green, blue, alpha] = rgba_of(pixel).map(u32::from);
                let weight = if self.has_alpha { alpha } else { 1 };
                sum[0] += red * weight;
                sum[1] += green * weight;
                sum[2] += blue * weight;
                sum[3] += alpha;
            }
        }
        self.rows_in_sum += 1;
        if self.rows_in_sum == self.side {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let mut left = self.width;
        for sum in &mut self.sums {
            #[expect(clippy::cast_possible_truncation, reason = "at most 64 * 64")]
            let pixels = (left.min(self.side) * self.rows_in_sum) as u32;
            left = left.saturating_sub(self.side);
            let weight = if self.has_alpha { sum[3].max(1) } else { pixels };
            #[expect(clippy::cast_possible_truncation, reason = "a mean of bytes")]
            let mean = |sum: u32, weight: u32| ((sum + weight / 2) / weight) as u8;
            let [red, green, blue, alpha] = *sum;
            self.rgba.extend([mean(red, weight), mean(green, weight), mean(blue, weight), mean(alpha, pixels)]);
            *sum = [0; 4];
        }
        self.rows_in_sum = 0;
        self.height += 1;
    }

    /// The width, the height and the pixels.
    pub fn finish(mut self) -> (u32, u32, Vec<u8>) {
        if self.rows_in_sum > 0 {
            self.flush();
        }
        #[expect(clippy::cast_possible_truncation, reason = "a width of at most 2^32 pixels, divided")]
        let width = self.width.div_ceil(self.side) as u32;
        (width, self.height, self.rgba)
    }
}

/// A pixel of one to four channels.
pub fn rgba_of(pixel: &[u8]) -> [u8; 4] {
    match *pixel {
        [grey] => [grey, grey, grey, u8::MAX],
        [grey, alpha] => [grey, grey, grey, alpha],
        [red, green, blue] => [red, green, blue, u8::MAX],
        [red, green, blue, alpha, ..] => [red, green, blue, alpha],
        [] => [0; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_become_their_mean_and_edges_count_what_is_there() {
        let mut reducer = Reducer::new(3, 3, 4.0, false);
        assert!((reducer.side() - 2.0).abs() < f64::EPSILON);
        for row in [[0, 20, 100], [40, 60, 200], [7, 9, 11]] {
            reducer.push(&row, 1);
        }
        let (width, height, rgba) = reducer.finish();
        assert_eq!((width, height), (2, 2));
        let reds: Vec<u8> = rgba.chunks(4).map(|pixel| pixel[0]).collect();
        assert_eq!(reds, [30, 150, 8, 11]);
    }

    #[test]
    fn what_cannot_be_seen_has_no_colour() {
        let mut reducer = Reducer::new(2, 2, 4.0, true);
        reducer.push(&[255, 0, 0, 255, 0, 255, 0, 0], 4);
        reducer.push(&[255, 0, 0, 255, 0, 255, 0, 0], 4);
        assert_eq!(reducer.finish().2, [255, 0, 0, 128]);
    }
}
