//! A run's receipt, by its name and digest.

use serde::{Deserialize, Serialize};

use crate::image::{ObjectKey, Sha256Digest};

/// Where a run's receipt is, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReceiptInfo {
    pub key: ObjectKey,
    /// Of the whole object.
    pub sha256: Sha256Digest,
    pub bytes: u64,
    pub lines: u64,
}
