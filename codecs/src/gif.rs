//! The first frame of a GIF on its screen.

use gif::{ColorOutput, DecodeOptions, MemoryLimit};

use crate::pixels::Pixels;
use crate::reduce::Reducer;
use crate::{Refusal, Request, plan};

/// A colour of the palette that is not there, and what the frame does not cover.
const NOTHING: [u8; 4] = [0; 4];

pub fn decode(bytes: &[u8], request: &Request) -> Result<Pixels, Refusal> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    options.set_memory_limit(MemoryLimit::Bytes(u64::from(request.max_pixels).max(1).try_into().unwrap_or(MIN_LIMIT)));
    let mut decoder = options.read_info(bytes).map_err(refusal)?;
    let (width, height) = (u32::from(decoder.width()), u32::from(decoder.height()));
    let plan = plan(width, height, request)?;
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.read_next_frame().map_err(refusal)?.ok_or(Refusal::Undecodable)?;
    let palette = frame.palette.clone().or(global).ok_or(Refusal::Undecodable)?;
    let mut colours: Vec<[u8; 4]> =
        palette.as_chunks().0.iter().map(|[red, green, blue]| [*red, *green, *blue, u8::MAX]).collect();
    if let Some(colour) = frame.transparent.and_then(|index| colours.get_mut(usize::from(index))) {
        *colour = NOTHING;
    }
    let (left, top) = (usize::from(frame.left), usize::from(frame.top));
    let frame_width = usize::from(frame.width);
    let covers = left == 0 && top == 0 && u32::from(frame.width) >= width && u32::from(frame.height) >= height;
    let has_alpha = frame.transparent.is_some() || !covers || colours.len() < 256;
    let mut reducer = Reducer::new(width, height, plan.reduction(), has_alpha);
    let mut row = vec![0; width as usize * 4];
    for number in 0..height as usize {
        row.fill(0);
        let from = number.checked_sub(top).map(|line| line * frame_width);
        let line = from.and_then(|from| frame.buffer.get(from..from + frame_width)).unwrap_or_default();
        for (pixel, index) in row.as_chunks_mut().0.iter_mut().skip(left).zip(line) {
            *pixel = colours.get(usize::from(*index)).copied().unwrap_or(NOTHING);
        }
        reducer.push(&row, 4);
    }
    // What follows may be broken: the first frame is whole.
    let is_of_animation = matches!(decoder.next_frame_info(), Ok(Some(_)));
    let reduced_by = reducer.side();
    let (width, height, samples) = reducer.finish();
    Ok(Pixels { width, height, channels: 4, samples, has_alpha, profile: None, is_of_animation, plan, reduced_by })
}

const MIN_LIMIT: std::num::NonZeroU64 = std::num::NonZeroU64::MIN;

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refusal(error: gif::DecodingError) -> Refusal {
    match error {
        gif::DecodingError::OutOfMemory | gif::DecodingError::MemoryLimit => Refusal::TooManyPixels,
        _ => Refusal::Undecodable,
    }
}
