//! `GET` and `HEAD /images/{id}`: the bytes of an image, or of a variant of it.

mod answer;
mod variant;

pub use answer::serve;

use answer::read_request;

#[cfg(test)]
use serde_json::{Map, Value, json};

#[cfg(test)]
use crate::api::openapi::{DATABASE, IMAGE, Operation, Schemas, header, headers, query};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::Serving;
#[cfg(test)]
use crate::image::Format;
use crate::image::{ImageId, Visibility};
use crate::variants::{Asked, FALLBACK, InvalidQuery, NAMES};

/// Names that the query may have beside those of a variant. A cache keeps an answer for each query, so that others are refused.
const SIGNATURE: [&str; 2] = ["expires", "signature"];

/// Serves an image or a variant: one database query, and one read of the store when bytes are wanted that did not come with it.
pub async fn handle(exchange: &Exchange<'_>, request: Request, id: ImageId) -> Result<Response, Problem> {
    let pairs = known_query(&request)?;
    if let Some(asked) = Asked::parse(&pairs).map_err(refusal)? {
        return variant::handle(exchange, request, id, &asked).await;
    }
    let conditions = read_request(&request);
    let reader = exchange.caller.owner_filter();
    let is_signed = !request.query.is_empty();
    let (serving, bytes) = if conditions.is_plain_get() && !is_signed {
        exchange.library.catalog.find_with_bytes(id, &reader).await?
    } else {
        (exchange.library.catalog.find_for_serving(id, &reader).await?, None)
    };
    let image = match serving {
        Serving::Found(image) => image,
        Serving::Gone => return Err(Problem::plain(Code::ImageDeleted)),
        Serving::Unknown => return Err(Problem::plain(Code::ImageNotFound)),
        Serving::Unasked => return Err(Problem::plain(Code::Busy)),
    };
    match image.visibility {
        Visibility::Private => exchange.caller.require_reader_of(id)?,
        // One URL, so that caches keep one answer.
        Visibility::Public if is_signed => return Ok(bare_url(id)),
        Visibility::Public => {}
    }
    serve(exchange, &request, image, bytes).await
}

/// The query's pairs, all of them known by name.
fn known_query(request: &Request) -> Result<Vec<(String, String)>, Problem> {
    let pairs = request.query_pairs()?;
    let known: Vec<&str> = SIGNATURE.into_iter().chain(NAMES).chain([FALLBACK]).collect();
    match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(Problem::field(name.as_str(), format!("is not one of {}", known.join(", ")))),
        None => Ok(pairs),
    }
}

fn refusal(InvalidQuery { field, rule }: InvalidQuery) -> Problem {
    Problem::field(field, rule)
}

fn bare_url(id: ImageId) -> Response {
    let mut response = Response::empty(302);
    response.set_header("Location", format!("/images/{id}"));
    response.set_header("Cache-Control", "no-store");
    response
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
