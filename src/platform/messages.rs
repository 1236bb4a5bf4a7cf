//! Requests that came in and responses that go out.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::borrow::Cow;

use wasm_bindgen::prelude::*;
use web_sys::Request;

use super::bytes::{JsBody, Unread, body_to_js, message_of};
use super::outside::pairs;
use crate::api::Response;
use crate::bytes::Body;

#[wasm_bindgen(module = "/src/platform/js/messages.js")]
extern "C" {
    fn describe(request: &Request) -> String;

    #[wasm_bindgen(catch)]
    fn respond(
        status: u16,
        common_headers: &str,
        own_headers: &str,
        body: &JsValue,
    ) -> Result<web_sys::Response, JsValue>;
}

/// How much of a request is read on before it is answered: twice the longest upload, so that one over the limit is told so whatever its
/// client does. Cloudflare's smaller plans take no more than 100 MB.
const MAX_DISCARDED_BYTES: u64 = 200_000_000;

/// A request as it came in.
pub struct IncomingRequest {
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Promises the length that `Content-Length` says, which the platform enforces.
    pub body: Option<Body>,
}

impl IncomingRequest {
    /// Takes `request` apart; its body stays outside wasm memory. What is not read of that is for [`to_js`].
    pub fn from_js(request: &Request) -> (Self, Option<Unread>) {
        let text = describe(request);
        let mut lines = text.split('\n');
        let mut line = || lines.next().unwrap_or_default();
        let (method, url, has_body) = (line().to_owned(), line().to_owned(), !line().is_empty());
        let headers = pairs(lines);
        let body = request.body().filter(|_| has_body).map(|stream| {
            let length = headers.iter().find(|(name, _)| name == "content-length");
            JsBody::request_body(&stream, length.and_then(|(_, value)| value.parse().ok()))
        });
        let (body, unread) = body.unzip();
        (Self { method, url, headers, body }, unread)
    }
}

/// Puts the response together; a body outside wasm memory stays there. The platform sends `Content-Length` from the body's promise;
/// for an answer to HEAD there is no body, and the header `content-length` says the length it would have.
///
/// What is `unread` of the request is read and thrown away first: an answer that ends before its request breaks the connection, so that the
/// client, or a proxy in between, may not see it.
///
/// # Errors
/// The platform's words when it refuses the status or a header.
pub async fn to_js(response: Response, unread: Option<Unread>) -> Result<web_sys::Response, String> {
    let (common, own): (Vec<_>, Vec<_>) =
        response.headers.iter().partition(|(_, value)| matches!(value, Cow::Borrowed(_)));
    let mut body = response.body.map_or(JsValue::NULL, body_to_js);
    if let Some(unread) = unread {
        body = unread.answer(&body, MAX_DISCARDED_BYTES).await;
    }
    respond(response.status, &lines(&common), &lines(&own), &body).map_err(|error| message_of(&error))
}

/// Names and values, a line each.
fn lines(headers: &[&(&str, Cow<str>)]) -> String {
    let lines: Vec<&str> = headers.iter().flat_map(|(name, value)| [name, &**value]).collect();
    lines.join("\n")
}
