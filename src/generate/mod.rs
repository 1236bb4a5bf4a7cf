//! Pictures from prompts: one trait, several providers, and a chain that tries them in order.
//!
//! A provider's bytes are believed only as an [`ImageFile`], which can be made in no other way than by looking at them.

mod chain;
mod error;
mod image_file;
mod json_answer;
pub mod openai;
mod output;
pub mod placeholder;
mod provider;
mod request;
mod settings;
mod size;
pub mod workers_ai;

pub use chain::{AllFailed, Chain, Generation};
pub use error::{GenerateError, Problem};
pub use image_file::{ImageFile, MAX_GENERATED_BYTES};
pub use output::{Background, Field, Output, OutputFormat};
pub use provider::{ProviderName, Unconfigured};
pub use request::{GenerateRequest, InvalidParameter, Prompt, Quality, Style};
pub use settings::{ApiKey, BaseUrl, ModelName};
pub use size::{CustomSize, Size};

use std::fmt;

use async_trait::async_trait;

/// Makes pictures.
#[async_trait(?Send)]
pub trait Generator: 'static {
    /// The name in `IMAGE_PROVIDER` and in records.
    fn name(&self) -> &'static str;

    /// Makes one picture. It may have been made, and billed, even when the answer is an error.
    ///
    /// # Errors
    /// [`GenerateError`].
    async fn generate(&self, request: &GenerateRequest) -> Result<GeneratedImage, GenerateError>;
}

/// A picture, and what its provider says of it.
#[derive(Clone, PartialEq, Eq)]
pub struct GeneratedImage {
    pub file: ImageFile,
    pub model: Option<String>,
    /// The prompt that the provider made of the caller's.
    pub revised_prompt: Option<String>,
    /// Tokens that the provider billed, when it says.
    pub total_tokens: Option<u64>,
    /// The provider's own URL of the picture, when it answered with one. It expires, and works for anyone who has it.
    pub original_url: Option<String>,
}

impl GeneratedImage {
    /// A picture of which the provider says nothing.
    #[must_use]
    pub const fn new(file: ImageFile) -> Self {
        Self { file, model: None, revised_prompt: None, total_tokens: None, original_url: None }
    }
}

impl fmt::Debug for GeneratedImage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("GeneratedImage")
            .field("file", &self.file)
            .field("model", &self.model)
            .field("total_tokens", &self.total_tokens)
            .finish_non_exhaustive()
    }
}
