//! `GET /openapi.json`: the API for programs.

#[cfg(test)]
use serde_json::json;

use crate::api::openapi::DOCUMENT;
#[cfg(test)]
use crate::api::openapi::{JSON, Operation, Schemas, answer};
use crate::api::{Exchange, Problem, Request, Response};

pub async fn handle(_exchange: &Exchange<'_>, _request: Request) -> Result<Response, Problem> {
    let mut response = Response::empty(200);
    response.set_header("Content-Type", "application/json");
    response.set_header("Content-Length", DOCUMENT.len().to_string());
    response.set_header("Cache-Control", "no-store");
    response.body = Some(DOCUMENT.to_vec().into());
    Ok(response)
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    Operation {
        summary: "This document",
        answers: vec![(200, answer("The document.", JSON, &json!({ "type": "object", "required": ["openapi"] })))],
        ..Operation::default()
    }
}
