//! The name of one thing that a run handles.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::sql::Value;

/// The id of an item within its source: an image's id, or the value of a table's id column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ItemId {
    Integer(i64),
    Text(String),
}

impl ItemId {
    /// The id as a parameter that compares equal to the column it came from.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Integer(number) => Value::Integer(*number),
            Self::Text(text) => Value::Text(text.clone()),
        }
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(formatter),
            Self::Text(text) => formatter.write_str(text),
        }
    }
}
