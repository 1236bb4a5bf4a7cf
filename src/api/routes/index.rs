//! `GET /`: what answers here, and where to read on, for whoever opens the address.

use serde::Serialize;

#[cfg(test)]
use crate::api::openapi::{JSON, Operation, Schemas, answer};
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
    /// The API in words.
    docs: String,
    /// The API for programs.
    openapi: String,
    health: String,
}

pub async fn handle(_exchange: &Exchange<'_>, request: Request) -> Result<Response, Problem> {
    let link = |path: &str| format!("{}{path}", request.origin);
    let links = Links { docs: link("/docs"), openapi: link("/openapi.json"), health: link("/health") };
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
    Operation {
        summary: "What answers here, and where to read on",
        answers: vec![(200, answer("Name, version and links.", JSON, &schemas.answer::<Answer>()))],
        ..Operation::default()
    }
}
