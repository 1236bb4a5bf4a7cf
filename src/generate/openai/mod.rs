//! Any server that speaks OpenAI's images API.

mod answer;
mod failure;
mod family;
mod retry_after;

use std::rc::Rc;

use async_trait::async_trait;

use self::answer::{Answer, Source};
use self::failure::failure;
use self::family::Family;
use super::json_answer::{JsonAnswer, MAX_ANSWER_BYTES};
use super::{
    ApiKey, BaseUrl, Field, GenerateError, GenerateRequest, GeneratedImage, Generator, ImageFile, MAX_GENERATED_BYTES,
    ModelName, Problem, ProviderName, Size, arriving,
};
use crate::http::{AnswerLimits, HttpAnswer, HttpClient, HttpError, HttpRequest, HttpResponse, Method};
use crate::library::GenerationShare;
use crate::runtime::{Runtime, Timestamp};

/// The model when none is set.
#[must_use]
pub fn default_model() -> ModelName {
    ModelName::built_in("gpt-image-2")
}

/// The longest pause that is sat out before the one retry of a rate-limited request; a longer one is the caller's to wait.
const MAX_RETRY_WAIT_MS: u64 = 10_000;
/// Redirects followed when an image is fetched by URL.
const MAX_IMAGE_REDIRECTS: u8 = 3;
/// The longest provider's URL that is remembered; signed ones have about 500 bytes.
const MAX_ORIGINAL_URL_BYTES: usize = 2048;

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
    http: Rc<dyn HttpClient>,
    runtime: Rc<dyn Runtime>,
}

impl OpenAi {
    /// A generator on the server of `settings`.
    #[must_use]
    pub fn new(settings: OpenAiSettings, http: Rc<dyn HttpClient>, runtime: Rc<dyn Runtime>) -> Self {
        Self { settings, http, runtime }
    }

    /// Sends `body`. A rate limit that ends soon is waited for, once: within 10 seconds, and with at least half of the remaining time
    /// left for the second try. Nothing else is retried: the picture may have been made, and billed.
    async fn ask(
        &self,
        body: Vec<u8>,
        deadline: Timestamp,
        memory: &GenerationShare<'_>,
    ) -> Result<HttpResponse, GenerateError> {
        match self.ask_once(body.clone(), deadline, memory).await {
            Err(GenerateError::RateLimited { retry_after_ms: Some(wait_ms) })
                if wait_ms <= MAX_RETRY_WAIT_MS.min(self.remaining_ms(deadline) / 2) =>
            {
                self.runtime.sleep(wait_ms).await;
                self.ask_once(body, deadline, memory).await
            }
            answer => answer,
        }
    }

    async fn ask_once(
        &self,
        body: Vec<u8>,
        deadline: Timestamp,
        memory: &GenerationShare<'_>,
    ) -> Result<HttpResponse, GenerateError> {
        let mut headers =
            vec![("content-type", "application/json".to_owned()), ("accept", "application/json".to_owned())];
        headers.extend(self.settings.api_key.iter().map(|key| ("authorization", key.authorization())));
        let request = HttpRequest {
            method: Method::Post,
            url: self.settings.base_url.join("/images/generations"),
            headers,
            body,
            limits: self.limits(deadline, MAX_ANSWER_BYTES)?,
            max_redirects: 0,
        };
        let response = self.send(request, memory).await?;
        if response.is_success() { Ok(response) } else { Err(failure(&response, self.runtime.now())) }
    }

    /// The image at `url`, which the server named. No credentials go there.
    async fn fetch(
        &self,
        url: &str,
        deadline: Timestamp,
        memory: &GenerationShare<'_>,
    ) -> Result<ImageFile, GenerateError> {
        if !self.settings.base_url.may_refer_to(url) {
            return Err(GenerateError::UnreadableAnswer);
        }
        let request = HttpRequest {
            method: Method::Get,
            url: url.to_owned(),
            headers: vec![("accept", "image/*".to_owned())],
            body: Vec::new(),
            limits: self.limits(deadline, MAX_GENERATED_BYTES)?,
            max_redirects: MAX_IMAGE_REDIRECTS,
        };
        let response = self.send(request, memory).await?;
        if !response.is_success() {
            return Err(GenerateError::Unavailable { status: Some(response.status) });
        }
        ImageFile::inspect(response.body)
    }

    async fn send(&self, request: HttpRequest, memory: &GenerationShare<'_>) -> Result<HttpResponse, HttpError> {
        let limit_bytes = request.limits.max_response_bytes;
        let answer = self.http.send(request).await?;
        let limit_bytes = answer.declared_bytes().map_or(limit_bytes, |declared| declared.min(limit_bytes));
        let HttpAnswer { status, headers, body, .. } = answer;
        Ok(HttpResponse { status, headers, body: arriving::read(body, limit_bytes, memory).await? })
    }

    fn limits(&self, deadline: Timestamp, max_response_bytes: u64) -> Result<AnswerLimits, GenerateError> {
        match self.remaining_ms(deadline) {
            0 => Err(GenerateError::Timeout),
            timeout_ms => Ok(AnswerLimits { timeout_ms, max_response_bytes }),
        }
    }

    fn remaining_ms(&self, deadline: Timestamp) -> u64 {
        deadline.millis_since(self.runtime.now())
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
        let timeout_ms = i64::try_from(self.settings.timeout_ms).unwrap_or(i64::MAX);
        let deadline = self.runtime.now().plus_millis(timeout_ms);
        // Texts and numbers always serialise.
        let body = serde_json::to_vec(&family.parameters(model, request))
            .map_err(|_| GenerateError::Misconfigured("the request cannot be written as JSON"))?;

        let response = self.ask(body, deadline, memory).await.map_err(|error| about_field(error, request))?;
        let json = JsonAnswer::new(response.body);
        let answer = Answer::parse(&json)?;
        let (file, original_url) = match answer.image {
            Source::Encoded(image) => (json.decode(image)?, None),
            Source::Url(url) => {
                drop(json);
                (self.fetch(&url, deadline, memory).await?, Some(url))
            }
        };
        Ok(GeneratedImage {
            file,
            model: Some(model.as_str().to_owned()),
            revised_prompt: answer.revised_prompt,
            total_tokens: answer.total_tokens,
            original_url: original_url.filter(|url| url.len() <= MAX_ORIGINAL_URL_BYTES),
        })
    }
}
