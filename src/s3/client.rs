//! Reads of a bucket at an S3-compatible server.

use std::fmt;
use std::rc::Rc;

use super::listing::{ListedObject, Listing};
use super::{Bucket, ObjectRequest, Payload};
use crate::bytes::{Body, ByteRange, Sha256Digest};
use crate::http::{AnswerLimits, HttpAnswer, HttpClient, HttpError, HttpRequest, Method};
use crate::runtime::Runtime;

/// The most objects in a page of a listing.
pub const LISTED_AT_ONCE: u16 = 1_000;
/// A page of 1,000 objects with keys of 1,024 bytes, each of which XML may make six of, and 400 bytes beside.
const MAX_LISTING_BYTES: u64 = 8 * 1024 * 1024;
/// The answer to a request for a listing is none.
const NO_LISTING: ReadError = ReadError::Unreadable { status: 200 };

/// Reads a bucket.
pub struct Client {
    pub bucket: Bucket,
    pub http: Rc<dyn HttpClient>,
    pub runtime: Rc<dyn Runtime>,
    /// How long a call may take until its last byte, in milliseconds.
    pub timeout_ms: u64,
}

/// An object that is being read.
#[derive(Debug)]
pub struct ReadObject {
    /// Still arriving, its length promised.
    pub body: Body,
    /// Names in any case.
    pub headers: Vec<(String, String)>,
}

/// Why a server gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// There is no such object, or no such bucket.
    Gone,
    /// The object is not the one that was asked for.
    Changed,
    /// The credentials are not accepted, or may not read.
    Forbidden {
        status: u16,
    },
    /// It is longer than what was asked for.
    TooLarge,
    /// The server is down, or says that it is asked too often.
    Unavailable {
        status: Option<u16>,
    },
    Timeout,
    /// The server answered with something else than it should.
    Unreadable {
        status: u16,
    },
}

