//! `GET /` and `GET /docs`: what answers here, for whoever opens the address.

use serde::Serialize;

use super::{Request, Response};

const DOCS: &str = include_str!("../../docs/API.md");

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Index"))]
pub(super) struct IndexBody {
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

/// What this is, and where to read on.
pub(super) fn index(request: &Request) -> Response {
    let link = |path: &str| format!("{}{path}", request.origin);
    let links = Links { docs: link("/docs"), openapi: link("/openapi.json"), health: link("/health") };
    let body = IndexBody {
        name: "Stillstore",
        version: env!("CARGO_PKG_VERSION"),
        description: "Generates, stores, serves and migrates images.",
        links,
    };
    Response::json(200, &body)
}

/// The API in words, as this version has it.
pub(super) fn docs() -> Response {
    let mut response = Response::empty(200);
    response.set_header("Content-Type", "text/markdown; charset=utf-8");
    response.set_header("Content-Length", DOCS.len().to_string());
    response.set_header("Cache-Control", "no-store");
    response.body = Some(DOCS.as_bytes().to_vec().into());
    response
}
