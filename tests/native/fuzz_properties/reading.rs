//! Which request it is, and which bytes it is answered with.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use stillstore::api::{Code, Method, Request, Route, Target};
use stillstore::image::{
    EntityTag, FrameNumber, ImageId, ReadMethod, ReadRequest, Representation, ServeDecision, SessionId,
    format_http_date, parse_http_date,
};
use stillstore::migrate::RunId;
use stillstore::runtime::Timestamp;
use stillstore::store::PartNumber;

use crate::image_read_model::{Fields, answer};

/// What the properties' image has for an entity tag.
const TAG: &str = "0a1b,2c";
/// Sat, 21 Nov 2026 09:30:00 GMT, and a part of a second.
const MODIFIED_MS: i64 = 1_795_253_400_123;
/// Beyond `u128`, which the model counts in.
const MOST_DIGITS: usize = 38;

/// Conditions and ranges are answered as RFC 9110 says, step by step, and never with bytes beyond the image's end. A date that is
/// read is written as it was when it has the preferred form, and is the same date when it has another.
///
/// The first line is the size in bytes, modulo 2,000; the others are `name: value`.
pub fn conditional_read(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.lines();
    let size_bytes = lines.next().and_then(|line| line.parse::<u64>().ok()).unwrap_or(100) % 2000;
    let headers: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
    let field = |name: &str| headers.iter().find(|(header, _)| *header == name).map(|(_, value)| *value);
    let method = if field("head").is_some() { ReadMethod::Head } else { ReadMethod::Get };
    let request = ReadRequest {
        method,
        if_match: field("if-match"),
        if_unmodified_since: field("if-unmodified-since"),
        if_none_match: field("if-none-match"),
        if_modified_since: field("if-modified-since"),
        if_range: field("if-range"),
        range: field("range"),
    };
    let entity_tag = EntityTag::strong(TAG).expect("a tag");
    let last_modified = Timestamp::from_millis(MODIFIED_MS);
    let decision = request.decide(&Representation { entity_tag: &entity_tag, last_modified, size_bytes });

    if let ServeDecision::Partial(range) = decision {
        assert!(range.length_bytes > 0 && range.offset_bytes + range.length_bytes <= size_bytes, "{range:?}");
    }
    if field("range").is_some_and(|range| range.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() > MOST_DIGITS))
    {
        return;
    }
    let date = |name| field(name).map(|value| canonical_date(value).unwrap_or_else(|| "none".to_owned()));
    let list = |name| field(name).map(str::to_owned);
    let fields = Fields {
        is_get: method == ReadMethod::Get,
        if_match: list("if-match"),
        if_unmodified_since: date("if-unmodified-since"),
        if_none_match: list("if-none-match"),
        if_modified_since: date("if-modified-since"),
        if_range: field("if-range").map(|value| canonical_date(value).unwrap_or_else(|| tag_or_nothing(value))),
        range: list("range"),
    };
    let expected = answer(&fields, TAG, MODIFIED_MS / 1000, size_bytes);
    let (status, bytes) = match decision {
        ServeDecision::Full => (200, 0..size_bytes),
        ServeDecision::Partial(range) => (206, range.offset_bytes..range.offset_bytes + range.length_bytes),
        ServeDecision::NotModified => (304, 0..0),
        ServeDecision::PreconditionFailed => (412, 0..0),
        ServeDecision::RangeNotSatisfiable => (416, 0..0),
    };
    assert_eq!((status, bytes.collect::<Vec<_>>()), (expected.status, expected.bytes), "{fields:?}");
    assert_eq!(decision.content_range(size_bytes), expected.content_range);
}

/// The preferred form of a date.
fn canonical_date(text: &str) -> Option<String> {
    let moment = parse_http_date(text)?;
    let canonical = format_http_date(moment);
    assert_eq!(parse_http_date(&canonical), Some(moment));
    assert!(text.len() != canonical.len() || !text.ends_with("GMT") || text == canonical, "{text} is {canonical}");
    Some(canonical)
}

/// The model reads dates too, and more loosely.
fn tag_or_nothing(validator: &str) -> String {
    if validator.ends_with("GMT") { "none".to_owned() } else { validator.to_owned() }
}

/// An absolute URL falls into parts that make it up again, its query into pairs that mean the same when written again. Every method
/// and path is a route or a problem, as a table of patterns says, and one thing has one path.
///
/// The input is `METHOD url` or `METHOD path`.
pub fn route(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (method, url) = text.split_once(' ').unwrap_or(("GET", &text));
    if !url.starts_with("http://") && !url.starts_with("https://") {
        return check_route(method, url);
    }
    let request = Request::new(method, url, Vec::new(), None);
    let (address, query) = url.split('#').next().and_then(|url| url.split_once('?')).unwrap_or((url, ""));
    let address = address.split('#').next().unwrap_or_default();
    let path = if address.splitn(4, '/').count() == 4 { "" } else { "/" };
    assert_eq!([&request.origin, &*request.path].concat(), [address, path].concat());
    assert_eq!(request.query, query);
    assert!(request.origin.contains(request.host()));
    check_pairs(&request);
    check_route(method, &request.path);
}

