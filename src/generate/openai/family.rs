//! What the model families of the images API take: `POST /images/generations`, OpenAI's `CreateImageRequest`.

use serde::Serialize;

use crate::generate::{GenerateRequest, ModelName, Quality, Size, Style};

/// Models that take the same parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// gpt-image-1, its variants and chatgpt-image: three sizes, always base64.
    GptImage,
    /// gpt-image-2 and its variants: any size in multiples of 16 from 655,360 pixels on.
    GptImage2,
    DallE3,
    DallE2,
    /// Another server's model: the parameters that everyone takes.
    Unknown,
}

/// The request's body. What is `None` is not sent.
#[derive(Serialize)]
pub struct Parameters<'request> {
    model: &'request str,
    prompt: &'request str,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    style: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_format: Option<&'static str>,
}

impl Family {
    /// The family of `model`, by its name.
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
    pub const fn max_prompt_characters(self) -> Option<usize> {
        match self {
            Self::DallE2 => Some(1000),
            Self::GptImage | Self::GptImage2 | Self::DallE3 | Self::Unknown => None,
        }
    }

    /// The body that asks `model` for `request`.
    pub fn parameters<'request>(
        self,
        model: &'request ModelName,
        request: &'request GenerateRequest,
    ) -> Parameters<'request> {
        let is_gpt_image = matches!(self, Self::GptImage | Self::GptImage2);
        Parameters {
            model: model.as_str(),
            prompt: request.prompt.as_str(),
            n: (self != Self::Unknown).then_some(1),
            size: self.size(request.size),
            quality: request.quality.and_then(|quality| self.quality(quality)),
            style: request.style.filter(|_| self == Self::DallE3).map(Style::as_str),
            response_format: matches!(self, Self::DallE3 | Self::DallE2).then_some("b64_json"),
            output_format: is_gpt_image.then_some("png"),
        }
    }

    /// The nearest size that the family has.
    fn size(self, size: Size) -> Option<&'static str> {
        let nearest = match (self, size) {
            (Self::Unknown, Size::Auto) => return None,
            (Self::Unknown, size)
            | (Self::DallE2, size @ (Size::Square256 | Size::Square512))
            | (Self::GptImage | Self::GptImage2, size @ (Size::Auto | Size::Landscape1536 | Size::Portrait1536))
            | (Self::GptImage2 | Self::DallE3, size @ (Size::Landscape1792 | Size::Portrait1792)) => size,
            (Self::GptImage, Size::Landscape1792) => Size::Landscape1536,
            (Self::GptImage, Size::Portrait1792) => Size::Portrait1536,
            (Self::DallE3, Size::Landscape1536) => Size::Landscape1792,
            (Self::DallE3, Size::Portrait1536) => Size::Portrait1792,
            _ => Size::Square1024,
        };
        Some(nearest.as_str())
    }

    /// The nearest quality that the family has.
    const fn quality(self, quality: Quality) -> Option<&'static str> {
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
