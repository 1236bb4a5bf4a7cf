//! Images for the tests, and a look at what was made of them.

use std::io::Cursor;

/// Four bytes a pixel.
pub struct Image {
    width: u32,
    height: u32,
    rgba: Vec<u8>,
}

pub fn painted(width: u32, height: u32, paint: impl Fn(u32, u32) -> [u8; 4]) -> Image {
    let rgba = (0..height).flat_map(|row| (0..width).map(move |column| (column, row)));
    let rgba = rgba.flat_map(|(column, row)| paint(column, row)).collect();
    Image { width, height, rgba }
}

/// Red rises from left to right, green from top to bottom.
pub fn gradient(width: u32, height: u32) -> Image {
    let part = |position: u32, of: u32| u8::try_from((2 * position + 1) * 255 / (2 * of)).unwrap();
    painted(width, height, |column, row| [part(column, width), part(row, height), 128, 255])
}

fn encoded_jpeg(image: &Image, profile: Option<&[u8]>, progressive: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 95);
    encoder.set_progressive(progressive);
    if let Some(profile) = profile {
        encoder.add_icc_profile(profile).unwrap();
    }
    let (width, height) = (image.width.try_into().unwrap(), image.height.try_into().unwrap());
    encoder.encode(&image.rgba, width, height, jpeg_encoder::ColorType::Rgba).unwrap();
    bytes
}

pub fn jpeg(image: &Image, profile: Option<&[u8]>) -> Vec<u8> {
    encoded_jpeg(image, profile, false)
}

pub fn progressive_jpeg(image: &Image) -> Vec<u8> {
    encoded_jpeg(image, None, true)
}

/// One colour, in the four inks as Adobe stores them.
pub fn cmyk_jpeg(width: u16, height: u16, inks: [u8; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, 100);
    // The encoder inverts what it is given, as Adobe does.
    let data = inks.map(|ink| 255 - ink).repeat(usize::from(width) * usize::from(height));
    encoder.encode(&data, width, height, jpeg_encoder::ColorType::Cmyk).unwrap();
    bytes
}

pub fn png(image: &Image, profile: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(image.width, image.height);
    info.color_type = png::ColorType::Rgba;
    info.bit_depth = png::BitDepth::Eight;
    info.icc_profile = profile.map(|profile| profile.to_vec().into());
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    writer.write_image_data(&image.rgba).unwrap();
    writer.finish().unwrap();
    bytes
}

pub fn webp(image: &Image) -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = image_webp::WebPEncoder::new(&mut bytes);
    encoder.encode(&image.rgba, image.width, image.height, image_webp::ColorType::Rgba8).unwrap();
    bytes
}

/// A screen of 20 by 10; a red frame of 10 by 5 at 5, 2, then a blue one.
pub fn gif_of_two_frames() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = gif::Encoder::new(&mut bytes, 20, 10, &[255, 0, 0, 0, 0, 255]).unwrap();
    for colour in [0, 1] {
        let frame = gif::Frame { left: 5, top: 2, ..gif::Frame::from_indexed_pixels(10, 5, vec![colour; 50], None) };
        encoder.write_frame(&frame).unwrap();
    }
    drop(encoder);
    bytes
}

/// Width, height and pixels of a JPEG, PNG or WebP.
pub fn rgba_of(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
    let opaque = |rgb: &[u8]| rgb.chunks(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect::<Vec<u8>>();
    match bytes {
        [0xFF, ..] => {
            let mut decoder = jpeg_decoder::Decoder::new(bytes);
            let rgb = decoder.decode().unwrap();
            let info = decoder.info().unwrap();
            (info.width.into(), info.height.into(), opaque(&rgb))
        }
        [0x89, ..] => {
            let mut reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
            let mut data = vec![0; reader.output_buffer_size().unwrap()];
            let frame = reader.next_frame(&mut data).unwrap();
            let rgba = if frame.color_type == png::ColorType::Rgba { data } else { opaque(&data) };
            (frame.width, frame.height, rgba)
        }
        _ => {
            let mut decoder = image_webp::WebPDecoder::new(Cursor::new(bytes)).unwrap();
            let mut data = vec![0; decoder.output_buffer_size().unwrap()];
            decoder.read_image(&mut data).unwrap();
            let (width, height) = decoder.dimensions();
            (width, height, if decoder.has_alpha() { data } else { opaque(&data) })
        }
    }
}

/// The colour profile of a JPEG, PNG or WebP.
pub fn profile_of(bytes: &[u8]) -> Option<Vec<u8>> {
    match bytes {
        [0xFF, ..] => {
            let mut decoder = jpeg_decoder::Decoder::new(bytes);
            decoder.decode().unwrap();
            decoder.icc_profile()
        }
        [0x89, ..] => {
            let reader = png::Decoder::new(Cursor::new(bytes)).read_info().unwrap();
            reader.info().icc_profile.as_ref().map(|profile| profile.to_vec())
        }
        _ => image_webp::WebPDecoder::new(Cursor::new(bytes)).unwrap().icc_profile().unwrap(),
    }
}

/// The checksum of a chunk of PNG.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}
