//! The names of sessions and of their frames.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::CollectionId;

/// A session's id, which the caller chooses and keys hold: 1 to 128 characters of `A-Z a-z 0-9 . _ -`, starting with a letter or digit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

/// The text breaks the rule of [`SessionId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidSessionId;

/// A frame's number in its session: 0 to 9,999, the numbers of four digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(u16);

/// The number is over [`FrameNumber::MAX`], or the text is no number in its one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidFrameNumber;

/// A frame by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameId {
    pub session: SessionId,
    pub number: FrameNumber,
}

/// The text is no session's id and a frame's number with a slash between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidFrameId;

impl SessionId {
    /// The longest id: a key holds it beside `frames/` and at most 10 further characters.
    pub const MAX_BYTES: usize = 128;

    /// An id of 32 hexadecimal digits.
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(hex::encode(bytes))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The session as a collection.
    #[must_use]
    pub fn collection(&self) -> CollectionId {
        CollectionId::of_ours(self.0.clone())
    }
}

impl TryFrom<String> for SessionId {
    type Error = InvalidSessionId;

    fn try_from(text: String) -> Result<Self, InvalidSessionId> {
        let is_valid = (1..=Self::MAX_BYTES).contains(&text.len())
            && text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if is_valid { Ok(Self(text)) } else { Err(InvalidSessionId) }
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        text.to_owned().try_into()
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> Self {
        id.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for InvalidSessionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = SessionId::MAX_BYTES;
        write!(
            formatter,
            "must be 1 to {most} characters of A-Z, a-z, 0-9, ., _ and -, starting with a letter or digit"
        )
    }
}

impl FrameNumber {
    /// The largest number; hence a session has at most 10,000 frames.
    pub const MAX: Self = Self(9_999);

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u32> for FrameNumber {
    type Error = InvalidFrameNumber;

    fn try_from(number: u32) -> Result<Self, InvalidFrameNumber> {
        let number = u16::try_from(number).map_err(|_| InvalidFrameNumber)?;
        if number <= Self::MAX.0 { Ok(Self(number)) } else { Err(InvalidFrameNumber) }
    }
}

impl FromStr for FrameNumber {
    type Err = InvalidFrameNumber;

    /// The number without a sign and without leading zeros: a frame has one path.
    fn from_str(text: &str) -> Result<Self, InvalidFrameNumber> {
        let number: u32 = text.parse().map_err(|_| InvalidFrameNumber)?;
        let number = Self::try_from(number)?;
        if number.to_string() == text { Ok(number) } else { Err(InvalidFrameNumber) }
    }
}

impl fmt::Display for FrameNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for FrameId {
    type Err = InvalidFrameId;

    fn from_str(text: &str) -> Result<Self, InvalidFrameId> {
        let (session, number) = text.split_once('/').ok_or(InvalidFrameId)?;
        let session = session.parse().map_err(|InvalidSessionId| InvalidFrameId)?;
        let number = number.parse().map_err(|InvalidFrameNumber| InvalidFrameId)?;
        Ok(Self { session, number })
    }
}

impl fmt::Display for FrameId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.session, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_id_is_safe_in_a_key_and_in_a_path() {
        let is_valid = |text: &str| text.parse::<SessionId>().is_ok();
        assert!(is_valid("a") && is_valid("Run_7.b-2") && is_valid(&"9".repeat(128)));
        for text in ["", ".", "..", "-a", "_a", "a/b", "a b", "a%20b", "é", "a\n", &"a".repeat(129)] {
            assert!(!is_valid(text), "{text:?}");
        }
    }

    #[test]
    fn a_frame_number_has_four_digits_at_most() {
        let number = |text: &str| text.parse::<FrameNumber>().ok().map(FrameNumber::get);
        assert_eq!([number("0"), number("7"), number("9999")], [Some(0), Some(7), Some(9_999)]);
        for text in ["", "+1", "-1", "10000", "07", "1a", " 1"] {
            assert_eq!(number(text), None, "{text:?}");
        }
        assert_eq!(FrameNumber::try_from(10_000), Err(InvalidFrameNumber));
        let frame: FrameId = "s1/7".parse().unwrap();
        assert_eq!(frame.to_string(), "s1/7");
    }
}
