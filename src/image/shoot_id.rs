//! The name of a shoot.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{CollectionId, ImageId, InvalidImageId};

/// A shoot's id: a random UUID, in the one text form that image ids have too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ShootId(ImageId);

/// The text is not a UUID in its 36-character form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidShootId;

impl ShootId {
    /// An id from sixteen random bytes.
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(ImageId::from_random_bytes(bytes))
    }

    /// The shoot as a collection.
    #[must_use]
    pub fn collection(&self) -> CollectionId {
        CollectionId::of_ours(self.to_string())
    }
}

impl FromStr for ShootId {
    type Err = InvalidShootId;

    fn from_str(text: &str) -> Result<Self, InvalidShootId> {
        text.parse().map(Self).map_err(|InvalidImageId| InvalidShootId)
    }
}

impl fmt::Display for ShootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for InvalidShootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a shoot id is a UUID of 36 lower-case characters")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shoot_id_is_a_uuid_in_one_form() {
        let text = "0f8fad5b-d9cb-469f-a165-70867728950e";
        let id: ShootId = text.parse().unwrap();
        assert_eq!((id.to_string().as_str(), id.collection().as_str()), (text, text));
        assert_eq!(text.to_uppercase().parse::<ShootId>(), Err(InvalidShootId));
    }
}
