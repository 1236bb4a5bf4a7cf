//! Outside services: HTTP through `fetch`, and the AI binding.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::any::Any;

use async_trait::async_trait;
use js_sys::{Array, Uint8Array};
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::bytes::{js_length, message_of};
use super::foreign::JsBytes;
use crate::bytes::{Blob, Body, BodyError, ByteSource};
use crate::http::{AiBinding, AiError, AiOutput, AnswerLimits, HttpAnswer, HttpClient, HttpError, HttpRequest, Method};

#[wasm_bindgen(module = "/src/platform/js/outside.js")]
extern "C" {
    type Exchange;

    #[wasm_bindgen(constructor)]
    fn new(timeout_ms: f64) -> Exchange;

    #[wasm_bindgen(method, catch)]
    async fn send(
        this: &Exchange,
        request_json: &str,
        body: Option<Uint8Array>,
        max_bytes: f64,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn run(
        this: &Exchange,
        ai: &JsValue,
        model: &str,
        input_json: &str,
        max_bytes: f64,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn peek(this: &Exchange, max_bytes: usize) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn next(this: &Exchange, max_bytes: usize) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn drop(this: &Exchange) -> Result<(), JsValue>;
}

/// HTTP through the Worker's `fetch`.
pub struct WorkerHttp;

/// The binding to Workers AI.
pub struct WorkerAi {
    ai: JsValue,
}

impl WorkerAi {
    /// The models behind the binding `ai`.
    pub fn new(ai: JsValue) -> Self {
        Self { ai }
    }
}

#[async_trait(?Send)]
impl HttpClient for WorkerHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let HttpRequest { method, url, headers, body, limits, max_redirects } = request;
        let method = match method {
            Method::Get => "GET",
            Method::Post => "POST",
        };
        let head = RequestHead { method, url: &url, headers: &headers, max_redirects };
        let head = serde_json::to_string(&head).map_err(|_| HttpError::Connect)?;
        let js_body = (!body.is_empty()).then(|| Uint8Array::from(body.as_slice()));
        drop(body);
        let exchange = DroppedCallEnds(Exchange::new(js_length(limits.timeout_ms)));
        let answer = exchange.0.send(&head, js_body, js_length(limits.max_response_bytes)).await;
        let limit_bytes = limits.max_response_bytes;
        let head = head_of(answer).map_err(|failure| match failure.word() {
            "timeout" => HttpError::Timeout,
            "connect" => HttpError::Connect,
            "too-large" => HttpError::ResponseTooLarge { limit_bytes },
            _ => HttpError::Interrupted,
        })?;
        let mut lines = head.split('\n');
        let status = lines.next().and_then(|status| status.parse().ok()).ok_or(HttpError::Interrupted)?;
        let requests = lines.next().and_then(|requests| requests.parse().ok()).ok_or(HttpError::Interrupted)?;
        let body = Body::from_source(Box::new(ExchangeBody { exchange, limit_bytes }), None);
        Ok(HttpAnswer { status, headers: pairs(lines), body, requests })
    }
}

/// The body of an answer. Dropping it ends the call.
struct ExchangeBody {
    exchange: DroppedCallEnds,
    limit_bytes: u64,
}

impl ExchangeBody {
    /// Bytes or `null`, unless the exchange answered with what went wrong.
    fn run(&self, answer: Result<JsValue, JsValue>) -> Result<JsValue, BodyError> {
        let answer = answer.map_err(|error| BodyError::Interrupted(message_of(&error)))?;
        let Some(failure) = answer.as_string().map(Failure) else { return Ok(answer) };
        Err(match failure.word() {
            "timeout" => BodyError::TimedOut,
            "too-large" => BodyError::TooLong { limit_bytes: self.limit_bytes },
            _ => BodyError::Interrupted("the connection broke".to_owned()),
        })
    }
}

#[async_trait(?Send)]
impl ByteSource for ExchangeBody {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        let bytes = self.exchange.0.peek(max_bytes).await;
        Ok(self.run(bytes)?.unchecked_into::<Uint8Array>().to_vec())
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        let run = self.exchange.0.next(max_bytes).await;
        let run = self.run(run)?;
        Ok((!run.is_null()).then(|| JsBytes::blob(run.unchecked_into())))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[async_trait(?Send)]
impl AiBinding for WorkerAi {
    async fn run(&self, model: &str, input_json: String, limits: AnswerLimits) -> Result<AiOutput, AiError> {
        let exchange = DroppedCallEnds(Exchange::new(js_length(limits.timeout_ms)));
        let answer = exchange.0.run(&self.ai, model, &input_json, js_length(limits.max_response_bytes)).await;
        let head = head_of(answer).map_err(|failure| match failure.word() {
            "timeout" => AiError::Timeout,
            "too-large" => AiError::ResponseTooLarge { limit_bytes: limits.max_response_bytes },
            "failed" => AiError::from_message(failure.detail()),
            _ => AiError::Interrupted,
        })?;
        let limit_bytes = limits.max_response_bytes;
        let body = Body::from_source(Box::new(ExchangeBody { exchange, limit_bytes }), None);
        Ok(if head == "json" { AiOutput::Json(body) } else { AiOutput::Binary(body) })
    }
}

/// What `outside.js` sends.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestHead<'request> {
    method: &'static str,
    url: &'request str,
    headers: &'request [(&'static str, String)],
    max_redirects: u8,
}

/// Lines of names and values in turn, as pairs.
pub fn pairs<'lines>(mut lines: impl Iterator<Item = &'lines str>) -> Vec<(String, String)> {
    std::iter::from_fn(|| Some((lines.next()?.to_owned(), lines.next()?.to_owned()))).collect()
}

/// What went wrong: a word, and for some more after a space.
struct Failure(String);

impl Failure {
    fn word(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    fn detail(&self) -> &str {
        self.0.split_once(' ').map_or("", |(_, detail)| detail)
    }
}

/// What is in `[head]`.
fn head_of(answer: Result<JsValue, JsValue>) -> Result<String, Failure> {
    let answer = answer.map_err(|_| Failure("interrupted".to_owned()))?;
    match answer.as_string() {
        Some(failure) => Err(Failure(failure)),
        None => Ok(answer.unchecked_into::<Array>().shift().as_string().unwrap_or_default()),
    }
}

struct DroppedCallEnds(Exchange);

impl Drop for DroppedCallEnds {
    fn drop(&mut self) {
        // It throws when it is the garbage collector that drops this, after the request.
        let _ = self.0.drop();
    }
}
