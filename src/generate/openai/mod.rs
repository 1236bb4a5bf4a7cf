//! Any server that speaks OpenAI's images API.

mod answer;
mod failure;
mod family;
mod retry_after;
mod server;

use std::rc::Rc;

use async_trait::async_trait;

pub use self::family::Family;
pub use self::server::Server;
use super::{
    ApiKey, BaseUrl, Field, GenerateError, GenerateRequest, GeneratedImage, Generator, ModelName, Problem,
    ProviderName, Size,
};
use crate::http::{HttpClient, HttpResponse};
use crate::library::GenerationShare;
use crate::runtime::{Runtime, Timestamp};

/// The content type of a request for a picture.
const JSON: &str = "application/json";

/// The model when none is set.
#[must_use]
pub fn default_model() -> ModelName {
    ModelName::built_in("gpt-image-2")
}

/// The longest pause that is sat out before the one retry of a rate-limited request; a longer one is the caller's to wait.
const MAX_RETRY_WAIT_MS: u64 = 10_000;

/// How to reach a server, and what to ask it for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiSettings {
    pub base_url: BaseUrl,
    /// Not needed by every server.
    pub api_key: Option<ApiKey>,
    pub model: ModelName,
    /// Milliseconds for one picture: the request, its retry, and the fetch of an image by URL.
    pub timeout_ms: u64,
}

/// Makes pictures on a server that speaks OpenAI's images API.
pub struct OpenAi {
    settings: OpenAiSettings,
    server: Server,
}

impl OpenAi {
    /// A generator on the server of `settings`.
    #[must_use]
    pub fn new(settings: OpenAiSettings, http: Rc<dyn HttpClient>, runtime: Rc<dyn Runtime>) -> Self {
        let server = Server::new(settings.base_url.clone(), settings.api_key.clone(), http, runtime);
        Self { settings, server }
    }

    /// Sends `body`. A rate limit that ends soon is waited for, once: within 10 seconds, and with at least half of the remaining time
    /// left for the second try. Nothing else is retried: the picture may have been made, and billed.
    async fn ask(
        &self,
        body: Vec<u8>,
        deadline: Timestamp,
        memory: &GenerationShare<'_>,
    ) -> Result<HttpResponse, GenerateError> {
        let ask_once = |body| self.server.post("/images/generations", JSON.to_owned(), body, deadline, memory);
        match ask_once(body.clone()).await {
            Err(GenerateError::RateLimited { retry_after_ms: Some(wait_ms) })
                if wait_ms <= MAX_RETRY_WAIT_MS.min(self.server.remaining_ms(deadline) / 2) =>
            {
                self.server.sleep(wait_ms).await;
                ask_once(body).await
            }
            answer => answer,
        }
    }
}

/// `error`, as what the caller can do about it where the server refuses what the caller chose. Any other parameter that it refuses is
/// our own mistake.
fn about_field(error: GenerateError, request: &GenerateRequest) -> GenerateError {
    let GenerateError::RequestRefused { status: 400 | 422, problem: Problem { parameter: Some(parameter), .. } } =
        error
    else {
        return error;
    };
    let output = &request.output;
    let field = match parameter {
        "size" if matches!(request.size, Size::Custom(_)) => Field::Size,
        "background" if output.background().is_some() => Field::Background,
        "output_format" if output.format().is_some() => Field::OutputFormat,
        "output_compression" if output.compression().is_some() => Field::OutputCompression,
        _ => return error,
    };
    GenerateError::Unsupported { field }
}

#[async_trait(?Send)]
impl Generator for OpenAi {
    fn name(&self) -> &'static str {
        ProviderName::OpenAi.as_str()
    }

    async fn generate(
        &self,
        request: &GenerateRequest,
        memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError> {
        let model = &self.settings.model;
        let family = Family::of(model);
        if let Some(limit_characters) = family.max_prompt_characters()
            && request.prompt.characters() > limit_characters
        {
            return Err(GenerateError::PromptTooLong { limit_characters: Some(limit_characters) });
        }
        if let Some(field) = family.unsupported(request) {
            return Err(GenerateError::Unsupported { field });
        }
        let deadline = self.server.deadline(self.settings.timeout_ms);
        // Texts and numbers always serialise.
        let body = serde_json::to_vec(&family.parameters(model, request))
            .map_err(|_| GenerateError::Misconfigured("the request cannot be written as JSON"))?;

        let response = self.ask(body, deadline, memory).await.map_err(|error| about_field(error, request))?;
        let picture = self.server.picture(response, deadline, memory).await?;
        Ok(GeneratedImage { model: Some(model.as_str().to_owned()), ..picture })
    }
}
