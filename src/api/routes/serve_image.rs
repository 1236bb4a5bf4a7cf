//! `GET` and `HEAD /images/{id}`: the bytes of an image.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

#[cfg(test)]
use serde_json::{Map, Value, json};

#[cfg(test)]
use crate::api::openapi::{DATABASE, IMAGE, Operation, Schemas, header, headers, query};
use crate::api::{Code, Exchange, Method, Problem, Request, Response};
use crate::bytes::{Blob, ByteRange};
use crate::catalog::{ServableImage, Serving};
#[cfg(test)]
use crate::image::Format;
use crate::image::{
    EntityTag, ImageId, PUBLIC_CACHE_CONTROL, ReadMethod, ReadRequest, Representation, ServeDecision, Visibility,
    format_http_date,
};
use crate::library::OpenError;

/// A shared cache must not keep what only some may see; the owner's may, if it asks each time.
const PRIVATE_CACHE_CONTROL: &str = "private, no-cache";
/// What the cache in front keeps, which is told to forget a deleted image: should it never be reached, a day is the most. Cloudflare takes
/// the header off the answer.
const EDGE_CACHE_CONTROL: &str = "public, s-maxage=86400";
/// Nothing in an image may run, load or submit anything when it is opened as a page (SVG can hold script).
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox";
/// Characters that stand for themselves in an RFC 8187 value.
const ATTR_CHAR: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Every name that the query may have. A cache keeps an answer for each query, so that others are refused.
const QUERY: [&str; 2] = ["expires", "signature"];

/// Serves an image: one database query, and one read of the store when bytes are wanted that did not come with it.
pub async fn handle(exchange: &Exchange<'_>, request: Request, id: ImageId) -> Result<Response, Problem> {
    require_known_query(&request)?;
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

/// Serves an image that the caller may read; `bytes` is all of it, where it is at hand.
pub async fn serve(
    exchange: &Exchange<'_>,
    request: &Request,
    image: ServableImage,
    bytes: Option<Blob>,
) -> Result<Response, Problem> {
    let conditions = read_request(request);
    let representation = Representation {
        entity_tag: &EntityTag::from(&image.sha256),
        last_modified: image.created_at,
        size_bytes: image.size_bytes,
    };
    match conditions.decide(&representation) {
        ServeDecision::NotModified => Ok(with_validators(Response::empty(304), &image)),
        ServeDecision::PreconditionFailed => Err(Problem::plain(Code::PreconditionFailed)),
        decision @ ServeDecision::RangeNotSatisfiable => Err(Problem::plain(Code::RangeNotSatisfiable)
            .with_header("Content-Range", decision.content_range(image.size_bytes).unwrap_or_default())),
        ServeDecision::Full => send(exchange, request.method, &image, None, bytes).await,
        ServeDecision::Partial(range) => send(exchange, request.method, &image, Some(range), None).await,
    }
}

fn require_known_query(request: &Request) -> Result<(), Problem> {
    let pairs = request.query_pairs()?;
    match pairs.into_iter().find(|(name, _)| !QUERY.contains(&name.as_str())) {
        Some((name, _)) => Err(Problem::field(name, format!("is not one of {}", QUERY.join(", ")))),
        None => Ok(()),
    }
}

fn bare_url(id: ImageId) -> Response {
    let mut response = Response::empty(302);
    response.set_header("Location", format!("/images/{id}"));
    response.set_header("Cache-Control", "no-store");
    response
}

/// Sends the image or a range of it; `bytes` is all of it, where it is at hand.
async fn send(
    exchange: &Exchange<'_>,
    method: Method,
    image: &ServableImage,
    range: Option<ByteRange>,
    bytes: Option<Blob>,
) -> Result<Response, Problem> {
    let mut response = with_validators(Response::empty(if range.is_some() { 206 } else { 200 }), image);
    response.set_header("Content-Type", image.format.content_type());
    response.set_header("Content-Length", range.map_or(image.size_bytes, |range| range.length_bytes).to_string());
    response.set_header("Accept-Ranges", "bytes");
    response.set_header("Content-Security-Policy", CONTENT_SECURITY_POLICY);
    response.set_header("Cross-Origin-Resource-Policy", "cross-origin");
    if let Some(filename) = &image.filename {
        response.set_header("Content-Disposition", content_disposition(filename));
    }
    if image.visibility == Visibility::Public {
        // Names the entry to the cache in front, which forgets it when the image is removed.
        response.set_header("Cache-Tag", image.id.to_string());
    }
    if let Some(content_range) = range.and_then(|range| ServeDecision::Partial(range).content_range(image.size_bytes)) {
        response.set_header("Content-Range", content_range);
    }
    if method != Method::Head {
        response.body = Some(match bytes {
            Some(bytes) => exchange.library.opened(image, bytes),
            None => exchange.library.open(image, range).await.map_err(open_problem)?.body,
        });
    }
    Ok(response)
}

/// The headers that 200, 206 and 304 share (RFC 9110, section 15.4.5).
fn with_validators(mut response: Response, image: &ServableImage) -> Response {
    response.set_header("ETag", EntityTag::from(&image.sha256).to_string());
    response.set_header("Last-Modified", format_http_date(image.created_at));
    response.set_header(
        "Cache-Control",
        match image.visibility {
            Visibility::Public => PUBLIC_CACHE_CONTROL,
            Visibility::Private => PRIVATE_CACHE_CONTROL,
        },
    );
    if image.visibility == Visibility::Public {
        response.set_header("Cloudflare-CDN-Cache-Control", EDGE_CACHE_CONTROL);
    }
    response
}

fn read_request(request: &Request) -> ReadRequest<'_> {
    ReadRequest {
        method: if request.method == Method::Head { ReadMethod::Head } else { ReadMethod::Get },
        if_match: request.header("if-match"),
        if_unmodified_since: request.header("if-unmodified-since"),
        if_none_match: request.header("if-none-match"),
        if_modified_since: request.header("if-modified-since"),
        if_range: request.header("if-range"),
        range: request.header("range"),
    }
}

