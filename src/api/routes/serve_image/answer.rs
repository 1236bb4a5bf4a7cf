//! What is answered with: the head, and the bytes or a part of them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::api::{Code, Exchange, Method, Problem, Request, Response};
use crate::bytes::{Blob, ByteRange};
use crate::catalog::ServableImage;
use crate::image::{
    EntityTag, PUBLIC_CACHE_CONTROL, ReadMethod, ReadRequest, Representation, ServeDecision, Visibility,
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

/// Serves an image that the caller may read; `bytes` is all of it, where it is at hand.
pub async fn serve(
    exchange: &Exchange<'_>,
    request: &Request,
    image: ServableImage,
    bytes: Option<Blob>,
) -> Result<Response, Problem> {
    let part = match decide(request, &image)? {
        Decision::NotModified => return Ok(with_validators(Response::empty(304), &image)),
        Decision::Send(part) => part,
    };
    let mut response = head(&image, part);
    if request.method != Method::Head {
        response.body = Some(match bytes.filter(|_| part.is_none()) {
            Some(bytes) => exchange.library.opened(&image, bytes),
            None => exchange.library.open(&image, part).await.map_err(open_problem)?.body,
        });
    }
    Ok(response)
}

/// What to answer with, when it is no error.
pub(super) enum Decision {
    NotModified,
    /// The whole, or this part of it.
    Send(Option<ByteRange>),
}

pub(super) fn decide(request: &Request, image: &ServableImage) -> Result<Decision, Problem> {
    let representation = Representation {
        entity_tag: &EntityTag::from(&image.sha256),
        last_modified: image.created_at,
        size_bytes: image.size_bytes,
    };
    match read_request(request).decide(&representation) {
        ServeDecision::NotModified => Ok(Decision::NotModified),
        ServeDecision::PreconditionFailed => Err(Problem::plain(Code::PreconditionFailed)),
        decision @ ServeDecision::RangeNotSatisfiable => Err(Problem::plain(Code::RangeNotSatisfiable)
            .with_header("Content-Range", decision.content_range(image.size_bytes).unwrap_or_default())),
        ServeDecision::Full => Ok(Decision::Send(None)),
        ServeDecision::Partial(range) => Ok(Decision::Send(Some(range))),
    }
}

/// The head of an answer with the whole image, or a part of it.
pub(super) fn head(image: &ServableImage, part: Option<ByteRange>) -> Response {
    let mut response = with_validators(Response::empty(if part.is_some() { 206 } else { 200 }), image);
    response.set_header("Content-Type", image.format.content_type());
    response.set_header("Content-Length", part.map_or(image.size_bytes, |part| part.length_bytes).to_string());
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
    if let Some(content_range) = part.and_then(|part| ServeDecision::Partial(part).content_range(image.size_bytes)) {
        response.set_header("Content-Range", content_range);
    }
    response
}

/// The headers that 200, 206 and 304 share (RFC 9110, section 15.4.5).
pub(super) fn with_validators(mut response: Response, image: &ServableImage) -> Response {
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

pub(super) fn read_request(request: &Request) -> ReadRequest<'_> {
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

pub(super) fn open_problem(error: OpenError) -> Problem {
    match error {
        OpenError::Catalog(error) => error.into(),
        OpenError::Gone => Problem::plain(Code::ImageDeleted),
        OpenError::PutBack => Problem::plain(Code::ImageNotFound),
        OpenError::Unasked => Problem::plain(Code::Busy),
        OpenError::Missing => Problem::plain(Code::BytesMissing),
        OpenError::Store(error) => {
            Problem::new(Code::StorageUnavailable, "the image is stored but cannot be read now").because(&error)
        }
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
