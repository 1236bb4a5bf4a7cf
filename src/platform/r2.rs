//! The R2 bucket as an [`ImageStore`].
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::borrow::Cow;

use async_trait::async_trait;
use js_sys::Array;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use super::bytes::{JsBody, SourceFailure, js_length, message_of, source_to_js};
use super::foreign::blob_to_js;
use crate::bytes::{Body, BodyError, BodyParts};
use crate::image::{ObjectKey, Sha256Digest};
use crate::runtime::Timestamp;
use crate::store::{
    ByteRange, ImageStore, ListPage, Media, ObjectHeaders, ObjectInfo, ObjectMetadata, PutObject, PutReceipt,
    StorageKind, StoreError, StoreErrorKind, StoredObject,
};

#[wasm_bindgen(module = "/src/platform/js/r2.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn get(bucket: &JsValue, key: &str, offset: Option<f64>, length: Option<f64>) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    async fn head(bucket: &JsValue, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(catch)]
    async fn remove(bucket: &JsValue, key: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(catch, js_name = removeAll)]
    async fn remove_all(bucket: &JsValue, keys_json: &str) -> Result<(), JsValue>;

    #[wasm_bindgen(catch)]
    async fn list(
        bucket: &JsValue,
        prefix: &str,
        start_after: Option<String>,
        limit: usize,
    ) -> Result<JsValue, JsValue>;
}

#[wasm_bindgen(module = "/src/platform/js/r2_put.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn put(bucket: &JsValue, request_json: &str, body: &JsValue) -> Result<JsValue, JsValue>;
}

/// The longest body without a promised length that is taken. R2 wants the length before the bytes, so such a body is held in
/// memory, outside wasm: 8 MiB is a sixteenth of the isolate's 128 MB.
const MAX_UNPROMISED_BYTES: u64 = 8 << 20;

/// An R2 bucket. The name `sha256` in an object's metadata is the store's own: a given one is replaced, and none comes back.
pub struct R2Store {
    pub(super) bucket: JsValue,
}

impl R2Store {
    /// The store over the binding `bucket`.
    pub fn new(bucket: JsValue) -> Self {
        Self { bucket }
    }
}

#[async_trait(?Send)]
impl ImageStore for R2Store {
    fn kind(&self) -> StorageKind {
        StorageKind::R2
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        self.put_described(object, ObjectHeaders::default()).await
    }

    async fn put_described(&self, object: PutObject, headers: ObjectHeaders) -> Result<PutReceipt, StoreError> {
        let failure = SourceFailure::default();
        let PutObject { key, body, media, sha256, metadata } = object;
        let promised_bytes = body.promised_bytes();
        let (body, size_bytes) = match (body.into_parts(), promised_bytes) {
            (BodyParts::Blob(blob), promised) => {
                let actual_bytes = blob.size_bytes() as u64;
                if let Some(expected_bytes) = promised.filter(|promised| *promised != actual_bytes) {
                    return Err(body_error(BodyError::TooShort { expected_bytes, actual_bytes }));
                }
                (blob_to_js(&blob).into(), actual_bytes)
            }
            (BodyParts::Source(source), Some(promised)) => (source_to_js(source, &failure), promised),
            (BodyParts::Source(source), None) => {
                let blob = Body::from_source(source, None).collect(MAX_UNPROMISED_BYTES).await.map_err(body_error)?;
                (blob_to_js(&blob).into(), blob.size_bytes() as u64)
            }
        };
        let request = PutRequest {
            key: key.as_str(),
            size_bytes,
            sha256,
            md5: headers.md5.as_deref(),
            http_metadata: HttpMetadata::from(media).described(&headers),
            custom_metadata: &metadata,
        };
        let outcome = put(&self.bucket, &to_json(&request)?, &body).await.map_err(|error| unavailable(&error))?;
        let failure = failure.take();
        match from_json::<PutOutcome>(&outcome)? {
            PutOutcome::Stored { sha256 } => {
                Ok(PutReceipt { storage: StorageKind::R2, size_bytes, sha256, fallback_reason: None })
            }
            PutOutcome::KeyTaken => {
                Err(StoreError::new(StoreErrorKind::KeyTaken, "other bytes are stored under the key"))
            }
            PutOutcome::SourceFailed { detail } => Err(body_error(failure.unwrap_or(BodyError::Interrupted(detail)))),
            PutOutcome::TooShort { actual_bytes } => {
                Err(body_error(BodyError::TooShort { expected_bytes: size_bytes, actual_bytes }))
            }
            PutOutcome::TooLong => Err(body_error(BodyError::TooLong { limit_bytes: size_bytes })),
            PutOutcome::ChecksumMismatch { detail } => Err(StoreError::new(StoreErrorKind::ChecksumMismatch, detail)),
            PutOutcome::Unavailable { detail } => Err(StoreError::new(StoreErrorKind::Unavailable, detail)),
        }
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        let offset = range.map(|range| js_length(range.offset_bytes));
        let length = range.map(|range| js_length(range.length_bytes));
        let found = get(&self.bucket, key.as_str(), offset, length).await.map_err(|error| unavailable(&error))?;
        if found.is_null() {
            return Ok(None);
        }
        let found: Array = found.unchecked_into();
        let size_bytes = size_from_js(&found.get(0))?;
        let length_bytes = range.map_or(size_bytes, |range| range.length_bytes);
        Ok(Some(StoredObject {
            size_bytes,
            sha256: found.get(1).as_string().and_then(|digest| digest.parse().ok()),
            body: JsBody::body(&found.get(2), Some(length_bytes)),
        }))
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        let found = head(&self.bucket, key.as_str()).await.map_err(|error| unavailable(&error))?;
        if found.is_null() {
            return Ok(None);
        }
        Ok(Some(from_json::<Info>(&found)?.into_object_info(key.clone())))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        remove(&self.bucket, key.as_str()).await.map_err(|error| unavailable(&error))
    }

