//! What the caller wants of a run.

use serde::{Deserialize, Serialize};

use super::id::RunId;
use super::receipt_info::ReceiptInfo;
use super::state::Action;
use crate::image::{ImageId, ObjectKey};

/// What the caller wants of a run; does not change while it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The most items in a slice, 1 to 100.
    pub batch_size: u16,
    /// Objects on their way at once, 1 to 16.
    pub concurrency: u16,
    /// These items only; all when `None`. At most 1,000.
    pub item_ids: Option<Vec<String>>,
    /// What the public URL of an object starts with, for rows that name one.
    pub public_base: PublicBase,
    pub action: ActionParameters,
}

/// What the caller wants of one action. Those with `dry_run` read and decode everything then, and change nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionParameters {
    Migrate {
        dry_run: bool,
        /// Images that fell back only.
        fallback_only: bool,
    },
    Validate {
        /// Reads bytes back and hashes them.
        check_integrity: bool,
        /// Checks this many items, chosen evenly at random.
        sample_size: Option<u32>,
    },
    Rollback {
        dry_run: bool,
        /// Removes the copies of what is restored.
        delete_from_r2: bool,
    },
    Cleanup {
        dry_run: bool,
        /// Does not wait for the retention period.
        force: bool,
        /// Items moved by this run only.
        moved_by: Option<RunId>,
    },
    Backup,
    /// Looks whether the source can be switched off.
    Complete {
        /// Reads bytes back and hashes them.
        check_integrity: bool,
        /// For so long nobody may have read through.
        quiet_hours: u32,
    },
    Restore {
        dry_run: bool,
        backup: BackupRef,
    },
}

/// A backup, by the run that made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupRef {
    pub run_id: RunId,
    /// Names the part that each item is in.
    pub receipt: ReceiptInfo,
    /// Items that were saved.
    pub items: u64,
}

impl ActionParameters {
    /// The action itself.
    #[must_use]
    pub const fn action(&self) -> Action {
        match self {
            Self::Migrate { .. } => Action::Migrate,
            Self::Validate { .. } => Action::Validate,
            Self::Rollback { .. } => Action::Rollback,
            Self::Cleanup { .. } => Action::Cleanup,
            Self::Backup => Action::Backup,
            Self::Complete { .. } => Action::Complete,
            Self::Restore { .. } => Action::Restore,
        }
    }

    /// Whether the run reads and decodes everything and changes nothing, where it would change something otherwise.
    #[must_use]
    pub const fn is_dry_run(&self) -> bool {
        match self {
            Self::Migrate { dry_run, .. }
            | Self::Rollback { dry_run, .. }
            | Self::Cleanup { dry_run, .. }
            | Self::Restore { dry_run, .. } => *dry_run,
            Self::Validate { .. } | Self::Backup | Self::Complete { .. } => false,
        }
    }

    /// Whether the run changes its source or the bucket, so that no other may at the same time.
    #[must_use]
    pub const fn is_exclusive(&self) -> bool {
        !self.is_dry_run() && !matches!(self, Self::Validate { .. } | Self::Backup | Self::Complete { .. })
    }
}

/// What public URLs are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublicBase {
    /// The bucket's own domain: `{base}/{key}`.
    Bucket(String),
    /// The Worker: `{base}/images/{id}`.
    Worker(String),
}

impl PublicBase {
    /// The public URL of an object.
    #[must_use]
    pub fn url(&self, key: &ObjectKey, id: ImageId) -> String {
        match self {
            Self::Bucket(base) => [base, "/", &key.as_path()].concat(),
            Self::Worker(base) => [base, "/images/", &id.to_string()].concat(),
        }
    }

    /// What the public URLs of objects start with whose keys start with `keys`.
    #[must_use]
    pub fn prefix(&self, keys: &str) -> String {
        match self {
            Self::Bucket(base) => [base, "/", keys].concat(),
            Self::Worker(base) => [base, "/images/"].concat(),
        }
    }
}
