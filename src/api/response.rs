//! An answer as the handlers make it.

use std::borrow::Cow;
use std::fmt;

use futures::future::LocalBoxFuture;
use serde::Serialize;

use crate::bytes::Body;

/// An answer.
pub struct Response {
    pub status: u16,
    /// No name twice. A borrowed value is the same in many answers.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    pub body: Option<Body>,
    /// What is done once the answer is on its way, and must be done although the client goes away.
    pub afterwards: Option<LocalBoxFuture<'static, ()>>,
}

impl fmt::Debug for Response {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body, afterwards } = self;
        let fields = &mut formatter.debug_struct("Response");
        fields.field("status", status).field("headers", headers).field("body", body);
        fields.field("afterwards", &afterwards.is_some()).finish()
    }
}

impl Response {
    /// An answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: None, afterwards: None }
    }

    /// A JSON answer, not to be cached.
    #[must_use]
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        // Values that we serialise have string keys only, so that this cannot fail.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        let mut response = Self::empty(status);
        response.set_header("Content-Type", "application/json");
        response.set_header("Content-Length", bytes.len().to_string());
        response.set_header("Cache-Control", "no-store");
        response.body = Some(bytes.into());
        response
    }

    /// Sets a header, replacing what was there.
    pub fn set_header(&mut self, name: &'static str, value: impl Into<Cow<'static, str>>) {
        match self.headers.iter_mut().find(|(header, _)| header.eq_ignore_ascii_case(name)) {
            Some((_, old)) => *old = value.into(),
            None => self.headers.push((name, value.into())),
        }
    }

    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }
}