    async fn delete_all(&self, keys: &[ObjectKey]) -> Result<(), StoreError> {
        remove_all(&self.bucket, &to_json(&keys)?).await.map_err(|error| unavailable(&error))
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        let limit = usize::from(limit);
        let mut last_key = start_after.map(ToString::to_string);
        let mut objects = Vec::new();
        loop {
            let page = list(&self.bucket, prefix, last_key.clone(), limit - objects.len())
                .await
                .map_err(|error| unavailable(&error))?;
            let page: Page = from_json(&page)?;
            // A page without objects that says that more follow would repeat for ever.
            let truncated = page.truncated && !page.objects.is_empty();
            for info in page.objects {
                last_key = Some(info.key.clone());
                // A key that Stillstore could not have written is someone else's object.
                if let Ok(key) = ObjectKey::try_from(info.key.clone()) {
                    objects.push(info.into_object_info(key));
                }
            }
            if !truncated || objects.len() >= limit {
                return Ok(ListPage { objects, truncated });
            }
        }
    }
}

/// What `r2_put.js` calls `PutRequest`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PutRequest<'object> {
    key: &'object str,
    size_bytes: u64,
    sha256: Option<Sha256Digest>,
    md5: Option<&'object str>,
    http_metadata: HttpMetadata,
    custom_metadata: &'object ObjectMetadata,
}

/// R2's names; a browser that is sent straight to the bucket gets these as headers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpMetadata {
    content_type: Cow<'static, str>,
    cache_control: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_disposition: Option<Cow<'static, str>>,
}

impl HttpMetadata {
    /// With what an object says of itself.
    pub(super) fn described(self, headers: &ObjectHeaders) -> Self {
        let given = |text: &Option<String>| text.clone().map(Cow::Owned);
        Self {
            content_type: given(&headers.content_type).unwrap_or(self.content_type),
            cache_control: given(&headers.cache_control).unwrap_or(self.cache_control),
            content_disposition: given(&headers.content_disposition).or(self.content_disposition),
        }
    }
}

impl From<Media> for HttpMetadata {
    fn from(media: Media) -> Self {
        Self {
            content_type: media.content_type().into(),
            cache_control: media.cache_control().into(),
            content_disposition: media.content_disposition().map(Cow::from),
        }
    }
}

/// What `r2_put.js` calls `Outcome`.
#[derive(Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case", rename_all_fields = "camelCase")]
enum PutOutcome {
    Stored { sha256: Sha256Digest },
    KeyTaken,
    SourceFailed { detail: String },
    TooShort { actual_bytes: u64 },
    TooLong,
    ChecksumMismatch { detail: String },
    Unavailable { detail: String },
}

/// What `infoOf` of `r2.js` gives.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    key: String,
    size_bytes: u64,
    content_type: String,
    sha256: Option<String>,
    stored_at_ms: i64,
    metadata: ObjectMetadata,
}

#[derive(Deserialize)]
struct Page {
    objects: Vec<Info>,
    truncated: bool,
}

impl Info {
    fn into_object_info(self, key: ObjectKey) -> ObjectInfo {
        ObjectInfo {
            key,
            size_bytes: self.size_bytes,
            sha256: self.sha256.and_then(|digest| digest.parse().ok()),
            content_type: self.content_type,
            metadata: self.metadata,
            stored_at: Timestamp::from_millis(self.stored_at_ms),
        }
    }
}

/// A whole number of bytes, which R2 keeps far below 2^53.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a negative size or a fraction would not match its row"
)]
fn size_from_js(number: &JsValue) -> Result<u64, StoreError> {
    let number = number.as_f64().ok_or_else(|| StoreError::new(StoreErrorKind::Corrupt, "an object without a size"))?;
    Ok(number as u64)
}

pub(super) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error.to_string()))
}

pub(super) fn from_json<T: for<'json> Deserialize<'json>>(json: &JsValue) -> Result<T, StoreError> {
    let json = json.as_string().unwrap_or_default();
    serde_json::from_str(&json).map_err(|error| StoreError::new(StoreErrorKind::Corrupt, error.to_string()))
}

pub(super) fn body_error(error: BodyError) -> StoreError {
    let detail = error.to_string();
    StoreError::new(StoreErrorKind::Body(error), detail)
}

pub(super) fn unavailable(error: &JsValue) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, message_of(error))
}
