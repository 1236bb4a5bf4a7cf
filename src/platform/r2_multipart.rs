//! The R2 bucket as a [`MultipartStore`].
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::bytes::{SourceFailure, js_length, source_to_js};
use super::foreign::blob_to_js;
use super::r2::{HttpMetadata, R2Store, body_error, from_json, to_json, unavailable};
use crate::bytes::{Body, BodyError, BodyParts};
use crate::image::ObjectKey;
use crate::store::{
    MultipartId, MultipartObject, MultipartStore, ObjectMetadata, PartNumber, StoreError, StoreErrorKind, UploadedPart,
};

#[wasm_bindgen(module = "/src/platform/js/r2_multipart.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn create(bucket: &JsValue, key: &str, options_json: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch, js_name = putPart)]
    async fn put_part(
        bucket: &JsValue,
        key: &str,
        upload_id: &str,
        part_number: u16,
        size_bytes: f64,
        body: &JsValue,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    async fn complete(bucket: &JsValue, key: &str, upload_id: &str, parts_json: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    async fn abort(bucket: &JsValue, key: &str, upload_id: &str) -> Result<JsValue, JsValue>;
}

#[async_trait(?Send)]
impl MultipartStore for R2Store {
    async fn create(&self, object: MultipartObject) -> Result<MultipartId, StoreError> {
        let MultipartObject { key, media, metadata, headers } = object;
        let options = to_json(&Options {
            http_metadata: HttpMetadata::from(media).described(&headers),
            custom_metadata: &metadata,
        })?;
        let id = create(&self.bucket, key.as_str(), &options).await.map_err(|error| unavailable(&error))?;
        let id = id.as_string().ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, "an upload without an id"))?;
        Ok(id.into())
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &MultipartId,
        number: PartNumber,
        body: Body,
    ) -> Result<UploadedPart, StoreError> {
        let failure = SourceFailure::default();
        let promised_bytes = body.promised_bytes();
        let (body, size_bytes) = match (body.into_parts(), promised_bytes) {
            (BodyParts::Blob(blob), _) => (blob_to_js(&blob).into(), blob.size_bytes() as u64),
            (BodyParts::Source(source), Some(promised)) => (source_to_js(source, &failure), promised),
            (BodyParts::Source(_), None) => {
                return Err(StoreError::new(StoreErrorKind::Unavailable, "a part without a promised length"));
            }
        };
        let put = put_part(&self.bucket, key.as_str(), upload.as_str(), number.get(), js_length(size_bytes), &body);
        let outcome = put.await.map_err(|error| unavailable(&error))?;
        let etag = done(&outcome, size_bytes, failure.take())?;
        Ok(UploadedPart { number, etag })
    }

    async fn complete(&self, key: &ObjectKey, upload: &MultipartId, parts: &[UploadedPart]) -> Result<(), StoreError> {
        if parts.is_empty() {
            return Err(StoreError::new(StoreErrorKind::PartsRefused, "there are no parts"));
        }
        let mut parts: Vec<_> =
            parts.iter().map(|part| Part { part_number: part.number.get(), etag: &part.etag }).collect();
        parts.sort_by_key(|part| part.part_number);
        if parts
            .windows(2)
            .any(|pair| pair.first().map(|part| part.part_number) == pair.last().map(|part| part.part_number))
        {
            return Err(StoreError::new(StoreErrorKind::PartsRefused, "a part is named twice"));
        }
        let outcome = complete(&self.bucket, key.as_str(), upload.as_str(), &to_json(&parts)?).await;
        done(&outcome.map_err(|error| unavailable(&error))?, 0, None).map(drop)
    }

    async fn abort(&self, key: &ObjectKey, upload: &MultipartId) -> Result<(), StoreError> {
        let outcome = abort(&self.bucket, key.as_str(), upload.as_str()).await.map_err(|error| unavailable(&error))?;
        match done(&outcome, 0, None) {
            Err(error) if error.kind == StoreErrorKind::NoSuchUpload => Ok(()),
            outcome => outcome.map(drop),
        }
    }
}

/// R2's names.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Options<'object> {
    http_metadata: HttpMetadata,
    custom_metadata: &'object ObjectMetadata,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'part> {
    part_number: u16,
    etag: &'part str,
}

/// What `r2_multipart.js` calls `PartsOutcome`.
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum PartsOutcome {
    Done { etag: String },
    SourceFailed { detail: String },
    TooShort { actual_bytes: u64 },
    TooLong,
    NoSuchUpload { detail: String },
    PartsRefused { detail: String },
    Unavailable { detail: String },
}

/// The etag that R2 answered with.
fn done(outcome: &JsValue, size_bytes: u64, failure: Option<BodyError>) -> Result<String, StoreError> {
    Err(match from_json::<PartsOutcome>(outcome)? {
        PartsOutcome::Done { etag } => return Ok(etag),
        PartsOutcome::SourceFailed { detail } => body_error(failure.unwrap_or(BodyError::Interrupted(detail))),
        PartsOutcome::TooShort { actual_bytes } => {
            body_error(BodyError::TooShort { expected_bytes: size_bytes, actual_bytes })
        }
        PartsOutcome::TooLong => body_error(BodyError::TooLong { limit_bytes: size_bytes }),
        PartsOutcome::NoSuchUpload { detail } => StoreError::new(StoreErrorKind::NoSuchUpload, detail),
        PartsOutcome::PartsRefused { detail } => StoreError::new(StoreErrorKind::PartsRefused, detail),
        PartsOutcome::Unavailable { detail } => StoreError::new(StoreErrorKind::Unavailable, detail),
    })
}
