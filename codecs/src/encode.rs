//! From pixels to a file.

use std::borrow::Cow;

use image_webp::WebPEncoder;
use jpeg_encoder::{ColorType, Encoder, ImageBuffer, JpegColorType, SamplingFactor, rgb_to_ycbcr};

use crate::pixels::Canvas;
use crate::{Format, Refusal, Request, Target};

/// A JPEG's own Huffman tables make it a few per cent smaller, and take all of its coefficients in memory: 12 bytes a pixel.
const MAX_OWN_TABLES_PIXELS: u32 = 2_000_000;

/// A canvas on its way into a JPEG: turned upright row by row, since a photograph is large twice; and on white, since JPEG has no alpha.
struct Upright<'canvas> {
    canvas: &'canvas Canvas,
    orientation: u8,
    width: u16,
    height: u16,
}

/// Applies the orientation of the request, and makes a file.
pub fn encode(canvas: Canvas, request: &Request, profile: Option<&[u8]>) -> Result<(Format, Vec<u8>), Refusal> {
    let format = match (request.target, canvas.is_opaque) {
        (Target::Jpeg, _) | (Target::JpegOrPng | Target::JpegOrWebp, true) => Format::Jpeg,
        (Target::Png, _) | (Target::JpegOrPng, false) => Format::Png,
        (Target::Webp, _) | (Target::JpegOrWebp, false) => Format::Webp,
    };
    let bytes = match format {
        Format::Jpeg => jpeg(&canvas, request, profile),
        Format::Png => png(&canvas.oriented(request.orientation), profile),
        Format::Webp => webp(&canvas.oriented(request.orientation), profile),
    };
    Ok((format, bytes.ok_or(Refusal::TooManyPixels)?))
}

fn jpeg(canvas: &Canvas, request: &Request, profile: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, request.quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_optimized_huffman_tables(canvas.width.saturating_mul(canvas.height) <= MAX_OWN_TABLES_PIXELS);
    if let Some(profile) = profile {
        encoder.add_icc_profile(profile).ok()?;
    }
    let orientation = request.orientation;
    let (width, height) = canvas.upright_size(orientation);
    let (width, height) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    let color = match canvas.channels {
        1 => ColorType::Luma,
        3 => ColorType::Rgb,
        _ => ColorType::Rgba,
    };
    let outcome = if canvas.is_opaque && orientation <= 1 {
        encoder.encode(&canvas.samples, width, height, color)
    } else {
        encoder.encode_image(Upright { canvas, orientation, width, height })
    };
    outcome.ok()?;
    Some(bytes)
}

impl ImageBuffer for Upright<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        if self.canvas.channels == 1 { JpegColorType::Luma } else { JpegColorType::Ycbcr }
    }

    fn width(&self) -> u16 {
        self.width
    }

    fn height(&self) -> u16 {
        self.height
    }

    fn fill_buffers(&self, row: u16, [luma, blue_difference, red_difference, _]: &mut [Vec<u8>; 4]) {
        for column in 0..self.width {
            let pixel = self.canvas.upright_pixel(self.orientation, column.into(), row.into());
            let (red, green, blue) = match *pixel {
                [red, green, blue] => (red, green, blue),
                [red, green, blue, alpha] => (on_white(red, alpha), on_white(green, alpha), on_white(blue, alpha)),
                [grey, ..] => {
                    luma.push(grey);
                    continue;
                }
                [] => continue,
            };
            let (y, cb, cr) = rgb_to_ycbcr(red, green, blue);
            luma.push(y);
            blue_difference.push(cb);
            red_difference.push(cr);
        }
    }
}

fn on_white(colour: u8, alpha: u8) -> u8 {
    let weight = u32::from(alpha);
    let mixed = (u32::from(colour) * weight + 255 * (255 - weight) + 127) / 255;
    // At most 255.
    u8::try_from(mixed).unwrap_or(u8::MAX)
}

fn png(canvas: &Canvas, profile: Option<&[u8]>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(canvas.width, canvas.height);
    info.bit_depth = png::BitDepth::Eight;
    info.color_type = match (canvas.channels, canvas.is_opaque) {
        (1, _) => png::ColorType::Grayscale,
        (_, true) => png::ColorType::Rgb,
        (_, false) => png::ColorType::Rgba,
    };
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
    let color = match (canvas.channels, canvas.is_opaque) {
        (1, _) => image_webp::ColorType::L8,
        (_, true) => image_webp::ColorType::Rgb8,
        (_, false) => image_webp::ColorType::Rgba8,
    };
    encoder.encode(&data(canvas), canvas.width, canvas.height, color).ok()?;
    Some(bytes)
}

/// The pixels, without alpha where there is none.
fn data(canvas: &Canvas) -> Cow<'_, [u8]> {
    if canvas.is_opaque && canvas.channels == 4 {
        canvas.samples.as_chunks().0.iter().flat_map(|[red, green, blue, _]| [*red, *green, *blue]).collect()
    } else {
        Cow::Borrowed(&canvas.samples)
    }
}
