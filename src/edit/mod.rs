//! Edits: a prompt and a picture make another picture.
//!
//! Editors fail as generators do ([`GenerateError`]), and what they answer with is believed as little.

pub mod builtin;
mod form;
pub mod openai;
pub mod workers_ai;

use async_trait::async_trait;

use crate::bytes::Blob;
use crate::catalog::jobs::Tier;
use crate::generate::{GenerateError, GeneratedImage, InvalidParameter, ModelName, Prompt, Quality, Size};
use crate::image::Format;
use crate::library::GenerationShare;

/// The longest prompt of an edit, in characters: a page of 100 jobs shows them all.
pub const MAX_PROMPT_CHARACTERS: usize = 4_000;

/// An editor, as `EDIT_PROVIDER` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EditorName {
    Builtin,
    OpenAi,
    WorkersAi,
}

/// What a tier means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierSettings {
    pub model: ModelName,
    /// How much work to put into a picture; the model's own choice when `None`.
    pub quality: Option<Quality>,
}

/// A picture that is there.
#[derive(Debug, Clone)]
pub struct Picture {
    pub bytes: Blob,
    pub format: Format,
}

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditRequest {
    pub prompt: Prompt,
    pub tier: Tier,
    pub size: Size,
}

/// Makes pictures of pictures.
#[async_trait(?Send)]
pub trait Editor: 'static {
    /// The name in `EDIT_PROVIDER` and in records.
    fn name(&self) -> &'static str;

    /// What a tier means here.
    fn tier(&self, tier: Tier) -> &TierSettings;

    /// Whether it takes pictures of this format.
    fn takes(&self, format: Format) -> bool;

    /// The longest picture that it takes, together with its mask.
    fn max_bytes(&self) -> u64;

    /// Makes a picture of `original`, only where `mask` is transparent if there is one, and holds its bytes in `memory`. It may have been
    /// made, and billed, even when the answer is an error.
    ///
    /// # Errors
    /// [`GenerateError`].
    async fn edit(
        &self,
        request: &EditRequest,
        original: Picture,
        mask: Option<Picture>,
        memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError>;
}

impl EditorName {
    /// Every editor, in the order in which documentation lists them.
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

    /// The editor with this text form.
    ///
    /// # Errors
    /// [`InvalidParameter`] with the list of all editors.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        Self::ALL.into_iter().find(|name| name.as_str() == text).ok_or_else(|| {
            let accepted = Self::ALL.map(Self::as_str).join(", ");
            InvalidParameter(format!("must be one of {accepted}"))
        })
    }
}
