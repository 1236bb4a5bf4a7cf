//! What `POST /api/generate-image` answers.

use serde::Serialize;

use super::input::GenerateInput;
#[cfg(test)]
use super::input::MAX_IMAGES;
use super::made::Made;
use crate::api::problem::MadeImages;
use crate::api::representation::{ImageBody, url_of};
use crate::api::{Code, Exchange, Problem, Response};
use crate::catalog::{GenerationRecord, ImageRecord};
use crate::image::FailedProvider;
use crate::image::Sha256Digest;
use crate::store::StorageKind;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "GeneratedImage"))]
#[serde(rename_all = "camelCase")]
pub struct Answer<'record> {
    success: bool,
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    image_url: &'record str,
    original_url: &'record str,
    /// Whether a later provider of the list made the image.
    fallback: bool,
    /// Why, and why the bytes are not in R2 when they should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback_reason: Option<String>,
    storage: StorageBody<'record>,
    generation: GenerationBody<'record>,
    image: ImageBody<'record>,
    /// Every image, the first too: the fields above are about the first.
    #[cfg_attr(test, schemars(length(min = 1, max = MAX_IMAGES)))]
    images: Vec<OneOfThem<'record>>,
}

/// One of the images that a request made.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "OneOfGeneratedImages"))]
#[serde(rename_all = "camelCase")]
pub struct OneOfThem<'record> {
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    image_url: String,
    original_url: String,
    storage: StorageBody<'record>,
    image: ImageBody<'record>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Storage"))]
#[serde(rename_all = "camelCase")]
struct StorageBody<'record> {
    r#type: StorageKind,
    r2_key: Option<&'record str>,
    details: StorageDetails<'record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback_reason: Option<&'record str>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct StorageDetails<'record> {
    key: &'record str,
    size: Option<u64>,
    content_type: &'static str,
    sha256: Option<Sha256Digest>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Generation"))]
#[serde(rename_all = "camelCase")]
struct GenerationBody<'record> {
    provider: &'record str,
    prompt: &'record str,
    size: &'record str,
    quality: Option<&'record str>,
    fallback: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback_reason: Option<String>,
    metadata: GenerationMetadata<'record>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct GenerationMetadata<'record> {
    model: Option<&'record str>,
    style: Option<&'record str>,
    background: Option<&'record str>,
    output_format: Option<&'record str>,
    output_compression: Option<u8>,
    revised_prompt: Option<&'record str>,
    total_tokens: Option<u64>,
    width: Option<u32>,
    height: Option<u32>,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    generated_at: String,
    failed_providers: &'record [FailedProvider],
}

/// The answer that tells of generated images; the same for the request that made them and for each that repeats it.
pub fn generate_answer(exchange: &Exchange<'_>, images: &[Made], origin: &str) -> Result<Response, Problem> {
    let missing = |what: &'static str| Problem::plain(Code::InternalError).because(&what);
    let Made { record, .. } = images.first().ok_or_else(|| missing("no image was asked for"))?;
    let generation = record.generation.as_ref().ok_or_else(|| missing("a generated image without its generation"))?;
    let first = one_of_them(exchange, record, origin);
    let provider_fallback = provider_fallback_reason(generation);
    let reasons: Vec<&str> =
        provider_fallback.as_deref().into_iter().chain(record.fallback_reason.as_deref()).collect();
    let body = Answer {
        success: true,
        original_url: &first.original_url,
        image_url: &first.image_url,
        fallback: provider_fallback.is_some(),
        fallback_reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
        storage: storage_body(record),
        generation: generation_body(record, generation, provider_fallback.clone()),
        image: ImageBody::new(exchange, record, origin),
        images: all_of_them(exchange, images, origin),
    };
    let mut response = Response::json(200, &body);
    if images.iter().all(|image| image.replayed) {
        response.set_header("Idempotency-Replayed", "true");
    }
    Ok(response)
}

/// `problem`, which stopped the request, with the images that were made before it: they are stored, and paid for.
pub fn partly_made(
    exchange: &Exchange<'_>,
    mut problem: Problem,
    images: &[Made],
    input: &GenerateInput,
    has_key: bool,
    origin: &str,
) -> Problem {
    if images.is_empty() {
        return problem;
    }
    let (made, wanted) = (images.len(), input.count);
    let rest =
        if has_key { "the same request with its Idempotency-Key makes the others" } else { "ask for the others" };
    problem.detail = format!("{}; {made} of {wanted} images are stored and named in `images`: {rest}", problem.detail);
    problem.images = MadeImages::of(&all_of_them(exchange, images, origin));
    problem
}

fn all_of_them<'record>(exchange: &Exchange<'_>, images: &'record [Made], origin: &str) -> Vec<OneOfThem<'record>> {
    images.iter().map(|image| one_of_them(exchange, &image.record, origin)).collect()
}

fn one_of_them<'record>(exchange: &Exchange<'_>, record: &'record ImageRecord, origin: &str) -> OneOfThem<'record> {
    let (image_url, _) = url_of(exchange, record, origin);
    let original_url = record.generation.as_ref().and_then(|generation| generation.original_url.clone());
    OneOfThem {
        original_url: original_url.unwrap_or_else(|| image_url.clone()),
        image_url,
        storage: storage_body(record),
        image: ImageBody::new(exchange, record, origin),
    }
}

fn storage_body(record: &ImageRecord) -> StorageBody<'_> {
    let description = &record.description;
    let key = description.key.as_str();
    StorageBody {
        r#type: record.storage,
        r2_key: (record.storage == StorageKind::R2).then_some(key),
        details: StorageDetails {
            key,
            size: record.content.as_ref().map(|content| content.size_bytes),
            content_type: description.format.content_type(),
            sha256: record.content.as_ref().map(|content| content.sha256),
        },
        fallback_reason: record.fallback_reason.as_deref(),
    }
}

fn generation_body<'record>(
    record: &'record ImageRecord,
    generation: &'record GenerationRecord,
    fallback_reason: Option<String>,
) -> GenerationBody<'record> {
    let dimensions = record.content.as_ref().and_then(|content| content.dimensions);
    GenerationBody {
        provider: &generation.provider,
        prompt: &generation.prompt,
        size: &generation.size,
        quality: generation.quality.as_deref(),
        fallback: fallback_reason.is_some(),
        fallback_reason,
        metadata: GenerationMetadata {
            model: generation.model.as_deref(),
            style: generation.style.as_deref(),
            background: generation.background.as_deref(),
            output_format: generation.output_format.as_deref(),
            output_compression: generation.output_compression,
            revised_prompt: generation.revised_prompt.as_deref(),
            total_tokens: generation.total_tokens,
            width: dimensions.map(|dimensions| dimensions.width),
            height: dimensions.map(|dimensions| dimensions.height),
            generated_at: record.description.created_at.to_iso8601(),
            failed_providers: &generation.failed_providers,
        },
    }
}

/// `openai: provider-timeout` for each provider that was tried before the one that answered.
fn provider_fallback_reason(generation: &GenerationRecord) -> Option<String> {
    let failures = generation.failed_providers.iter().map(|failed| format!("{}: {}", failed.provider, failed.reason));
    Some(failures.collect::<Vec<_>>().join(", ")).filter(|reasons| !reasons.is_empty())
}
