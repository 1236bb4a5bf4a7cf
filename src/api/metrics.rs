//! `GET /metrics`: the counters of the isolate that answers, in the Prometheus text format.

use std::fmt::Write as _;

use super::{Exchange, Response};

impl Exchange<'_> {
    pub(super) fn metrics(&self) -> Response {
        let mut text = String::new();
        for (name, value) in self.app.counters.snapshot() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name} {value}");
        }
        let mut response = Response::empty(200);
        response.set_header("Content-Type", "text/plain; version=0.0.4");
        response.set_header("Content-Length", text.len().to_string());
        response.set_header("Cache-Control", "no-store");
        response.body = Some(text.into_bytes().into());
        response
    }
}
