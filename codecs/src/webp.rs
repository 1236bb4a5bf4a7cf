//! WebP, samples whole.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use crate::pixels::Pixels;
use crate::reduce::Reducer;
use crate::{MAX_PROFILE_BYTES, Refusal, Request, plan};

pub fn decode(bytes: &[u8], request: &Request) -> Result<Pixels, Refusal> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(refusal)?;
    let (width, height) = decoder.dimensions();
    let plan = plan(width, height, request)?;
    decoder.set_memory_limit(MAX_PROFILE_BYTES);
    let is_of_animation = decoder.is_animated() && decoder.num_frames() > 1;
    let has_alpha = decoder.has_alpha();
    let channels = if has_alpha { 4 } else { 3 };
    let mut samples = vec![0; decoder.output_buffer_size().ok_or(Refusal::TooManyPixels)?];
    decoder.read_image(&mut samples).map_err(refusal)?;
    // One over the limit is not kept; its colours are then a little off.
    let profile = decoder.icc_profile().unwrap_or_default();
    drop(decoder);
    if plan.reduction() < 4.0 {
        return Ok(Pixels {
            width,
            height,
            channels,
            samples,
            has_alpha,
            profile,
            is_of_animation,
            plan,
            reduced_by: 1.0,
        });
    }
    let mut reducer = Reducer::new(width, height, plan.reduction(), has_alpha);
    samples.chunks_exact(width as usize * channels).for_each(|row| reducer.push(row, channels));
    let reduced_by = reducer.side();
    let (width, height, samples) = reducer.finish();
    Ok(Pixels { width, height, channels: 4, samples, has_alpha, profile, is_of_animation, plan, reduced_by })
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refusal(error: DecodingError) -> Refusal {
    match error {
        DecodingError::UnsupportedFeature(_) => Refusal::Unsupported,
        DecodingError::ImageTooLarge | DecodingError::MemoryLimitExceeded => Refusal::TooManyPixels,
        _ => Refusal::Undecodable,
    }
}
