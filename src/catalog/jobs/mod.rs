//! Jobs: rows of `stillstore_jobs`.
//!
//! ```text
//!         create            claim                  complete_job, with the output's commit
//! (no row) ----> queued -----------> processing --------------------------------------> completed
//!                  ^ \ cancel_job        | | \ fail_job, bury_job
//!                  |  `----> cancelled <-' |  `-----> failed
//!                  '---- retry_job --------'
//! ```
//!
//! - A worker's statements name its lease, so that one whose lease has expired changes nothing.
//! - A job that has ended stays as it is until its retention is over.

mod batch;
mod create;
mod list;
mod row;
mod transitions;

pub use list::{JobCursor, JobFilter, JobPage};
pub(in crate::catalog) use transitions::continue_job;
pub use transitions::{JobClaim, complete_job};

use serde::{Deserialize, Serialize};

use crate::image::{BatchId, ImageId, JobId, SessionId, Sha256Digest, UserId};
use crate::runtime::Timestamp;
use crate::sql::Holder;
use crate::store::StorageKind;

/// What a job does. The text forms are part of the API and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum JobKind {
    /// Makes an image of another.
    Edit,
    /// Says what is on an image.
    Describe,
    /// Says what is on the frames of a session.
    Analyze,
}

/// Where a job is in its life. The text forms are part of the API and of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum JobState {
    /// Waits for a worker, for the first time or again.
    Queued,
    /// A worker has it, or had it when it was killed.
    Processing,
    Completed,
    Failed,
    Cancelled,
}

/// How much work to put into an edit: what that means is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    #[default]
    Standard,
    Premium,
}

/// What a job works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobSubject {
    Image(ImageId),
    /// The frames of a session.
    Session(SessionId),
}

/// What was asked for; kept as JSON in one column. Empty once the image is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<Tier>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// The image whose transparent parts say what is to be edited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_id: Option<ImageId>,
}

/// Why a job, or an attempt of it, came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// A stable kebab-case word.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// A change of a job's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEvent {
    pub at_ms: Timestamp,
    pub state: JobState,
    /// How long the state before lasted; none at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<StorageKind>,
    /// Why the attempt before came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A job that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewJob {
    pub id: JobId,
    pub kind: JobKind,
    pub owner_id: Option<UserId>,
    pub subject: JobSubject,
    pub batch_id: Option<BatchId>,
    pub request: JobRequest,
    /// The image that it makes, if it makes one.
    pub output_id: Option<ImageId>,
    /// Calls of a model that it takes. They count if the owner has limits.
    pub calls: u32,
}

/// A whole row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub id: JobId,
    pub kind: JobKind,
    pub state: JobState,
    pub owner_id: Option<UserId>,
    pub subject: JobSubject,
    pub batch_id: Option<BatchId>,
    pub request: JobRequest,
    pub output_id: Option<ImageId>,
    pub attempts: u32,
    /// Calls of a model that its owner's limit has counted and that are still to be made.
    pub counted_calls: u32,
    pub error: Option<JobFailure>,
    pub events: Vec<JobEvent>,
    /// Of the request whose `Idempotency-Key` it has.
    pub body_digest: Option<Sha256Digest>,
    pub holder: Holder,
    pub due_at: Timestamp,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// How many jobs of a batch are in each state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchProgress {
    pub queued: u64,
    pub processing: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
}

impl JobKind {
    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Describe => "describe",
            Self::Analyze => "analyze",
        }
    }
}

impl JobState {
    /// Every state, in the order of a job's life.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Processing, Self::Completed, Self::Failed, Self::Cancelled];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing comes after it.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl Tier {
    /// Every tier.
    pub const ALL: [Self; 2] = [Self::Standard, Self::Premium];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Premium => "premium",
        }
    }
}

impl BatchProgress {
    /// All jobs of the batch.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.queued + self.processing + self.completed + self.failed + self.cancelled
    }
}

impl JobFailure {
    /// A failure with a stable word, and a sentence for people.
    #[must_use]
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into() }
    }
}

impl JobEvent {
    /// A change to `state` of which nothing more is to be told.
    #[must_use]
    pub const fn new(at_ms: Timestamp, state: JobState) -> Self {
        Self { at_ms, state, duration_ms: None, provider: None, storage_type: None, error: None }
    }
}
