//! PNG, row by row.

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};

use crate::pixels::Pixels;
use crate::reduce::Reducer;
use crate::{MAX_PROFILE_BYTES, Refusal, Request, plan};

/// What the decoder may take beside the pixels: chunks of text and profiles.
const LIMIT_BYTES: usize = 2 * MAX_PROFILE_BYTES;

pub fn decode(bytes: &[u8], request: &Request) -> Result<Pixels, Refusal> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.set_ignore_text_chunk(true);
    let (width, height) = decoder.read_header_info().map_err(refusal)?.size();
    let plan = plan(width, height, request)?;
    decoder.set_limits(Limits { bytes: LIMIT_BYTES + 16 * width as usize });
    decoder.set_transformations(Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(refusal)?;
    let (color_type, depth) = reader.output_color_type();
    if depth != BitDepth::Eight {
        return Err(Refusal::Undecodable);
    }
    let (channels, has_alpha) = match color_type {
        ColorType::Grayscale => (1, false),
        ColorType::GrayscaleAlpha => (2, true),
        ColorType::Rgb => (3, false),
        ColorType::Rgba => (4, true),
        ColorType::Indexed => return Err(Refusal::Undecodable),
    };
    let is_of_animation = reader.info().animation_control().is_some_and(|animation| animation.num_frames > 1);
    let profile = reader.info().icc_profile.as_ref().map(|profile| profile.to_vec());
    let mut reducer = Reducer::new(width, height, plan.reduction(), has_alpha);
    if reader.info().interlaced {
        let mut whole = vec![0; reader.output_buffer_size().ok_or(Refusal::TooManyPixels)?];
        let frame = reader.next_frame(&mut whole).map_err(refusal)?;
        whole.chunks_exact(frame.line_size).for_each(|row| reducer.push(row, channels));
    } else {
        let mut row = vec![0; reader.output_line_size(width).ok_or(Refusal::TooManyPixels)?];
        for _ in 0..height {
            if reader.read_row(&mut row).map_err(refusal)?.is_none() {
                return Err(Refusal::Undecodable);
            }
            reducer.push(&row, channels);
        }
    }
    let reduced_by = reducer.side();
    let (width, height, samples) = reducer.finish();
    Ok(Pixels { width, height, channels: 4, samples, has_alpha, profile, is_of_animation, plan, reduced_by })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refusal(error: DecodingError) -> Refusal {
    match error {
        DecodingError::LimitsExceeded => Refusal::TooManyPixels,
        _ => Refusal::Undecodable,
    }
}
