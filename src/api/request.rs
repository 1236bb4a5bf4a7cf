//! A request as the handlers see it.

use std::collections::BTreeSet;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::problem::{Code, Problem};
use crate::bytes::Body;

/// Largest JSON body in bytes. The longest that a route needs is a prompt of 32,000 characters outside the basic plane, each escaped as
/// two surrogates (`\uD83E\uDD8A`, 12 bytes): 384,000 bytes. That leaves 9,216 for the rest: four ids of 200 bytes, each escaped at six
/// bytes, are 4,800. Unescaped, such a prompt has 128,000 bytes.
pub const MAX_JSON_BYTES: u64 = 384 * 1024;

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
        [Self::Get, Self::Head, Self::Post, Self::Put, Self::Patch, Self::Delete, Self::Options]
            .into_iter()
            .find(|method| method.as_str() == name)
            .unwrap_or(Self::Other)
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
        let authority = self.origin.split_once("://").map_or("", |(_, authority)| authority);
        match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        }
    }

    /// The query's pairs, decoded, in order.
    ///
    /// # Errors
    /// When a name or value is not UTF-8 once decoded.
    pub fn query_pairs(&self) -> Result<Vec<(String, String)>, Problem> {
        let decode = |part: &str| {
            percent_decode_str(&part.replace('+', " "))
                .decode_utf8()
                .map(std::borrow::Cow::into_owned)
                .map_err(|_| Problem::field("query", "must be UTF-8, percent-encoded"))
        };
        self.query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect()
    }

    /// The body as a JSON object, at most [`MAX_JSON_BYTES`] long.
    ///
    /// # Errors
    /// 415 for another content type, 413 over the limit, 400 when it is not a JSON object.
    pub async fn json_object(&mut self) -> Result<JsonObject, Problem> {
        let content_type = self.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(Code::UnsupportedMediaType, "the Content-Type must be application/json"));
        }
        let body = self.body.take().unwrap_or_else(Body::empty);
        let bytes = body.collect(MAX_JSON_BYTES).await.map_err(Problem::from)?.to_vec();
        match serde_json::from_slice(&bytes) {
            Ok(Value::Object(fields)) => Ok(JsonObject(fields)),
            Ok(_) => Err(Problem::new(Code::InvalidJson, "the body must be a JSON object")),
            Err(error) => Err(Problem::new(
                Code::InvalidJson,
                format!("the body is not JSON: line {}, column {}", error.line(), error.column()),
            )),
        }
    }
}

/// A JSON body whose fields are read by name, with refusals that name the field. `null` means absent.
#[derive(Debug)]
pub struct JsonObject(Map<String, Value>);

impl JsonObject {
    fn get(&self, field: &'static str) -> Option<&Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// Whether a field is there and says something: neither `null` nor `false`.
    #[must_use]
    pub fn asks(&self, field: &'static str) -> bool {
        self.get(field).is_some_and(|value| *value != Value::Bool(false))
    }

    /// A string field.
    ///
    /// # Errors
    /// When it is there and not a string.
    pub fn text(&self, field: &'static str) -> Result<Option<&str>, Problem> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::field(field, "must be a string")),
        }
    }

    /// Refuses fields of other names than `known`, since a misspelt one would be ignored.
    ///
    /// # Errors
    /// When there is such a field.
    pub fn require_only(&self, known: &[&str]) -> Result<(), Problem> {
        match self.0.keys().find(|field| !known.contains(&field.as_str())) {
            Some(field) => {
                Err(Problem::field(field.as_str(), format!("is not a field; the fields are {}", known.join(", "))))
            }
            None => Ok(()),
        }
    }

    /// A truth value, false when it is absent.
    ///
    /// # Errors
    /// When it is there and neither true nor false.
    pub fn flag(&self, field: &'static str) -> Result<bool, Problem> {
        match self.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(Problem::field(field, "must be true or false")),
        }
    }

    /// A list of 1 to `max_items` strings of 1 to `max_bytes` bytes, without repetitions.
    ///
    /// # Errors
    /// When it is there and not such a list.
    pub fn texts(
        &self,
        field: &'static str,
        max_items: usize,
        max_bytes: usize,
    ) -> Result<Option<Vec<String>>, Problem> {
        let Some(value) = self.get(field) else { return Ok(None) };
        let rule = || {
            let rule = format!("must be a list of 1 to {max_items} different strings of 1 to {max_bytes} bytes");
            Problem::field(field, rule)
        };
        let items = value.as_array().filter(|items| (1..=max_items).contains(&items.len())).ok_or_else(rule)?;
        let mut seen = BTreeSet::new();
        for item in items {
            let text = item.as_str().filter(|text| (1..=max_bytes).contains(&text.len())).ok_or_else(rule)?;
            if !seen.insert(text) {
                return Err(rule());
            }
        }
        Ok(Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    }

    /// A whole number from `least` to `most`.
    ///
    /// # Errors
    /// When it is there and not such a number.
    pub fn number(&self, field: &'static str, least: u8, most: u8) -> Result<Option<u8>, Problem> {
        let number = self.whole_number(field, least.into()..=most.into())?;
        Ok(number.and_then(|number| u8::try_from(number).ok()))
    }

    /// A whole number within `range`.
    ///
    /// # Errors
    /// When it is there and not such a number.
    pub fn whole_number(
        &self,
        field: &'static str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, Problem> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match value.as_u64() {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                Err(Problem::field(field, format!("must be a whole number from {} to {}", range.start(), range.end())))
            }
        }
    }
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
