//! `GET /openapi.json`: the API in the words of `OpenAPI` 3.1. The document is written from the types by a test
//! (`document.rs`) and built in, so that the Worker carries no code to make it.

use super::Response;

#[cfg(test)]
mod document;
#[cfg(test)]
mod operations;
#[cfg(test)]
mod parameters;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod schemas;
#[cfg(test)]
mod tests;

const DOCUMENT: &[u8] = include_bytes!("openapi.json");

/// The document.
pub(super) fn openapi() -> Response {
    let mut response = Response::empty(200);
    response.set_header("Content-Type", "application/json");
    response.set_header("Content-Length", DOCUMENT.len().to_string());
    response.set_header("Cache-Control", "no-store");
    response.body = Some(DOCUMENT.to_vec().into());
    response
}
