//! The codecs' module, behind its seam.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use async_trait::async_trait;
use js_sys::{Array, Uint8Array, Uint32Array};
use wasm_bindgen::prelude::*;

use super::bytes::message_of;
use super::foreign::{JsBytes, blob_to_js};
use crate::image::{Fit, Format, VariantFormat};
use crate::variants::{CodecError, Codecs, Job, MadeVariant, MeasureJob, Measures};

#[wasm_bindgen(module = "/src/platform/js/codecs.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn transform(image: &Uint8Array, numbers: &Uint32Array) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    fn measure(image: &Uint8Array, numbers: &Uint32Array) -> Result<JsValue, JsValue>;
}

/// The codecs' module, which is instantiated by the first variant.
pub struct WasmCodecs;

#[async_trait(?Send)]
impl Codecs for WasmCodecs {
    fn decodes(&self, format: Format) -> bool {
        matches!(format, Format::Jpeg | Format::Png | Format::Gif | Format::Webp)
    }

    fn works_elsewhere(&self) -> bool {
        false
    }

    async fn transform(&self, job: Job) -> Result<MadeVariant, CodecError> {
        let numbers = numbers_of(&job);
        let image = blob_to_js(&job.bytes);
        drop(job);
        let answer = transform(&image, &Uint32Array::from(&numbers[..]));
        let parts = parts(answer)?;
        // Small whole numbers.
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let format = match parts.get(1).as_f64().unwrap_or_default() as u32 {
            0 => Format::Jpeg,
            1 => Format::Png,
            _ => Format::Webp,
        };
        let is_of_animation = parts.get(2).is_truthy();
        let placeholder = MadeVariant::placeholder_from_bytes(&parts.get(3).unchecked_into::<Uint8Array>().to_vec());
        Ok(MadeVariant { bytes: JsBytes::blob(parts.get(0).unchecked_into()), format, is_of_animation, placeholder })
    }

    async fn measure(&self, job: MeasureJob) -> Result<Measures, CodecError> {
        let numbers = [job.orientation.into(), job.max_pixels, job.coarseness.into()];
        let parts = parts(measure(&blob_to_js(&job.bytes), &Uint32Array::from(&numbers[..])))?;
        let bytes: Uint8Array = parts.get(0).unchecked_into();
        Measures::from_bytes(&bytes.to_vec()).ok_or_else(|| CodecError::Trapped("the measures are cut off".to_owned()))
    }
}

/// The bytes, the format, whether there are more frames, and the placeholder, of an answer of the module's.
fn parts(answer: Result<JsValue, JsValue>) -> Result<Array, CodecError> {
    let answer = answer.map_err(|error| CodecError::Unavailable(message_of(&error)))?;
    if let Some(refusal) = answer.as_string() {
        let (word, detail) = refusal.split_once(' ').unwrap_or((&refusal, ""));
        return Err(match word {
            "unsupported" => CodecError::Unsupported,
            "undecodable" => CodecError::Undecodable,
            "too-many-pixels" => CodecError::TooManyPixels,
            _ => CodecError::Trapped(detail.to_owned()),
        });
    }
    Ok(answer.unchecked_into())
}

/// The parameters of the module's `transform`, in order.
fn numbers_of(job: &Job) -> [u32; 10] {
    let fit = match job.fit {
        Fit::Contain => 0,
        Fit::ScaleDown => 1,
        Fit::Cover => 2,
        Fit::Crop => 3,
    };
    let target = match job.format {
        VariantFormat::Jpeg | VariantFormat::Original => 0,
        VariantFormat::Png => 1,
        VariantFormat::Webp => 2,
        VariantFormat::JpegOrPng => 3,
        VariantFormat::JpegOrWebp => 4,
    };
    [
        job.width.unwrap_or(0),
        job.height.unwrap_or(0),
        fit,
        job.orientation.into(),
        target,
        job.quality.into(),
        job.max_pixels,
        job.coarseness.into(),
        job.enhances.into(),
        job.with_placeholder.into(),
    ]
}