fn check_pairs(request: &Request) {
    let Ok(pairs) = request.query_pairs() else { return };
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let query = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    let url = format!("http://a/?{}", query.collect::<Vec<_>>().join("&"));
    assert_eq!(Request::new("GET", &url, Vec::new(), None).query_pairs().ok(), Some(pairs));
}

fn check_route(method: &str, path: &str) {
    let is_id = |text: &&str| text.parse::<ImageId>().is_ok_and(|id| id.to_string() == *text);
    let is_name = |path: &str| {
        let name = percent_decode_str(path.strip_prefix("/images/").unwrap_or_default()).decode_utf8();
        name.is_ok_and(|name| (1..=1_024).contains(&name.len()) && !name.contains('\0'))
    };
    let is_run = |text: &&str| text.parse::<RunId>().is_ok_and(|id| id.as_str() == *text);
    let is_session = |text: &&str| text.parse::<SessionId>().is_ok();
    let is_part = |text: &&str| text.parse::<PartNumber>().is_ok();
    let is_number = |text: &&str| text.parse::<FrameNumber>().is_ok();
    let segments: Vec<_> = path.split('/').collect();
    let allowed = match segments.as_slice() {
        ["", "sessions"] | ["", "api", "generate-image"] | ["", "uploads", "presign" | "confirm" | "multipart"] => {
            Some("POST")
        }
        ["", "shoots" | "jobs"] | ["", "api", "migrate-images"] => Some("GET HEAD POST"),
        ["", "api", "images"] => Some("GET HEAD POST DELETE"),
        ["", "api", "images", id] if is_id(id) => Some("GET HEAD DELETE"),
        ["", "api", "reconcile"] => Some("POST"),
        ["", "api", "images", id, "signed-url"] if is_id(id) => Some("POST"),
        ["", "images", id, "describe"] if is_id(id) => Some("POST"),
        ["", "images", id, "description"] if is_id(id) => Some("GET HEAD"),
        ["", "images", ..] if is_name(path) => Some("GET HEAD"),
        ["", "api", "migrate-images", "runs", id] if is_run(id) => Some("GET HEAD"),
        ["", "api", "migrate-images", "runs", id, "items" | "receipt"] if is_run(id) => Some("GET HEAD"),
        ["", "sessions", id, "frames"] if is_session(id) => Some("GET HEAD POST DELETE"),
        ["", "sessions", id, "frames", number] if is_session(id) && is_number(number) => Some("GET HEAD"),
        ["", "sessions", id, "analyze"] if is_session(id) => Some("POST"),
        ["", "sessions", id, "analysis"] if is_session(id) => Some("GET HEAD"),
        ["", "shoots" | "jobs", id] if is_id(id) => Some("GET HEAD DELETE"),
        ["", "shoots", id, "assets"] if is_id(id) => Some("GET HEAD"),
        ["", "shoots", id, "jobs"] if is_id(id) => Some("POST"),
        ["", "batches", id] if is_id(id) => Some("GET HEAD DELETE"),
        ["", "uploads", id] if is_id(id) => Some("POST PUT"),
        ["", "uploads", "multipart", id] if is_id(id) => Some("GET HEAD POST DELETE"),
        ["", "uploads", "multipart", id, number] if is_id(id) && is_part(number) => Some("PUT"),
        ["", "uploads", "s3", id] if is_id(id) => Some("GET HEAD POST PUT DELETE"),
        ["", "" | "docs" | "health" | "metrics" | "openapi.json"] | ["", "api", "caller" | "usage"] => Some("GET HEAD"),
        _ => None,
    };
    let methods = Route::allowed_methods(path);
    assert_eq!(methods.map(|methods| methods.replace(", ", " ")), allowed.map(|methods| format!("{methods} OPTIONS")));
    let outcome = Target::parse(Method::from(method), path).map_err(|problem| problem.code);
    let expected = match allowed {
        None if path.starts_with("/images/") || path.starts_with("/uploads/") || path.starts_with("/api/images/") => {
            Some(Code::ImageNotFound)
        }
        None if path.starts_with("/api/migrate-images/runs/") => Some(Code::RunNotFound),
        None if path.starts_with("/sessions/") => Some(Code::SessionNotFound),
        None if path.starts_with("/shoots/") => Some(Code::ShootNotFound),
        None if path.starts_with("/batches/") => Some(Code::BatchNotFound),
        None if path.starts_with("/jobs/") => Some(Code::JobNotFound),
        None => Some(Code::RouteNotFound),
        Some(methods) if methods.split(' ').any(|allowed| allowed == method) => None,
        Some(_) => Some(Code::MethodNotAllowed),
    };
    assert_eq!(outcome.as_ref().err(), expected.as_ref(), "{method} {path}");
    let Some(id) = outcome.ok().and_then(|target| target.id()) else { return };
    assert!(path.contains(&id) || path.contains(&id.replace('/', "/frames/")), "{path} names {id}");
}
