//! A check of an adapter, and the words of its answer.

use std::rc::Rc;

use futures::future::LocalBoxFuture;
use wasm_bindgen::JsValue;

use super::super::bytes::message_of;
use super::super::environment::Environment;
use crate::api::Response;
use crate::store::conformance::Outcome;

/// A check of an adapter.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) check: fn(Rc<Environment>) -> LocalBoxFuture<'static, Outcome>,
}

/// The cases of a module: functions of the environment.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        &[$($crate::platform::conformance::case::Case {
            name: stringify!($name),
            check: |environment| Box::pin($name(environment)),
        }),*]
    };
}
pub(super) use cases;

pub(super) fn text(status: u16, words: impl Into<String>) -> Response {
    let headers = vec![("content-type", "text/plain; charset=utf-8".into())];
    Response { status, headers, body: Some(words.into().into_bytes().into()), afterwards: None }
}

pub(super) fn expect(holds: bool, expectation: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(format!("does not hold: {}", expectation.into())) }
}

pub(super) fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

pub(super) fn js_words(error: &JsValue) -> String {
    message_of(error)
}
