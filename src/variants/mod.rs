//! Other sizes and formats of images: what may be asked for, made once, kept beside the image.
//!
//! ```text
//! query ---query---> Asked ---policy---> VariantForm ---maker---> a stored variant, or a refusal
//! ```

mod codecs;
mod enhance;
mod maker;
mod memory;
mod policy;
mod query;

pub use codecs::{CodecError, Codecs, Job, MadeVariant};
pub use enhance::enhancing;
pub use maker::{Maker, Outcome, VariantError};
pub use policy::{AspectRatio, NamedVariants, VariantPolicy};
pub use query::{Asked, Choice, Dimensions, FALLBACK, InvalidQuery, MAX_SIDE, NAMES, Wanted};

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

    /// The refusal with this text; one that is not known is that the image cannot be decoded.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        [Self::Unsupported, Self::TooLarge]
            .into_iter()
            .find(|refusal| refusal.as_str() == text)
            .unwrap_or(Self::Impossible)
    }
}
