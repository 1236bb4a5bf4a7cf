//! What the caller wants of a run.

use serde::{Deserialize, Serialize};

use super::id::RunId;
use super::receipt_info::ReceiptInfo;
use crate::image::{ImageId, ObjectKey};

/// What the caller wants of a run; does not change while it lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "each is a field of a request")]
pub struct Parameters {
    /// Reads and decodes everything, changes nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// The most items in a slice, 1 to 100.
    pub batch_size: u16,
    /// Objects on their way at once, 1 to 16.
    pub concurrency: u16,
    /// These items only; all when `None`. At most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_ids: Option<Vec<String>>,
    /// Reads bytes back and hashes them.
    #[serde(default)]
    pub check_integrity: bool,
    /// Checks this many items, chosen evenly at random.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_size: Option<u32>,
    #[serde(default)]
    pub delete_from_r2: bool,
    /// Does not wait for the retention period.
    #[serde(default)]
    pub force: bool,
    /// Images that fell back only.
    #[serde(default)]
    pub fallback_only: bool,
    /// Items moved by this run only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_by: Option<RunId>,
    /// What the public URL of an object starts with, for rows that name one.
    pub public_base: PublicBase,
    /// The backup that a restore reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup: Option<BackupRef>,
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

impl Parameters {
    /// Everything, for real, with nothing asked for beyond.
    #[must_use]
    pub const fn new(batch_size: u16, concurrency: u16, public_base: PublicBase) -> Self {
        Self {
            dry_run: false,
            batch_size,
            concurrency,
            item_ids: None,
            check_integrity: false,
            sample_size: None,
            delete_from_r2: false,
            force: false,
            fallback_only: false,
            moved_by: None,
            public_base,
            backup: None,
        }
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
            Self::Bucket(base) => [base, "/", key.as_str()].concat(),
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
