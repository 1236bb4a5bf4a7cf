//! A request as the handlers see it.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::json_object::JsonObject;
use super::problem::{Code, Problem};
use crate::bytes::Body;
use crate::multipart::{Boundary, Form, FormLimits};

/// Largest JSON body in bytes. The longest that a route needs is a prompt of 32,000 characters outside the basic plane, each escaped as
/// two surrogates (`\uD83E\uDD8A`, 12 bytes): 384,000 bytes. That leaves 9,216 for the rest: four ids of 200 bytes, each escaped at six
/// bytes, are 4,800. Unescaped, such a prompt has 128,000 bytes.
pub const MAX_JSON_BYTES: u64 = 384 * 1024;

/// Most fields of a form: no route has as many.
const MAX_FIELDS: usize = 100;
/// The content type of a form without files.
const FORM: &str = "application/x-www-form-urlencoded";

/// A request method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other,
}

impl Method {
    /// Those that requests to routes have, in the order of `Allow`.
    pub const KNOWN: [Self; 6] = [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// The method's name; every unknown one is `OTHER`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Other => "OTHER",
        }
    }
}

impl From<&str> for Method {
    fn from(name: &str) -> Self {
        Self::KNOWN.into_iter().chain([Self::Options]).find(|method| method.as_str() == name).unwrap_or(Self::Other)
    }
}

/// A request.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    /// Scheme and authority, such as `https://images.example.com`.
    pub origin: String,
    /// The path as sent, percent-encoded, starting with `/`.
    pub path: String,
    /// The query as sent, without `?`.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Option<Body>,
}

impl Request {
    /// A request for `url`, which is absolute. Header names must be in lower case.
    #[must_use]
    pub fn new(method: &str, url: &str, headers: Vec<(String, String)>, body: Option<Body>) -> Self {
        let url = url.split('#').next().unwrap_or_default();
        let after_scheme = url.find(':').filter(|colon| url[*colon..].starts_with("://")).map_or(0, |colon| colon + 3);
        let path_at = url[after_scheme..].find(['/', '?']).map_or(url.len(), |at| after_scheme + at);
        let (origin, rest) = url.split_at(path_at);
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Self {
            method: method.into(),
            origin: origin.to_owned(),
            path: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
            query: query.to_owned(),
            headers,
            body,
        }
    }

    /// The value of a header; `name` in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The host of the request without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        host_of(&self.origin)
    }

    /// The query's pairs, decoded, in order.
    ///
    /// # Errors
    /// When a name or value is not UTF-8 once decoded.
    pub fn query_pairs(&self) -> Result<Vec<(String, String)>, Problem> {
        form_pairs(&self.query, "query")
    }

    /// The body's fields: a JSON object, or a form (`application/x-www-form-urlencoded` or `multipart/form-data`), whose values are
    /// texts. At most [`MAX_JSON_BYTES`] long.
    ///
    /// # Errors
    /// 415 for another content type, 413 over the limit, 400 when it is not what its type says.
    pub async fn fields(&mut self) -> Result<JsonObject, Problem> {
        if self.media_type().eq_ignore_ascii_case(FORM) {
            let body = self.body.take().unwrap_or_else(Body::empty);
            let text = String::from_utf8(body.collect(MAX_JSON_BYTES).await?.to_vec());
            let text = text.map_err(|_| Problem::field("body", "must be UTF-8, percent-encoded"))?;
            let pairs = form_pairs(&text, "body")?.into_iter();
            return Ok(JsonObject::new(pairs.map(|(name, value)| (name, Value::String(value))).collect()));
        }
        if self.media_type().eq_ignore_ascii_case("application/json") {
            return self.json_object().await;
        }
        let boundary = Boundary::of_content_type(self.header("content-type").unwrap_or_default()).ok_or_else(|| {
            let detail = format!("the Content-Type must be application/json, multipart/form-data or {FORM}");
            Problem::new(Code::UnsupportedMediaType, detail)
        })?;
        let form = Form::new(self.body.take().unwrap_or_else(Body::empty), &boundary, FormLimits::of_parts(MAX_FIELDS));
        text_fields(form).await
    }

    /// As [`Request::fields`]; none when there is neither a body nor a content type.
    ///
    /// # Errors
    /// As [`Request::fields`].
    pub async fn optional_fields(&mut self) -> Result<JsonObject, Problem> {
        if self.header("content-type").is_some() {
            return self.fields().await;
        }
        let body = self.body.take().unwrap_or_else(Body::empty);
        if body.collect(MAX_JSON_BYTES).await?.size_bytes() > 0 {
            return self.fields().await;
        }
        Ok(JsonObject::new(Map::new()))
    }

    /// The content type without its parameters.
    fn media_type(&self) -> &str {
        self.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim()
    }

    /// The body as a JSON object, at most [`MAX_JSON_BYTES`] long.
    ///
    /// # Errors
    /// 415 for another content type, 413 over the limit, 400 when it is not a JSON object.
    pub async fn json_object(&mut self) -> Result<JsonObject, Problem> {
        if !self.media_type().eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(Code::UnsupportedMediaType, "the Content-Type must be application/json"));
        }
        let body = self.body.take().unwrap_or_else(Body::empty);
        let bytes = body.collect(MAX_JSON_BYTES).await.map_err(Problem::from)?.to_vec();
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(JsonObject::new(fields)),
            Ok(_) => Err(Problem::new(Code::InvalidJson, "the body must be a JSON object")),
            Err(error) => Err(Problem::new(
                Code::InvalidJson,
                format!("the body is not JSON: line {}, column {}", error.line(), error.column()),
            )),
        }
    }
}

