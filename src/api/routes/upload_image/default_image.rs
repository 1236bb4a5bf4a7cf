//! The answer of an upload that came to nothing where the caller wants an image all the same.

use serde::Serialize;

use super::fields::OnFailure;
use super::outcome::Failure;
use crate::api::{Exchange, Problem, Response};
use crate::telemetry::Event;

/// The configured default image. What an upload's answer has and this one has not is `null`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DefaultImage"))]
pub(super) struct DefaultImageBody<'answer> {
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    url: &'answer str,
    /// Always true.
    #[serde(rename = "isDefault")]
    is_default: bool,
    reason: Reason<'answer>,
    key: Option<&'answer str>,
    size: Option<u64>,
    filename: Option<&'answer str>,
    content_type: Option<&'answer str>,
}

/// Why the upload came to nothing.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DefaultImageReason"))]
struct Reason<'answer> {
    #[cfg_attr(test, schemars(with = "crate::api::Code"))]
    code: &'static str,
    detail: &'answer str,
}

/// The default image where the caller wants it and is not to blame, else the problem.
pub(super) fn answer(exchange: &Exchange<'_>, on_failure: OnFailure, failure: Failure) -> Result<Response, Problem> {
    let Failure { problem, is_callers } = failure;
    let url = exchange.services.config.default_image_url.as_deref();
    let Some(url) = url.filter(|_| on_failure == OnFailure::DefaultImage && !is_callers) else { return Err(problem) };
    exchange
        .library
        .recorder
        .record(&Event::DefaultImage { outcome: problem.code.as_str(), cause: problem.cause.clone() });
    let reason = Reason { code: problem.code.as_str(), detail: &problem.detail };
    let body =
        DefaultImageBody { url, is_default: true, reason, key: None, size: None, filename: None, content_type: None };
    Ok(Response::json(200, &body))
}
