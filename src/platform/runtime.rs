//! The Worker's clock, randomness, timers and digests.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::cell::RefCell;

use async_trait::async_trait;
use js_sys::{Promise, Uint8Array};
use wasm_bindgen::prelude::*;

use super::bytes::js_length;
use super::foreign::blob_to_js;
use crate::bytes::Blob;
use crate::image::Sha256Digest;
use crate::runtime::{PassingSha256, Runtime, Timestamp};

#[wasm_bindgen(module = "/src/platform/js/runtime.js")]
extern "C" {
    type Timer;

    #[wasm_bindgen(constructor)]
    fn new(duration_ms: f64) -> Timer;

    #[wasm_bindgen(method, getter)]
    fn done(this: &Timer) -> Promise;

    #[wasm_bindgen(method, catch)]
    fn cancel(this: &Timer) -> Result<(), JsValue>;

    #[wasm_bindgen(catch)]
    async fn sha256(bytes: &Uint8Array) -> Result<JsValue, JsValue>;

    type Digesting;

    #[wasm_bindgen(constructor)]
    fn new() -> Digesting;

    #[wasm_bindgen(method, catch)]
    async fn write(this: &Digesting, run: &Uint8Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    async fn finish(this: &Digesting) -> Result<JsValue, JsValue>;
}

/// Below this many bytes in wasm memory, hashing them here takes less time than handing them over (9 us).
const HASH_HERE_BYTES: usize = 4096;

/// The longest timer JS knows, about 24 days; a longer one fires at once.
const MAX_SLEEP_MS: u64 = i32::MAX as u64;

/// How many times sixteen random bytes one call fetches; a call for each took a hundredth of a small read.
const RANDOM_AT_ONCE: usize = 64;

thread_local! {
    /// Random bytes that nobody was given yet.
    static RANDOM: RefCell<Vec<[u8; 16]>> = const { RefCell::new(Vec::new()) };
}

/// The Worker's surroundings.
pub struct WorkerRuntime;

#[async_trait(?Send)]
impl Runtime for WorkerRuntime {
    fn now(&self) -> Timestamp {
        // Whole milliseconds since 1970 are far within both types.
        #[expect(clippy::cast_possible_truncation)]
        let milliseconds = js_sys::Date::now() as i64;
        Timestamp::from_millis(milliseconds)
    }

    fn random_bytes(&self) -> [u8; 16] {
        RANDOM.with_borrow_mut(|ready| {
            if let Some(bytes) = ready.pop() {
                return bytes;
            }
            let mut fresh = [[0; 16]; RANDOM_AT_ONCE];
            // Unwrap safety: `crypto.getRandomValues` is part of every Worker and takes up to 65,536 bytes.
            #[expect(clippy::expect_used, reason = "going on with predictable ids would be worse than stopping")]
            getrandom::fill(fresh.as_flattened_mut()).expect("crypto.getRandomValues");
            let [first, others @ ..] = fresh;
            ready.extend_from_slice(&others);
            first
        })
    }

    async fn sleep(&self, duration_ms: u64) {
        let timer = CancelOnDrop(Timer::new(js_length(duration_ms.min(MAX_SLEEP_MS))));
        // It is never rejected.
        let _ = timer.0.done().await;
    }

    async fn sha256(&self, blob: &Blob) -> Sha256Digest {
        if let Some(bytes) = blob.as_local().filter(|bytes| bytes.len() < HASH_HERE_BYTES) {
            return Sha256Digest::of(bytes);
        }
        let digest = sha256(&blob_to_js(blob)).await.ok().and_then(|hex| hex.as_string()?.parse().ok());
        digest.unwrap_or_else(|| Sha256Digest::of(&blob.to_vec()))
    }

    fn passing_sha256(&self) -> Box<dyn PassingSha256> {
        Box::new(JsSha256(Digesting::new()))
    }
}

/// A digest that JS computes.
struct JsSha256(Digesting);

#[async_trait(?Send)]
impl PassingSha256 for JsSha256 {
    async fn pass(&mut self, run: &Blob) {
        // A stream that takes no more gives no digest at its end.
        let _ = self.0.write(&blob_to_js(run)).await;
    }

    async fn finish(self: Box<Self>) -> Option<Sha256Digest> {
        self.0.finish().await.ok().and_then(|hex| hex.as_string()?.parse().ok())
    }
}

struct CancelOnDrop(Timer);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // It throws when it is the garbage collector that drops this, after the request.
        let _ = self.0.cancel();
    }
}
