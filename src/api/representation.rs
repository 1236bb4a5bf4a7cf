//! How images look in answers.

use serde::Serialize;

use super::auth::DEFAULT_SIGNED_URL_SECONDS;
use super::{Exchange, Principal};
use crate::catalog::{GenerationRecord, ImageRecord, Status};
use crate::image::{Context, ImageId, Labels, Orientation, Sha256Digest, UserId, Visibility};
use crate::runtime::Timestamp;
use crate::store::StorageKind;

/// An image's record. `content_type` keeps the spelling of upload answers, the ids keep that of generate requests.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Image"))]
#[serde(rename_all = "camelCase")]
pub struct ImageBody<'record> {
    id: ImageId,
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    url: String,
    /// When a private image's signed `url` ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    url_expires_at: Option<String>,
    key: &'record str,
    status: Status,
    size: Option<u64>,
    #[serde(rename = "content_type")]
    content_type: &'static str,
    sha256: Option<Sha256Digest>,
    width: Option<u32>,
    height: Option<u32>,
    /// The number that EXIF data gives the orientation, 1 to 8; `width` and `height` heed it.
    #[cfg_attr(test, schemars(range(min = 1, max = 8)))]
    orientation: Option<u8>,
    /// evanw's `ThumbHash` in base64; absent until the image was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    thumbhash: Option<&'record str>,
    /// `#rrggbb`, the most frequent colour; absent until the image was measured, and of one in which nothing is visible.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(regex(pattern = "^#[0-9a-f]{6}$")))]
    dominant_color: Option<String>,
    filename: Option<&'record str>,
    storage: StorageKind,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback_reason: Option<&'record str>,
    visibility: Visibility,
    /// Whose it is; for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_id: Option<&'record str>,
    context: Option<&'record Context>,
    persona_id: Option<&'record str>,
    session_id: Option<&'record str>,
    participant_id: Option<&'record str>,
    table_id: Option<&'record str>,
    metadata: &'record Labels,
    /// The migration source whose row the image was moved out of.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'record str>,
    /// The row's id there.
    #[serde(skip_serializing_if = "Option::is_none")]
    source_item: Option<&'record str>,
    /// The image that a job made this one of.
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<ImageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<&'record GenerationRecord>,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    created_at: String,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    updated_at: String,
}

impl<'record> ImageBody<'record> {
    /// The record as answers show it.
    pub(super) fn new(exchange: &Exchange<'_>, record: &'record ImageRecord, origin: &str) -> Self {
        let description = &record.description;
        let content = record.content.as_ref();
        let dimensions = content.and_then(|content| content.dimensions);
        let placeholder = record.placeholder.as_ref();
        let (url, url_expires_at) = url_of(exchange, record, origin);
        let is_operator = exchange.caller.principal == Principal::Operator;
        Self {
            id: description.id,
            url,
            url_expires_at: url_expires_at.map(Timestamp::to_iso8601),
            key: description.key.as_str(),
            status: record.status,
            size: content.map(|content| content.size_bytes),
            content_type: description.format.content_type(),
            sha256: content.map(|content| content.sha256),
            width: dimensions.map(|dimensions| dimensions.width),
            height: dimensions.map(|dimensions| dimensions.height),
            orientation: content.and_then(|content| content.orientation).map(Orientation::get),
            thumbhash: placeholder.map(|placeholder| placeholder.thumbhash.as_str()),
            dominant_color: placeholder.and_then(|placeholder| placeholder.dominant_colour).map(String::from),
            filename: description.filename.as_deref(),
            storage: record.storage,
            fallback_reason: record.fallback_reason.as_deref().filter(|_| record.storage == StorageKind::D1),
            visibility: description.visibility,
            owner_id: description.owner_id.as_ref().map(UserId::as_str).filter(|_| is_operator),
            context: description.context.as_ref(),
            persona_id: description.associations.persona_id.as_deref(),
            session_id: description.associations.session_id.as_deref(),
            participant_id: description.associations.participant_id.as_deref(),
            table_id: description.associations.table_id.as_deref(),
            metadata: &description.labels,
            source: description.moved_from.as_ref().map(|moved| moved.source.as_str()),
            source_item: description.moved_from.as_ref().map(|moved| moved.item.as_str()),
            parent_id: description.parent_id,
            generation: record.generation.as_ref(),
            created_at: description.created_at.to_iso8601(),
            updated_at: record.updated_at.to_iso8601(),
        }
    }
}

/// The URL that answers give for an image: the bucket's public domain where there is one and the image is there, else this
/// Worker's; signed when the image is private.
pub(super) fn url_of(exchange: &Exchange<'_>, record: &ImageRecord, origin: &str) -> (String, Option<Timestamp>) {
    let description = &record.description;
    let own = format!("{origin}/images/{}", description.id);
    match (description.visibility, &exchange.services.config.r2_public_url, record.storage) {
        (Visibility::Public, Some(public_url), StorageKind::R2) => {
            (format!("{public_url}/{}", description.key.as_path()), None)
        }
        (Visibility::Public, _, _) => (own, None),
        (Visibility::Private, _, _) => {
            let now = exchange.services.runtime.now();
            // Where nothing can sign, only a token opens the image.
            let lifetime_seconds =
                windowed(now, DEFAULT_SIGNED_URL_SECONDS, exchange.services.config.uploads.signed_url_window_s);
            match exchange.gate.sign(description.id, now, lifetime_seconds) {
                Some((query, expires_at)) => (format!("{own}?{query}"), Some(expires_at)),
                None => (own, None),
            }
        }
    }
}

/// The life of a URL whose end is a multiple of `window_seconds`, so that answers within a window have the same URL, which caches know.
fn windowed(now: Timestamp, lifetime_seconds: u64, window_seconds: u64) -> u64 {
    let now_s = u64::try_from(now.as_millis() / 1000).unwrap_or(0);
    (now_s + lifetime_seconds).next_multiple_of(window_seconds) - now_s
}
