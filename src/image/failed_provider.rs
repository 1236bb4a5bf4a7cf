//! Why another provider made an image.

use serde::{Deserialize, Serialize};

/// A provider that was tried and failed for a reason that another could cure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FailedProvider {
    pub provider: String,
    /// A short kebab-case reason.
    pub reason: String,
}
