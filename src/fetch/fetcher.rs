//! The fetch: redirects followed one by one, each judged, within one time.

use std::fmt;
use std::rc::Rc;

use super::{OutsideUrl, Refusal, Rules};
use crate::bytes::{Body, BodyError};
use crate::http::{AnswerLimits, HttpAnswer, HttpClient, HttpError, HttpRequest, Method};
use crate::image::parse_http_date;
use crate::runtime::{Runtime, Timestamp};

/// Redirects that are followed: a short link, a move to another host, a signed URL.
const MAX_REDIRECTS: usize = 3;

/// How much is fetched, and how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// Milliseconds from the start to the last byte, redirects included.
    pub timeout_ms: u64,
    /// Bytes after content decoding.
    pub max_bytes: u64,
}

/// Fetches what URLs of strangers name.
pub struct Fetcher {
    pub client: Rc<dyn HttpClient>,
    pub runtime: Rc<dyn Runtime>,
    pub rules: Rules,
}

/// What a URL gave: an answer with the status 200.
#[derive(Debug)]
pub struct Fetched {
    /// Where it came from in the end.
    pub url: OutsideUrl,
    /// Still arriving, within the limits. Its length is promised when the answer gave one.
    pub body: Body,
}

/// Why a URL gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchError {
    /// The URL, or one that it redirected to, is not fetched.
    Refused {
        refusal: Refusal,
        is_redirect: bool,
    },
    /// More than three redirects, or one without a URL.
    Redirects,
    /// There is no such thing any more: 404 or 410.
    Gone {
        status: u16,
    },
    /// It is not for us: 401 or 403, as expired links answer.
    Forbidden {
        status: u16,
    },
    /// Any other status. With 429 and 503 a host may say when to come back.
    Status {
        status: u16,
        retry_after_ms: Option<u64>,
    },
    Timeout,
    Connect,
    TooLarge {
        limit_bytes: u64,
    },
    /// The connection broke.
    Interrupted,
}

impl Fetcher {
    /// Fetches what `url` names.
    ///
    /// # Errors
    /// [`FetchError`]; a body that fails later says so itself, see [`FetchError::from`].
    pub async fn fetch(&self, url: &str, limits: FetchLimits) -> Result<Fetched, FetchError> {
        let started_at = self.runtime.now();
        let mut next = url.to_owned();
        for redirects in 0..=MAX_REDIRECTS {
            let is_redirect = redirects > 0;
            let admitted = self.rules.admit(&next);
            let url = admitted.map_err(|refusal| FetchError::Refused { refusal, is_redirect })?;
            let passed_ms = self.runtime.now().millis_since(started_at);
            let timeout_ms = limits.timeout_ms.checked_sub(passed_ms).filter(|left_ms| *left_ms > 0);
            let limits = AnswerLimits {
                timeout_ms: timeout_ms.ok_or(FetchError::Timeout)?,
                max_response_bytes: limits.max_bytes,
            };
            let answer = self.client.send(get(&url, limits)).await?;
            match answer.status {
                200 => return Ok(Fetched { url, body: body_of(answer) }),
                301 | 302 | 303 | 307 | 308 => {
                    next = url.redirected(header(&answer, "location").ok_or(FetchError::Redirects)?);
                }
                status @ (404 | 410) => return Err(FetchError::Gone { status }),
                status @ (401 | 403) => return Err(FetchError::Forbidden { status }),
                status => {
                    let retry_after_ms = retry_after_ms(header(&answer, "retry-after"), self.runtime.now());
                    return Err(FetchError::Status { status, retry_after_ms });
                }
            }
        }
        Err(FetchError::Redirects)
    }
}

fn get(url: &OutsideUrl, limits: AnswerLimits) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: url.into(),
        headers: vec![("accept", "image/*".to_owned())],
        body: Vec::new(),
        limits,
        max_redirects: 0,
    }
}

/// The body, with the length that the answer gives it.
fn body_of(answer: HttpAnswer) -> Body {
    match answer.declared_bytes() {
        Some(length_bytes) => answer.body.promising(length_bytes),
        None => answer.body,
    }
}

fn header<'answer>(answer: &'answer HttpAnswer, name: &str) -> Option<&'answer str> {
    let found = answer.headers.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// What a `Retry-After` says: seconds, or the date of a moment that is not over.
fn retry_after_ms(value: Option<&str>, now: Timestamp) -> Option<u64> {
    let value = value?.trim();
    match value.parse::<u64>() {
        Ok(seconds) => Some(seconds.saturating_mul(1000)),
        Err(_) => parse_http_date(value).map(|moment| moment.millis_since(now)),
    }
}

impl From<HttpError> for FetchError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Timeout => Self::Timeout,
            HttpError::Connect => Self::Connect,
            HttpError::ResponseTooLarge { limit_bytes } => Self::TooLarge { limit_bytes },
            HttpError::Interrupted => Self::Interrupted,
        }
    }
}

/// What the failure of a fetched body means.
impl From<BodyError> for FetchError {
    fn from(error: BodyError) -> Self {
        HttpError::from(error).into()
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { refusal, is_redirect: false } => write!(formatter, "the URL {refusal}"),
            Self::Refused { refusal, is_redirect: true } => {
                write!(formatter, "the URL redirects to one that {refusal}")
            }
            Self::Redirects => write!(formatter, "the URL redirects more than {MAX_REDIRECTS} times, or to nowhere"),
            Self::Gone { status } | Self::Forbidden { status } | Self::Status { status, .. } => {
                write!(formatter, "the URL's host answered with the status {status}")
            }
            Self::Timeout => formatter.write_str("the URL's host did not answer in time"),
            Self::Connect => formatter.write_str("the URL's host cannot be reached"),
            Self::TooLarge { limit_bytes } => write!(formatter, "the URL gives more than {limit_bytes} bytes"),
            Self::Interrupted => formatter.write_str("the connection to the URL's host broke"),
        }
    }
}

impl std::error::Error for FetchError {}
