//! Decoders and encoders: whatever is sent as an image.

use stillstore::variants::Measures;
use stillstore_codecs::{Fit, Output, Refusal, Request, Target, measure, transform};

/// More pixels than this are refused, so that an input takes milliseconds.
const MAX_PIXELS: u32 = 100_000;

/// The input is an image; what is made of it follows from its bytes, so that images serve as seeds as they are.
///
/// What is made is an image of the size that is said, within the bounds, and becomes itself again; what is refused for its pixels has too
/// many; measures are within theirs, and are read as they were written.
pub fn codecs(input: &[u8]) {
    let request = request(input);
    match transform(input, &request) {
        Ok(output) => check_output(&output, &request),
        Err(Refusal::Unsupported | Refusal::Undecodable | Refusal::TooManyPixels) => {}
    }
    let Ok(measures) = measure(input, request.orientation, MAX_PIXELS, request.coarseness) else { return };
    assert!(measures.thumbhash.len() <= 25 && measures.colours.len() <= 5, "{measures:?}");
    let shares: u32 = measures.colours.iter().map(|colour| u32::from(colour.per_cent)).sum();
    assert!(shares <= 100, "{measures:?}");
    let read = Measures::from_bytes(&measures.to_bytes()).expect("whole measures");
    assert_eq!((read.sharpness, read.difference_hash), (measures.sharpness, measures.difference_hash));
    assert_eq!(read.thumbhash, measures.thumbhash);
}

fn check_output(output: &Output, request: &Request) {
    assert!(output.width >= 1 && output.height >= 1 && output.width * output.height <= MAX_PIXELS, "{output:?}");
    if matches!(request.fit, Fit::Contain | Fit::ScaleDown) {
        let is_within = |side: u32, wanted: u32| wanted == 0 || side <= wanted;
        assert!(is_within(output.width, request.width) && is_within(output.height, request.height), "{output:?}");
    }
    let same = Request {
        width: 0,
        height: 0,
        fit: Fit::ScaleDown,
        orientation: 1,
        coarseness: 1,
        enhances: false,
        with_placeholder: true,
        ..*request
    };
    let again = transform(&output.bytes, &same).expect("what was made can be decoded");
    assert_eq!((again.width, again.height), (output.width, output.height));
    assert!(again.placeholder.is_some_and(|placeholder| (5..=25).contains(&placeholder.thumbhash.len())), "{output:?}");
}

fn request(input: &[u8]) -> Request {
    let draw = input.iter().fold(0_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)));
    let pick = |shift: u32, of: u32| (draw >> shift) % of;
    let small = |shift: u32, of: u32| u8::try_from(pick(shift, of)).unwrap_or(0);
    Request {
        width: [0, 1, 7, 64, 300][pick(0, 5) as usize],
        height: [0, 1, 9, 64, 300][pick(3, 5) as usize],
        fit: [Fit::Contain, Fit::ScaleDown, Fit::Cover, Fit::Crop][pick(6, 4) as usize],
        orientation: small(8, 8) + 1,
        target: [Target::Jpeg, Target::Png, Target::Webp, Target::JpegOrPng, Target::JpegOrWebp][pick(12, 5) as usize],
        quality: small(15, 120),
        max_pixels: MAX_PIXELS,
        coarseness: [1, 2, 4, 8][pick(22, 4) as usize],
        enhances: pick(24, 2) == 1,
        with_placeholder: pick(25, 2) == 1,
    }
}
