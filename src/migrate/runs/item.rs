//! What an item of a source is called.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sql::Value;

/// The longest text id in bytes.
pub const ITEM_ID_MAX_BYTES: usize = 1_024;

/// The largest integer id, and the smallest without its sign: 2^53 - 1. D1 speaks in JS numbers, which skip integers beyond it.
pub const ITEM_ID_MAX_INTEGER: i64 = (1 << 53) - 1;

/// The value of a row's id column. As JSON it is a number or a string; the number 1 and the text "1" are two ids.
///
/// In the order of SQLite: integers before texts, texts by their bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Repr", into = "Repr")]
pub struct ItemId(Repr);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
enum Repr {
    Integer(i64),
    Text(String),
}

/// What the ids of a source are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdType {
    #[default]
    Text,
    Integer,
}

impl IdType {
    /// The id that people write as `text`. One that no row of the source can have is a text.
    ///
    /// # Errors
    /// [`InvalidItemId`].
    pub fn id_of(self, text: &str) -> Result<ItemId, InvalidItemId> {
        let number = text.parse::<i64>().ok().filter(|_| self == Self::Integer);
        let id = number.and_then(|number| ItemId::try_from(number).ok());
        id.map_or_else(|| text.to_owned().try_into(), Ok)
    }
}

/// The value cannot be an id: a text over [`ITEM_ID_MAX_BYTES`] or an integer beyond [`ITEM_ID_MAX_INTEGER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidItemId;

impl ItemId {
    /// The id as people write it.
    #[must_use]
    pub fn as_text(&self) -> Cow<'_, str> {
        match &self.0 {
            Repr::Integer(number) => number.to_string().into(),
            Repr::Text(text) => text.into(),
        }
    }
}

impl TryFrom<i64> for ItemId {
    type Error = InvalidItemId;

    fn try_from(number: i64) -> Result<Self, Self::Error> {
        Repr::Integer(number).try_into()
    }
}

impl TryFrom<String> for ItemId {
    type Error = InvalidItemId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Repr::Text(text).try_into()
    }
}

impl TryFrom<Repr> for ItemId {
    type Error = InvalidItemId;

    fn try_from(repr: Repr) -> Result<Self, Self::Error> {
        let valid = match &repr {
            Repr::Integer(number) => (-ITEM_ID_MAX_INTEGER..=ITEM_ID_MAX_INTEGER).contains(number),
            Repr::Text(text) => text.len() <= ITEM_ID_MAX_BYTES,
        };
        if valid { Ok(Self(repr)) } else { Err(InvalidItemId) }
    }
}

impl From<ItemId> for Repr {
    fn from(id: ItemId) -> Self {
        id.0
    }
}

impl From<&ItemId> for Value {
    fn from(id: &ItemId) -> Self {
        match &id.0 {
            Repr::Integer(number) => Self::Integer(*number),
            Repr::Text(text) => text.as_str().into(),
        }
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.as_text())
    }
}

impl fmt::Display for InvalidItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "an id is a text of at most {ITEM_ID_MAX_BYTES} bytes or an integer between -{ITEM_ID_MAX_INTEGER} and \
             {ITEM_ID_MAX_INTEGER}"
        )
    }
}

impl std::error::Error for InvalidItemId {}
