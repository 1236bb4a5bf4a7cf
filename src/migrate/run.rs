//! A run: one action that works through the items of one source, slice by slice.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Add;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::item::ItemId;
use super::line::{Line, Verdict};
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

/// What came of the items so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Items to go through, when the source could say so at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Items by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Size of the images that went well.
    pub bytes: u64,
    /// Bytes of database that became free.
    #[serde(default)]
    pub freed_bytes: u64,
    /// Characters of lines, line ends included: what a receipt must promise before it is written.
    pub line_bytes: u64,
    pub lines: u64,
    /// Slices in a row of which the bucket took nothing.
    #[serde(default)]
    pub stalls: u32,
    /// Time spent at work.
    pub active_ms: u64,
    pub operations: Operations,
    /// The first items that did not go well; the receipt has all.
    pub findings: Vec<Line>,
    pub warnings: Vec<String>,
}

/// What a run cost at the stores, or a dry run would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operations {
    /// Writes and listings.
    pub r2_class_a: u64,
    /// Reads.
    pub r2_class_b: u64,
    /// Round trips.
    pub d1_calls: u64,
    /// Statements.
    pub d1_queries: u64,
}

impl Operations {
    /// R2 class A operations for each image that moves: its put.
    pub const R2_CLASS_A_PER_MOVE: u64 = 1;
    /// D1 rows read for each image that moves, at most: its row, its chunk, its row again; a fourth is its share of what a slice
    /// reads.
    pub const D1_ROWS_READ_PER_MOVE: u64 = 4;
    /// D1 rows written for each image that moves, at most: its row, an index entry of it, the journal's entry; a fourth is its share
    /// of what a slice writes.
    pub const D1_ROWS_WRITTEN_PER_MOVE: u64 = 4;
}

impl Add for Operations {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            r2_class_a: self.r2_class_a + other.r2_class_a,
            r2_class_b: self.r2_class_b + other.r2_class_b,
            d1_calls: self.d1_calls + other.d1_calls,
            d1_queries: self.d1_queries + other.d1_queries,
        }
    }
}

/// How many findings a run's row holds: 100 of them are about 30 KB, rewritten with each slice.
pub const MAX_FINDINGS: usize = 100;

impl Progress {
    /// Counts a line, and keeps it when it tells of trouble and there is room.
    pub fn count(&mut self, line: &Line, text_bytes: usize) {
        *self.verdicts.entry(line.verdict()).or_default() += 1;
        self.lines += 1;
        self.line_bytes += text_bytes as u64;
        let is_trouble = line.verdict().is_failure() || line.verdict() == Verdict::Orphaned;
        if is_trouble && self.findings.len() < MAX_FINDINGS {
            self.findings.push(line.clone());
        }
        if !is_trouble && line.verdict() != Verdict::Skipped {
            self.bytes += line.size_bytes().unwrap_or(0);
        }
    }

    /// Items with this verdict.
    #[must_use]
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.verdicts.get(&verdict).copied().unwrap_or(0)
    }

    /// Items that did not go well.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.verdicts.iter().filter(|(verdict, _)| verdict.is_failure()).map(|(_, count)| count).sum()
    }

    /// Items that are as they were.
    #[must_use]
    pub fn left_alone(&self) -> u64 {
        self.failures() + self.of(Verdict::Skipped)
    }

    /// Items handled.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.verdicts.values().sum()
    }

    /// What a run that went through every item calls itself.
    #[must_use]
    pub fn final_state(&self) -> State {
        if self.failures() == 0 { State::Completed } else { State::CompletedWithErrors }
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
}
