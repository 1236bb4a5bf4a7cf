//! What a client sends in `Idempotency-Key`.

use std::fmt;
use std::str::FromStr;

use crate::image::{ImageId, Sha256Digest, UserId};

/// An idempotency key: 1 to 255 visible ASCII characters, known by its SHA-256 only, because it is the client's own text.
///
/// A value in the quotes of a structured-field string (RFC 8941) is the same key as without them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(Sha256Digest);

/// The header value is not an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// The digest under which the key is kept.
    #[must_use]
    pub const fn digest(&self) -> Sha256Digest {
        self.0
    }

    /// The key as one of this caller's, whom no other caller's key is like. The operator's stay as they were sent; no client can send
    /// what a user's become, since what is hashed has spaces.
    #[must_use]
    pub fn of_caller(&self, user: Option<&UserId>) -> Self {
        user.map_or(*self, |user| {
            Self(Sha256Digest::of(format!("stillstore key {} of user {}", self.0, user.as_str()).as_bytes()))
        })
    }

    /// The key of a request that makes jobs, whose keys are no other routes'.
    #[must_use]
    pub fn of_jobs(&self) -> Self {
        Self(Sha256Digest::of(format!("stillstore key {} of jobs", self.0).as_bytes()))
    }

    /// The key of a further image of a request with this key, whose first image is `first`; no client can send it, since what is
    /// hashed has spaces.
    #[must_use]
    pub fn of_further_image(&self, first: ImageId, index: u8) -> Self {
        Self(Sha256Digest::of(format!("stillstore image {index} beside {first} of {}", self.0).as_bytes()))
    }
}

impl FromStr for IdempotencyKey {
    type Err = InvalidIdempotencyKey;

    fn from_str(header: &str) -> Result<Self, InvalidIdempotencyKey> {
        let key = match header.strip_prefix('"') {
            Some(quoted) => unescape(quoted.strip_suffix('"').ok_or(InvalidIdempotencyKey)?)?,
            None => header.to_owned(),
        };
        let valid = (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if valid { Ok(Self(Sha256Digest::of(key.as_bytes()))) } else { Err(InvalidIdempotencyKey) }
    }
}

/// The content of a structured-field string: a quote or a backslash stands behind a backslash.
fn unescape(quoted: &str) -> Result<String, InvalidIdempotencyKey> {
    let mut content = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        content.push(match character {
            '\\' => match characters.next() {
                Some(escaped @ ('"' | '\\')) => escaped,
                _ => return Err(InvalidIdempotencyKey),
            },
            '"' => return Err(InvalidIdempotencyKey),
            plain => plain,
        });
    }
    Ok(content)
}

impl fmt::Display for InvalidIdempotencyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .write_str("an idempotency key is 1 to 255 visible ASCII characters, with or without quotes around them")
    }
}
