//! What the model families of the images API take: `POST /images/generations`, OpenAI's `CreateImageRequest`.

use std::borrow::Cow;

use serde::Serialize;

use crate::generate::{Background, Field, GenerateRequest, ModelName, OutputFormat, Quality, Size, Style};
use crate::image::Dimensions;

/// Models that take the same parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// gpt-image-1, its variants and chatgpt-image: three sizes, always base64.
    GptImage,
    /// gpt-image-2, 2.5 and their variants: any size in multiples of 16 from 655,360 pixels on.
    GptImage2,
    DallE3,
    DallE2,
    /// Another server's model: the parameters that everyone takes.
    Unknown,
}

/// The request's body. What is `None` is not sent.
#[derive(Serialize)]
pub(super) struct Parameters<'request> {
    model: &'request str,
    prompt: &'request str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_compression: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    background: Option<&'static str>,
}

impl Family {
    /// The family of `model`, by its name.
    #[must_use]
    pub fn of(model: &ModelName) -> Self {
        match model.base_name() {
            name if name.starts_with("gpt-image-2") => Self::GptImage2,
            name if name.starts_with("gpt-image") || name.starts_with("chatgpt-image") => Self::GptImage,
            name if name.starts_with("dall-e-3") => Self::DallE3,
            name if name.starts_with("dall-e-2") => Self::DallE2,
            _ => Self::Unknown,
        }
    }

    /// The longest prompt in characters, when it is shorter than ours.
    #[must_use]
    pub const fn max_prompt_characters(self) -> Option<usize> {
        match self {
            Self::DallE2 => Some(1000),
            Self::DallE3 => Some(4000),
            Self::GptImage | Self::GptImage2 | Self::Unknown => None,
        }
    }

    #[must_use]
    pub const fn is_gpt_image(self) -> bool {
        matches!(self, Self::GptImage | Self::GptImage2)
    }

    /// The field of `request` that asks for what the family does not have. Whether a gpt-image model has transparent backgrounds is
    /// the server's to say: gpt-image-2 has had them for some weeks of 2026.
    #[must_use]
    pub const fn unsupported(self, request: &GenerateRequest) -> Option<Field> {
        if self.is_gpt_image() { None } else { request.output.first_asked() }
    }

    /// The body that asks `model` for `request`.
    pub(super) fn parameters<'request>(
        self,
        model: &'request ModelName,
        request: &'request GenerateRequest,
    ) -> Parameters<'request> {
        let output = &request.output;
        Parameters {
            model: model.as_str(),
            prompt: request.prompt.as_str(),
            n: (self != Self::Unknown).then_some(1),
            size: self.size(request.size),
            quality: request.quality.and_then(|quality| self.quality(quality)),
            style: request.style.filter(|_| self == Self::DallE3).map(Style::as_str),
            response_format: matches!(self, Self::DallE3 | Self::DallE2).then_some("b64_json"),
            output_format: self.is_gpt_image().then(|| output.format().unwrap_or(OutputFormat::Png).as_str()),
            output_compression: output.compression(),
            // Not sent where the provider chooses, which is what it does without.
            background: output
                .background()
                .filter(|background| *background != Background::Auto)
                .map(Background::as_str),
        }
    }

    /// The nearest size that the family has.
    #[must_use]
    pub fn size(self, size: Size) -> Option<Cow<'static, str>> {
        let nearest = match (self, size) {
            (Self::Unknown, Size::Auto) => return None,
            (Self::Unknown, size)
            | (Self::DallE2, size @ (Size::Square256 | Size::Square512))
            | (Self::GptImage | Self::GptImage2, size @ (Size::Auto | Size::Landscape1536 | Size::Portrait1536))
            | (Self::GptImage2, size @ (Size::Landscape1792 | Size::Portrait1792 | Size::Custom(_)))
            | (Self::DallE3, size @ (Size::Landscape1792 | Size::Portrait1792)) => size,
            (Self::GptImage, size) => nearest(size, [Size::Landscape1536, Size::Portrait1536]),
            (Self::DallE3, size) => nearest(size, [Size::Landscape1792, Size::Portrait1792]),
            (Self::GptImage2 | Self::DallE2, _) => Size::Square1024,
        };
        Some(nearest.text())
    }

    /// The nearest quality that the family has.
    #[must_use]
    pub const fn quality(self, quality: Quality) -> Option<&'static str> {
        match self {
            Self::GptImage | Self::GptImage2 => Some(match quality {
                Quality::Low => "low",
                Quality::Standard | Quality::Medium => "medium",
                Quality::Hd | Quality::High => "high",
                Quality::Auto => "auto",
            }),
            Self::DallE3 => match quality {
                Quality::Standard | Quality::Low | Quality::Medium => Some("standard"),
                Quality::Hd | Quality::High => Some("hd"),
                Quality::Auto => None,
            },
            Self::DallE2 | Self::Unknown => None,
        }
    }
}

/// The one of a family's sizes, a square, a wide and a tall one, whose shape is nearest to that of `size`.
fn nearest(size: Size, [wide, tall]: [Size; 2]) -> Size {
    let ratio = |size: Size| {
        let Dimensions { width, height } = size.dimensions().unwrap_or(Dimensions { width: 1, height: 1 });
        f64::from(width) / f64::from(height)
    };
    // Half way between a square and the wide size, as ratios go.
    let limit = ratio(wide).sqrt();
    match ratio(size) {
        wanted if wanted > limit => wide,
        wanted if wanted < limit.recip() => tall,
        _ => Size::Square1024,
    }
}
