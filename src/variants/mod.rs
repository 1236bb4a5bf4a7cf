//! Other sizes and formats of images: what may be asked for, made once, kept beside the image.
//!
//! ```text
//! query ---query---> Asked ---policy---> VariantForm ---maker---> a stored variant, or a refusal
//! ```

mod codecs;
mod images;
mod maker;
mod memory;
mod policy;
mod query;
mod whole;

pub use codecs::{CodecError, Codecs, DominantColour, Job, MadeVariant, MeasureJob, Measures};
pub use images::{ImagesRequest, VariantMaker};
pub use maker::{Maker, Outcome, VariantError};
pub use policy::{AspectRatio, NamedVariants, VariantPolicy};
pub use query::{Asked, Choice, Dimensions, FALLBACK, InvalidQuery, MAX_SIDE, NAMES, Wanted};
pub use whole::{enhancing, measuring};

/// Why an image cannot become a variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its format is not decoded here.
    Unsupported,
    /// Its bytes cannot be decoded.
    Impossible,
    /// It has too many pixels, or takes too much memory.
    TooLarge,
}

impl Refusal {
    /// The refusal as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::Impossible => "impossible",
            Self::TooLarge => "too-large",
        }
    }

    /// What a failure of the codecs is to whoever asked; `None` when the next try may do better.
    #[must_use]
    pub const fn of(error: &CodecError) -> Option<Self> {
        match error {
            CodecError::Unsupported => Some(Self::Unsupported),
            CodecError::Undecodable | CodecError::Trapped(_) => Some(Self::Impossible),
            CodecError::TooManyPixels => Some(Self::TooLarge),
            CodecError::Unavailable(_) => None,
        }
    }

    /// The refusal with this text; one that is not known is that the image cannot be decoded.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        [Self::Unsupported, Self::TooLarge]
            .into_iter()
            .find(|refusal| refusal.as_str() == text)
            .unwrap_or(Self::Impossible)
    }
}
