//! Presigned uploads and downloads.

use super::loopback::is_loopback;
use super::reader::Reader;
use crate::s3::{Bucket, Credentials};

/// Largest presigned upload in bytes, unless `UPLOAD_MAX_BYTES` says otherwise: 10 MB in either reading.
const DEFAULT_UPLOAD_MAX_BYTES: u64 = 10 * 1024 * 1024;
/// The request body limit of the platform's smaller plans, which holds for uploads by way of the Worker.
const MOST_UPLOAD_BYTES: u64 = 100 * 1000 * 1000;
/// The largest upload in parts in bytes: the largest object that R2 takes in parts would be larger, but is read whole to be confirmed.
pub const MOST_MULTIPART_BYTES: u64 = 5 * 1000 * 1000 * 1000;
/// Window to which the ends of signed URLs are rounded, in seconds, unless `SIGNED_URL_WINDOW_S` says otherwise.
const DEFAULT_SIGNED_URL_WINDOW_S: u64 = 300;
/// The longest window: URLs in answers live for an hour and at most a window longer.
const MOST_SIGNED_URL_WINDOW_S: u64 = 3_600;
/// R2's only region.
const REGION: &str = "auto";

/// What the configuration says about presigned uploads and downloads.
#[derive(Debug, Clone)]
pub struct UploadSettings {
    /// `UPLOAD_MAX_BYTES`.
    pub max_bytes: u64,
    /// `MULTIPART_MAX_BYTES`.
    pub multipart_max_bytes: u64,
    /// The bucket at R2's S3 endpoint, of `R2_ACCOUNT_ID`, `R2_ACCESS_KEY_ID`, `R2_SECRET_ACCESS_KEY`, `R2_BUCKET_NAME` and `R2_ENDPOINT`.
    /// `None`: uploads go by way of the Worker.
    pub bucket: Option<Bucket>,
    /// `SIGNED_URL_WINDOW_S`.
    pub signed_url_window_s: u64,
}

impl UploadSettings {
    pub(super) fn read<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Self {
        Self {
            max_bytes: reader.number("UPLOAD_MAX_BYTES", DEFAULT_UPLOAD_MAX_BYTES, 1..=MOST_UPLOAD_BYTES),
            multipart_max_bytes: reader.number("MULTIPART_MAX_BYTES", MOST_MULTIPART_BYTES, 1..=MOST_MULTIPART_BYTES),
            bucket: bucket(reader),
            signed_url_window_s: reader.number(
                "SIGNED_URL_WINDOW_S",
                DEFAULT_SIGNED_URL_WINDOW_S,
                1..=MOST_SIGNED_URL_WINDOW_S,
            ),
        }
    }
}

/// The bucket, when all that it takes is set. A part of it alone is a problem.
fn bucket<Lookup: Fn(&str) -> Option<String>>(reader: &mut Reader<Lookup>) -> Option<Bucket> {
    let endpoint = match (reader.text("R2_ENDPOINT"), reader.text("R2_ACCOUNT_ID")) {
        (Some(endpoint), _) => Some(endpoint),
        (None, account) => account.map(|account| format!("https://{account}.r2.cloudflarestorage.com")),
    };
    let parts = [
        ("R2_ACCOUNT_ID", endpoint),
        ("R2_ACCESS_KEY_ID", reader.text("R2_ACCESS_KEY_ID")),
        ("R2_SECRET_ACCESS_KEY", reader.text("R2_SECRET_ACCESS_KEY")),
        ("R2_BUCKET_NAME", reader.text("R2_BUCKET_NAME")),
    ];
    let [(_, Some(endpoint)), (_, Some(key_id)), (_, Some(secret)), (_, Some(name))] = &parts else {
        // The account and the bucket's name may be there for other tools.
        let has_key = parts[1].1.is_some() || parts[2].1.is_some();
        for (variable, _) in parts.iter().filter(|(_, value)| has_key && value.is_none()) {
            reader.problem(variable, "must be set when another of the R2 access key's variables is");
        }
        return None;
    };
    let bucket =
        Bucket::new(&format!("{}/{name}", endpoint.trim_end_matches('/')), REGION, Credentials::new(key_id, secret));
    match bucket {
        Ok(bucket) if is_safe(endpoint) => Some(bucket),
        _ => {
            reader.problem("R2_ENDPOINT", "must be an https:// URL of a host and perhaps a path");
            None
        }
    }
}

/// Whether bytes and signatures on their way to `endpoint` are seen by nobody else.
fn is_safe(endpoint: &str) -> bool {
    let host = endpoint.strip_prefix("http://").map(|rest| rest.split(['/', ':']).next().unwrap_or_default());
    host.is_none_or(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> (UploadSettings, Vec<&'static str>) {
        let lookup = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader { lookup, problems: Vec::new() };
        let settings = UploadSettings::read(&mut reader);
        (settings, reader.problems.into_iter().map(|problem| problem.variable).collect())
    }

    const KEY: [(&str, &str); 3] =
        [("R2_ACCESS_KEY_ID", "id"), ("R2_SECRET_ACCESS_KEY", "secret"), ("R2_BUCKET_NAME", "photos")];

    #[test]
    fn without_an_access_key_uploads_go_by_way_of_the_worker() {
        let (settings, problems) = read(&[("R2_ACCOUNT_ID", "account"), ("R2_BUCKET_NAME", "photos")]);
        assert!(settings.bucket.is_none() && problems.is_empty());
        assert_eq!((settings.max_bytes, settings.signed_url_window_s), (10_485_760, 300));
    }

    #[test]
    fn the_bucket_is_at_the_accounts_host_or_at_the_endpoint() {
        let bucket = |url: &str| Bucket::new(url, "auto", Credentials::new("id", "secret")).unwrap();
        let (settings, problems) = read(&[&KEY[..], &[("R2_ACCOUNT_ID", "account")]].concat());
        assert_eq!(settings.bucket, Some(bucket("https://account.r2.cloudflarestorage.com/photos")));
        assert!(problems.is_empty());
        for endpoint in ["https://account.eu.r2.cloudflarestorage.com", "http://127.0.0.1:8787/s3/", "http://localhost"]
        {
            let (settings, problems) = read(&[&KEY[..], &[("R2_ENDPOINT", endpoint)]].concat());
            assert_eq!(settings.bucket, Some(bucket(&format!("{}/photos", endpoint.trim_end_matches('/')))));
            assert!(problems.is_empty(), "{endpoint}");
        }
    }

    #[test]
    fn a_part_of_a_key_and_an_endpoint_without_tls_are_problems() {
        assert_eq!(read(&KEY).1, ["R2_ACCOUNT_ID"]);
        assert_eq!(read(&[("R2_ACCESS_KEY_ID", "id")]).1, ["R2_ACCOUNT_ID", "R2_SECRET_ACCESS_KEY", "R2_BUCKET_NAME"]);
        for endpoint in ["http://storage.example", "ftp://storage.example", "storage.example", "https://a?b=c"] {
            let (settings, problems) = read(&[&KEY[..], &[("R2_ENDPOINT", endpoint)]].concat());
            assert!(settings.bucket.is_none() && problems == ["R2_ENDPOINT"], "{endpoint}");
        }
    }
}
