//! What the journal remembers of a row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::value::ValueForm;
use crate::image::{ObjectKey, Sha256Digest};
use crate::sql::{DatabaseError, from_json, to_json};

/// A row as it was before its move, and what the move wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Original {
    /// The columns that the move wrote, each value a text whose first character is its type, or NULL.
    pub before: BTreeMap<String, Option<String>>,
    /// How the data column's value looked.
    pub form: ValueForm,
    /// The url that the row got.
    pub url: String,
    /// Where the value itself is, when it cannot be had from the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved: Option<Saved>,
}

/// A value that is kept in the bucket: a text as UTF-8, or a BLOB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    pub key: ObjectKey,
    pub sha256: Sha256Digest,
    pub bytes: u64,
}

impl Original {
    // By way of text, for which the code is there already.
    pub fn to_json(&self) -> Result<serde_json::Value, DatabaseError> {
        from_json(&to_json(self)?)
    }

    pub fn from_json(json: &serde_json::Value) -> Result<Self, DatabaseError> {
        from_json(&json.to_string())
    }
}
