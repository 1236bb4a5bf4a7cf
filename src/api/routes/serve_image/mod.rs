//! `GET` and `HEAD /images/{id}`: the bytes of an image, or of a variant of it.

mod answer;
mod by_id;
mod by_item;
mod variant;

pub use answer::serve;

#[cfg(test)]
use serde_json::{Map, Value, json};

#[cfg(test)]
use crate::api::openapi::{DATABASE, IMAGE, Operation, Schemas, header, headers, query};
use crate::api::{Code, Exchange, ImageName, Problem, Request, Response};
#[cfg(test)]
use crate::image::Format;

/// Serves an image by its id, or by what the source calls it that is read through.
pub async fn handle(exchange: &Exchange<'_>, request: Request, name: ImageName) -> Result<Response, Problem> {
    let id = match name {
        ImageName::Id(id) => id,
        ImageName::Item { name, .. } => return by_item::handle(exchange, &request, &name).await,
    };
    match by_id::handle(exchange, &request, id).await {
        // Applications have such ids too.
        Err(problem) if problem.code == Code::ImageNotFound && exchange.services.config.read_through.is_some() => {
            by_item::handle(exchange, &request, &id.to_string()).await
        }
        answer => answer,
    }
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    const VALIDATORS: [&str; 3] = ["ETag", "Last-Modified", "Cache-Control"];
    const WHOLE: [&str; 5] = ["ETag", "Last-Modified", "Cache-Control", "Accept-Ranges", "Content-Length"];
    const PART: [&str; 6] =
        ["ETag", "Last-Modified", "Cache-Control", "Accept-Ranges", "Content-Length", "Content-Range"];
    // A cache would give the id of one request to all.
    let headers = |names: &[&str]| {
        let mut headers = headers(names);
        headers["X-Request-Id"] = json!({ "schema": { "type": "string" }, "description": "Of a private image only." });
        headers
    };
    let bytes = |description: &str, names: &[&str]| {
        let content: Map<String, Value> =
            Format::ALL.into_iter().map(|format| (format.content_type().to_owned(), json!({}))).collect();
        json!({ "description": description, "headers": headers(names), "content": content })
    };
    let side = || json!({ "type": "integer", "minimum": 1, "maximum": crate::variants::MAX_SIDE });
    let words = |words: &[&str]| json!({ "type": "string", "enum": words });
    let moved = json!({
        "description": "A public image needs no signature: its bare URL.",
        "headers": { "Location": { "required": true, "schema": { "type": "string" } } }
    });
    let own = [
        Code::InvalidField,
        Code::Unauthorized,
        Code::TokenKeysUnavailable,
        Code::SignatureInvalid,
        Code::SignatureExpired,
        Code::PreconditionFailed,
        Code::RangeNotSatisfiable,
        Code::BytesMissing,
        Code::StorageUnavailable,
        Code::VariantUnsupported,
        Code::VariantImpossible,
        Code::VariantTooLarge,
        Code::VariantLimit,
        Code::Busy,
        Code::SourceUnavailable,
    ];
    Operation {
        summary: "The bytes of an image, or of another size or format of it; private ones want a signed URL or the token",
        // The variant, the signature, and the conditions of RFC 9110.
        parameters: vec![
            query("w", &side(), "Of a variant: its width, one of VARIANT_WIDTHS. `width` says the same."),
            query("h", &side(), "Of a variant: its height. `height` says the same."),
            query(
                "fit",
                &words(&["contain", "scale-down", "cover", "crop", "clip", "max", "fill", "min"]),
                "Of a variant. `resize` says the same.",
            ),
            query(
                "q",
                &json!({ "type": "integer", "minimum": 1, "maximum": 100 }),
                "Of a variant: its quality, one of VARIANT_QUALITIES. `quality` says the same.",
            ),
            query(
                "fm",
                &words(&["jpeg", "jpg", "png", "webp", "auto"]),
                "Of a variant: its format. `format` says the same.",
            ),
            query(
                "dpr",
                &json!({ "type": "integer", "minimum": 1, "maximum": 5 }),
                "Of a variant: what `w` and `h` are multiplied by.",
            ),
            query("auto", &json!({ "type": "string" }), "`format`: as `fm=auto`."),
            query("variant", &json!({ "type": "string" }), "A variant by its name in VARIANTS."),
            query("fallback", &words(&["original"]), "The image itself where it cannot become the variant."),
            query("expires", &json!({ "type": "string" }), "Of a signed URL: seconds since 1970."),
            query("signature", &json!({ "type": "string" }), "Of a signed URL."),
            header("If-Match", "Entity tags, one of which the image must have."),
            header("If-None-Match", "Entity tags, none of which the image may have."),
            header("If-Modified-Since", "An HTTP date."),
            header("If-Unmodified-Since", "An HTTP date."),
            header("If-Range", "An entity tag or HTTP date, without which `Range` does not count."),
            header("Range", "One range of bytes; several are answered with the whole image."),
        ],
        answers: vec![
            (200, bytes("The image.", &WHOLE)),
            (206, bytes("The range.", &PART)),
            (302, moved),
            (304, json!({ "description": "What the caller has is right.", "headers": headers(&VALIDATORS) })),
        ],
        codes: [&IMAGE[..], &own, &DATABASE].concat(),
        ..Operation::default()
    }
}
