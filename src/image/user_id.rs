//! Who an image belongs to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A user, by the name that whoever vouches for them gives: 1 to 200 bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserId(String);

/// The text is empty, longer than [`UserId::MAX_BYTES`], or has a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidUserId;

impl UserId {
    /// The longest id.
    pub const MAX_BYTES: usize = 200;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserId {
    type Error = InvalidUserId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_valid = (1..=Self::MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        if is_valid { Ok(Self(text)) } else { Err(InvalidUserId) }
    }
}

impl From<UserId> for String {
    fn from(id: UserId) -> Self {
        id.0
    }
}

impl fmt::Display for InvalidUserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a user id is 1 to 200 bytes without control characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_id_has_a_length_and_no_control_characters() {
        let parse = |text: &str| UserId::try_from(text.to_owned()).is_ok();
        assert!(parse("a") && parse(&"a".repeat(200)) && parse("auth0|Ünï"));
        assert!(!parse("") && !parse(&"a".repeat(201)) && !parse("a\nb"));
    }
}
