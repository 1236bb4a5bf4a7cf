//! A bucket at an S3-compatible server, and requests for its objects.

use std::fmt;

use super::Credentials;
use super::signature::{ALGORITHM, Canonical, Scope, encoded_path, encoded_query};
use crate::bytes::Sha256Digest;
use crate::runtime::Timestamp;

/// Longest life of a presigned URL: seven days, by AWS's rule and R2's.
pub const MAX_LIFETIME_SECONDS: u64 = 7 * 24 * 60 * 60;

/// A bucket, and the key that signs requests to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Such as `https://account.r2.cloudflarestorage.com`.
    origin: String,
    host: String,
    /// Before an object's key, encoded: empty, or with a slash at its beginning and none at its end.
    base_path: String,
    region: String,
    credentials: Credentials,
}

/// The text is not the URL of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidBucketUrl;

/// A request for an object, or for the bucket where the key is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRequest<'request> {
    method: &'static str,
    key: &'request str,
    query: Vec<(&'request str, String)>,
    headers: Vec<(&'request str, String)>,
}

/// What a signature says about the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// It has this digest, and another body is refused.
    Exactly(Sha256Digest),
    /// Nothing.
    Unsigned,
}

impl<'request> ObjectRequest<'request> {
    /// A request for the object `key`.
    #[must_use]
    pub const fn new(method: &'static str, key: &'request str) -> Self {
        Self { method, key, query: Vec::new(), headers: Vec::new() }
    }

    /// Adds a parameter of the query.
    #[must_use]
    pub fn with_query(mut self, name: &'request str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    /// Adds a header that is signed, and must be sent as it is. `name` is in lower case.
    #[must_use]
    pub fn with_header(mut self, name: &'request str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The headers that were added.
    #[must_use]
    pub fn into_headers(self) -> Vec<(&'request str, String)> {
        self.headers
    }
}

impl Payload {
    fn text(self) -> String {
        match self {
            Self::Exactly(digest) => digest.to_string(),
            Self::Unsigned => "UNSIGNED-PAYLOAD".to_owned(),
        }
    }
}

impl Bucket {
    /// The bucket whose objects are at `url`, a slash and their key. The bucket's name is the last segment of the path or the first of
    /// the host. R2's region is `auto`.
    ///
    /// # Errors
    /// [`InvalidBucketUrl`] when it is no `http` or `https` URL, or has a query.
    pub fn new(url: &str, region: impl Into<String>, credentials: Credentials) -> Result<Self, InvalidBucketUrl> {
        let (scheme, rest) = url.split_once("://").ok_or(InvalidBucketUrl)?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let is_plain = |text: &str| !text.contains(['?', '#', '@']) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !["http", "https"].contains(&scheme) || host.is_empty() || !is_plain(rest) {
            return Err(InvalidBucketUrl);
        }
        let path = path.trim_end_matches('/');
        let base_path = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self {
            origin: format!("{scheme}://{host}"),
            host: host.to_owned(),
            base_path,
            region: region.into(),
            credentials,
        })
    }

    /// The URL that lets anyone send `request` once or more for `lifetime_seconds` from now, with its headers and any body.
    #[must_use]
    pub fn presign(&self, request: &ObjectRequest<'_>, now: Timestamp, lifetime_seconds: u64) -> String {
        let scope = Scope::new(now, &self.region);
        let path = self.path(request.key);
        let mut canonical = Canonical {
            method: request.method,
            path: &path,
            query: request.query.clone(),
            headers: self.headers(request),
            payload: "UNSIGNED-PAYLOAD",
        };
        let lifetime_seconds = lifetime_seconds.clamp(1, MAX_LIFETIME_SECONDS);
        canonical.query.extend([
            ("X-Amz-Algorithm", ALGORITHM.to_owned()),
            ("X-Amz-Credential", format!("{}/{}", self.credentials.access_key_id, scope.text())),
            ("X-Amz-Date", scope.moment().to_owned()),
            ("X-Amz-Expires", lifetime_seconds.to_string()),
            ("X-Amz-SignedHeaders", canonical.signed_headers()),
        ]);
        let signature = scope.sign(&canonical, &self.credentials);
        format!("{}{path}?{}&X-Amz-Signature={signature}", self.origin, encoded_query(&canonical.query))
    }

    /// The URL of `request`, and the headers to send it with now: those that were added, and those that sign it.
    #[must_use]
    pub fn sign(
        &self,
        request: &ObjectRequest<'_>,
        payload: Payload,
        now: Timestamp,
    ) -> (String, Vec<(String, String)>) {
        let scope = Scope::new(now, &self.region);
        let path = self.path(request.key);
        let payload = payload.text();
        let mut canonical = Canonical {
            method: request.method,
            path: &path,
            query: request.query.clone(),
            headers: self.headers(request),
            payload: &payload,
        };
        canonical.headers.extend([("x-amz-content-sha256", payload.as_str()), ("x-amz-date", scope.moment())]);
        let authorization = format!(
            "{ALGORITHM} Credential={}/{},SignedHeaders={},Signature={}",
            self.credentials.access_key_id,
            scope.text(),
            canonical.signed_headers(),
            scope.sign(&canonical, &self.credentials)
        );
        let query = encoded_query(&request.query);
        let mark = if query.is_empty() { "" } else { "?" };
        let sent = canonical.headers.iter().filter(|(name, _)| *name != "host");
        let headers = sent.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let headers = headers.chain([("authorization".to_owned(), authorization)]).collect();
        (format!("{}{path}{mark}{query}", self.origin), headers)
    }

    fn path(&self, key: &str) -> String {
        format!("{}/{}", self.base_path, encoded_path(key))
    }

    fn headers<'both>(&'both self, request: &'both ObjectRequest<'_>) -> Vec<(&'both str, &'both str)> {
        let added = request.headers.iter().map(|(name, value)| (*name, value.as_str()));
        [("host", self.host.as_str())].into_iter().chain(added).collect()
    }
}

