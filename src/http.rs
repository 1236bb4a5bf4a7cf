//! The seam to services outside: plain HTTP, and the platform's own AI models.
//!
//! Errors carry kinds and numbers only. A service's own words may quote a prompt, a key or a signed URL, and errors are logged.

use std::fmt;

use async_trait::async_trait;

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

/// A whole answer.
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
    /// Sends `request` once and reads the whole answer, whatever its status. Dropping the future aborts the call.
    ///
    /// # Errors
    /// [`HttpError`] when the answer did not arrive whole within [`HttpRequest::limits`]. The size limit is enforced while
    /// reading: no more than the limit and one chunk is ever in memory.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}

impl HttpResponse {
    /// The first header called `name`, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
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

/// What a model answered.
#[derive(Clone, PartialEq, Eq)]
pub enum AiOutput {
    /// A JSON text, as bytes: `application/json` answers.
    Json(Vec<u8>),
    /// Any other answer, read to its end.
    Binary(Vec<u8>),
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
    /// Runs `model` once on the JSON object `input_json` and reads the whole answer. Dropping the future aborts the call.
    ///
    /// # Errors
    /// [`AiError`]; the size limit is enforced while reading.
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

impl fmt::Debug for AiOutput {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(bytes) => write!(formatter, "Json({} bytes)", bytes.len()),
            Self::Binary(bytes) => write!(formatter, "Binary({} bytes)", bytes.len()),
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