/// Where a page begins.
enum From<'listing> {
    Start,
    /// After this key.
    Key(&'listing str),
    /// Where the page before it said.
    Token(&'listing str),
}

impl ReadError {
    /// Whether the server may answer the same request in another way later.
    const fn is_passing(self) -> bool {
        match self {
            Self::Timeout => true,
            Self::Unavailable { status } => !matches!(status, Some(501)),
            _ => false,
        }
    }
}

impl ReadObject {
    /// The first header called `name`.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Client {
    /// Objects whose keys start with `prefix`, after the key `after`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Listing, ReadError> {
        self.list_some(prefix, after, LISTED_AT_ONCE).await
    }

    /// What a listing says of one object.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn find(&self, key: &str) -> Result<Option<ListedObject>, ReadError> {
        // Of the keys that start with a key, it is the first.
        let listing = self.list_some(key, None, 1).await?;
        Ok(listing.objects.into_iter().find(|object| object.key == key))
    }

    async fn list_some(&self, prefix: &str, after: Option<&str>, limit: u16) -> Result<Listing, ReadError> {
        let begun = self.runtime.now();
        let mut listing = self.page(prefix, &after.map_or(From::Start, From::Key), limit).await?;
        // A page may have no objects and say that more follow. Then only the server knows where.
        while listing.objects.is_empty() && listing.is_truncated {
            let token = listing.next.ok_or(NO_LISTING)?;
            if self.runtime.now().millis_since(begun) > self.timeout_ms {
                return Err(ReadError::Timeout);
            }
            listing = self.page(prefix, &From::Token(&token), limit).await?;
        }
        // A server that does not know `start-after` would give the same page for ever.
        let stands_still = listing.objects.last().is_some_and(|last| Some(last.key.as_str()) <= after);
        if listing.is_truncated && stands_still { Err(NO_LISTING) } else { Ok(listing) }
    }

    /// A page. Keys are asked for as they are, and encoded only where XML did not bring them over: s3s-fs says that it encoded keys and
    /// does not, so that `+` and `%20` would be read for others.
    async fn page(&self, prefix: &str, from: &From<'_>, limit: u16) -> Result<Listing, ReadError> {
        let plain = self.page_of(prefix, from, limit, false).await;
        let may_be_better_encoded = match &plain {
            Ok(listing) => listing.may_have_lost_characters(),
            Err(NO_LISTING | ReadError::Unavailable { status: Some(500) }) => true,
            Err(_) => false,
        };
        if !may_be_better_encoded {
            return plain;
        }
        match self.page_of(prefix, from, limit, true).await {
            // It does not know the parameter.
            Err(error) if !error.is_passing() => plain,
            encoded => encoded,
        }
    }

    async fn page_of(&self, prefix: &str, from: &From<'_>, limit: u16, encoded: bool) -> Result<Listing, ReadError> {
        let mut request = ObjectRequest::new("GET", "").with_query("list-type", "2");
        request = request.with_query("max-keys", limit.to_string()).with_query("prefix", prefix);
        request = match from {
            From::Start => request,
            From::Key(key) => request.with_query("start-after", *key),
            From::Token(token) => request.with_query("continuation-token", *token),
        };
        if encoded {
            request = request.with_query("encoding-type", "url");
        }
        let limits = AnswerLimits { timeout_ms: self.timeout_ms, max_response_bytes: MAX_LISTING_BYTES };
        let answer = self.send(&request, limits).await?;
        let status = answer.status;
        let unreadable = ReadError::Unreadable { status };
        let body = answer.body.collect(MAX_LISTING_BYTES).await.map_err(|error| of_http(error.into()))?;
        let text = String::from_utf8(body.to_vec()).map_err(|_| unreadable)?;
        Listing::parse(&text).map_err(|_| unreadable)
    }

    /// Reads an object, if its `ETag` is `etag` still.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get(&self, key: &str, etag: Option<&str>, max_bytes: u64) -> Result<ReadObject, ReadError> {
        let mut request = ObjectRequest::new("GET", key).with_header("x-amz-checksum-mode", "ENABLED");
        if let Some(etag) = etag.filter(|etag| !etag.is_empty()) {
            request = request.with_header("if-match", format!("\"{etag}\""));
        }
        self.read(request, AnswerLimits { timeout_ms: self.timeout_ms, max_response_bytes: max_bytes }).await
    }

    /// Reads a part of an object, if its `ETag` is `etag` still, within `timeout_ms` until its last byte.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn get_range(
        &self,
        key: &str,
        etag: Option<&str>,
        range: ByteRange,
        timeout_ms: u64,
    ) -> Result<ReadObject, ReadError> {
        let last = range.offset_bytes + range.length_bytes - 1;
        let mut request =
            ObjectRequest::new("GET", key).with_header("range", format!("bytes={}-{last}", range.offset_bytes));
        if let Some(etag) = etag.filter(|etag| !etag.is_empty()) {
            request = request.with_header("if-match", format!("\"{etag}\""));
        }
        let limits = AnswerLimits { timeout_ms, max_response_bytes: range.length_bytes };
        let object = self.read(request, limits).await?;
        // A server that does not know ranges sends all of it.
        if object.body.promised_bytes() == Some(range.length_bytes) { Ok(object) } else { Err(ReadError::Changed) }
    }

    async fn read(&self, request: ObjectRequest<'_>, limits: AnswerLimits) -> Result<ReadObject, ReadError> {
        let answer = self.send(&request, limits).await?;
        let unreadable = ReadError::Unreadable { status: answer.status };
        let length_bytes = answer.declared_bytes().ok_or(unreadable)?;
        let HttpAnswer { headers, body, .. } = answer;
        Ok(ReadObject { body: body.promising(length_bytes), headers })
    }

    async fn send(&self, request: &ObjectRequest<'_>, limits: AnswerLimits) -> Result<HttpAnswer, ReadError> {
        let nothing = Payload::Exactly(Sha256Digest::of(b""));
        let (url, headers) = self.bucket.sign(request, nothing, self.runtime.now());
        let headers = headers.into_iter().filter_map(|(name, value)| Some((sent(&name)?, value)));
        let request = HttpRequest {
            method: Method::Get,
            url,
            // A body that is compressed on its way would have another length than the object.
            headers: headers.chain([("accept-encoding", "identity".to_owned())]).collect(),
            body: Vec::new(),
            limits,
            max_redirects: 0,
        };
        let answer = self.http.send(request).await.map_err(of_http)?;
        match answer.status {
            200 | 206 => Ok(answer),
            404 => Err(ReadError::Gone),
            412 => Err(ReadError::Changed),
            status @ (400 | 401 | 403) => Err(ReadError::Forbidden { status }),
            status @ (429 | 500..) => Err(ReadError::Unavailable { status: Some(status) }),
            status => Err(ReadError::Unreadable { status }),
        }
    }
}

/// The name of a header that is signed.
fn sent(name: &str) -> Option<&'static str> {
    const NAMES: [&str; 6] =
        ["authorization", "if-match", "range", "x-amz-checksum-mode", "x-amz-content-sha256", "x-amz-date"];
    NAMES.into_iter().find(|known| *known == name)
}

fn of_http(error: HttpError) -> ReadError {
    match error {
        HttpError::Timeout => ReadError::Timeout,
        HttpError::ResponseTooLarge { .. } => ReadError::TooLarge,
        HttpError::Connect | HttpError::Interrupted => ReadError::Unavailable { status: None },
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => formatter.write_str("the server has no such object or bucket"),
            Self::Changed => formatter.write_str("the object was changed after it was listed"),
            Self::Forbidden { status } => write!(formatter, "the server refused the request with the status {status}"),
            Self::TooLarge => formatter.write_str("the object is too large"),
            Self::Unavailable { status: Some(status) } => {
                write!(formatter, "the server answered with the status {status}")
            }
            Self::Unavailable { status: None } => formatter.write_str("the server cannot be reached, or broke off"),
            Self::Timeout => formatter.write_str("the server did not answer in time"),
            Self::Unreadable { status } => {
                write!(formatter, "the server's answer with the status {status} is not what S3 answers")
            }
        }
    }
}

impl std::error::Error for ReadError {}
