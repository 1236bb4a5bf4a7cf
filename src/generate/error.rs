//! What can go wrong at a provider, the same for every one of them.

use std::fmt;

use super::Field;
use crate::http::HttpError;
use crate::image::Rejection;
use crate::variants::Refusal;

/// A failed generation. It holds kinds and numbers only: no prompt, no key, and none of the provider's own words, which may quote
/// either; so its `Display` and `Debug` may be logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GenerateError {
    /// No whole answer within the time for one provider. The work may have been done, and billed.
    Timeout,
    /// No connection, a broken answer, or a status of 5xx.
    Unavailable { status: Option<u16> },
    /// Too many requests just now.
    RateLimited { retry_after_ms: Option<u64> },
    /// The account is out of credit; waiting does not help.
    QuotaExhausted,
    /// The provider does not accept our key, or does not let it do this.
    Unauthorized { status: u16 },
    /// The provider does not have the configured model.
    ModelNotFound,
    /// The provider's moderation refuses the prompt, or the picture made of it. Neither retried nor tried elsewhere.
    Moderation,
    /// The provider refuses the prompt for another reason.
    PromptRefused,
    /// The prompt is longer than this provider's model takes, which may not say how many characters that are.
    PromptTooLong { limit_characters: Option<usize> },
    /// The provider's model does not have what the caller asks for in this field.
    Unsupported { field: Field },
    /// The picture that an edit starts from cannot be worked on.
    OriginalRefused(Refusal),
    /// The provider refuses our request for a reason other than the prompt.
    RequestRefused { status: u16, problem: Problem },
    /// A successful answer without an image in it.
    EmptyAnswer,
    /// A successful answer of another shape than the provider promises.
    UnreadableAnswer,
    /// The answer's image is none, or contradicts its format.
    NotAnImage,
    /// The answer, or the image in it, stops early.
    Truncated,
    /// The answer is longer than an image may be.
    TooLarge { limit_bytes: u64 },
    /// Our own settings for this provider are incomplete or contradictory; the text says which.
    Misconfigured(&'static str),
}

/// What a provider says is wrong with a request, when it says so in words that we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Problem {
    /// The provider's error code.
    pub code: Option<&'static str>,
    /// The parameter that it complains of.
    pub parameter: Option<&'static str>,
}

impl GenerateError {
    /// Whether another provider could do better with the same request.
    #[must_use]
    pub const fn another_could_help(&self) -> bool {
        !matches!(self, Self::Moderation | Self::PromptRefused)
    }

    /// Whether the same request may succeed later without a change of ours.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable { .. } | Self::RateLimited { .. })
    }

    /// The kind as a stable kebab-case word for the API, logs and counters.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Timeout => "provider-timeout",
            Self::Unavailable { .. } => "provider-unavailable",
            Self::RateLimited { .. } => "provider-rate-limited",
            Self::QuotaExhausted => "provider-quota-exhausted",
            Self::Unauthorized { .. } => "provider-unauthorized",
            Self::ModelNotFound => "provider-model-not-found",
            Self::Moderation => "moderation-refused",
            Self::PromptRefused => "prompt-refused",
            Self::PromptTooLong { .. } => "prompt-too-long",
            Self::Unsupported { .. } => "field-unsupported",
            Self::OriginalRefused(Refusal::Unsupported) => "image-unsupported",
            Self::OriginalRefused(Refusal::Impossible) => "image-undecodable",
            Self::OriginalRefused(Refusal::TooLarge) => "image-too-large",
            Self::RequestRefused { .. } => "provider-refused-request",
            Self::EmptyAnswer => "provider-empty-answer",
            Self::UnreadableAnswer => "provider-unreadable-answer",
            Self::NotAnImage => "provider-not-an-image",
            Self::Truncated => "provider-truncated-image",
            Self::TooLarge { .. } => "provider-image-too-large",
            Self::Misconfigured(_) => "provider-misconfigured",
        }
    }

    /// How much a caller can do about it, for choosing one error out of several: more is more. That a provider does not have what is
    /// asked for is the answer only where each configured one says so.
    pub(super) const fn usefulness(&self) -> u8 {
        match self {
            Self::Moderation | Self::PromptRefused => 5,
            Self::RateLimited { retry_after_ms: Some(_) } => 4,
            Self::Timeout | Self::Unavailable { .. } | Self::RateLimited { .. } | Self::PromptTooLong { .. } => 3,
            Self::Unsupported { .. } => 1,
            Self::Misconfigured(_) => 0,
            _ => 2,
        }
    }
}

