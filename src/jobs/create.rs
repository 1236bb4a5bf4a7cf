//! Making jobs.

use super::look::{MAX_FRAMES, calls_for};
use super::{Jobs, message};
use crate::catalog::jobs::{Job, JobKind, JobRequest, JobSubject, NewJob};
use crate::catalog::{CatalogError, IdempotencyKey, ImageRecord, LimitReached};
use crate::edit::Editor;
use crate::generate::Prompt;
use crate::image::{ImageId, JobId, Sha256Digest, UserId};
use crate::queue::MESSAGES_AT_ONCE;
use crate::telemetry::Event;

/// Why no job was made.
#[derive(Debug)]
pub enum CreateError {
    Catalog(CatalogError),
    /// No editor is configured.
    NoEditor,
    /// No vision provider is configured.
    NoVision,
    /// The vision provider answers no questions.
    NoQuestions,
    /// The session has no frames.
    NoFrames,
    /// The editor does not take pictures of this format.
    Format(&'static str),
    /// The editor takes so many bytes at most.
    TooLarge {
        limit_bytes: u64,
    },
    /// The shoot has no asset that the editor takes.
    NoAssets,
    /// The shoot has more assets than a batch has jobs.
    TooManyAssets,
    /// The key was used for another request.
    KeyReused,
    /// The image's owner may not have what the job would make.
    Limit(LimitReached),
}

impl From<CatalogError> for CreateError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl Jobs {
    /// Makes a job that edits `original`, and tells the queue. With a key that was used before within a day, the job of then is the answer,
    /// and `false`. What is made counts for the image's owner from here on.
    ///
    /// # Errors
    /// [`CreateError`]; after one of the catalogue the job may be there.
    pub async fn create_edit(
        &self,
        original: &ImageRecord,
        request: JobRequest,
        key: Option<&IdempotencyKey>,
    ) -> Result<(Job, bool), CreateError> {
        require_editable(self.editor.as_deref(), original)?;
        let description = &original.description;
        let new = NewJob {
            id: JobId::from_random_bytes(self.library.runtime.random_bytes()),
            kind: JobKind::Edit,
            owner_id: description.owner_id.clone(),
            subject: JobSubject::Image(description.id),
            batch_id: None,
            request,
            output_id: Some(ImageId::from_random_bytes(self.library.runtime.random_bytes())),
            calls: 0,
        };
        let body_digest = digest(description.id, &new.request);
        self.create(new, key, body_digest).await
    }

    /// Makes a job that looks at an image, or at a session's frames, and answers a question about them, as [`Jobs::create_edit`] makes one that edits.
    ///
    /// # Errors
    /// [`CreateError`]; after one of the catalogue the job may be there.
    pub async fn create_look(
        &self,
        subject: JobSubject,
        owner_id: Option<UserId>,
        question: Option<Prompt>,
        key: Option<&IdempotencyKey>,
    ) -> Result<(Job, bool), CreateError> {
        let vision = self.vision.as_ref().ok_or(CreateError::NoVision)?;
        if question.is_some() && !vision.answers_questions() {
            return Err(CreateError::NoQuestions);
        }
        // What costs nothing counts for nothing.
        let asks_model = vision.model().is_some();
        let (kind, named, calls) = match &subject {
            JobSubject::Image(id) => (JobKind::Describe, format!("describe {id}"), 1),
            JobSubject::Session(id) => {
                let is_counted = asks_model && self.library.catalog.limited(owner_id.as_ref()).is_some();
                let most = if is_counted { MAX_FRAMES } else { 1 };
                let sizes_bytes = self.library.catalog.frame_sizes(id, most).await?;
                if sizes_bytes.is_empty() {
                    return Err(CreateError::NoFrames);
                }
                (JobKind::Analyze, format!("analyze {id}"), calls_for(&sizes_bytes))
            }
        };
        let calls = if asks_model { calls } else { 0 };
        let new = NewJob {
            id: JobId::from_random_bytes(self.library.runtime.random_bytes()),
            kind,
            owner_id,
            subject,
            batch_id: None,
            request: JobRequest { prompt: question.map(|prompt| prompt.as_str().to_owned()), ..JobRequest::default() },
            output_id: None,
            calls,
        };
        let named = new.request.prompt.as_ref().map_or(named.clone(), |question| format!("{named} {question}"));
        self.create(new, key, Sha256Digest::of(named.as_bytes())).await
    }

    async fn create(
        &self,
        new: NewJob,
        key: Option<&IdempotencyKey>,
        body_digest: Sha256Digest,
    ) -> Result<(Job, bool), CreateError> {
        let runtime = &self.library.runtime;
        let key = key.map(|key| (key, body_digest));
        let catalog = &self.library.catalog;
        if let Some((key, _)) = key
            && let Some(job) = catalog.find_job_by_key(key, runtime.now()).await?
        {
            return replayed(job, body_digest);
        }
        // Once more after a failure: the first may have taken effect, and making a job twice is making it once.
        let made = match catalog.create_job(&new, key, runtime.now()).await {
            Err(_) => catalog.create_job(&new, key, runtime.now()).await?,
            Ok(made) => made,
        };
        let job = made.map_err(CreateError::Limit)?;
        if job.id != new.id {
            if let Some(output_id) = new.output_id {
                // Best effort: the sweep gives back what stays.
                let _ = catalog.release_usage(output_id).await;
            }
            return replayed(job, body_digest);
        }
        self.tell(&[job.id], 0).await;
        Ok((job, true))
    }

    /// Tells the queue of jobs, not to be worked on for `delay_s` seconds. Best effort: cron takes up those that nobody works on.
    pub(super) async fn tell(&self, ids: &[JobId], delay_s: u32) {
        let Some(queue) = &self.queue else { return };
        for ids in ids.chunks(MESSAGES_AT_ONCE) {
            let messages: Vec<_> = ids.iter().copied().map(message).collect();
            if let Err(cause) = queue.send_all(&messages, delay_s).await {
                self.library.recorder.record(&Event::HandOn { run_id: "none".to_owned(), cause });
            }
        }
    }
}

/// Whether the editor takes an image.
pub(super) fn require_editable(editor: Option<&dyn Editor>, original: &ImageRecord) -> Result<(), CreateError> {
    let editor = editor.ok_or(CreateError::NoEditor)?;
    let format = original.description.format;
    if !editor.takes(format) {
        return Err(CreateError::Format(format.content_type()));
    }
    let limit_bytes = editor.max_bytes();
    if original.content.as_ref().is_some_and(|content| content.size_bytes > limit_bytes) {
        return Err(CreateError::TooLarge { limit_bytes });
    }
    Ok(())
}

/// The answer to a request whose key has a job already.
fn replayed(job: Job, body_digest: Sha256Digest) -> Result<(Job, bool), CreateError> {
    if job.body_digest == Some(body_digest) { Ok((job, false)) } else { Err(CreateError::KeyReused) }
}

/// A digest of everything that a request asks for, to tell whether a key is used for the same request again.
fn digest(image: ImageId, request: &JobRequest) -> Sha256Digest {
    // Serialising strings cannot fail; JSON keeps the parts apart.
    Sha256Digest::of(&serde_json::to_vec(&(image, request)).unwrap_or_default())
}
