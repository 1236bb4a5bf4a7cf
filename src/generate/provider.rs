//! The providers that can be chosen.

use async_trait::async_trait;

use super::parameter::find;
use super::{GenerateError, GenerateRequest, GeneratedImage, Generator, InvalidParameter};
use crate::library::GenerationShare;

/// A provider, as `IMAGE_PROVIDER` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProviderName {
    Placeholder,
    OpenAi,
    WorkersAi,
}

/// Stands in for a provider that is chosen but lacks settings: fails, so that the next one of the list is tried.
#[derive(Debug, Clone, Copy)]
pub struct Unconfigured {
    pub provider: ProviderName,
    /// What is missing, by the names of the variables.
    pub problem: &'static str,
}

impl ProviderName {
    /// Every provider, in the order in which documentation lists them.
    pub const ALL: [Self; 3] = [Self::Placeholder, Self::OpenAi, Self::WorkersAi];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Placeholder => "placeholder",
            Self::OpenAi => "openai",
            Self::WorkersAi => "workers-ai",
        }
    }

    /// The providers in a comma-separated list, in its order; never none, none twice.
    ///
    /// # Errors
    /// [`InvalidParameter`] when a name is unknown, missing or there twice.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, InvalidParameter> {
        let mut providers = Vec::new();
        for name in text.split(',') {
            let provider = find(&Self::ALL, Self::as_str, name.trim())
                .map_err(|InvalidParameter(rule)| InvalidParameter(format!("each name of the list {rule}")))?;
            if providers.contains(&provider) {
                return Err(InvalidParameter(format!("must not name {} twice", provider.as_str())));
            }
            providers.push(provider);
        }
        Ok(providers)
    }
}

#[async_trait(?Send)]
impl Generator for Unconfigured {
    fn name(&self) -> &'static str {
        self.provider.as_str()
    }

    async fn generate(
        &self,
        _request: &GenerateRequest,
        _memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError> {
        Err(GenerateError::Misconfigured(self.problem))
    }
}
