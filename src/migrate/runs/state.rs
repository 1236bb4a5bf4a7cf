//! What a run does, and where it is in its life.

use serde::{Deserialize, Serialize};

/// What a run does. The text forms are part of the API and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Action {
    Migrate,
    Validate,
    Rollback,
    Cleanup,
    Backup,
    Restore,
    Complete,
}

impl Action {
    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Migrate => "migrate",
            Self::Validate => "validate",
            Self::Rollback => "rollback",
            Self::Cleanup => "cleanup",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Complete => "complete",
        }
    }
}

/// Where a run is in its life. The text forms are part of the API and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A worker has it, or the next one that looks will.
    Running,
    /// Stands still until it is resumed.
    Paused,
    /// Ended by request; what it did stays done.
    Cancelled,
    /// Every item went well.
    Completed,
    /// Went through every item, and at least one failed.
    CompletedWithErrors,
    /// Gave up before its end.
    Failed,
}

impl State {
    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
            Self::CompletedWithErrors => "completed_with_errors",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing changes it any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }
}

/// What a running run was asked to do at its next slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Requested {
    Pause,
    Cancel,
}
