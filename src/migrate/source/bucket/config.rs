//! A bucket, as `MIGRATION_SOURCES` has it.

use serde_json::{Map, Value as Json};

use crate::image::{Context, ObjectKey, Visibility};
use crate::migrate::source::references::ReferencesConfig;
use crate::migrate::source::table::{InvalidSource, fields};
use crate::s3::{Bucket, Credentials};

const FIELDS: [&str; 13] = [
    "kind",
    "name",
    "endpoint",
    "region",
    "bucket",
    "style",
    "prefix",
    "key",
    "others",
    "context",
    "visibility",
    "publicUrl",
    "references",
];

/// What a key is made of: the source's key goes in its place.
const PLACE: &str = "{key}";
/// What Stillstore keeps beside the images.
const RESERVED_PREFIX: &str = "stillstore/";

/// A bucket at a server that speaks S3.
#[derive(Debug, Clone)]
pub struct BucketSource {
    pub name: String,
    /// Where its objects are, without the slash in front of their keys.
    url: String,
    region: String,
    /// Only objects whose keys start with this.
    pub prefix: String,
    key_before: String,
    key_after: String,
    pub others: Others,
    pub context: Option<Context>,
    pub visibility: Visibility,
    /// Whether its entry says so.
    pub states_visibility: bool,
    /// The application's texts that hold URLs of its objects.
    pub references: Option<ReferencesConfig>,
    credentials: Option<Credentials>,
}

/// What becomes of objects that are no images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    Copy,
    Skip,
}

impl BucketSource {
    /// Reads an entry of `MIGRATION_SOURCES`.
    ///
    /// # Errors
    /// [`InvalidSource`]: the rule that it breaks.
    pub fn parse(entry: &Map<String, Json>) -> Result<Self, InvalidSource> {
        fields::require_known(entry, &FIELDS)?;
        let template = fields::text(entry, "key")?.unwrap_or(PLACE);
        let (before, after) = template.split_once(PLACE).ok_or("key must have {key} in it, once".to_owned())?;
        if after.contains(PLACE) || before.starts_with(RESERVED_PREFIX) || template.len() > 512 {
            let rule = "key must have {key} in it, once, and at most 512 bytes, and not start with stillstore/";
            return Err(rule.to_owned().into());
        }
        let prefix = fields::text(entry, "prefix")?.unwrap_or_default();
        if prefix.len() > 1_024 {
            return Err("prefix must have at most 1,024 bytes".to_owned().into());
        }
        let others = match fields::text(entry, "others")? {
            None | Some("copy") => Others::Copy,
            Some("skip") => Others::Skip,
            Some(_) => return Err("others must be copy or skip".to_owned().into()),
        };
        let visibility = fields::visibility(entry)?;
        Ok(Self {
            name: fields::name(entry)?,
            url: url(entry)?,
            region: region(entry)?,
            prefix: prefix.to_owned(),
            key_before: before.to_owned(),
            key_after: after.to_owned(),
            others,
            context: fields::context(entry)?,
            visibility,
            states_visibility: fields::text(entry, "visibility")?.is_some(),
            references: ReferencesConfig::parse(entry, visibility)?,
            credentials: None,
        })
    }

    /// The names of the secrets with the id of its access key, and with the key.
    #[must_use]
    pub fn secrets(&self) -> [String; 2] {
        let name = self.name.to_ascii_uppercase().replace('-', "_");
        ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"].map(|what| format!("S3_SOURCE_{name}_{what}"))
    }

    /// The source with its access key.
    #[must_use]
    pub fn with_credentials(self, credentials: Option<Credentials>) -> Self {
        Self { credentials, ..self }
    }

    /// The bucket; `None` without its access key.
    #[must_use]
    pub fn bucket(&self) -> Option<Bucket> {
        Bucket::new(&self.url, self.region.as_str(), self.credentials.clone()?).ok()
    }

    /// What receipts call the place of an object: `s3:` and where its bucket is.
    #[must_use]
    pub fn place(&self) -> String {
        format!("s3:{}", self.url)
    }

    /// What the keys of its copies start with.
    #[must_use]
    pub fn key_prefix(&self) -> String {
        [&self.key_before, &self.prefix].map(String::as_str).concat()
    }

    /// The key of the copy of the object `key`; `None` when it can be none. An object that was copied before and has changed since gets
    /// a key with `state` in front of its extension: no bytes are ever written over others.
    #[must_use]
    pub fn key_of(&self, key: &str, state: Option<&str>) -> Option<ObjectKey> {
        let key = match (state, key.rsplit_once('.').filter(|(_, extension)| !extension.contains('/'))) {
            (None, _) => key.to_owned(),
            (Some(state), Some((stem, extension))) => format!("{stem}~{state}.{extension}"),
            (Some(state), None) => format!("{key}~{state}"),
        };
        let key = [&self.key_before, &key, &self.key_after].map(String::as_str).concat();
        if key.starts_with(RESERVED_PREFIX) { None } else { key.try_into().ok() }
    }
}

