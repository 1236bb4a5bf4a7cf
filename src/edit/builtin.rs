//! The edit that needs no model: levels that use the whole range, and gentle sharpening, on pixels in memory.
//!
//! Pure functions over RGBA of 8 bits a channel. Nothing decodes for them yet, so that no `EDIT_PROVIDER` names them.

/// Bytes of a pixel.
const PIXEL: usize = 4;
/// The part of the pixels at either end of the histogram that may be lost, in thousandths: dust and reflections do not hold the levels back.
const LOST_PER_MILLE: u64 = 5;
/// The widest range that is left as it is: nobody would see the difference.
const FULL_RANGE: u8 = 245;
/// The narrowest range that is stretched: what has less is a plain surface, and stretching it would show its noise.
const LEAST_RANGE: u8 = 16;
/// How far a range is stretched at most.
const MOST_GAIN: f32 = 3.0;
/// How much of the difference from its surroundings is added to a pixel.
const SHARPNESS: f32 = 0.5;
/// Differences of so many steps and less are noise.
const NOISE: i16 = 3;
/// The most that a pixel is changed by, in steps: edges get no halo.
const MOST_CHANGE: i16 = 24;

/// Makes the levels of a picture use the whole range, then sharpens it. `rgba` has `width` pixels in each row; what does not fill a row is left
/// as it is.
pub fn enhance(rgba: &mut [u8], width: usize) {
    stretch_levels(rgba);
    sharpen(rgba, width);
}

/// How bright a pixel is, 0 to 255, by the weights of BT.601.
fn luma(pixel: &[u8]) -> u8 {
    let [red, green, blue, ..] = *pixel else { return 0 };
    let sum = 77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue);
    u8::try_from(sum >> 8).unwrap_or(u8::MAX)
}

/// How many of the visible pixels have each brightness.
#[must_use]
pub fn histogram(rgba: &[u8]) -> [u64; 256] {
    let mut counts = [0; 256];
    for pixel in rgba.chunks_exact(PIXEL).filter(|pixel| pixel.last().is_some_and(|alpha| *alpha > 0)) {
        if let Some(count) = counts.get_mut(usize::from(luma(pixel))) {
            *count += 1;
        }
    }
    counts
}

/// The darkest and the brightest level between which all but a few pixels are; `None` of a picture in which nothing is visible.
fn range(counts: &[u64; 256]) -> Option<(u8, u8)> {
    let total: u64 = counts.iter().sum();
    let lost = total * LOST_PER_MILLE / 1000;
    let levels: Vec<(u8, u64)> = (0..=u8::MAX).zip(counts.iter().copied()).collect();
    Some((end(levels.iter(), lost)?, end(levels.iter().rev(), lost)?))
}

/// The first level at which more than `lost` pixels were passed.
fn end<'level>(mut levels: impl Iterator<Item = &'level (u8, u64)>, lost: u64) -> Option<u8> {
    let mut passed = 0;
    let found = levels.find(|(_, count)| {
        passed += count;
        passed > lost
    });
    found.map(|(level, _)| *level)
}

