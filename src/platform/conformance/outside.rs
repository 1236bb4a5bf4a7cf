//! Calls to a test's own server, and to its model.

use serde::Deserialize;

use super::super::environment::Environment;
use super::super::outside::WorkerHttp;
use super::case::text;
use crate::api::Response;
use crate::http::{
    AiBinding, AiError, AiOutput, AnswerLimits, HttpAnswer, HttpClient, HttpError, HttpRequest, HttpResponse, Method,
};

#[derive(Deserialize)]
struct Call {
    url: String,
    #[serde(default)]
    body: String,
    timeout_ms: u64,
    max_response_bytes: u64,
    #[serde(default)]
    max_redirects: u8,
    /// Reads so many bytes of the answer by themselves.
    #[serde(default)]
    first_bytes: usize,
    /// Reads the rest, too; otherwise the answer is dropped.
    #[serde(default)]
    reads_on: bool,
}

/// The query of `url` is a [`Call`] as percent-encoded JSON; with a body it is a POST.
pub(super) async fn send(url: &str) -> Response {
    let call: Call = match serde_json::from_str(&query(url)) {
        Ok(call) => call,
        Err(error) => return text(400, error.to_string()),
    };
    let request = HttpRequest {
        method: if call.body.is_empty() { Method::Get } else { Method::Post },
        url: call.url,
        headers: vec![("authorization", "Bearer secret".to_owned()), ("x-test", "present".to_owned())],
        body: call.body.into_bytes(),
        limits: AnswerLimits { timeout_ms: call.timeout_ms, max_response_bytes: call.max_response_bytes },
        max_redirects: call.max_redirects,
    };
    match answered(request, call.first_bytes, call.reads_on).await {
        Ok(words) => text(200, words),
        Err(error) => text(502, format!("{error:?}")),
    }
}

/// Status, length and the header `x-echo` of a whole answer; or the status and the length of what came first, and what followed.
async fn answered(request: HttpRequest, first_bytes: usize, reads_on: bool) -> Result<String, HttpError> {
    let limit_bytes = request.limits.max_response_bytes;
    let mut answer = WorkerHttp.send(request).await?;
    if first_bytes == 0 {
        let HttpAnswer { status, headers, body, .. } = answer;
        let whole = HttpResponse { status, headers, body: body.into_vec(limit_bytes, || limit_bytes).await? };
        let echoed = whole.header("x-echo").unwrap_or_default();
        return Ok(format!("{} {} {echoed}", whole.status, whole.body.len()));
    }
    let (status, requests) = (answer.status, answer.requests);
    let first = answer.body.next(first_bytes).await?.map_or(0, |run| run.size_bytes());
    let rest =
        if reads_on { answer.body.into_vec(limit_bytes, || limit_bytes).await.map(|rest| rest.len()) } else { Ok(0) };
    let rest = rest.map_err(HttpError::from);
    Ok(format!("{status} after {requests}: {first} then {rest:?}"))
}

/// Runs the model `test` on the JSON in the query of `url`, for at most a second and 1,000 bytes.
pub(super) async fn run_model(url: &str, environment: &Environment) -> Response {
    let Some(ai) = &environment.ai else { return text(404, "no binding AI") };
    let limits = AnswerLimits { timeout_ms: 1_000, max_response_bytes: 1_000 };
    match model_answer(ai.as_ref(), query(url), limits).await {
        Ok(words) => text(200, words),
        Err(error) => text(502, format!("{error:?}")),
    }
}

async fn model_answer(ai: &impl AiBinding, input_json: String, limits: AnswerLimits) -> Result<String, AiError> {
    Ok(match ai.run("test", input_json, limits).await? {
        AiOutput::Json(body) => {
            format!("json {}", String::from_utf8_lossy(&body.into_vec(limits.max_response_bytes, || 0).await?))
        }
        AiOutput::Binary(body) => format!("binary {}", body.into_vec(limits.max_response_bytes, || 0).await?.len()),
    })
}

fn query(url: &str) -> String {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    percent_encoding::percent_decode_str(query).decode_utf8_lossy().into_owned()
}
