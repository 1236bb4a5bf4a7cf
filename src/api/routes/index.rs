//! `GET /`: what answers here, and where to read on. Browsers are led to the console.

use serde::Serialize;
#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{JSON, Operation, Schemas, answer, headers};
use crate::api::{Exchange, Problem, Request, Response};

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Index"))]
struct Answer {
    name: &'static str,
    version: &'static str,
    description: &'static str,
    links: Links,
}

/// Absolute URLs.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Links {
    /// The operator's page.
    console: String,
    /// The API in words.
    docs: String,
    /// The API for programs.
    openapi: String,
    health: String,
}

pub async fn handle(_exchange: &Exchange<'_>, request: Request) -> Result<Response, Problem> {
    // Browsers name HTML when a person opens an address, and nothing else does.
    if request.header("accept").is_some_and(|accept| accept.contains("text/html")) {
        let mut response = Response::empty(302);
        response.set_header("Location", "/console");
        response.set_header("Cache-Control", "no-store");
        return Ok(response);
    }
    let link = |path: &str| format!("{}{path}", request.origin);
    let links = Links {
        console: link("/console"),
        docs: link("/docs"),
        openapi: link("/openapi.json"),
        health: link("/health"),
    };
    let body = Answer {
        name: "Stillstore",
        version: env!("CARGO_PKG_VERSION"),
        description: "Generates, stores, serves and migrates images.",
        links,
    };
    Ok(Response::json(200, &body))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let console = json!({ "description": "To a browser: the console.", "headers": headers(&["Location"]) });
    Operation {
        summary: "What answers here, and where to read on",
        answers: vec![(200, answer("Name, version and links.", JSON, &schemas.answer::<Answer>())), (302, console)],
        ..Operation::default()
    }
}