/// Maps the range of levels that the picture uses to the whole range, all channels alike, so that hues stay.
fn stretch_levels(rgba: &mut [u8]) {
    let Some((low, high)) = range(&histogram(rgba)) else { return };
    let width = high.saturating_sub(low);
    if !(LEAST_RANGE..FULL_RANGE).contains(&width) {
        return;
    }
    let gain = (255.0 / f32::from(width)).min(MOST_GAIN);
    // What a bounded gain leaves of the range is divided between both ends as the picture does.
    let rest = 255.0 - gain * f32::from(width);
    let dark_part = f32::from(low) / f32::from(255 - width).max(1.0);
    let offset = rest * dark_part;
    let table: Vec<u8> =
        (0..=u8::MAX).map(|level| level_of(gain.mul_add(f32::from(level) - f32::from(low), offset))).collect();
    for pixel in rgba.chunks_exact_mut(PIXEL) {
        for channel in pixel.iter_mut().take(3) {
            *channel = table.get(usize::from(*channel)).copied().unwrap_or(*channel);
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of a level")]
fn level_of(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// Adds to each pixel a part of what its brightness differs by from that of the pixels around it.
fn sharpen(rgba: &mut [u8], width: usize) {
    let lumas: Vec<u8> = rgba.chunks_exact(PIXEL).map(luma).collect();
    if width == 0 {
        return;
    }
    let rows: Vec<&[u8]> = lumas.chunks_exact(width).collect();
    let row_at = |y: usize| rows.get(y.min(rows.len().saturating_sub(1))).copied().unwrap_or_default();
    for (y, pixels) in rgba.chunks_exact_mut(width * PIXEL).enumerate() {
        let around = [row_at(y.saturating_sub(1)), row_at(y), row_at(y + 1)];
        for (x, pixel) in pixels.chunks_exact_mut(PIXEL).enumerate() {
            let Some(change) = change_at(around, x) else { continue };
            for channel in pixel.iter_mut().take(3) {
                let changed = (i16::from(*channel) + change).clamp(0, 255);
                *channel = u8::try_from(changed).unwrap_or(*channel);
            }
        }
    }
}

/// What is added to the pixel at `x` of the middle row; `None` where it differs from its surroundings by noise.
#[expect(clippy::cast_possible_truncation, reason = "half of a difference of two levels")]
fn change_at(rows: [&[u8]; 3], x: usize) -> Option<i16> {
    /// Of a pixel and those around it: a Gaussian of radius 1.
    const WEIGHTS: [u16; 3] = [1, 2, 1];
    let mut sum = 0;
    for (row, vertical) in rows.into_iter().zip(WEIGHTS) {
        let last = row.len().checked_sub(1)?;
        for (at, horizontal) in [x.saturating_sub(1), x, x + 1].into_iter().zip(WEIGHTS) {
            sum += u16::from(*row.get(at.min(last))?) * vertical * horizontal;
        }
    }
    let blurred = i16::try_from(sum / 16).ok()?;
    let difference = i16::from(*rows.get(1)?.get(x)?) - blurred;
    if difference.abs() <= NOISE {
        return None;
    }
    let change = (f32::from(difference) * SHARPNESS).round() as i16;
    Some(change.clamp(-MOST_CHANGE, MOST_CHANGE))
}

/// The pixels as they are to be seen, with the new width: EXIF's orientation `orientation`, 1 to 8, applied. Another number leaves them as they
/// are.
#[must_use]
pub fn oriented(rgba: &[u8], width: usize, orientation: u8) -> (Vec<u8>, usize) {
    let height = (rgba.len() / PIXEL).checked_div(width).unwrap_or(0);
    let is_turned = (5..=8).contains(&orientation);
    let (new_width, new_height) = if is_turned { (height, width) } else { (width, height) };
    let mut turned = Vec::with_capacity(rgba.len());
    for y in 0..new_height {
        for x in 0..new_width {
            let (right, down) = (new_width - 1 - x, new_height - 1 - y);
            let (from_x, from_y) = match orientation {
                2 => (right, y),
                3 => (right, down),
                4 => (x, down),
                5 => (y, x),
                6 => (y, right),
                7 => (down, right),
                8 => (down, x),
                _ => (x, y),
            };
            let start = (from_y * width + from_x) * PIXEL;
            turned.extend_from_slice(rgba.get(start..start + PIXEL).unwrap_or_default());
        }
    }
    (turned, new_width)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "counts and places of small pictures")]
mod tests {
    use super::*;

    /// A photograph without contrast: soft shapes between two near levels, with a colour cast.
    fn dull(width: usize, height: usize) -> Vec<u8> {
        let mut rgba = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let (x, y) = (x as f32 / width as f32, y as f32 / height as f32);
                let shade = (x * 9.0).sin() * (y * 7.0).cos();
                let edge = if (x - 0.5).hypot(y - 0.5) < 0.2 { 14.0 } else { 0.0 };
                let level = 118.0 + 24.0 * shade + edge;
                rgba.extend([level_of(level + 6.0), level_of(level), level_of(level - 6.0), 255]);
            }
        }
        rgba
    }

    fn spread(rgba: &[u8]) -> (u8, u8) {
        range(&histogram(rgba)).unwrap()
    }

    fn standard_deviation(rgba: &[u8]) -> f64 {
        let counts = histogram(rgba);
        let total = counts.iter().sum::<u64>() as f64;
        let levels = || (0..256_u32).zip(counts).map(|(level, count)| (f64::from(level), count as f64));
        let mean = levels().map(|(level, count)| level * count).sum::<f64>() / total;
        (levels().map(|(level, count)| count * (level - mean).powi(2)).sum::<f64>() / total).sqrt()
    }

    /// How much a pixel differs from the next one, on average.
    fn acutance(rgba: &[u8], width: usize) -> f64 {
        let lumas: Vec<i32> = rgba.chunks_exact(PIXEL).map(|pixel| luma(pixel).into()).collect();
        let differences: Vec<i32> =
            lumas.chunks_exact(width).flat_map(|row| row.windows(2).map(|two| (two[0] - two[1]).abs())).collect();
        f64::from(differences.iter().sum::<i32>()) / differences.len() as f64
    }

    #[test]
    fn a_dull_picture_gets_contrast_and_edges() {
        let before = dull(160, 120);
        let mut after = before.clone();
        enhance(&mut after, 160);
        let (low, high) = spread(&before);
        assert!(high - low < 70, "dull: {low} to {high}");
        let (low, high) = spread(&after);
        assert!(low < 40 && high > 210, "{low} to {high}");
        assert!(standard_deviation(&after) > 2.5 * standard_deviation(&before));
        let mut stretched = before.clone();
        stretch_levels(&mut stretched);
        assert!(acutance(&after, 160) > acutance(&stretched, 160));
        assert!(after.chunks_exact(4).all(|pixel| pixel[3] == 255), "alpha stays");
        // The cast stays: red over green over blue.
        let is_cast = |pixel: &&[u8]| pixel[0] >= pixel[1] && pixel[1] >= pixel[2];
        assert_eq!(after.chunks_exact(4).filter(is_cast).count(), 160 * 120);
    }

    #[test]
    fn a_picture_that_uses_the_whole_range_keeps_its_histogram() {
        let mut rgba: Vec<u8> = (0..=255_u8).flat_map(|level| [level, level, level, 255]).collect();
        let before = rgba.clone();
        enhance(&mut rgba, 256);
        assert_eq!(rgba, before, "a ramp has no edges, and its range is full");
    }

    #[test]
    fn plain_surfaces_noise_and_what_cannot_be_seen_stay() {
        for plain in [[90, 90, 90, 255].repeat(64), [0, 200, 7, 0].repeat(64), Vec::new(), vec![1, 2, 3]] {
            let mut rgba = plain.clone();
            enhance(&mut rgba, 8);
            assert_eq!(rgba, plain);
        }
        let noise: Vec<u8> = (0..64_u8).flat_map(|at| [128 + at % 3, 128 + at % 3, 128 + at % 3, 255]).collect();
        let mut rgba = noise.clone();
        enhance(&mut rgba, 8);
        assert_eq!(rgba, noise);
    }

    #[test]
    fn a_narrow_range_is_stretched_no_further_than_its_bound() {
        let mut rgba: Vec<u8> = (0..400_u32)
            .flat_map(|at| {
                let level = u8::try_from(100 + at % 20).unwrap();
                [level, level, level, 255]
            })
            .collect();
        stretch_levels(&mut rgba);
        let (low, high) = spread(&rgba);
        assert_eq!(high - low, 57, "19 levels, three times");
        assert!((60..140).contains(&low), "about where it was: {low}");
    }

    #[test]
    fn an_edge_is_sharpened_without_a_halo() {
        let row: Vec<u8> =
            [60, 60, 60, 200, 200, 200].into_iter().flat_map(|level| [level, level, level, 255]).collect();
        let mut rgba = row.repeat(3);
        sharpen(&mut rgba, 6);
        let reds: Vec<u8> = rgba.chunks_exact(4).take(6).map(|pixel| pixel[0]).collect();
        assert_eq!(reds, [60, 60, 60 - 18, 200 + 18, 200, 200]);
    }

    #[test]
    fn every_orientation_is_the_turn_and_mirror_that_exif_says() {
        // a b c
        // d e f
        let pixels = |text: &str| text.bytes().flat_map(|byte| [byte; 4]).collect::<Vec<u8>>();
        for (orientation, expected, width) in [
            (1, "abcdef", 3),
            (2, "cbafed", 3),
            (3, "fedcba", 3),
            (4, "defabc", 3),
            (5, "adbecf", 2),
            (6, "daebfc", 2),
            (7, "fcebda", 2),
            (8, "cfbead", 2),
            (0, "abcdef", 3),
            (9, "abcdef", 3),
        ] {
            assert_eq!(oriented(&pixels("abcdef"), 3, orientation), (pixels(expected), width), "{orientation}");
        }
        assert_eq!(oriented(&[], 0, 6), (Vec::new(), 0));
    }
}
