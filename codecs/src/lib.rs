//! Makes a variant of an image: decodes it, scales it, encodes it. JPEG, PNG, WebP and GIF in; JPEG, PNG and WebP out.
//!
//! - Pixels are bounded before anything is decoded, and so is the output.
//! - A JPEG is scaled by 1/8, 1/4 or 1/2 while it is decoded; rows of a PNG or a GIF are averaged as they come, where the output is less
//!   than a quarter as wide. Lanczos3 does the rest.
//! - An ICC profile of RGB is kept. Of one for other colours (CMYK, grey) nothing is kept, and the colours are taken for sRGB's.
//! - Of an animation the first frame is used.

mod abi;
mod encode;
mod enhance;
mod geometry;
mod gif;
mod jpeg;
mod measure;
mod pixels;
mod png;
mod reduce;
mod webp;

pub use geometry::Fit;
pub use measure::{Colour, Measures, Placeholder};

use geometry::Plan;

/// Longest ICC profile that is kept, in bytes: those of cameras and monitors have 500 to 3,000, printers' are larger and not RGB.
const MAX_PROFILE_BYTES: usize = 512 * 1024;

/// What to make of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// 0: whatever the height makes of it.
    pub width: u32,
    /// 0: whatever the width makes of it.
    pub height: u32,
    pub fit: Fit,
    /// The EXIF orientation of the image, 1 to 8, which is applied.
    pub orientation: u8,
    pub target: Target,
    /// Of JPEG, 1 to 100.
    pub quality: u8,
    /// More pixels than this are neither decoded nor encoded.
    pub max_pixels: u32,
    /// 1, 2, 4 or 8: a JPEG is decoded at this part of its size at most, where there is no memory for more. What is not to be larger
    /// than the image is then not larger than that.
    pub coarseness: u8,
    /// Whether its levels are made to use the whole range, and its edges are sharpened.
    pub enhances: bool,
    /// Whether the output comes with the whole image's [`Placeholder`].
    pub with_placeholder: bool,
}

/// Which format to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Jpeg,
    Png,
    Webp,
    /// PNG of an image that shows through somewhere, JPEG of others.
    JpegOrPng,
    /// WebP of an image that shows through somewhere, JPEG of others.
    JpegOrWebp,
}

/// The format of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Jpeg,
    Png,
    Webp,
}

/// A variant.
#[derive(Debug)]
pub struct Output {
    pub bytes: Vec<u8>,
    pub format: Format,
    pub width: u32,
    pub height: u32,
    /// Whether the image has more frames than the one that is shown.
    pub is_of_animation: bool,
    pub placeholder: Option<Placeholder>,
}

/// Why there is no variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The format is not one of those that are decoded.
    Unsupported,
    /// The bytes contradict their format, or end too early.
    Undecodable,
    /// The image, or what is to be made of it, has too many pixels.
    TooManyPixels,
}

/// Makes a variant of the image in `bytes`.
///
/// # Errors
/// [`Refusal`].
pub fn transform(bytes: &[u8], request: &Request) -> Result<Output, Refusal> {
    let mut pixels = decode(bytes, request)?;
    let is_of_animation = pixels.is_of_animation;
    let profile = pixels.profile.take().filter(|profile| is_of_rgb(profile));
    // Of the variant, which has fewer pixels, unless it shows a part only.
    let placeholder = |whole: &measure::Whole<'_>| Placeholder::of(whole, request.orientation);
    let of_image = (request.with_placeholder && !pixels.shows_all()).then(|| placeholder(&(&pixels).into()));
    let shows_all = pixels.shows_all();
    let mut canvas = pixels.scaled()?;
    let of_variant = (request.with_placeholder && shows_all).then(|| placeholder(&(&canvas).into()));
    let placeholder = of_image.or(of_variant).transpose()?;
    if request.enhances {
        enhance::enhance(&mut canvas);
    }
    let (width, height) = canvas.upright_size(request.orientation);
    let (format, bytes) = encode::encode(canvas, request, profile.as_deref())?;
    Ok(Output { bytes, format, width, height, is_of_animation, placeholder })
}

/// Measures the image in `bytes`, whose EXIF orientation is given, at 512 by 512 pixels at most. `max_pixels` and `coarseness` are those of
/// [`Request`].
///
/// # Errors
/// [`Refusal`].
pub fn measure(bytes: &[u8], orientation: u8, max_pixels: u32, coarseness: u8) -> Result<Measures, Refusal> {
    let request = measure::request(orientation, max_pixels, coarseness);
    let canvas = decode(bytes, &request)?.scaled()?.oriented(orientation);
    measure::measure(&canvas)
}

fn decode(bytes: &[u8], request: &Request) -> Result<pixels::Pixels, Refusal> {
    match bytes {
        [0xFF, 0xD8, 0xFF, ..] => jpeg::decode(bytes, request),
        [0x89, b'P', b'N', b'G', ..] => png::decode(bytes, request),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => webp::decode(bytes, request),
        [b'G', b'I', b'F', b'8', ..] => gif::decode(bytes, request),
        _ => Err(Refusal::Unsupported),
    }
}

/// The plan for an image of this size, unless it or its variant has too many pixels.
fn plan(width: u32, height: u32, request: &Request) -> Result<Plan, Refusal> {
    let is_bounded = |width: u32, height: u32| {
        width > 0 && height > 0 && u64::from(width) * u64::from(height) <= u64::from(request.max_pixels)
    };
    if width == 0 || height == 0 {
        return Err(Refusal::Undecodable);
    }
    if !is_bounded(width, height) {
        return Err(Refusal::TooManyPixels);
    }
    let plan = Plan::new(width, height, request);
    // The longest side that every one of the formats has.
    if !is_bounded(plan.width, plan.height) || plan.width.max(plan.height) > 16_383 {
        return Err(Refusal::TooManyPixels);
    }
    Ok(plan)
}

/// Whether the profile says what red, green and blue mean.
fn is_of_rgb(profile: &[u8]) -> bool {
    profile.len() <= MAX_PROFILE_BYTES && profile.get(16..20) == Some(b"RGB ")
}
