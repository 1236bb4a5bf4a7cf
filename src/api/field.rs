//! Values of JSON fields, each with the rule that it keeps.

use serde::de::Error;
use serde::{Deserialize, Deserializer};

use super::{Method, Problem};
use crate::catalog::jobs::{JobState, Tier};
use crate::edit::MAX_PROMPT_CHARACTERS;
use crate::generate::{Background, InvalidParameter, OutputFormat, Prompt, Quality, Size, Style};
use crate::image::{
    BatchId, Format, ImageId, InvalidSessionId, ObjectKey, SessionId, Sha256Digest, ShootId, Visibility,
};
use crate::migrate::RunId;

/// Longest id of a persona, session, participant or table, in bytes: an id, not a text.
pub(super) const MAX_ASSOCIATION_BYTES: usize = 200;
/// Longest file name in bytes, as most file systems have it.
pub(super) const MAX_FILENAME_BYTES: usize = 255;

/// A value that callers write as a text.
pub(super) trait FromText: Sized {
    /// The value, or the rule that `text` breaks.
    fn from_text(text: String) -> Result<Self, String>;
}

/// A text that is a `T`.
#[derive(Debug)]
pub(super) struct Parsed<T>(pub T);

impl<'de, T: FromText> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::from_text(String::deserialize(deserializer)?).map(Self).map_err(D::Error::custom)
    }
}

macro_rules! from_text {
    ($($type:ident)+) => {
        $(impl FromText for $type {
            fn from_text(text: String) -> Result<Self, String> {
                Self::parse(&text).map_err(|InvalidParameter(rule)| rule)
            }
        })+
    };
}

from_text! { Prompt Size Quality Style Background OutputFormat }

impl FromText for Visibility {
    fn from_text(text: String) -> Result<Self, String> {
        Self::from_text(&text).ok_or_else(|| "must be public or private".to_owned())
    }
}

impl FromText for RunId {
    fn from_text(text: String) -> Result<Self, String> {
        text.parse().map_err(|_| "must be 32 lower-case hexadecimal digits".to_owned())
    }
}

/// An id of the caller's own.
#[derive(Debug)]
pub(super) struct Association(pub String);

impl FromText for Association {
    fn from_text(text: String) -> Result<Self, String> {
        if text.trim().is_empty() || text.len() > MAX_ASSOCIATION_BYTES || text.chars().any(char::is_control) {
            return Err(format!("must be 1 to {MAX_ASSOCIATION_BYTES} bytes, not blank, without control characters"));
        }
        Ok(Self(text))
    }
}

impl FromText for SessionId {
    fn from_text(text: String) -> Result<Self, String> {
        text.try_into().map_err(|rule: InvalidSessionId| rule.to_string())
    }
}

/// A name that people read.
#[derive(Debug)]
pub(super) struct Name(pub String);

impl FromText for Name {
    fn from_text(text: String) -> Result<Self, String> {
        Association::from_text(text).map(|Association(name)| Self(name))
    }
}

/// The name of a file.
#[derive(Debug)]
pub(super) struct Filename(pub String);

impl FromText for Filename {
    fn from_text(text: String) -> Result<Self, String> {
        if text.is_empty() || text.len() > MAX_FILENAME_BYTES || text.chars().any(char::is_control) {
            return Err(format!("must be 1 to {MAX_FILENAME_BYTES} bytes without control characters"));
        }
        Ok(Self(text))
    }
}

/// The media type of an image.
#[derive(Debug)]
pub(super) struct ImageType(pub Format);

impl FromText for ImageType {
    fn from_text(text: String) -> Result<Self, String> {
        let types = || Format::ALL.map(Format::content_type).join(", ");
        Format::from_content_type(&text).map(Self).ok_or_else(|| format!("must be one of {}", types()))
    }
}

/// The method of a request about an upload.
#[derive(Debug)]
pub(super) struct PartMethod(pub Method);

impl PartMethod {
    pub const ALL: [Method; 4] = [Method::Get, Method::Post, Method::Put, Method::Delete];
}

impl FromText for PartMethod {
    fn from_text(text: String) -> Result<Self, String> {
        let names = || Self::ALL.map(Method::as_str).join(", ");
        let method = Self::ALL.into_iter().find(|method| method.as_str() == text);
        method.map(Self).ok_or_else(|| format!("must be one of {}", names()))
    }
}

impl FromText for Sha256Digest {
    fn from_text(text: String) -> Result<Self, String> {
        text.to_ascii_lowercase().parse().map_err(|_| "must be 64 hexadecimal digits".to_owned())
    }
}

impl FromText for ImageId {
    fn from_text(text: String) -> Result<Self, String> {
        text.parse().map_err(|_| "must be a UUID of 36 lower-case characters".to_owned())
    }
}

impl FromText for BatchId {
    fn from_text(text: String) -> Result<Self, String> {
        text.parse().map_err(|_| "must be a UUID of 36 lower-case characters".to_owned())
    }
}

impl FromText for Tier {
    fn from_text(text: String) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|tier| tier.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

impl FromText for JobState {
    fn from_text(text: String) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| format!("must be one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// The prompt of an edit, which is shorter than that of a picture.
#[derive(Debug)]
pub(super) struct EditPrompt(pub Prompt);

impl FromText for EditPrompt {
    fn from_text(text: String) -> Result<Self, String> {
        let prompt = Prompt::parse(&text).map_err(|InvalidParameter(rule)| rule)?;
        if prompt.characters() > MAX_PROMPT_CHARACTERS {
            return Err(format!("must be at most {MAX_PROMPT_CHARACTERS} characters"));
        }
        Ok(Self(prompt))
    }
}

impl FromText for ShootId {
    fn from_text(text: String) -> Result<Self, String> {
        text.parse().map_err(|_| "must be a UUID of 36 lower-case characters".to_owned())
    }
}

impl FromText for ObjectKey {
    fn from_text(text: String) -> Result<Self, String> {
        Self::try_from(text).map_err(|_| "must be 1 to 1,024 bytes of text without control characters".to_owned())
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole<const LEAST: u64, const MOST: u64>(u64);

impl<const LEAST: u64, const MOST: u64> Whole<LEAST, MOST> {
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number, when a `T` has room for it.
    pub fn small<T: TryFrom<u64>>(self) -> Option<T> {
        self.0.try_into().ok()
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer) {
            Ok(number) if (LEAST..=MOST).contains(&number) => Ok(Self(number)),
            _ => Err(D::Error::custom(format_args!("must be a whole number from {LEAST} to {MOST}"))),
        }
    }
}

/// A truth value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bool::deserialize(deserializer).map(Self).map_err(|_| D::Error::custom("must be true or false"))
    }
}

/// Whether a flag is there and set.
pub(super) fn is_set(flag: Option<Flag>) -> bool {
    flag.is_some_and(|Flag(is_set)| is_set)
}

/// The value of the query's parameter `name`.
pub(super) fn parameter<T: FromText>(name: &'static str, text: String) -> Result<T, Problem> {
    T::from_text(text).map_err(|rule| Problem::field(name, rule))
}
