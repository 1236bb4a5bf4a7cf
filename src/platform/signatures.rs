//! Signatures by public keys, checked by the platform.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use async_trait::async_trait;
use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

use crate::jwt::{PublicKey, SignatureCheck};

#[wasm_bindgen(module = "/src/platform/js/signatures.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn verify(
        algorithm: &str,
        jwk_json: &str,
        message: &Uint8Array,
        signature: &Uint8Array,
    ) -> Result<JsValue, JsValue>;
}

/// `crypto.subtle`.
pub struct WorkerSignatures;

#[async_trait(?Send)]
impl SignatureCheck for WorkerSignatures {
    async fn is_signed(&self, key: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        let (message, signature) = (Uint8Array::from(message), Uint8Array::from(signature));
        let outcome = verify(key.algorithm().as_str(), &key.to_jwk(), &message, &signature).await;
        // It throws for a key that is none.
        outcome.is_ok_and(|is_good| is_good.is_truthy())
    }
}
