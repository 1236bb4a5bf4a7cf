//! From pixels to a file.

use image_webp::WebPEncoder;
use jpeg_encoder::{Encoder, SamplingFactor};

use crate::pixels::Canvas;
use crate::{Format, Refusal, Request, Target};

/// A JPEG's own Huffman tables make it a few per cent smaller, and take all of its coefficients in memory: 12 bytes a pixel.
const MAX_OWN_TABLES_PIXELS: u32 = 2_000_000;

pub fn encode(canvas: &Canvas, request: &Request, profile: Option<&[u8]>) -> Result<(Format, Vec<u8>), Refusal> {
    let format = match (request.target, canvas.is_opaque) {
        (Target::Jpeg, _) | (Target::JpegOrPng | Target::JpegOrWebp, true) => Format::Jpeg,
        (Target::Png, _) | (Target::JpegOrPng, false) => Format::Png,
        (Target::Webp, _) | (Target::JpegOrWebp, false) => Format::Webp,
    };
    let bytes = match format {
        Format::Jpeg => jpeg(canvas, request.quality, profile),
        Format::Png => png(canvas, profile),
        Format::Webp => webp(canvas, profile),
    };
    Ok((format, bytes.ok_or(Refusal::TooManyPixels)?))
}

fn jpeg(canvas: &Canvas, quality: u8, profile: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_optimized_huffman_tables(canvas.width.saturating_mul(canvas.height) <= MAX_OWN_TABLES_PIXELS);
    if let Some(profile) = profile {
        encoder.add_icc_profile(profile).ok()?;
    }
    let (width, height) = (u16::try_from(canvas.width).ok()?, u16::try_from(canvas.height).ok()?);
    let on_white = (!canvas.is_opaque).then(|| on_white(&canvas.rgba));
    let rgba = on_white.as_deref().unwrap_or(&canvas.rgba);
    encoder.encode(rgba, width, height, jpeg_encoder::ColorType::Rgba).ok()?;
    Some(bytes)
}

/// JPEG has no alpha: what shows through shows white.
fn on_white(rgba: &[u8]) -> Vec<u8> {
    let mut flat = rgba.to_vec();
    for [red, green, blue, alpha] in flat.as_chunks_mut().0 {
        let weight = u32::from(*alpha);
        for channel in [red, green, blue] {
            let mixed = (u32::from(*channel) * weight + 255 * (255 - weight) + 127) / 255;
            // At most 255.
            *channel = u8::try_from(mixed).unwrap_or(u8::MAX);
        }
    }
    flat
}

fn png(canvas: &Canvas, profile: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(canvas.width, canvas.height);
    info.bit_depth = png::BitDepth::Eight;
    info.color_type = if canvas.is_opaque { png::ColorType::Rgb } else { png::ColorType::Rgba };
    info.icc_profile = profile.map(|profile| profile.to_vec().into());
    let mut encoder = png::Encoder::with_info(&mut bytes, info).ok()?;
    encoder.set_compression(png::Compression::Balanced);
    let mut writer = encoder.write_header().ok()?;
    writer.write_image_data(&data(canvas)).ok()?;
    writer.finish().ok()?;
    Some(bytes)
}

fn webp(canvas: &Canvas, profile: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = WebPEncoder::new(&mut bytes);
    if let Some(profile) = profile {
        encoder.set_icc_profile(profile.to_vec());
    }
    let color = if canvas.is_opaque { image_webp::ColorType::Rgb8 } else { image_webp::ColorType::Rgba8 };
    encoder.encode(&data(canvas), canvas.width, canvas.height, color).ok()?;
    Some(bytes)
}

/// The pixels, without alpha where there is none.
fn data(canvas: &Canvas) -> Vec<u8> {
    if canvas.is_opaque {
        canvas.rgba.as_chunks().0.iter().flat_map(|[red, green, blue, _]| [*red, *green, *blue]).collect()
    } else {
        canvas.rgba.clone()
    }
}
