//! What `src/platform/js/codecs.js` calls. One image at a time: its bytes are written to the room that [`room`] made, [`transform`] works,
//! [`answer`] says where the output is.
#![allow(unsafe_code, reason = "exports by name")]

use std::cell::RefCell;

use crate::{
    Fit, Format, Output, Placeholder, Refusal, Request, Target, measure as measure_bytes, transform as transform_bytes,
};

#[derive(Default)]
struct State {
    input: Vec<u8>,
    output: Option<Output>,
    placeholder: Vec<u8>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

/// Makes room for an image of `size_bytes`, and says where.
#[unsafe(no_mangle)]
pub extern "C" fn room(size_bytes: usize) -> *mut u8 {
    STATE.with_borrow_mut(|state| {
        state.output = None;
        state.input = vec![0; size_bytes];
        state.input.as_mut_ptr()
    })
}

/// Works on the image that was written to the room. 0 when there is an output; what each other number means is in `codecs.js`.
#[unsafe(no_mangle)]
pub extern "C" fn transform(
    width: u32,
    height: u32,
    fit: u32,
    orientation: u32,
    target: u32,
    quality: u32,
    max_pixels: u32,
    coarseness: u32,
    enhances: u32,
    with_placeholder: u32,
) -> u32 {
    let fit = match fit {
        0 => Fit::Contain,
        1 => Fit::ScaleDown,
        2 => Fit::Cover,
        _ => Fit::Crop,
    };
    let target = match target {
        0 => Target::Jpeg,
        1 => Target::Png,
        2 => Target::Webp,
        3 => Target::JpegOrPng,
        _ => Target::JpegOrWebp,
    };
    let small = |number: u32| u8::try_from(number).unwrap_or(1);
    let (orientation, quality, coarseness) = (small(orientation), small(quality), small(coarseness));
    let request = Request {
        width,
        height,
        fit,
        orientation,
        target,
        quality,
        max_pixels,
        coarseness,
        enhances: enhances != 0,
        with_placeholder: with_placeholder != 0,
    };
    work(|input| transform_bytes(input, &request))
}

/// Measures the image that was written to the room. The output's bytes are then [`crate::Measures::to_bytes`]; its other facts say nothing.
#[unsafe(no_mangle)]
pub extern "C" fn measure(orientation: u32, max_pixels: u32, coarseness: u32) -> u32 {
    let small = |number: u32| u8::try_from(number).unwrap_or(1);
    work(|input| {
        let measures = measure_bytes(input, small(orientation), max_pixels, small(coarseness))?;
        let bytes = measures.to_bytes();
        Ok(Output { bytes, format: Format::Png, width: 0, height: 0, is_of_animation: false, placeholder: None })
    })
}

fn work(work: impl FnOnce(&[u8]) -> Result<Output, Refusal>) -> u32 {
    STATE.with_borrow_mut(|state| {
        let input = std::mem::take(&mut state.input);
        match work(&input) {
            Ok(output) => {
                state.placeholder = output.placeholder.as_ref().map(Placeholder::to_bytes).unwrap_or_default();
                state.output = Some(output);
                0
            }
            Err(Refusal::Unsupported) => 1,
            Err(Refusal::Undecodable) => 2,
            Err(Refusal::TooManyPixels) => 3,
        }
    })
}

/// A fact about the output: 0 its place, 1 its size in bytes, 2 its format, 3 its width, 4 its height, 5 whether it is of an animation, 6 the place of
/// its placeholder, 7 the size of that in bytes, 0 without one.
#[unsafe(no_mangle)]
pub extern "C" fn answer(fact: u32) -> usize {
    STATE.with_borrow(|state| {
        let Some(output) = &state.output else { return 0 };
        match fact {
            0 => output.bytes.as_ptr() as usize,
            1 => output.bytes.len(),
            2 => match output.format {
                Format::Jpeg => 0,
                Format::Png => 1,
                Format::Webp => 2,
            },
            3 => output.width as usize,
            4 => output.height as usize,
            5 => usize::from(output.is_of_animation),
            6 => state.placeholder.as_ptr() as usize,
            _ => state.placeholder.len(),
        }
    })
}
