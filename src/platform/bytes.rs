//! JS streams as [`ByteSource`], and the way back.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use js_sys::futures::future_to_promise;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;

use super::foreign::{JsBytes, blob_to_js};
use crate::bytes::{Blob, Body, BodyError, BodyParts, ByteSource};

#[wasm_bindgen(module = "/src/platform/js/streams.js")]
extern "C" {
    /// A JS stream that is read in runs of an exact length.
    #[derive(Clone)]
    type ByteReader;

    #[wasm_bindgen(constructor)]
    fn new(stream: &JsValue) -> ByteReader;

    #[wasm_bindgen(method, catch)]
    async fn peek(this: &ByteReader, max_bytes: usize) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn next(this: &ByteReader, max_bytes: usize) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn cancel(this: &ByteReader) -> Result<(), JsValue>;

    /// A request's body, which stays readable after whoever had it dropped it.
    #[derive(Clone)]
    #[wasm_bindgen(extends = ByteReader)]
    type RequestReader;

    #[wasm_bindgen(constructor)]
    fn new(stream: &JsValue) -> RequestReader;

    #[wasm_bindgen(method)]
    async fn answer(this: &RequestReader, body: &JsValue, max_bytes: f64) -> JsValue;

    /// A JS source that asks a closure for its runs.
    type PulledSource;

    #[wasm_bindgen(constructor)]
    fn new(pull: JsValue) -> PulledSource;

    #[wasm_bindgen(js_name = streamOf)]
    fn stream_of(source: &JsValue, length_bytes: Option<f64>) -> JsValue;

    #[wasm_bindgen(js_name = messageOf)]
    fn js_message_of(error: &JsValue) -> String;
}

/// The words of anything that JS threw.
pub fn message_of(error: &JsValue) -> String {
    js_message_of(error)
}

/// A length as JS takes it: exact up to 2^53, far above any limit of the platform.
#[expect(clippy::cast_precision_loss, reason = "lengths stay far below 2^53")]
pub fn js_length(length_bytes: u64) -> f64 {
    length_bytes as f64
}

/// A JS `ReadableStream` as a source of bytes. Dropping it cancels the stream.
pub struct JsBody {
    reader: ByteReader,
    handed_on: bool,
}

impl JsBody {
    /// A body that reads `stream`; `promised_bytes` is its length, when the platform vouches for it.
    pub fn body(stream: &JsValue, promised_bytes: Option<u64>) -> Body {
        let source = Self { reader: ByteReader::new(stream), handed_on: false };
        Body::from_source(Box::new(source), promised_bytes)
    }

    /// The body of a request to us, and what reads on to its end whatever becomes of the body.
    pub fn request_body(stream: &JsValue, promised_bytes: Option<u64>) -> (Body, Unread) {
        let reader = RequestReader::new(stream);
        let source = Self { reader: reader.clone().into(), handed_on: false };
        (Body::from_source(Box::new(source), promised_bytes), Unread(reader))
    }

    fn into_reader(mut self) -> ByteReader {
        self.handed_on = true;
        self.reader.clone()
    }
}

/// What of a request's body nobody has read yet.
pub struct Unread(RequestReader);

impl Unread {
    /// The body of the answer, once the request was read to its end. When the client waits before it sends more, or after `max_bytes`, the
    /// answer goes out all the same, and its end waits for the request's.
    pub async fn answer(self, body: &JsValue, max_bytes: u64) -> JsValue {
        self.0.answer(body, js_length(max_bytes)).await
    }
}

#[async_trait(?Send)]
impl ByteSource for JsBody {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        let bytes = self.reader.peek(max_bytes).await.map_err(|error| interrupted(&error))?;
        Ok(bytes.unchecked_into::<Uint8Array>().to_vec())
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        let run = self.reader.next(max_bytes).await.map_err(|error| interrupted(&error))?;
        Ok((!run.is_null()).then(|| JsBytes::blob(run.unchecked_into())))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

impl Drop for JsBody {
    fn drop(&mut self) {
        // A stream that nobody reads keeps its connection, of which an invocation has six. Cancelling throws when it is the garbage
        // collector that drops this, after the request.
        if !self.handed_on {
            let _ = self.reader.cancel();
        }
    }
}

fn interrupted(error: &JsValue) -> BodyError {
    BodyError::Interrupted(message_of(error))
}

/// Why a source failed, for who gave it to JS, which passes on no more than its words.
pub type SourceFailure = Rc<RefCell<Option<BodyError>>>;

/// The source as JS reads it: `{next(maxBytes), cancel()}`. Its bytes stay outside wasm memory when they are there.
pub fn source_to_js(source: Box<dyn ByteSource>, failure: &SourceFailure) -> JsValue {
    let any: &dyn Any = &*source;
    if any.is::<JsBody>() {
        if let Ok(body) = source.into_any().downcast::<JsBody>() {
            return body.into_reader().into();
        }
        return JsValue::NULL;
    }
    PulledSource::new(pull_function(source, Rc::clone(failure))).into()
}

/// The body as JS moves it: a typed array, or a stream, of known length when there is a promise.
///
/// A stream that came from JS and was not read is handed back as it is, so that its bytes never pass through here.
pub fn body_to_js(body: Body) -> JsValue {
    let length_bytes = body.promised_bytes().map(js_length);
    match body.into_parts() {
        BodyParts::Blob(blob) => blob_to_js(&blob).into(),
        BodyParts::Source(source) => stream_of(&source_to_js(source, &SourceFailure::default()), length_bytes),
    }
}

/// What a pull function holds between its calls.
enum Pulled {
    Idle(Box<dyn ByteSource>),
    /// A call is reading the source and will put it back.
    Reading,
    /// At the end, broken, or not wanted any more: the source is dropped.
    Finished,
}

/// A JS function `(maxBytes) => Promise<Uint8Array | null>` over the source; called with 0, it drops the source.
fn pull_function(source: Box<dyn ByteSource>, failure: SourceFailure) -> JsValue {
    let state = Rc::new(RefCell::new(Pulled::Idle(source)));
    let pull = move |max_bytes: usize| -> Promise {
        let next_state = if max_bytes == 0 { Pulled::Finished } else { Pulled::Reading };
        let Pulled::Idle(mut source) = state.replace(next_state) else {
            return Promise::resolve(&JsValue::NULL);
        };
        if max_bytes == 0 {
            return Promise::resolve(&JsValue::NULL);
        }
        let (state, failure) = (Rc::clone(&state), Rc::clone(&failure));
        future_to_promise(async move {
            let run = source.next(max_bytes).await;
            let mut state = state.borrow_mut();
            match run {
                Ok(Some(run)) => {
                    if matches!(*state, Pulled::Reading) {
                        *state = Pulled::Idle(source);
                    }
                    Ok(blob_to_js(&run).into())
                }
                Ok(None) => {
                    *state = Pulled::Finished;
                    Ok(JsValue::NULL)
                }
                Err(error) => {
                    *state = Pulled::Finished;
                    let words = js_sys::Error::new(&error.to_string());
                    failure.replace(Some(error));
                    Err(words.into())
                }
            }
        })
    };
    Closure::<dyn FnMut(usize) -> Promise>::new(pull).into_js_value()
}
