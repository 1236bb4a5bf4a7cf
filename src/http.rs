//! The seam to services outside: plain HTTP, and the platform's own AI models.
//!
//! Errors carry kinds and numbers only. A service's own words may quote a prompt, a key or a signed URL, and errors are logged.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use async_trait::async_trait;

use crate::bytes::{Body, BodyError};

/// How long to wait for a whole answer, and how much of it to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerLimits {
    /// Milliseconds from the start of the call to the last byte of the answer.
    pub timeout_ms: u64,
    /// Bytes of the answer's body after content decoding.
    pub max_response_bytes: u64,
}

/// A request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
}

/// A request to an outside service.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: Method,
    /// Absolute, `http` or `https`.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Empty for [`Method::Get`].
    pub body: Vec<u8>,
    pub limits: AnswerLimits,
    /// Redirects to follow, each to an `https` URL and without `authorization`; the one beyond is the answer. Zero where the request
    /// has a body or credentials.
    pub max_redirects: u8,
}

/// An answer whose body is still arriving. Dropping it ends the call.
pub struct HttpAnswer {
    pub status: u16,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
    /// Keeps to [`HttpRequest::limits`]: it fails with [`BodyError::TooLong`] or [`BodyError::TimedOut`].
    pub body: Body,
    /// Requests that it took: one, and one for each redirect that was followed.
    pub requests: u16,
}

/// A whole answer in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why there is no whole answer. The service may have done the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpError {
    /// [`AnswerLimits::timeout_ms`] passed.
    Timeout,
    /// No connection, or none that may be used (DNS, TLS, a malformed URL).
    Connect,
    /// More than `limit_bytes` arrived or were announced; reading stopped there.
    ResponseTooLarge { limit_bytes: u64 },
    /// The connection broke before the answer's end.
    Interrupted,
}

/// Speaks HTTP to the outside.
#[async_trait(?Send)]
pub trait HttpClient: 'static {
    /// Sends `request` once, whatever the answer's status. Dropping the future aborts the call.
    ///
    /// # Errors
    /// [`HttpError`] when no answer began within [`HttpRequest::limits`], or it announces more than they allow.
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError>;
}

/// Counts the requests of a client, for a caller that may make a limited number of them.
pub struct Counted {
    client: Rc<dyn HttpClient>,
    requests: Cell<u64>,
}

impl Counted {
    /// Counts what goes through `client` from here on.
    #[must_use]
    pub fn new(client: Rc<dyn HttpClient>) -> Self {
        Self { client, requests: Cell::new(0) }
    }

    /// Requests made. One without an answer counts as if all its redirects had been followed.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.get()
    }
}

#[async_trait(?Send)]
impl HttpClient for Counted {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let most = 1 + u64::from(request.max_redirects);
        // Before the call: it may be dropped.
        self.requests.update(|requests| requests + most);
        let answer = self.client.send(request).await?;
        let unused = most.saturating_sub(answer.requests.into());
        self.requests.update(|requests| requests - unused);
        Ok(answer)
    }
}

impl HttpAnswer {
    /// The length of the body in bytes, when the answer says it: not if the body is compressed.
    #[must_use]
    pub fn declared_bytes(&self) -> Option<u64> {
        let value = |name| header(&self.headers, name);
        value("content-length").filter(|_| value("content-encoding").is_none())?.parse().ok()
    }
}

/// The first of `headers` called `name`, in any case.
fn header<'headers>(headers: &'headers [(String, String)], name: &str) -> Option<&'headers str> {
    headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

impl From<HttpResponse> for HttpAnswer {
    fn from(HttpResponse { status, headers, body }: HttpResponse) -> Self {
        Self { status, headers, body: body.into(), requests: 1 }
    }
}

impl From<BodyError> for HttpError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TimedOut => Self::Timeout,
            BodyError::TooLong { limit_bytes } => Self::ResponseTooLarge { limit_bytes },
            BodyError::Interrupted(_) | BodyError::TooShort { .. } => Self::Interrupted,
        }
    }
}

impl HttpResponse {
    /// The first header called `name`, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HttpRequest({:?}, {} bytes)", self.method, self.body.len())
    }
}

impl fmt::Debug for HttpAnswer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HttpAnswer({}, {:?})", self.status, self.body)
    }
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HttpResponse({}, {} bytes)", self.status, self.body.len())
    }
}

