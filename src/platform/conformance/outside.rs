//! Calls to a test's own server, and to its model.

use serde::Deserialize;

use super::super::environment::Environment;
use super::super::outside::WorkerHttp;
use super::case::text;
use crate::api::Response;
use crate::http::{AiBinding, AiOutput, AnswerLimits, HttpClient, HttpRequest, Method};

#[derive(Deserialize)]
struct Call {
    url: String,
    #[serde(default)]
    body: String,
    timeout_ms: u64,
    max_response_bytes: u64,
    #[serde(default)]
    max_redirects: u8,
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
    match WorkerHttp.send(request).await {
        Ok(answer) => {
            let echoed = answer.header("x-echo").unwrap_or_default();
            text(200, format!("{} {} {echoed}", answer.status, answer.body.len()))
        }
        Err(error) => text(502, format!("{error:?}")),
    }
}

/// Runs the model `test` on the JSON in the query of `url`, for at most a second and 1,000 bytes.
pub(super) async fn run_model(url: &str, environment: &Environment) -> Response {
    let Some(ai) = &environment.ai else { return text(404, "no binding AI") };
    let limits = AnswerLimits { timeout_ms: 1_000, max_response_bytes: 1_000 };
    match ai.run("test", query(url), limits).await {
        Ok(AiOutput::Json(json)) => text(200, format!("json {}", String::from_utf8_lossy(&json))),
        Ok(AiOutput::Binary(bytes)) => text(200, format!("binary {}", bytes.len())),
        Err(error) => text(502, format!("{error:?}")),
    }
}

fn query(url: &str) -> String {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    percent_encoding::percent_decode_str(query).decode_utf8_lossy().into_owned()
}