fn url(entry: &Map<String, Json>) -> Result<String, InvalidSource> {
    let endpoint_rule =
        || "endpoint must be an https:// URL without user and query, or http:// on this machine".to_owned();
    let endpoint = fields::text(entry, "endpoint")?.ok_or_else(endpoint_rule)?.trim_end_matches('/');
    let (scheme, rest) = endpoint.split_once("://").ok_or_else(endpoint_rule)?;
    let host = rest.split(['/', ':']).next().unwrap_or_default();
    let is_here = matches!(host, "localhost" | "127.0.0.1");
    if scheme != "https" && !(scheme == "http" && is_here) {
        return Err(endpoint_rule().into());
    }
    let name = fields::text(entry, "bucket")?.unwrap_or_default();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !(1..=255).contains(&name.len()) || !name.bytes().all(is_plain) {
        return Err("bucket must be 1 to 255 characters of A-Z, a-z, 0-9, -, _ and .".to_owned().into());
    }
    let url = match fields::text(entry, "style")? {
        None | Some("path") => format!("{endpoint}/{name}"),
        Some("host") => format!("{scheme}://{name}.{rest}"),
        Some(_) => return Err("style must be path or host".to_owned().into()),
    };
    match Bucket::new(&url, "auto", Credentials::new("", "")) {
        Ok(_) => Ok(url),
        Err(_) => Err(endpoint_rule().into()),
    }
}

fn region(entry: &Map<String, Json>) -> Result<String, String> {
    let region = fields::text(entry, "region")?.unwrap_or("auto");
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if (1..=64).contains(&region.len()) && region.bytes().all(is_plain) {
        Ok(region.to_owned())
    } else {
        Err("region must be 1 to 64 characters of A-Z, a-z, 0-9 and -".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(changes: &Json) -> Result<BucketSource, String> {
        let mut entry =
            json!({"kind": "bucket", "name": "old-photos", "endpoint": "https://s3.example.org/", "bucket": "photos"});
        for (field, value) in changes.as_object().unwrap() {
            entry[field] = value.clone();
        }
        BucketSource::parse(entry.as_object().unwrap()).map_err(|invalid| invalid.rule)
    }

    #[test]
    fn a_bucket_is_in_the_path_or_in_the_host() {
        assert_eq!(parse(&json!({})).unwrap().place(), "s3:https://s3.example.org/photos");
        assert_eq!(parse(&json!({"style": "host"})).unwrap().place(), "s3:https://photos.s3.example.org");
        let here = parse(&json!({"endpoint": "http://127.0.0.1:9000"})).unwrap();
        assert_eq!(here.place(), "s3:http://127.0.0.1:9000/photos");
        assert_eq!(here.secrets(), ["S3_SOURCE_OLD_PHOTOS_ACCESS_KEY_ID", "S3_SOURCE_OLD_PHOTOS_SECRET_ACCESS_KEY"]);
    }

    #[test]
    fn a_copy_has_the_key_of_its_object_or_what_the_template_makes_of_it() {
        let same = parse(&json!({"prefix": "2024/"})).unwrap();
        let key = |source: &BucketSource, key: &str, state| source.key_of(key, state).map(String::from);
        assert_eq!(key(&same, "2024/ü b.png", None).as_deref(), Some("2024/ü b.png"));
        assert_eq!(key(&same, "2024/a.b/c", Some("0123")).as_deref(), Some("2024/a.b/c~0123"));
        assert_eq!(key(&same, "2024/a.png", Some("0123")).as_deref(), Some("2024/a~0123.png"));
        assert_eq!(key(&same, "stillstore/receipts/1", None), None);
        assert_eq!(key(&same, "a\n\u{1}b", None).as_deref(), Some("a\n\u{1}b"));
        assert_eq!(key(&same, "a\0b", None), None);
        let template = parse(&json!({"key": "old/{key}", "prefix": "2024/"})).unwrap();
        assert_eq!(key(&template, "2024/a.png", None).as_deref(), Some("old/2024/a.png"));
        assert_eq!((template.key_prefix().as_str(), same.key_prefix().as_str()), ("old/2024/", "2024/"));
    }

    #[test]
    fn what_breaks_a_rule_is_named() {
        for (changes, rule) in [
            (json!({"endpoint": "http://s3.example.org"}), "endpoint must"),
            (json!({"endpoint": null}), "endpoint must"),
            (json!({"endpoint": "https://user@host"}), "endpoint must"),
            (json!({"bucket": "a/b"}), "bucket must"),
            (json!({"style": "virtual"}), "style must"),
            (json!({"region": ""}), "region must"),
            (json!({"key": "old/"}), "key must"),
            (json!({"key": "{key}{key}"}), "key must"),
            (json!({"key": "stillstore/{key}"}), "key must"),
            (json!({"others": "drop"}), "others must"),
            (json!({"table": "x"}), "may have no other fields"),
            (json!({"context": "NO"}), "context must"),
        ] {
            let refused = parse(&changes).unwrap_err();
            assert!(refused.starts_with(rule), "{changes}: {refused}");
        }
    }
}