impl fmt::Display for HttpError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => formatter.write_str("the answer took too long"),
            Self::Connect => formatter.write_str("no connection"),
            Self::ResponseTooLarge { limit_bytes } => {
                write!(formatter, "the answer is longer than {limit_bytes} bytes")
            }
            Self::Interrupted => formatter.write_str("the connection broke before the end of the answer"),
        }
    }
}

impl std::error::Error for HttpError {}

/// What a model answers; the body is still arriving, and keeps to the call's limits. Dropping it ends the call.
pub enum AiOutput {
    /// A JSON text: `application/json` answers.
    Json(Body),
    /// Any other answer.
    Binary(Body),
}

/// Why a model gave no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AiError {
    /// [`AnswerLimits::timeout_ms`] passed.
    Timeout,
    /// The binding could not be called, or its answer broke off.
    Interrupted,
    /// More than `limit_bytes` arrived; reading stopped there.
    ResponseTooLarge { limit_bytes: u64 },
    /// The platform answered with an error: its internal code when it gave one.
    Failed { code: Option<u32> },
}

/// Runs models on the platform's own AI service.
#[async_trait(?Send)]
pub trait AiBinding: 'static {
    /// Runs `model` once on the JSON object `input_json`. Dropping the future aborts the call.
    ///
    /// # Errors
    /// [`AiError`] when no answer began within `limits`.
    async fn run(&self, model: &str, input_json: String, limits: AnswerLimits) -> Result<AiOutput, AiError>;
}

impl AiError {
    /// The error in the platform's own words, such as `3030: Input prompt contains NSFW content` or `AiError: 5007: No such
    /// model`; only the code is kept.
    #[must_use]
    pub fn from_message(message: &str) -> Self {
        let code = message.split(':').take(3).find_map(|part| part.trim().parse().ok());
        Self::Failed { code }
    }
}

impl From<BodyError> for AiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TimedOut => Self::Timeout,
            BodyError::TooLong { limit_bytes } => Self::ResponseTooLarge { limit_bytes },
            BodyError::Interrupted(_) | BodyError::TooShort { .. } => Self::Interrupted,
        }
    }
}

impl fmt::Debug for AiOutput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(body) => write!(formatter, "Json({body:?})"),
            Self::Binary(body) => write!(formatter, "Binary({body:?})"),
        }
    }
}

impl fmt::Display for AiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => formatter.write_str("the model took too long"),
            Self::Interrupted => formatter.write_str("the model's answer broke off"),
            Self::ResponseTooLarge { limit_bytes } => {
                write!(formatter, "the answer is longer than {limit_bytes} bytes")
            }
            Self::Failed { code: Some(code) } => write!(formatter, "the platform answered with error {code}"),
            Self::Failed { code: None } => formatter.write_str("the platform answered with an error"),
        }
    }
}

impl std::error::Error for AiError {}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Follows one redirect, or has no connection where none may be followed.
    struct Redirected;

    #[async_trait(?Send)]
    impl HttpClient for Redirected {
        async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
            if request.max_redirects == 0 {
                return Err(HttpError::Connect);
            }
            Ok(HttpAnswer { status: 200, headers: Vec::new(), body: Body::empty(), requests: 2 })
        }
    }

    fn get(max_redirects: u8) -> HttpRequest {
        HttpRequest {
            method: Method::Get,
            url: "https://example.com/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            limits: AnswerLimits { timeout_ms: 1, max_response_bytes: 1 },
            max_redirects,
        }
    }

    #[test]
    fn requests_are_counted_with_the_redirects_that_were_followed() {
        let client = Counted::new(Rc::new(Redirected));
        assert!(matches!(client.send(get(3)).now_or_never(), Some(Ok(_))));
        assert_eq!(client.requests(), 2);
        assert!(matches!(client.send(get(0)).now_or_never(), Some(Err(HttpError::Connect))));
        assert_eq!(client.requests(), 3);
    }

    #[test]
    fn a_request_that_is_dropped_counts_in_full() {
        let client = Counted::new(Rc::new(Unanswered));
        drop(client.send(get(4)).now_or_never());
        assert_eq!(client.requests(), 5);
    }

    struct Unanswered;

    #[async_trait(?Send)]
    impl HttpClient for Unanswered {
        async fn send(&self, _request: HttpRequest) -> Result<HttpAnswer, HttpError> {
            std::future::pending().await
        }
    }
}