impl fmt::Display for InvalidBucketUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the URL of a bucket is http or https, without a query")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2013-05-24T00:00:00Z, the moment of AWS's examples.
    const MOMENT: Timestamp = Timestamp::from_millis(1_369_353_600_000);
    const EMPTY: &[u8] = b"";

    /// The bucket and key of AWS's examples: "Authenticating Requests" in the S3 API reference.
    fn example() -> Bucket {
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
        Bucket::new("https://examplebucket.s3.amazonaws.com", "us-east-1", credentials).unwrap()
    }

    fn signature(request: &ObjectRequest<'_>, body: &[u8]) -> String {
        let (_, headers) = example().sign(request, Payload::Exactly(Sha256Digest::of(body)), MOMENT);
        let (_, authorization) = headers.iter().find(|(name, _)| name == "authorization").unwrap();
        authorization.rsplit('=').next().unwrap().to_owned()
    }

    #[test]
    fn headers_are_signed_as_in_aws_examples() {
        let get_object = ObjectRequest::new("GET", "test.txt").with_header("range", "bytes=0-9");
        let put_object = ObjectRequest::new("PUT", "test$file.text")
            .with_header("date", "Fri, 24 May 2013 00:00:00 GMT")
            .with_header("x-amz-storage-class", "REDUCED_REDUNDANCY");
        let get_lifecycle = ObjectRequest::new("GET", "").with_query("lifecycle", "");
        let list = ObjectRequest::new("GET", "").with_query("prefix", "J").with_query("max-keys", "2");
        for (request, body, expected) in [
            (get_object, EMPTY, "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"),
            (
                put_object,
                &b"Welcome to Amazon S3."[..],
                "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
            ),
            (get_lifecycle, EMPTY, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
            (list, EMPTY, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ] {
            assert_eq!(signature(&request, body), expected, "{request:?}");
        }
    }

    #[test]
    fn a_url_is_presigned_as_in_aws_example() {
        let url = example().presign(&ObjectRequest::new("GET", "test.txt"), MOMENT, 86_400);
        assert_eq!(
            url,
            "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
             &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z\
             &X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
             &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
        );
    }

    #[test]
    fn a_signed_request_carries_its_headers_and_query() {
        let request =
            ObjectRequest::new("GET", "a b/ü+1").with_query("partNumber", "1").with_header("range", "bytes=0-9");
        let (url, headers) = example().sign(&request, Payload::Unsigned, MOMENT);
        assert_eq!(url, "https://examplebucket.s3.amazonaws.com/a%20b/%C3%BC%2B1?partNumber=1");
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["range", "x-amz-content-sha256", "x-amz-date", "authorization"]);
        assert_eq!(headers[1].1, "UNSIGNED-PAYLOAD");
        assert!(headers[3].1.contains("SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"));
    }

    #[test]
    fn a_bucket_may_be_in_the_path() {
        let bucket = |url| Bucket::new(url, "auto", Credentials::new("id", "secret"));
        for url in ["http://127.0.0.1:8787/cdn-cgi/s3/photos", "http://127.0.0.1:8787/cdn-cgi/s3/photos/"] {
            let presigned = bucket(url).unwrap().presign(&ObjectRequest::new("PUT", "a.png"), MOMENT, 1);
            assert!(presigned.starts_with("http://127.0.0.1:8787/cdn-cgi/s3/photos/a.png?X-Amz-"), "{presigned}");
        }
        for url in
            ["", "photos", "ftp://host/photos", "https:///photos", "https://a/b?c", "https://a@b/c", "https://a b/c"]
        {
            assert_eq!(bucket(url).err(), Some(InvalidBucketUrl), "{url}");
        }
    }

    #[test]
    fn a_lifetime_is_at_most_a_week() {
        let url = example().presign(&ObjectRequest::new("GET", "a"), MOMENT, u64::MAX);
        assert!(url.contains("X-Amz-Expires=604800&"));
    }

    #[test]
    fn debug_output_has_no_secret() {
        let shown = format!("{:?}", example());
        assert!(!shown.contains("EXAMPLE"), "{shown}");
    }
}
