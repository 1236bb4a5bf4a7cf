//! Requests that came in and responses that go out.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use wasm_bindgen::prelude::*;
use web_sys::{Request, Response};

use super::bytes::{JsBody, body_to_js, message_of};
use super::outside::pairs;
use crate::bytes::Body;

#[wasm_bindgen(module = "/src/platform/js/messages.js")]
extern "C" {
    fn describe(request: &Request) -> String;

    #[wasm_bindgen(catch)]
    fn respond(status: u16, headers: &str, body: &JsValue) -> Result<Response, JsValue>;
}

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
    /// Takes `request` apart; its body stays outside wasm memory.
    pub fn from_js(request: &Request) -> Self {
        let text = describe(request);
        let mut lines = text.split('\n');
        let mut line = || lines.next().unwrap_or_default();
        let (method, url, has_body) = (line().to_owned(), line().to_owned(), !line().is_empty());
        let headers = pairs(lines);
        let body = request.body().filter(|_| has_body).map(|stream| {
            let length = headers.iter().find(|(name, _)| name == "content-length");
            JsBody::body(&stream, length.and_then(|(_, value)| value.parse().ok()))
        });
        Self { method, url, headers, body }
    }
}

/// A response as it goes out.
pub struct OutgoingResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The platform sends `Content-Length` from the body's promise. For an answer to HEAD there is no body, and the header
    /// `content-length` says the length it would have.
    pub body: Option<Body>,
}

impl OutgoingResponse {
    /// Puts the response together; a body outside wasm memory stays there.
    ///
    /// # Errors
    /// The platform's words when it refuses the status or a header.
    pub fn into_js(self) -> Result<Response, String> {
        let headers: Vec<&str> =
            self.headers.iter().flat_map(|(name, value)| [name.as_str(), value.as_str()]).collect();
        let body = self.body.map_or(JsValue::NULL, body_to_js);
        respond(self.status, &headers.join("\n"), &body).map_err(|error| message_of(&error))
    }
}
