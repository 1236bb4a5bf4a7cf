//! `GET /docs`: the API in words, as this version has it.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{Operation, Schemas, answer};
use crate::api::{Exchange, Problem, Request, Response};

const DOCS: &str = include_str!("../../../docs/API.md");

pub async fn handle(_exchange: &Exchange<'_>, _request: Request) -> Result<Response, Problem> {
    let mut response = Response::empty(200);
    response.set_header("Content-Type", "text/markdown; charset=utf-8");
    response.set_header("Content-Length", DOCS.len().to_string());
    response.set_header("Cache-Control", "no-store");
    response.body = Some(DOCS.as_bytes().to_vec().into());
    Ok(response)
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    Operation {
        summary: "This API in words, for people",
        answers: vec![(200, answer("The text.", "text/markdown", &json!({ "type": "string" })))],
        ..Operation::default()
    }
}
