//! What every provider does.

use std::fmt;

use async_trait::async_trait;

use super::{GenerateError, GenerateRequest, ImageFile};
use crate::library::GenerationShare;

/// Makes pictures.
#[async_trait(?Send)]
pub trait Generator: 'static {
    /// The name in `IMAGE_PROVIDER` and in records.
    fn name(&self) -> &'static str;

    /// Makes one picture, and holds its bytes in `memory`. It may have been made, and billed, even when the answer is an error.
    ///
    /// # Errors
    /// [`GenerateError`].
    async fn generate(
        &self,
        request: &GenerateRequest,
        memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError>;
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
