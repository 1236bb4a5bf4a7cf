//! What is worth telling: events, and the fields that they log.

use serde::Serialize;

use crate::image::{FailedProvider, ImageId};

/// How something ended: `ok`, or a stable kebab-case code.
pub type Outcome = &'static str;

/// One event. Fields never hold secrets, prompts or query strings.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A request was answered.
    Request {
        method: String,
        route: &'static str,
        status: u16,
        outcome: Outcome,
        duration_ms: u64,
        /// The inside message of an error, for the operator only.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// A store did something.
    Storage {
        operation: &'static str,
        backend: &'static str,
        bucket: &'static str,
        /// Whose bytes they are; none of a receipt's. Never a key, which may hold a file name.
        #[serde(skip_serializing_if = "Option::is_none")]
        image_id: Option<ImageId>,
        bytes: u64,
        duration_ms: u64,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// A provider was asked for an image.
    Generation {
        provider: &'static str,
        outcome: Outcome,
        duration_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        total_tokens: Option<u64>,
        /// Providers that were tried before, and why they did not do.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        failed_providers: Vec<FailedProvider>,
    },
    /// A variant of an image was made, or could not be.
    Variant {
        image_id: ImageId,
        outcome: Outcome,
        bytes: u64,
        /// Whether it was kept for the next request.
        kept: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// The first-choice store failed and the second took the bytes.
    Fallback { image_id: ImageId, reason: String },
    /// An upload came to nothing and was answered with the default image.
    DefaultImage {
        /// The code of the problem.
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// Vars or secrets that cannot be used.
    Configuration { problems: Vec<ConfigProblem> },
    /// A message of the queue was worked on.
    Message {
        /// The run that it names, when it can be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        run_id: Option<String>,
        duration_ms: u64,
        outcome: Outcome,
    },
    /// A worker did its part of a run.
    Run {
        run_id: String,
        /// The run's state, or why the worker stopped.
        outcome: Outcome,
        items: u64,
        failures: u64,
        duration_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// A worker did its part of a job.
    Job {
        job_id: String,
        kind: &'static str,
        /// `ok`, `lost` to another worker or a cancellation, `retry` or `failed`.
        outcome: Outcome,
        attempt: u32,
        duration_ms: u64,
        /// The code of the failure.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// An image was fetched for somebody who reads it, and moved; or it could not be.
    ReadThrough {
        source: String,
        /// `ok`, `failed`, or why the source did not give it.
        outcome: Outcome,
        bytes: u64,
        duration_ms: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// The queue did not take a run or a job; cron takes it up.
    HandOn { run_id: String, cause: String },
    /// Moved images could not be made rows of the catalogue; cron does it.
    Adoption { cause: String },
    /// The images of a source could not be counted.
    Count { source: String, outcome: Outcome, cause: String },
    /// Somebody outside was told of an alert.
    Alert {
        name: String,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// The cache in front was told to forget images.
    Purge {
        images: usize,
        duration_ms: u64,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// Left-overs of interrupted work were cleared.
    Sweep {
        images: u64,
        blobs: u64,
        idempotency_keys: u64,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
    /// Uploads whose grants are over were looked at.
    UploadSweep {
        uploads: u64,
        outcome: Outcome,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
}

impl Event {
    /// Whether the event is a failure of ours, for the log level.
    #[must_use]
    pub fn is_error(&self) -> bool {
        match self {
            Self::Request { status, .. } => *status >= 500,
            Self::Storage { outcome, .. }
            | Self::Sweep { outcome, .. }
            | Self::Alert { outcome, .. }
            | Self::Purge { outcome, .. }
            | Self::UploadSweep { outcome, .. }
            | Self::Generation { outcome, .. }
            | Self::Message { outcome, .. } => *outcome != "ok",
            Self::Run { cause, failures, .. } => cause.is_some() || *failures > 0,
            Self::Job { outcome, .. } => *outcome == "failed",
            // What a source does not have is no failure.
            Self::ReadThrough { outcome, .. } => {
                matches!(*outcome, "failed" | "unreachable" | "timeout" | "rate-limited")
            }
            // That an image cannot be decoded is no failure of ours.
            Self::Variant { outcome, kept, .. } => *outcome == "ok" && !kept,
            Self::Fallback { .. }
            | Self::DefaultImage { .. }
            | Self::Configuration { .. }
            | Self::HandOn { .. }
            | Self::Adoption { .. }
            | Self::Count { .. } => true,
        }
    }
}

/// One variable that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ConfigProblem {
    pub variable: &'static str,
    /// What is expected, for anyone to read. Never holds anything of the value.
    pub rule: String,
    /// The name in the value that breaks the rule, for the operator only. Never of a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
}
