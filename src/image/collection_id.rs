//! What images are frames of.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A collection of images that are in an order: 1 to 128 bytes without control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CollectionId(String);

/// The text is empty, longer than [`CollectionId::MAX_BYTES`], or has a control character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCollectionId;

impl CollectionId {
    /// The longest id.
    pub const MAX_BYTES: usize = 128;

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of one of ours, which is within the limits.
    pub(super) const fn of_ours(id: String) -> Self {
        Self(id)
    }
}

impl TryFrom<String> for CollectionId {
    type Error = InvalidCollectionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let is_valid = (1..=Self::MAX_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        if is_valid { Ok(Self(text)) } else { Err(InvalidCollectionId) }
    }
}

impl From<CollectionId> for String {
    fn from(id: CollectionId) -> Self {
        id.0
    }
}

impl fmt::Display for InvalidCollectionId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a collection id is 1 to 128 bytes without control characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_id_has_a_length_and_no_control_characters() {
        let parse = |text: &str| CollectionId::try_from(text.to_owned()).is_ok();
        assert!(parse("a") && parse(&"a".repeat(128)) && parse("sprites/Ünï"));
        assert!(!parse("") && !parse(&"a".repeat(129)) && !parse("a\nb"));
    }
}