impl fmt::Display for GenerateError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => formatter.write_str("the provider took too long"),
            Self::Unavailable { status: Some(status) } => {
                write!(formatter, "the provider answered with status {status}")
            }
            Self::Unavailable { status: None } => formatter.write_str("the provider could not be reached"),
            Self::RateLimited { retry_after_ms: Some(wait) } => {
                write!(formatter, "the provider asks to wait {wait} ms")
            }
            Self::RateLimited { retry_after_ms: None } => formatter.write_str("the provider asks to wait"),
            Self::QuotaExhausted => formatter.write_str("the account at the provider is out of credit"),
            Self::Unauthorized { status } => {
                write!(formatter, "the provider does not accept our credentials (status {status})")
            }
            Self::ModelNotFound => formatter.write_str("the provider does not have the configured model"),
            Self::Moderation => formatter.write_str("the provider's moderation refused the prompt or its picture"),
            Self::PromptRefused => formatter.write_str("the provider refused the prompt"),
            Self::PromptTooLong { limit_characters: Some(limit) } => {
                write!(formatter, "the provider's model takes prompts of at most {limit} characters")
            }
            Self::PromptTooLong { limit_characters: None } => {
                formatter.write_str("the prompt is too long for the provider's model")
            }
            Self::Unsupported { field } => {
                write!(formatter, "the provider's model does not have what {} asks for", field.as_str())
            }
            Self::OriginalRefused(Refusal::Unsupported) => formatter.write_str("images of this format are not decoded"),
            Self::OriginalRefused(Refusal::Impossible) => formatter.write_str("the image cannot be decoded"),
            Self::OriginalRefused(Refusal::TooLarge) => {
                formatter.write_str("the image has too many pixels, or takes too much memory")
            }
            Self::RequestRefused { status, problem } => write!(
                formatter,
                "the provider refused the request (status {status}, code {}, parameter {})",
                problem.code.unwrap_or("unknown"),
                problem.parameter.unwrap_or("unknown"),
            ),
            Self::EmptyAnswer => formatter.write_str("the provider answered without an image"),
            Self::UnreadableAnswer => formatter.write_str("the provider's answer has an unknown shape"),
            Self::NotAnImage => formatter.write_str("the provider's image is not a known image format"),
            Self::Truncated => formatter.write_str("the provider's answer stops early"),
            Self::TooLarge { limit_bytes } => {
                write!(formatter, "the provider's answer is longer than {limit_bytes} bytes")
            }
            Self::Misconfigured(detail) => write!(formatter, "the provider is not configured: {detail}"),
        }
    }
}

impl std::error::Error for GenerateError {}

impl From<Refusal> for GenerateError {
    fn from(refusal: Refusal) -> Self {
        Self::OriginalRefused(refusal)
    }
}

impl From<HttpError> for GenerateError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Timeout => Self::Timeout,
            HttpError::Connect | HttpError::Interrupted => Self::Unavailable { status: None },
            HttpError::ResponseTooLarge { limit_bytes } => Self::TooLarge { limit_bytes },
        }
    }
}

impl From<Rejection> for GenerateError {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::NotAnImage | Rejection::Malformed => Self::NotAnImage,
            Rejection::Truncated => Self::Truncated,
        }
    }
}
