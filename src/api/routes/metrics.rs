//! `GET /metrics`: the counters of the isolate that answers, in the Prometheus text format.

use std::fmt::Write as _;

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{Operation, Schemas, answer};
use crate::api::{Exchange, Problem, Request, Response};

pub async fn handle(exchange: &Exchange<'_>, _request: Request) -> Result<Response, Problem> {
    let mut text = String::new();
    for (name, value) in exchange.services.counters.snapshot() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} {value}");
    }
    let mut response = Response::empty(200);
    response.set_header("Content-Type", "text/plain; version=0.0.4");
    response.set_header("Content-Length", text.len().to_string());
    response.set_header("Cache-Control", "no-store");
    response.body = Some(text.into_bytes().into());
    Ok(response)
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    Operation {
        summary: "Counters of the isolate that answers, in the Prometheus text format",
        answers: vec![(200, answer("The counters.", "text/plain", &json!({ "type": "string" })))],
        ..Operation::default()
    }
}
