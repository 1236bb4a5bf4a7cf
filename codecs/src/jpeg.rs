//! JPEG, scaled while it is decoded.

use jpeg_decoder::{Decoder, PixelFormat};

use crate::pixels::Pixels;
use crate::{Refusal, Request, plan};

/// Passes over the coefficients that a progressive JPEG may make. Encoders make about ten; each takes as long as decoding a small JPEG.
const MAX_SCANS: usize = 100;

pub fn decode(bytes: &[u8], request: &Request) -> Result<Pixels, Refusal> {
    if scans(bytes) > MAX_SCANS {
        return Err(Refusal::Undecodable);
    }
    let mut decoder = Decoder::new(bytes);
    decoder.read_info().map_err(|error| refusal(&error))?;
    let info = decoder.info().ok_or(Refusal::Undecodable)?;
    let plan = plan(info.width.into(), info.height.into(), request)?;
    // The smallest scale at which no pixel has to be made up, or the one that there is memory for.
    let reduction = plan.reduction().max(f64::from(request.coarseness));
    let least = |side: u16| clamped(f64::from(side) / reduction);
    let (width, height) = decoder.scale(least(info.width), least(info.height)).map_err(|error| refusal(&error))?;
    let is_scale = |scale: &u16| (width, height) == (info.width.div_ceil(*scale), info.height.div_ceil(*scale));
    let reduced_by = [1, 2, 4, 8].into_iter().find(is_scale).map_or(1.0, f64::from);
    let mut samples = decoder.decode().map_err(|error| refusal(&error))?;
    let channels = match info.pixel_format {
        PixelFormat::L8 => 1,
        PixelFormat::RGB24 => 3,
        PixelFormat::CMYK32 => {
            samples.as_chunks_mut().0.iter_mut().for_each(|pixel| *pixel = of_cmyk(*pixel));
            4
        }
        PixelFormat::L16 => return Err(Refusal::Undecodable),
    };
    Ok(Pixels {
        width: width.into(),
        height: height.into(),
        channels,
        samples,
        has_alpha: false,
        profile: decoder.icc_profile(),
        is_of_animation: false,
        plan,
        reduced_by,
    })
}

/// Without a profile: each ink takes its part of the light.
fn of_cmyk([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 4] {
    let light = |ink: u8| {
        let light = u16::from(u8::MAX - ink) * u16::from(u8::MAX - black);
        // At most 255.
        u8::try_from((light + 127) / 255).unwrap_or(u8::MAX)
    };
    [light(cyan), light(magenta), light(yellow), u8::MAX]
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn clamped(side: f64) -> u16 {
    side.ceil().max(1.0) as u16
}

fn refusal(error: &jpeg_decoder::Error) -> Refusal {
    match error {
        jpeg_decoder::Error::Unsupported(_) => Refusal::Unsupported,
        _ => Refusal::Undecodable,
    }
}

/// How many scans there are, at most: bytes that look like the start of one are counted wherever they are.
fn scans(bytes: &[u8]) -> usize {
    bytes.windows(2).filter(|pair| *pair == [0xFF, 0xDA]).count()
}
