//! Whether a source can be switched off.

use serde::{Deserialize, Serialize};

use crate::runtime::Timestamp;

/// What a run found that looked whether its source can be switched off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Completion {
    /// When going through the source began and ended.
    pub listed_from: Option<Timestamp>,
    pub listed_until: Option<Timestamp>,
    /// Items that the source has and the journal has not, or in another state.
    pub left: u64,
    /// When going through the copies began and ended.
    pub verified_from: Option<Timestamp>,
    pub verified_until: Option<Timestamp>,
    /// Copies that are there and right.
    pub verified: u64,
    /// Copies that are missing or wrong, or could not be looked at.
    pub wrong: u64,
    /// Texts that hold URLs of the source.
    #[serde(default)]
    pub references: u64,
    /// When a reader last fetched something of the source.
    pub last_read_through: Option<Timestamp>,
    /// Why the source is needed still; nothing, once it is not.
    pub open: Vec<String>,
    /// When all of that was known.
    pub ended: Option<Timestamp>,
}

impl Completion {
    /// Whether the source can be switched off.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.ended.is_some() && self.open.is_empty()
    }
}
