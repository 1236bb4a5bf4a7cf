//! What Cloudflare's Images binding is asked for, and what its errors mean.

use serde::Serialize;

use super::codecs::{CodecError, Job};
use crate::image::{Fit, Format, VariantFormat};

/// What makes variants, as `VARIANT_MAKER` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariantMaker {
    /// Our own, in the isolate.
    Codecs,
    /// Cloudflare's Images binding.
    Images,
}

/// What the binding's `transform` and `output` get.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImagesRequest {
    transform: Transform,
    output: Output,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Transform {
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    fit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Output {
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<u8>,
    /// JPEG has no alpha.
    #[serde(skip_serializing_if = "Option::is_none")]
    background: Option<&'static str>,
    /// False: of an animation, the first frame.
    anim: bool,
}

impl VariantMaker {
    /// Every one, in the order in which documentation lists them.
    pub const ALL: [Self; 2] = [Self::Codecs, Self::Images];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Codecs => "codecs",
            Self::Images => "images",
        }
    }
}

impl ImagesRequest {
    /// For a job. The binding does not tell whether a picture is opaque, so that the format follows from that of the image where ours follows
    /// from its pixels.
    #[must_use]
    pub fn new(job: &Job) -> Self {
        let format = match job.format {
            VariantFormat::Png => Format::Png,
            VariantFormat::Webp | VariantFormat::JpegOrWebp => Format::Webp,
            VariantFormat::JpegOrPng if !matches!(job.original, Format::Jpeg | Format::Heic) => Format::Png,
            VariantFormat::Jpeg | VariantFormat::JpegOrPng | VariantFormat::Original => Format::Jpeg,
        };
        let fit = match job.fit {
            Fit::Contain => "contain",
            Fit::ScaleDown => "scale-down",
            Fit::Cover => "cover",
            Fit::Crop => "crop",
        };
        Self {
            transform: Transform { width: job.width, height: job.height, fit },
            output: Output {
                format: format.content_type(),
                quality: (format != Format::Png).then_some(job.quality),
                background: (format == Format::Jpeg).then_some("#ffffff"),
                anim: false,
            },
        }
    }
}

/// Whether an image has more frames than the first, as far as its header says: a WebP does, a GIF when it asks to be repeated.
pub(super) fn is_animation(format: Format, header: &[u8]) -> bool {
    const REPEATS: &[u8] = b"NETSCAPE2.0";
    match format {
        Format::Webp => header.get(12..16) == Some(b"VP8X") && header.get(20).is_some_and(|flags| flags & 2 != 0),
        Format::Gif => header.windows(REPEATS.len()).any(|bytes| bytes == REPEATS),
        _ => false,
    }
}

impl CodecError {
    /// What an error of the binding means; `code` is Cloudflare's, where there is one.
    #[must_use]
    pub fn of_images(code: Option<u32>, message: &str) -> Self {
        match code {
            Some(9412) => Self::Undecodable,
            Some(9511 | 9520) => Self::Unsupported,
            // Too large, or more work than it does for one picture.
            Some(9402 | 9413 | 9522) => Self::TooManyPixels,
            Some(code) => Self::Unavailable(format!("Images answered {code}: {message}")),
            None => Self::Unavailable(format!("Images failed: {message}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binding_is_asked_for_what_the_form_says() {
        let job = |original, format, fit| Job {
            bytes: Vec::new().into(),
            original,
            width: Some(64),
            height: None,
            fit,
            orientation: 6,
            format,
            quality: 75,
            max_pixels: 1,
            coarseness: 1,
            enhances: false,
            with_placeholder: true,
        };
        let asked = |original, format| {
            let request = serde_json::to_value(ImagesRequest::new(&job(original, format, Fit::Crop))).unwrap();
            (request["output"]["format"].as_str().unwrap().to_owned(), request["output"]["background"].is_string())
        };
        for (original, format, expected) in [
            (Format::Heic, VariantFormat::Jpeg, ("image/jpeg", true)),
            (Format::Jpeg, VariantFormat::JpegOrPng, ("image/jpeg", true)),
            (Format::Avif, VariantFormat::JpegOrPng, ("image/png", false)),
            (Format::Png, VariantFormat::JpegOrWebp, ("image/webp", false)),
            (Format::Jpeg, VariantFormat::Webp, ("image/webp", false)),
            (Format::Jpeg, VariantFormat::Png, ("image/png", false)),
        ] {
            assert_eq!(asked(original, format), (expected.0.to_owned(), expected.1), "{original:?} {format:?}");
        }
        let request = ImagesRequest::new(&job(Format::Jpeg, VariantFormat::Jpeg, Fit::ScaleDown));
        let json = r##"{"transform":{"width":64,"fit":"scale-down"},"output":{"format":"image/jpeg","quality":75,"background":"#ffffff","anim":false}}"##;
        assert_eq!(serde_json::to_string(&request).unwrap(), json);
    }

    #[test]
    fn headers_tell_animations() {
        const ANIMATED_WEBP: &[u8] = include_bytes!("../../tests/fixtures/images/animated.webp");
        const ANIMATED_GIF: &[u8] = include_bytes!("../../tests/fixtures/images/animated.gif");
        const STILL_WEBP: &[u8] = include_bytes!("../../tests/fixtures/images/extended-alpha-exif.webp");
        const STILL_GIF: &[u8] = include_bytes!("../../tests/fixtures/images/still.gif");
        assert!(is_animation(Format::Webp, ANIMATED_WEBP) && is_animation(Format::Gif, ANIMATED_GIF));
        assert!(!is_animation(Format::Webp, STILL_WEBP) && !is_animation(Format::Gif, STILL_GIF));
        assert!(!is_animation(Format::Webp, &ANIMATED_WEBP[..20]) && !is_animation(Format::Png, ANIMATED_GIF));
    }

    #[test]
    fn errors_are_the_pictures_or_the_services() {
        assert_eq!(CodecError::of_images(Some(9412), ""), CodecError::Undecodable);
        assert_eq!(CodecError::of_images(Some(9520), ""), CodecError::Unsupported);
        assert_eq!(CodecError::of_images(Some(9413), ""), CodecError::TooManyPixels);
        for code in [Some(9422), Some(9523), None] {
            assert!(matches!(CodecError::of_images(code, "limit"), CodecError::Unavailable(_)), "{code:?}");
        }
    }
}