/// `inline` with the client's own name, in ASCII for old clients and whole for the others (RFC 6266).
fn content_disposition(filename: &str) -> String {
    let plain: String = filename
        .chars()
        .map(|character| match character {
            '"' | '\\' | '%' => '_',
            character if character.is_ascii_graphic() || character == ' ' => character,
            _ => '_',
        })
        .collect();
    format!("inline; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(filename, ATTR_CHAR))
}

fn open_problem(error: OpenError) -> Problem {
    match error {
        OpenError::Catalog(error) => error.into(),
        OpenError::Gone => Problem::plain(Code::ImageDeleted),
        OpenError::Missing => Problem::plain(Code::BytesMissing),
        OpenError::Store(error) => {
            Problem::new(Code::StorageUnavailable, "the image is stored but cannot be read now").because(&error)
        }
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
        Code::Busy,
        Code::StorageUnavailable,
    ];
    Operation {
        summary: "The bytes of an image; private ones want a signed URL or the token",
        // The signature, and the conditions of RFC 9110.
        parameters: vec![
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_cannot_break_out_of_their_header() {
        for (filename, expected) in [
            ("cat.png", "inline; filename=\"cat.png\"; filename*=UTF-8''cat.png"),
            ("a\"; b=c\\.png", "inline; filename=\"a_; b=c_.png\"; filename*=UTF-8''a%22%3B%20b%3Dc%5C.png"),
            ("\u{e9}t\u{e9}.jpg", "inline; filename=\"_t_.jpg\"; filename*=UTF-8''%C3%A9t%C3%A9.jpg"),
        ] {
            assert_eq!(content_disposition(filename), expected);
        }
    }
}
