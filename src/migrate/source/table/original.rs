//! What the journal remembers of a row.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::config::TableSource;
use super::identifier::Identifier;
use super::value::ValueForm;
use crate::image::{ObjectKey, Sha256Digest};
use crate::migrate::runs::Entry;
use crate::migrate::task::{ItemError, Refusal};
use crate::sql::{DatabaseError, from_json, to_json};

/// A row as it was before its move, and what the move wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::migrate::source) struct Original {
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
pub(in crate::migrate::source) struct Saved {
    pub key: ObjectKey,
    pub sha256: Sha256Digest,
    pub bytes: u64,
}

impl Original {
    // By way of text, for which the code is there already.
    pub fn to_json(&self) -> Result<serde_json::Value, DatabaseError> {
        from_json(&to_json(self)?)
    }

    /// What the journal says of an entry, if the source names the columns still that the move wrote.
    ///
    /// # Errors
    /// When the source has been configured otherwise, or the journal cannot be read.
    pub fn of_entry(entry: &Entry, source: &TableSource) -> Result<Self, ItemError> {
        let original = Self::from_json(&entry.original)?;
        let mut columns: Vec<_> = source.written_columns().map(Identifier::as_str).collect();
        columns.sort_unstable();
        if original.before.keys().map(String::as_str).eq(columns) {
            return Ok(original);
        }
        let detail = "the source names other columns than those that the move wrote";
        Err(Refusal::failed("source-reconfigured", detail).into())
    }

    pub fn from_json(json: &serde_json::Value) -> Result<Self, DatabaseError> {
        from_json(&json.to_string())
    }
}
