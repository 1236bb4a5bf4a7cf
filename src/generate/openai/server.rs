//! A server that speaks OpenAI's API: how it is asked, and what its answers mean.

use std::rc::Rc;

use super::answer::{Answer, Source};
use super::failure::failure;
use crate::generate::json_answer::{JsonAnswer, MAX_ANSWER_BYTES};
use crate::generate::{ApiKey, BaseUrl, GenerateError, GeneratedImage, ImageFile, MAX_GENERATED_BYTES, arriving};
use crate::http::{AnswerLimits, HttpAnswer, HttpClient, HttpError, HttpRequest, HttpResponse, Method};
use crate::library::GenerationShare;
use crate::runtime::{Runtime, Timestamp};

/// Redirects followed when an image is fetched by URL.
const MAX_IMAGE_REDIRECTS: u8 = 3;
/// The longest provider's URL that is remembered; signed ones have about 500 bytes.
const MAX_ORIGINAL_URL_BYTES: usize = 2048;

/// A server that speaks OpenAI's API.
pub struct Server {
    base_url: BaseUrl,
    api_key: Option<ApiKey>,
    http: Rc<dyn HttpClient>,
    runtime: Rc<dyn Runtime>,
}

impl Server {
    /// The server at `base_url`; not every one needs a key.
    #[must_use]
    pub fn new(base_url: BaseUrl, api_key: Option<ApiKey>, http: Rc<dyn HttpClient>, runtime: Rc<dyn Runtime>) -> Self {
        Self { base_url, api_key, http, runtime }
    }

    /// When the time for a picture is over that is begun now.
    #[must_use]
    pub fn deadline(&self, timeout_ms: u64) -> Timestamp {
        self.runtime.now().plus_millis(i64::try_from(timeout_ms).unwrap_or(i64::MAX))
    }

    /// Sends `body` once to `path`, which starts with a slash.
    ///
    /// # Errors
    /// [`GenerateError`]; the work may have been done, and billed.
    pub async fn post(
        &self,
        path: &str,
        content_type: String,
        body: Vec<u8>,
        deadline: Timestamp,
        memory: &GenerationShare<'_>,
    ) -> Result<HttpResponse, GenerateError> {
        let mut headers = vec![("content-type", content_type), ("accept", "application/json".to_owned())];
        headers.extend(self.api_key.iter().map(|key| ("authorization", key.authorization())));
        let request = HttpRequest {
            method: Method::Post,
            url: self.base_url.join(path),
            headers,
            body,
            limits: self.limits(deadline, MAX_ANSWER_BYTES)?,
            max_redirects: 0,
        };
        let response = self.send(request, memory).await?;
        if response.is_success() { Ok(response) } else { Err(failure(&response, self.runtime.now())) }
    }

    /// The first picture in an answer of the images API, or at the URL that it names. The model is the caller's to name.
    ///
    /// # Errors
    /// [`GenerateError`].
    pub async fn picture(
        &self,
        response: HttpResponse,
        deadline: Timestamp,
        memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError> {
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
            model: None,
            revised_prompt: answer.revised_prompt,
            total_tokens: answer.total_tokens,
            original_url: original_url.filter(|url| url.len() <= MAX_ORIGINAL_URL_BYTES),
        })
    }

    /// The image at `url`, which the server named. No credentials go there.
    async fn fetch(
        &self,
        url: &str,
        deadline: Timestamp,
        memory: &GenerationShare<'_>,
    ) -> Result<ImageFile, GenerateError> {
        if !self.base_url.may_refer_to(url) {
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

    pub(super) fn remaining_ms(&self, deadline: Timestamp) -> u64 {
        deadline.millis_since(self.runtime.now())
    }

    pub(super) async fn sleep(&self, duration_ms: u64) {
        self.runtime.sleep(duration_ms).await;
    }
}
