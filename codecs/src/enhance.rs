//! The edit that needs no model: levels that use the whole range, then gentle sharpening.

use crate::pixels::Canvas;

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

/// Makes the levels of a picture use the whole range, then sharpens it. Alpha stays.
pub fn enhance(canvas: &mut Canvas) {
    stretch_levels(&mut canvas.samples, canvas.channels);
    sharpen(&mut canvas.samples, canvas.width as usize, canvas.channels);
}

/// How bright a pixel is, 0 to 255, by the weights of BT.601.
pub fn luma(pixel: &[u8]) -> u8 {
    match *pixel {
        [red, green, blue, ..] => {
            let sum = 77 * u32::from(red) + 150 * u32::from(green) + 29 * u32::from(blue);
            u8::try_from(sum >> 8).unwrap_or(u8::MAX)
        }
        [grey, ..] => grey,
        [] => 0,
    }
}

/// How many of a pixel's bytes are colours.
const fn colours(channels: usize) -> usize {
    if channels < 3 { 1 } else { 3 }
}

/// How many of the visible pixels have each brightness.
fn histogram(samples: &[u8], channels: usize) -> [u64; 256] {
    let mut counts = [0; 256];
    for pixel in samples.chunks_exact(channels) {
        if channels != 4 || pixel[3] > 0 {
            counts[usize::from(luma(pixel))] += 1;
        }
    }
    counts
}

/// The darkest and the brightest level between which all but a few pixels are; `None` of a picture in which nothing is visible.
fn range(counts: &[u64; 256]) -> Option<(u8, u8)> {
    let lost = counts.iter().sum::<u64>() * LOST_PER_MILLE / 1000;
    Some((end(0..=u8::MAX, counts, lost)?, end((0..=u8::MAX).rev(), counts, lost)?))
}

/// The first level at which more than `lost` pixels were passed.
fn end(mut levels: impl Iterator<Item = u8>, counts: &[u64; 256], lost: u64) -> Option<u8> {
    let mut passed = 0;
    levels.find(|level| {
        passed += counts[usize::from(*level)];
        passed > lost
    })
}

/// Maps the range of levels that the picture uses to the whole range, all colours alike, so that hues stay.
fn stretch_levels(samples: &mut [u8], channels: usize) {
    let Some((low, high)) = range(&histogram(samples, channels)) else { return };
    let width = high.saturating_sub(low);
    if !(LEAST_RANGE..FULL_RANGE).contains(&width) {
        return;
    }
    let gain = (255.0 / f32::from(width)).min(MOST_GAIN);
    // What a bounded gain leaves of the range is divided between both ends as the picture does.
    let rest = 255.0 - gain * f32::from(width);
    let dark_part = f32::from(low) / f32::from(255 - width).max(1.0);
    let offset = rest * dark_part;
    let mut table = [0; 256];
    for (level, target) in (0..=u8::MAX).zip(&mut table) {
        *target = level_of(gain.mul_add(f32::from(level) - f32::from(low), offset));
    }
    for pixel in samples.chunks_exact_mut(channels) {
        for colour in &mut pixel[..colours(channels)] {
            *colour = table[usize::from(*colour)];
        }
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of a level")]
fn level_of(value: f32) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

/// Adds to each pixel a part of what its brightness differs by from that of the pixels around it.
fn sharpen(samples: &mut [u8], width: usize, channels: usize) {
    let row_bytes = width * channels;
    let height = samples.len() / row_bytes;
    let lumas = |row: &[u8]| row.chunks_exact(channels).map(luma).collect::<Vec<u8>>();
    // Of three rows at a time: those above have changed when the next one is looked at.
    let mut middle = lumas(&samples[..row_bytes]);
    let mut above = middle.clone();
    for number in 0..height {
        let next = (number + 1).min(height - 1) * row_bytes;
        let below = if number + 1 < height { lumas(&samples[next..next + row_bytes]) } else { middle.clone() };
        let row = &mut samples[number * row_bytes..][..row_bytes];
        for (column, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let Some(change) = change_at([&above, &middle, &below], column) else { continue };
            for colour in &mut pixel[..colours(channels)] {
                let changed = (i16::from(*colour) + change).clamp(0, 255);
                *colour = u8::try_from(changed).unwrap_or(*colour);
            }
        }
        above = std::mem::replace(&mut middle, below);
    }
}

/// What is added to the pixel in a column of the middle row; `None` where it differs from its surroundings by noise.
#[expect(clippy::cast_possible_truncation, reason = "half of a difference of two levels")]
fn change_at([above, middle, below]: [&[u8]; 3], column: usize) -> Option<i16> {
    let (left, right) = (column.saturating_sub(1), (column + 1).min(middle.len() - 1));
    // A Gaussian of radius 1, across and down.
    let across = |row: &[u8]| u16::from(row[left]) + 2 * u16::from(row[column]) + u16::from(row[right]);
    let sum = across(above) + 2 * across(middle) + across(below);
    let blurred = i16::try_from(sum / 16).ok()?;
    let difference = i16::from(middle[column]) - blurred;
    if difference.abs() <= NOISE {
        return None;
    }
    let change = (f32::from(difference) * SHARPNESS).round() as i16;
    Some(change.clamp(-MOST_CHANGE, MOST_CHANGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enhanced(samples: &[u8], width: u32, channels: usize) -> Vec<u8> {
        let height = u32::try_from(samples.len() / channels).unwrap_or(0) / width;
        let mut canvas = Canvas { width, height, channels, samples: samples.to_vec(), is_opaque: true };
        enhance(&mut canvas);
        canvas.samples
    }

    #[test]
    fn a_picture_that_uses_the_whole_range_keeps_its_histogram() {
        let ramp: Vec<u8> = (0..=255_u8).flat_map(|level| [level, level, level, 255]).collect();
        assert_eq!(enhanced(&ramp, 256, 4), ramp, "a ramp has no edges, and its range is full");
    }

    #[test]
    fn plain_surfaces_noise_and_what_cannot_be_seen_stay() {
        let noise: Vec<u8> = (0..64_u8).flat_map(|at| [128 + at % 3, 128 + at % 3, 128 + at % 3, 255]).collect();
        for plain in [[90, 90, 90, 255].repeat(64), [0, 200, 7, 0].repeat(64), noise] {
            assert_eq!(enhanced(&plain, 8, 4), plain);
        }
        assert_eq!(enhanced(&[9], 1, 1), [9]);
    }

    #[test]
    fn a_narrow_range_is_stretched_no_further_than_its_bound() {
        let mut grey: Vec<u8> = (0..400_u32).map(|at| u8::try_from(100 + at % 20).unwrap_or(0)).collect();
        stretch_levels(&mut grey, 1);
        let (low, high) = range(&histogram(&grey, 1)).unwrap_or_default();
        assert_eq!(high - low, 57, "19 levels, three times");
        assert!((60..140).contains(&low), "about where it was: {low}");
    }

    #[test]
    fn an_edge_is_sharpened_without_a_halo() {
        for channels in [1, 3, 4] {
            let row: Vec<u8> =
                [60, 60, 60, 200, 200, 200].into_iter().flat_map(|level| vec![level; channels]).collect();
            let mut samples = row.repeat(3);
            sharpen(&mut samples, 6, channels);
            for row in samples.chunks_exact(6 * channels) {
                let firsts: Vec<u8> = row.chunks_exact(channels).map(|pixel| pixel[0]).collect();
                assert_eq!(firsts, [60, 60, 60 - 18, 200 + 18, 200, 200], "{channels}");
            }
            if channels == 4 {
                assert_eq!(samples[11], 60, "alpha stays");
            }
        }
    }
}
