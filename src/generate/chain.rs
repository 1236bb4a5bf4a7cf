//! Providers in order: a later one is tried when an earlier one fails for a reason that another could cure.

use std::fmt;
use std::rc::Rc;

use super::{GenerateError, GenerateRequest, GeneratedImage, Generator};
use crate::catalog::GenerationRecord;
use crate::image::FailedProvider;
use crate::library::GenerationShare;
use crate::runtime::{Runtime, within};

/// The configured providers.
pub struct Chain {
    providers: Vec<Box<dyn Generator>>,
    timeout_ms: u64,
    runtime: Rc<dyn Runtime>,
}

/// A picture, and how the chain came by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub image: GeneratedImage,
    /// The provider that made it.
    pub provider: &'static str,
    /// Those that were tried before, in order.
    pub failed_providers: Vec<FailedProvider>,
}

/// No provider made a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllFailed {
    /// The failure that the caller can do most about, the earliest of several.
    pub error: GenerateError,
    /// The provider that failed so.
    pub provider: &'static str,
    /// All that were tried, in order.
    pub failed_providers: Vec<FailedProvider>,
}

impl Chain {
    /// A chain of `providers`, each with `timeout_ms` for its attempt. The whole takes at most `timeout_ms` times their number.
    #[must_use]
    pub fn new(providers: Vec<Box<dyn Generator>>, timeout_ms: u64, runtime: Rc<dyn Runtime>) -> Self {
        Self { providers, timeout_ms, runtime }
    }

    /// The names of the providers, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.providers.iter().map(|provider| provider.name())
    }

    /// The first picture that a provider makes, held in `memory`.
    ///
    /// # Errors
    /// [`AllFailed`] when each has failed, or one failed for a reason that no other could cure.
    pub async fn generate(
        &self,
        request: &GenerateRequest,
        memory: &GenerationShare<'_>,
    ) -> Result<Generation, AllFailed> {
        let mut failed_providers = Vec::new();
        let mut most_useful = (GenerateError::Misconfigured("IMAGE_PROVIDER names no provider"), "none");
        for provider in &self.providers {
            let name = provider.name();
            let attempt = within(&self.runtime, self.timeout_ms, provider.generate(request, memory)).await;
            let error = match attempt.unwrap_or(Err(GenerateError::Timeout)) {
                Ok(image) => return Ok(Generation { image, provider: name, failed_providers }),
                Err(error) => error,
            };
            if failed_providers.is_empty() || error.usefulness() > most_useful.0.usefulness() {
                most_useful = (error, name);
            }
            failed_providers.push(FailedProvider { provider: name.to_owned(), reason: error.reason().to_owned() });
            if !error.another_could_help() {
                break;
            }
        }
        let (error, provider) = most_useful;
        Err(AllFailed { error, provider, failed_providers })
    }
}

impl Generation {
    /// Whether an earlier provider of the list did not make it.
    #[must_use]
    pub fn is_fallback(&self) -> bool {
        !self.failed_providers.is_empty()
    }

    /// What to remember of it: what was asked, and who made it.
    #[must_use]
    pub fn record(&self, request: &GenerateRequest) -> GenerationRecord {
        GenerationRecord {
            provider: self.provider.to_owned(),
            model: self.image.model.clone(),
            prompt: request.prompt.as_str().to_owned(),
            prompt_cut: false,
            size: request.size.text().into_owned(),
            quality: request.quality.map(|quality| quality.as_str().to_owned()),
            style: request.style.map(|style| style.as_str().to_owned()),
            background: request.output.background().map(|background| background.as_str().to_owned()),
            output_format: request.output.format().map(|format| format.as_str().to_owned()),
            output_compression: request.output.compression(),
            revised_prompt: self.image.revised_prompt.clone(),
            total_tokens: self.image.total_tokens,
            failed_providers: self.failed_providers.clone(),
            original_url: self.image.original_url.clone(),
        }
    }
}

impl fmt::Display for AllFailed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.provider, self.error)
    }
}

impl std::error::Error for AllFailed {}
