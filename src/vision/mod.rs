//! Vision: what is on pictures, and what can be measured of them.
//!
//! Providers fail as generators do ([`GenerateError`]), and what they answer with is believed as little.

mod analysis;
pub mod builtin;
mod chat;
pub mod openai;
pub mod workers_ai;

pub use analysis::{Analysis, AnalysisTooLarge, ColourShare, PictureAnalysis};

use async_trait::async_trait;

use crate::bytes::Blob;
use crate::generate::{GenerateError, InvalidParameter};
use crate::image::Format;
use crate::library::GenerationShare;
use crate::variants::Measures;

/// Pictures that a provider looks at in one call.
pub const PICTURES_AT_ONCE: usize = 16;
/// Bytes of the pictures of one call, unless it is a single one: as base64 in JSON, twice, they fit in the isolate's part for uploads.
pub const BYTES_AT_ONCE: u64 = 6 * 1024 * 1024;

/// A provider, as `VISION_PROVIDER` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisionName {
    Builtin,
    OpenAi,
    WorkersAi,
}

/// A picture that is there.
#[derive(Debug, Clone)]
pub struct Picture {
    pub bytes: Blob,
    pub format: Format,
}

/// What was found on one picture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    /// A sentence or two.
    pub text: Option<String>,
    pub tags: Vec<String>,
    pub measures: Option<Measures>,
    /// Why there is nothing, as a stable word.
    pub error: Option<&'static str>,
}

/// What was found on all pictures of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// What they show together.
    pub summary: Option<String>,
    /// One for each picture, in order.
    pub pictures: Vec<Seen>,
}

/// Looks at pictures.
#[async_trait(?Send)]
pub trait Vision: 'static {
    /// The name in `VISION_PROVIDER` and in records.
    fn name(&self) -> &'static str;

    /// The model, where there is one.
    fn model(&self) -> Option<&str>;

    /// Whether it takes pictures of this format.
    fn takes(&self, format: Format) -> bool;

    /// The longest picture that it takes.
    fn max_bytes(&self) -> u64;

    /// What pictures of so many bytes take of the isolate's part for uploads while it looks at them.
    fn room_bytes(&self, size_bytes: u64) -> u64;

    /// Whether it answers questions about pictures.
    fn answers_questions(&self) -> bool;

    /// Looks at `pictures`, at most [`PICTURES_AT_ONCE`], all of which it takes; what is asked about them it answers in the summary. It may have
    /// been done, and billed, even when the answer is an error.
    ///
    /// # Errors
    /// [`GenerateError`].
    async fn look(
        &self,
        pictures: Vec<Picture>,
        question: Option<&str>,
        memory: &GenerationShare<'_>,
    ) -> Result<Look, GenerateError>;
}

impl VisionName {
    /// Every provider, in the order in which documentation lists them.
    pub const ALL: [Self; 3] = [Self::Builtin, Self::OpenAi, Self::WorkersAi];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::OpenAi => "openai",
            Self::WorkersAi => "workers-ai",
        }
    }

    /// The provider with this text form.
    ///
    /// # Errors
    /// [`InvalidParameter`] with the list of all providers.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
            let accepted = Self::ALL.map(Self::as_str).join(", ");
            InvalidParameter(format!("must be one of {accepted}"))
        })
    }
}
