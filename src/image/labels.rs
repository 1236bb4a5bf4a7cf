//! What callers say about an image: where it belongs, who may see it, free string pairs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Names reserved for Stillstore's own keys.
const RESERVED_CONTEXTS: [&str; 3] = ["generated", "frames", "stillstore"];

/// The first segment of an upload's key: 1 to 64 characters of `a-z 0-9 _ -`, starting with a letter or digit, not reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Context(String);

/// Who may read an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Anyone with the URL.
    #[default]
    Public,
    /// Holders of the API token or of a signed, expiring URL.
    Private,
}

/// Up to 16 free string pairs.
///
/// Names are 1 to 64 characters of `a-z 0-9 _ -`; values 0 to 512 bytes of text without control characters; 4,096 bytes in all, which
/// leaves half of R2's 8,192 bytes of metadata to Stillstore's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(BTreeMap<String, String>);

/// A rule that a caller's label broke, in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidLabel(pub String);

impl Context {
    /// The context as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether keys of Stillstore's own begin with `text`.
    pub(super) fn is_reserved(text: &str) -> bool {
        RESERVED_CONTEXTS.contains(&text)
    }
}

impl Default for Context {
    fn default() -> Self {
        Self("uploads".to_owned())
    }
}

impl TryFrom<String> for Context {
    type Error = InvalidLabel;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if !is_slug(&text) {
            return Err(InvalidLabel(
                "must be 1 to 64 characters of a-z, 0-9, _ and -, starting with a letter or digit".to_owned(),
            ));
        }
        if Self::is_reserved(&text) {
            return Err(InvalidLabel(format!("{text} is reserved; choose another name")));
        }
        Ok(Self(text))
    }
}

impl From<Context> for String {
    fn from(context: Context) -> Self {
        context.0
    }
}

impl fmt::Display for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Visibility {
    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }

    /// What `text` is the text form of.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Public, Self::Private].into_iter().find(|visibility| visibility.as_str() == text)
    }
}

impl Labels {
    /// Most pairs.
    pub const MAX_PAIRS: usize = 16;
    /// Longest value in bytes.
    pub const MAX_VALUE_BYTES: usize = 512;
    const MAX_TOTAL_BYTES: usize = 4096;

    /// Checks the pairs against the limits of [`Labels`].
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn try_new(pairs: BTreeMap<String, String>) -> Result<Self, InvalidLabel> {
        if pairs.len() > Self::MAX_PAIRS {
            return Err(InvalidLabel(format!("at most {} pairs", Self::MAX_PAIRS)));
        }
        for (name, value) in &pairs {
            if !is_slug(name) {
                return Err(InvalidLabel(
                    "names are 1 to 64 characters of a-z, 0-9, _ and -, starting with a letter or digit".to_owned(),
                ));
            }
            if value.len() > Self::MAX_VALUE_BYTES || value.chars().any(char::is_control) {
                return Err(InvalidLabel(format!(
                    "the value of {name} must be at most {} bytes without control characters",
                    Self::MAX_VALUE_BYTES
                )));
            }
        }
        let total_bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if total_bytes > Self::MAX_TOTAL_BYTES {
            return Err(InvalidLabel(format!("at most {} bytes in all", Self::MAX_TOTAL_BYTES)));
        }
        Ok(Self(pairs))
    }

    /// Those of the pairs that are within the limits of [`Labels`], as many as fit. For pairs that nobody can be told to correct.
    #[must_use]
    pub fn keeping_valid(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        pairs.into_iter().fold(Self::default(), |kept, (name, value)| {
            let mut more = kept.0.clone();
            more.insert(name, value);
            Self::try_new(more).unwrap_or(kept)
        })
    }

    /// The pairs, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for InvalidLabel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}
