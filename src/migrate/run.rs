//! A run: one action that works through the items of one source, slice by slice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::item::ItemId;
use super::progress::Progress;
use crate::image::{ImageId, ObjectKey, Sha256Digest};
use crate::runtime::Timestamp;

/// The name of a run: 32 lower-case hexadecimal digits, random.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RunId(String);

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidRunId;

impl RunId {
    /// An id from sixteen random bytes.
    #[must_use]
    pub fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(hex::encode(bytes))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the run's receipt goes.
    #[must_use]
    pub fn receipt_key(&self) -> ObjectKey {
        ObjectKey::of_record("receipts", &self.0)
    }

    /// What the keys of the run's backup start with.
    #[must_use]
    pub fn backup_prefix(&self) -> String {
        format!("stillstore/backups/{}/", self.0)
    }

    /// Where a part of the run's backup goes; parts count from 0.
    #[must_use]
    pub fn backup_part_key(&self, part: u64) -> ObjectKey {
        ObjectKey::of_record("backups", &format!("{}/{part:06}", self.0))
    }
}

impl FromStr for RunId {
    type Err = InvalidRunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if text.len() == 32 && is_hex { Ok(Self(text.to_owned())) } else { Err(InvalidRunId) }
    }
}

impl TryFrom<String> for RunId {
    type Error = InvalidRunId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.0
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for InvalidRunId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a run id is 32 lower-case hexadecimal digits")
    }
}

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

/// An object that a slice is about to put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InFlight {
    pub item: ItemId,
    pub key: ObjectKey,
}

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

/// A whole row of `stillstore_runs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: RunId,
    pub action: Action,
    pub source: String,
    pub parameters: Parameters,
    pub state: State,
    pub requested: Option<Requested>,
    pub progress: Progress,
    /// Where the next slice begins, in the words of the action; `None` at the start.
    pub cursor: Option<serde_json::Value>,
    pub in_flight: Vec<InFlight>,
    pub slices: u64,
    pub lease_token: Option<String>,
    pub lease_expires_at: Timestamp,
    pub receipt: Option<ReceiptInfo>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

impl Run {
    /// Whether the run changes its source or the bucket, so that no other may at the same time.
    #[must_use]
    pub const fn is_exclusive(action: Action, dry_run: bool) -> bool {
        match action {
            Action::Migrate | Action::Rollback | Action::Cleanup | Action::Restore => !dry_run,
            Action::Validate | Action::Backup => false,
        }
    }

    /// How many items there are, about: counted or estimated when the run began, and once a migration has ended as many as it met.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        match (self.action, self.state) {
            (Action::Migrate, State::Completed | State::CompletedWithErrors) => Some(self.progress.done()),
            _ => self.progress.total,
        }
    }
}
