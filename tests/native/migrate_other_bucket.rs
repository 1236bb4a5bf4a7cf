//! A bucket at a server by others, as the tests of its copies see it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Bound;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use stillstore::http::{HttpError, HttpRequest, HttpResponse};
use stillstore::image::Sha256Digest;

/// A bucket at a server that speaks S3, as far as it is asked.
#[derive(Default)]
pub struct OtherBucket {
    pub objects: RefCell<BTreeMap<String, Object>>,
    /// Changes objects between their listing and their reading.
    pub before_read: RefCell<Option<(String, Object)>>,
    changes_at: Cell<usize>,
    pub status: Cell<Option<u16>>,
    pub lists: Cell<usize>,
    pub reads: Cell<usize>,
    pub page: Cell<usize>,
    pub keys: Cell<Keys>,
    /// The first page after a key has no objects, and says that more follow.
    pub begins_with_nothing: Cell<bool>,
    pub ignores_start_after: Cell<bool>,
    /// Lists no `ETag`s and knows no conditions, as s3s-fs.
    pub is_lax: Cell<bool>,
}

/// How a listing writes keys.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Keys {
    /// With references to characters that XML 1.0 does not have, as AWS; encoded where that is asked for, with `+` for a space.
    #[default]
    Referred,
    /// As they are, whatever is asked for, which it repeats, as s3s-fs.
    Repeating,
    /// With U+FFFD for what XML 1.0 does not have, as Go's encoder; encoded where that is asked for, with `%20`.
    Replacing,
    /// As `Replacing`, and 501 to whoever asks for encoded keys.
    ReplacingOnly,
    /// No listing can have what XML 1.0 does not have: 500. Encoded where that is asked for.
    Failing,
}

#[derive(Clone, Default)]
pub struct Object {
    pub bytes: Vec<u8>,
    pub headers: Vec<(&'static str, &'static str)>,
}

impl Object {
    /// Not an MD5, which the store of the tests could not compare.
    fn etag(&self) -> String {
        format!("{}-1", &Sha256Digest::of(&self.bytes).to_string()[..32])
    }
}

impl OtherBucket {
    /// Headers that an object has.
    pub fn says(&self, key: &str, headers: &[(&'static str, &'static str)]) {
        self.objects.borrow_mut().get_mut(key).expect("an object").headers = headers.to_vec();
    }

    /// Has an object be another from so many reads on.
    pub fn changes_at_read(&self, nth: usize, key: &str, bytes: &[u8]) {
        self.before_read.replace(Some((key.to_owned(), Object { bytes: bytes.to_vec(), headers: Vec::new() })));
        self.changes_at.set(nth);
    }

    pub fn loses(&self, key: &str) {
        self.objects.borrow_mut().remove(key);
    }

    pub fn has(&self, key: &str, bytes: &[u8]) {
        self.objects.borrow_mut().insert(key.to_owned(), Object { bytes: bytes.to_vec(), headers: Vec::new() });
    }