/// The host of an origin, such as `https://images.example.com:8443`, without its port; empty when it has none, as `null`.
#[must_use]
pub fn host_of(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The parts of a form that has no files.
async fn text_fields(mut form: Form) -> Result<JsonObject, Problem> {
    let mut fields = Map::new();
    let mut left_bytes = MAX_JSON_BYTES;
    while let Some(part) = form.next_part().await? {
        let bytes = part.body.collect(left_bytes).await?;
        left_bytes = left_bytes.saturating_sub(bytes.size_bytes() as u64);
        let text = String::from_utf8(bytes.to_vec());
        let text = text.map_err(|_| Problem::field(part.head.name.as_str(), "must be UTF-8"))?;
        fields.insert(part.head.name, Value::String(text));
    }
    Ok(JsonObject::new(fields))
}

/// The pairs of a query or form, decoded, in order; `whole` names it.
pub(super) fn form_pairs(text: &str, whole: &str) -> Result<Vec<(String, String)>, Problem> {
    let decode = |part: &str| {
        percent_decode_str(&part.replace('+', " "))
            .decode_utf8()
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| Problem::field(whole, "must be UTF-8, percent-encoded"))
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_fall_into_origin_path_and_query() {
        for (url, origin, path, query) in [
            ("https://a.example/b/c?d=e&f", "https://a.example", "/b/c", "d=e&f"),
            ("http://localhost:8787", "http://localhost:8787", "/", ""),
            ("http://localhost:8787?x=1#y", "http://localhost:8787", "/", "x=1"),
            ("https://a.example/b?c=d?e", "https://a.example", "/b", "c=d?e"),
        ] {
            let request = Request::new("GET", url, Vec::new(), None);
            assert_eq!((request.origin.as_str(), request.path.as_str(), request.query.as_str()), (origin, path, query));
        }
        assert_eq!(Request::new("GET", "http://[::1]:8787/", Vec::new(), None).host(), "[::1]");
        assert_eq!(Request::new("GET", "http://a.example/", Vec::new(), None).host(), "a.example");
    }

    #[test]
    fn query_pairs_are_decoded_and_must_be_utf8() {
        let pairs = |query: &str| Request::new("GET", &format!("http://a/?{query}"), Vec::new(), None).query_pairs();
        let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(pairs("a=b+c&d=%C3%A9&e").unwrap(), [owned("a", "b c"), owned("d", "\u{e9}"), owned("e", "")]);
        assert!(pairs("a=%FF").is_err());
    }
}
