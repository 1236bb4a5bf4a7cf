//! AWS Signature Version 4 of one request, as S3 takes it: the path is encoded once and not normalised.

use hmac::{Hmac, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sha2::Sha256;

use super::Credentials;
use crate::bytes::Sha256Digest;
use crate::runtime::Timestamp;

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What stands for itself in names and values of a query (RFC 3986, section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same in a path, whose slashes separate.
const UNRESERVED_AND_SLASH: &AsciiSet = &UNRESERVED.remove(b'/');

/// The day, region and service that a signature is for, and its moment.
pub(super) struct Scope<'bucket> {
    moment: String,
    region: &'bucket str,
}

/// The parts of a request that are signed.
pub(super) struct Canonical<'request> {
    pub method: &'request str,
    /// Encoded, beginning with a slash.
    pub path: &'request str,
    /// Not encoded.
    pub query: Vec<(&'request str, String)>,
    /// Names in lower case.
    pub headers: Vec<(&'request str, &'request str)>,
    /// The body's SHA-256 in hexadecimal, or what stands for it.
    pub payload: &'request str,
}

impl<'bucket> Scope<'bucket> {
    pub fn new(now: Timestamp, region: &'bucket str) -> Self {
        // 2013-05-24T00:00:00.000Z
        let iso8601 = now.to_iso8601();
        let seconds = iso8601.split('.').next().unwrap_or_default();
        Self { moment: format!("{}Z", seconds.replace(['-', ':'], "")), region }
    }

    /// Such as `20130524T000000Z`.
    pub fn moment(&self) -> &str {
        &self.moment
    }

    /// Such as `20130524/us-east-1/s3/aws4_request`.
    pub fn text(&self) -> String {
        format!("{}/{}/s3/aws4_request", self.day(), self.region)
    }

    fn day(&self) -> &str {
        self.moment.split('T').next().unwrap_or_default()
    }

    /// The signature in hexadecimal.
    pub fn sign(&self, request: &Canonical<'_>, credentials: &Credentials) -> String {
        let digest = Sha256Digest::of(request.text().as_bytes());
        let to_sign = format!("{ALGORITHM}\n{}\n{}\n{digest}", self.moment, self.text());
        let secret = format!("AWS4{}", credentials.secret_access_key);
        let key = [self.day(), self.region, "s3", "aws4_request"]
            .into_iter()
            .fold(secret.into_bytes(), |key, part| keyed_digest(&key, part));
        hex::encode(keyed_digest(&key, &to_sign))
    }
}

impl Canonical<'_> {
    /// The names of the signed headers, in order.
    pub fn signed_headers(&self) -> String {
        self.sorted_headers().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";")
    }

    fn sorted_headers(&self) -> Vec<(&str, &str)> {
        let mut headers = self.headers.clone();
        headers.sort_unstable();
        headers
    }

    fn text(&self) -> String {
        let line = |(name, value): &(&str, &str)| {
            let value = value.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
            format!("{name}:{value}\n")
        };
        let headers = self.sorted_headers().iter().map(line).collect::<Vec<_>>().concat();
        let query = encoded_query(&self.query);
        [self.method, self.path, &query, &headers, &self.signed_headers(), self.payload].join("\n")
    }
}

/// The query as it is sent and signed: encoded, in the order of the encoded names.
pub(super) fn encoded_query(pairs: &[(&str, String)]) -> String {
    let encode = |text: &str| percent_encode(text.as_bytes(), UNRESERVED).to_string();
    let mut encoded: Vec<_> = pairs.iter().map(|(name, value)| (encode(name), encode(value))).collect();
    encoded.sort_unstable();
    encoded.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A path as it is sent and signed.
pub(super) fn encoded_path(path: &str) -> String {
    percent_encode(path.as_bytes(), UNRESERVED_AND_SLASH).to_string()
}

fn keyed_digest(key: &[u8], message: &str) -> Vec<u8> {
    // Unwrap safety: HMAC takes keys of every length, so that this cannot fail.
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}