    pub fn answer(&self, request: &HttpRequest) -> Option<Result<HttpResponse, HttpError>> {
        let path = request.url.strip_prefix("https://s3.example.org/photos/")?;
        let authorization = request.headers.iter().find(|(name, _)| *name == "authorization").expect("signed");
        assert!(authorization.1.contains("Credential=key-id/") && authorization.1.contains("/eu-west-1/s3/"));
        let page =
            |status, headers: Vec<(String, String)>, body: Vec<u8>| Some(Ok(HttpResponse { status, headers, body }));
        if let Some(status) = self.status.get() {
            return page(status, Vec::new(), Vec::new());
        }
        let (key, query) = path.split_once('?').unwrap_or((path, ""));
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().expect("UTF-8").into_owned();
        let parameter = |name: &str| {
            let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(given, _)| *given == name);
            value.map(|(_, value)| decoded(value))
        };
        if key.is_empty() {
            let (status, body) = self.list(&parameter);
            return page(status, Vec::new(), body.into_bytes());
        }
        self.reads.update(|reads| reads + 1);
        if self.reads.get() >= self.changes_at.get()
            && let Some((key, object)) = self.before_read.take()
        {
            self.objects.borrow_mut().insert(key, object);
        }
        let objects = self.objects.borrow();
        let Some(object) = objects.get(&decoded(key)) else { return page(404, Vec::new(), Vec::new()) };
        let wanted = request.headers.iter().find(|(name, _)| *name == "if-match");
        if !self.is_lax.get() && wanted.is_some_and(|(_, etag)| *etag != format!("\"{}\"", object.etag())) {
            return page(412, Vec::new(), Vec::new());
        }
        let range = request.headers.iter().find(|(name, _)| *name == "range").map(|(_, range)| range.clone());
        let (status, body) = match range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.split_once('-')) {
            Some((first, last)) => {
                let number = |text: &str| text.parse::<usize>().expect("a number");
                (206, object.bytes[number(first)..object.bytes.len().min(number(last) + 1)].to_vec())
            }
            None => (200, object.bytes.clone()),
        };
        let etag = format!("\"{}\"", object.etag());
        let mut headers = vec![("Content-Length".to_owned(), body.len().to_string()), ("ETag".to_owned(), etag)];
        headers.extend(object.headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        page(status, headers, body)
    }

    /// The answer to a request for a listing.
    fn list(&self, parameter: &dyn Fn(&str) -> Option<String>) -> (u16, String) {
        self.lists.update(|lists| lists + 1);
        let prefix = parameter("prefix").expect("a prefix");
        let is_encoded = parameter("encoding-type").is_some_and(|encoding| encoding == "url");
        if is_encoded && self.keys.get() == Keys::ReplacingOnly {
            return (501, String::new());
        }
        let token = parameter("continuation-token").and_then(|token| Some(token.strip_prefix("after:")?.to_owned()));
        let start_after = parameter("start-after");
        let begins = token.is_none();
        let after = token.or(start_after.filter(|_| !self.ignores_start_after.get())).unwrap_or_default();
        if begins && self.begins_with_nothing.get() {
            let token = format!("<NextContinuationToken>after:{}</NextContinuationToken>", escaped(&after));
            return (200, listing(true, &token));
        }
        let objects = self.objects.borrow();
        let from = if after.is_empty() { Bound::Unbounded } else { Bound::Excluded(after) };
        let mut found = objects.range((from, Bound::Unbounded)).filter(|(key, _)| key.starts_with(&prefix));
        let limit = parameter("max-keys").and_then(|limit| limit.parse().ok()).expect("a limit");
        let most = if self.page.get() == 0 { limit } else { self.page.get().min(limit) };
        let mut contents = String::new();
        for (key, object) in found.by_ref().take(most) {
            let Some(key) = self.keys.get().written(key, is_encoded) else { return (500, String::new()) };
            let size = object.bytes.len();
            let etag =
                if self.is_lax.get() { String::new() } else { format!("<ETag>&quot;{}&quot;</ETag>", object.etag()) };
            let _ = write!(
                contents,
                "<Contents><Key>{key}</Key>{etag}<Size>{size}</Size>\
                 <LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            );
        }
        if is_encoded {
            contents.push_str("<EncodingType>url</EncodingType>");
        }
        (200, listing(found.next().is_some(), &contents))
    }
}

impl Keys {
    /// A key as a listing has it; `None` when it cannot.
    fn written(self, key: &str, is_encoded: bool) -> Option<String> {
        let is_lost = |character: char| character < ' ' && !matches!(character, '\t' | '\n' | '\r');
        let encoded = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string();
        match self {
            Self::Repeating => Some(escaped(key)),
            Self::Referred if is_encoded => Some(encoded.replace("%20", "+")),
            _ if is_encoded => Some(encoded),
            Self::Referred => {
                let refer = |character: char| match character {
                    character if character.is_control() => format!("&#x{:x};", u32::from(character)),
                    character => character.to_string(),
                };
                Some(escaped(key).chars().map(refer).collect())
            }
            Self::Failing if key.contains(is_lost) => None,
            Self::Replacing | Self::ReplacingOnly | Self::Failing => Some(escaped(&key.replace(is_lost, "\u{fffd}"))),
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

fn listing(is_truncated: bool, contents: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>{is_truncated}</IsTruncated>{contents}</ListBucketResult>"
    )
}
