//! What an error of the images API means.
//!
//! The provider's message is read for what it tells and then dropped: it may quote the prompt, or part of a key. Codes and parameters
//! are kept as our own spelling of those that we know.

use serde_json::Value;

use super::retry_after::retry_after_ms;
use crate::generate::{GenerateError, Problem};
use crate::http::HttpResponse;
use crate::runtime::Timestamp;

/// Error answers have a few hundred bytes; what is longer is a page for people.
const MAX_ERROR_BYTES: usize = 64 * 1024;

const MODERATION: [&str; 6] = [
    "moderation_blocked",
    "content_policy_violation",
    "content_safety_violation",
    "content_filter",
    "contentFilter",
    "ResponsibleAIPolicyViolation",
];
const QUOTA: [&str; 3] = ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"];
const CREDENTIALS: [&str; 4] =
    ["invalid_api_key", "invalid_organization", "account_deactivated", "authentication_error"];
const MODEL: [&str; 3] = ["model_not_found", "invalid_model", "DeploymentNotFound"];
const OTHER: [&str; 10] = [
    "image_generation_user_error",
    "invalid_image_size",
    "invalid_request_error",
    "invalid_type",
    "invalid_value",
    "missing_required_parameter",
    "string_above_max_length",
    "unknown_parameter",
    "unsupported_parameter",
    "unsupported_value",
];
const PARAMETERS: [&str; 10] = [
    "prompt",
    "model",
    "n",
    "size",
    "quality",
    "style",
    "response_format",
    "output_format",
    "output_compression",
    "background",
];
/// What refusals by moderation say that have no code of their own.
const MODERATION_PHRASES: [&str; 4] =
    ["safety system", "content policy", "content filter", "content management policy"];

/// What stands before the number in refusals of prompts that are too long: OpenAI's of today, and that of dall-e.
const PROMPT_LIMIT_PHRASES: [&str; 2] = ["maximum length ", "must be length "];

/// The error that the unsuccessful `response` stands for.
pub fn failure(response: &HttpResponse, now: Timestamp) -> GenerateError {
    let answer: Value = match response.body.len() {
        0..=MAX_ERROR_BYTES => serde_json::from_slice(&response.body).unwrap_or(Value::Null),
        _ => Value::Null,
    };
    classify(response.status, &Details::of(answer.get("error").unwrap_or(&answer)), || retry_after_ms(response, now))
}

/// The error that a successful answer carries in its `error` field.
pub fn failure_within_success(status: u16, error_json: &str) -> GenerateError {
    let error = match error_json.len() {
        0..=MAX_ERROR_BYTES => serde_json::from_str(error_json).unwrap_or(Value::Null),
        _ => Value::Null,
    };
    classify(status, &Details::of(&error), || None)
}

/// What an error object says.
struct Details {
    /// Its code, type and inner code, as far as they are texts.
    words: Vec<String>,
    parameter: Option<&'static str>,
    /// In lower case.
    message: String,
}

impl Details {
    fn of(error: &Value) -> Self {
        let text = |pointer: &str| error.pointer(pointer).and_then(Value::as_str);
        let parameter = text("/param");
        Self {
            words: ["/code", "/type", "/innererror/code"].into_iter().filter_map(text).map(str::to_owned).collect(),
            parameter: PARAMETERS.into_iter().find(|known| Some(*known) == parameter),
            message: text("/message").or(error.as_str()).unwrap_or_default().to_lowercase(),
        }
    }

    /// The parameter that is complained of, be it in words.
    fn parameter(&self) -> Option<&'static str> {
        let in_words = || self.message.contains("transparent background").then_some("background");
        self.parameter.or_else(in_words)
    }

    /// The error, with the limit if it is said, where the prompt is too long.
    fn prompt_too_long(&self) -> Option<GenerateError> {
        let is_about_prompt = match self.parameter {
            Some(parameter) => parameter == "prompt",
            None => self.message.contains("prompt"),
        };
        let limit_characters = PROMPT_LIMIT_PHRASES.iter().find_map(|phrase| {
            let (_, after) = self.message.split_once(phrase)?;
            let digits = after.bytes().take_while(u8::is_ascii_digit).count();
            after.get(..digits)?.parse().ok()
        });
        let is_too_long = limit_characters.is_some() || self.any_of(&["string_above_max_length"]).is_some();
        (is_about_prompt && is_too_long).then_some(GenerateError::PromptTooLong { limit_characters })
    }

    fn any_of(&self, known: &[&'static str]) -> Option<&'static str> {
        let known_as = |word: &String| known.iter().copied().find(|known| known == word);
        self.words.iter().find_map(known_as)
    }
}

fn classify(status: u16, details: &Details, retry_after_ms: impl FnOnce() -> Option<u64>) -> GenerateError {
    let says_moderation = || MODERATION_PHRASES.iter().any(|phrase| details.message.contains(phrase));
    if details.any_of(&MODERATION).is_some() || (matches!(status, 400 | 422) && says_moderation()) {
        return GenerateError::Moderation;
    }
    if status == 402 || details.any_of(&QUOTA).is_some() {
        return GenerateError::QuotaExhausted;
    }
    if details.any_of(&MODEL).is_some() || (status == 404 && details.parameter == Some("model")) {
        return GenerateError::ModelNotFound;
    }
    if matches!(status, 401 | 403) || details.any_of(&CREDENTIALS).is_some() {
        return GenerateError::Unauthorized { status };
    }
    let problem = Problem { code: details.any_of(&OTHER), parameter: details.parameter() };
    if matches!(status, 400 | 422)
        && let Some(too_long) = details.prompt_too_long()
    {
        return too_long;
    }
    match status {
        // Nothing else of a request is long.
        413 => GenerateError::PromptTooLong { limit_characters: None },
        429 => GenerateError::RateLimited { retry_after_ms: retry_after_ms() },
        408 | 504 => GenerateError::Timeout,
        400 | 422 if problem.parameter == Some("prompt") => GenerateError::PromptRefused,
        200..=299 | 400..=499 => GenerateError::RequestRefused { status, problem },
        _ => GenerateError::Unavailable { status: Some(status) },
    }
}
