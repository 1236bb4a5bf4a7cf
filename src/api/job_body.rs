//! How jobs look in answers. Names are those that the clients of shoots know, with underscores.

use serde::Serialize;

use super::representation::url_of;
use super::{Code, Exchange, Problem};
use crate::catalog::ImageRecord;
use crate::catalog::jobs::{Job, JobEvent, JobKind, JobState, JobSubject, Tier};
use crate::image::{BatchId, ImageId, JobId, SessionId};
use crate::jobs::{CreateError, MAX_BATCH_JOBS};
use crate::store::StorageKind;

/// A job.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Job"))]
pub struct JobBody<'job> {
    id: JobId,
    kind: JobKind,
    status: JobState,
    /// The image that it works on.
    asset_id: Option<ImageId>,
    /// The session whose frames it works on.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'job SessionId>,
    /// The batch that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<BatchId>,
    /// Gone when the image is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<&'job str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tier: Option<Tier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<&'job str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mask_id: Option<ImageId>,
    /// How often it was tried.
    attempts: u32,
    /// The image that it made, as long as that is there.
    output_id: Option<ImageId>,
    /// The key of its object.
    output_path: Option<&'job str>,
    /// Lives for an hour if the image is private.
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    output_url: Option<String>,
    /// Why it failed, for people.
    error: Option<&'job str>,
    /// The same as a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'job str>,
    /// What became of it so far, oldest first.
    events: Vec<EventBody<'job>>,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    created_at: String,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    updated_at: String,
}

/// A change of a job's state.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "JobEvent"))]
struct EventBody<'job> {
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    time: String,
    state: JobState,
    /// How long the state before lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'job str>,
    /// Where the output's bytes were stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    storage_type: Option<StorageKind>,
    /// Why the attempt before came to nothing, as a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'job str>,
}

impl<'job> JobBody<'job> {
    /// The job as answers show it, with that of `outputs` that it made.
    pub(super) fn new(exchange: &Exchange<'_>, job: &'job Job, outputs: &'job [ImageRecord], origin: &str) -> Self {
        let (asset_id, session_id) = match &job.subject {
            JobSubject::Image(id) => (Some(*id), None),
            JobSubject::Session(id) => (None, Some(id)),
        };
        let is_made = |output: &&ImageRecord| job.output_id == Some(output.description.id);
        let output = outputs.iter().find(is_made).filter(|_| job.state == JobState::Completed);
        Self {
            id: job.id,
            kind: job.kind,
            status: job.state,
            asset_id,
            session_id,
            batch_id: job.batch_id,
            prompt: job.request.prompt.as_deref(),
            tier: job.request.tier,
            size: job.request.size.as_deref(),
            mask_id: job.request.mask_id,
            attempts: job.attempts,
            output_id: output.map(|output| output.description.id),
            output_path: output.map(|output| output.description.key.as_str()),
            output_url: output.map(|output| url_of(exchange, output, origin).0),
            error: job.error.as_ref().map(|failure| failure.detail.as_str()),
            error_code: job.error.as_ref().map(|failure| failure.code.as_str()),
            events: job.events.iter().map(EventBody::new).collect(),
            created_at: job.created_at.to_iso8601(),
            updated_at: job.updated_at.to_iso8601(),
        }
    }
}

impl<'job> EventBody<'job> {
    fn new(event: &'job JobEvent) -> Self {
        Self {
            time: event.at_ms.to_iso8601(),
            state: event.state,
            duration_ms: event.duration_ms,
            provider: event.provider.as_deref(),
            storage_type: event.storage_type,
            error: event.error.as_deref(),
        }
    }
}

impl Exchange<'_> {
    /// What these jobs made, as far as it is there.
    pub(super) async fn outputs_of(&self, jobs: &[Job]) -> Result<Vec<ImageRecord>, Problem> {
        let completed = jobs.iter().filter(|job| job.state == JobState::Completed);
        let ids: Vec<ImageId> = completed.filter_map(|job| job.output_id).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.library.catalog.find_all_stored(&ids).await?)
    }
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Catalog(error) => error.into(),
            CreateError::NoEditor => Self::plain(Code::EditorNotConfigured),
            CreateError::NoVision => Self::plain(Code::VisionNotConfigured),
            CreateError::NoQuestions => {
                Self::field("prompt", "is for models; VISION_PROVIDER names none, so leave it out")
            }
            CreateError::NoFrames => Self::plain(Code::SessionEmpty),
            CreateError::Format(format) => {
                Self::field("asset_id", format!("is an image of type {format}, which the editor does not take"))
            }
            CreateError::TooLarge { limit_bytes } => {
                Self::field("asset_id", format!("must have at most {limit_bytes} bytes for the editor"))
            }
            CreateError::NoAssets => Self::plain(Code::ShootEmpty),
            CreateError::TooManyAssets => {
                Self::new(Code::ShootTooLarge, format!("a batch has at most {MAX_BATCH_JOBS} jobs"))
            }
            CreateError::KeyReused => Self::plain(Code::IdempotencyKeyReused),
            CreateError::Limit(limit) => limit.into(),
        }
    }
}
