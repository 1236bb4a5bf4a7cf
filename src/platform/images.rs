//! Cloudflare's Images binding as what makes variants.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use async_trait::async_trait;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;

use super::bytes::{JsBody, message_of};
use super::codecs::WasmCodecs;
use super::foreign::blob_to_js;
use crate::image::Format;
use crate::store::EMBEDDED_MAX_BYTES;
use crate::variants::{CodecError, Codecs, ImagesRequest, Job, MadeVariant, MeasureJob, Measures};

#[wasm_bindgen(module = "/src/platform/js/images.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn make(images: &JsValue, image: &Uint8Array, request_json: &str) -> Result<JsValue, JsValue>;
}

/// Makes variants through the binding `IMAGES`. What is made is measured by our own codecs.
pub struct ImagesBinding {
    images: JsValue,
}

impl ImagesBinding {
    /// What is behind the binding `images`.
    pub fn new(images: JsValue) -> Self {
        Self { images }
    }
}

#[async_trait(?Send)]
impl Codecs for ImagesBinding {
    fn decodes(&self, format: Format) -> bool {
        format != Format::Svg
    }

    fn works_elsewhere(&self) -> bool {
        true
    }

    async fn transform(&self, job: Job) -> Result<MadeVariant, CodecError> {
        let unavailable = |cause: String| CodecError::Unavailable(cause);
        let request =
            serde_json::to_string(&ImagesRequest::new(&job)).map_err(|error| unavailable(error.to_string()))?;
        let image = blob_to_js(&job.bytes);
        drop(job);
        let answer = make(&self.images, &image, &request).await.map_err(|error| unavailable(message_of(&error)))?;
        if let Some(failure) = answer.as_string() {
            let (code, message) = failure.split_once(' ').unwrap_or((&failure, ""));
            return Err(CodecError::of_images(code.parse().ok().filter(|code| *code > 0), message));
        }
        let parts: Array = answer.unchecked_into();
        let content_type = parts.get(1).as_string().unwrap_or_default();
        let format = Format::from_content_type(&content_type);
        let format = format.ok_or_else(|| unavailable(format!("Images answered with {content_type}")))?;
        let bytes = JsBody::body(&parts.get(0), None).collect(EMBEDDED_MAX_BYTES).await;
        let bytes = bytes.map_err(|error| unavailable(error.to_string()))?;
        Ok(MadeVariant { bytes, format, is_of_animation: false, placeholder: None })
    }

    async fn measure(&self, job: MeasureJob) -> Result<Measures, CodecError> {
        WasmCodecs.measure(job).await
    }
}
