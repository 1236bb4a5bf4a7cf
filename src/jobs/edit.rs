//! Jobs that make an image of another.

use super::Jobs;
use super::cause::{Cause, gone};
use super::work::Attempted;
use crate::bytes::Blob;
use crate::catalog::jobs::{Job, JobEvent, JobState, JobSubject, complete_job};
use crate::catalog::{GenerationRecord, ImageRecord, ServableImage};
use crate::edit::{EditRequest, Editor, Picture};
use crate::generate::{GenerateError, GeneratedImage, ImageFile, MAX_GENERATED_BYTES, Prompt, Quality, Size};
use crate::image::{ImageId, Labels};
use crate::library::{AddError, Measured, NewImage, Output, OutputLeft, Source};
use crate::runtime::within;
use crate::sql::{DatabaseErrorKind, Lease};
use crate::telemetry::Event;

impl Jobs {
    /// Makes the output of a job, which completes it:
    ///
    /// 1. look what earlier attempts left: bytes that were stored are taken, and nobody is paid again;
    /// 2. count the image for its owner;
    /// 3. read the original, and ask the editor;
    /// 4. add the image under a key that is a function of the job, and complete the job in the same transaction.
    pub(super) async fn edit(&self, job: &Job, lease: &Lease) -> Attempted {
        match self.try_edit(job, lease).await {
            Ok(attempted) => attempted,
            Err(cause) => Attempted::Failed(cause),
        }
    }

    async fn try_edit(&self, job: &Job, lease: &Lease) -> Result<Attempted, Cause> {
        let library = &self.library;
        let editor = self.editor.as_deref();
        let editor = editor.ok_or_else(|| Cause::lasting("editor-not-configured", "EDIT_PROVIDER is not set"))?;
        let JobSubject::Image(image_id) = job.subject else { return Err(gone()) };
        let original = library.catalog.find_stored(image_id).await?.ok_or_else(gone)?;
        let request = edit_request(job)?;
        let mut output_id = job.output_id.ok_or_else(gone)?;
        let mut made = None;
        if job.attempts > 1 {
            match library.output_left(output_id, MAX_GENERATED_BYTES).await? {
                OutputLeft::Nothing => {}
                OutputLeft::Bytes(bytes) => made = ImageFile::inspect(bytes.to_vec()).ok().map(GeneratedImage::new),
                // Only a job that is completed has one.
                OutputLeft::Stored(_) => return Ok(Attempted::Lost),
                OutputLeft::GivenUp => match self.another_output(job, lease).await? {
                    Some(another) => output_id = another,
                    None => return Ok(Attempted::Lost),
                },
            }
        }
        if let Some(owner) = library.catalog.limited(job.owner_id.as_ref()) {
            library.catalog.claim_generation(owner, output_id, library.runtime.now()).await??;
        }
        let made = match made {
            Some(made) => made,
            None => self.ask(editor, &request, &original, job).await?,
        };
        self.add_output(editor, &request, original, made, job, output_id, lease).await
    }

    /// An image of another id for the job to make; `None` when the worker has the job no more.
    async fn another_output(&self, job: &Job, lease: &Lease) -> Result<Option<ImageId>, Cause> {
        let output_id = ImageId::from_random_bytes(self.library.runtime.random_bytes());
        let is_ours = self.library.catalog.replace_output(job.id, lease, output_id).await?;
        Ok(is_ours.then_some(output_id))
    }

    /// Has the editor make the picture.
    async fn ask(
        &self,
        editor: &dyn Editor,
        request: &EditRequest,
        original: &ImageRecord,
        job: &Job,
    ) -> Result<GeneratedImage, Cause> {
        let library = &self.library;
        let busy = || Cause::passing("busy", "the Worker has as much work as it has memory for");
        let lifetime_ms = u64::try_from(self.settings.lease_ms).unwrap_or(u64::MAX);
        let runtime = &library.runtime;
        let memory = library
            .budget
            .take_for_generation(request.prompt.as_str().len(), lifetime_ms, &**runtime)
            .ok_or_else(busy)?;
        let mask = match job.request.mask_id {
            None => None,
            Some(id) => Some(
                library
                    .catalog
                    .find_stored(id)
                    .await?
                    .ok_or_else(|| Cause::lasting("mask-not-found", "the mask is not there any more"))?,
            ),
        };
        let size_bytes = size_bytes(original) + mask.as_ref().map_or(0, size_bytes);
        if size_bytes > editor.max_bytes() {
            let detail = format!("the editor takes at most {} bytes", editor.max_bytes());
            return Err(Cause::lasting("image-too-large", detail));
        }
        if !memory.hold_originals(size_bytes).await {
            return Err(busy());
        }
        let picture = self.read(original).await?;
        let mask = match &mask {
            Some(mask) => Some(self.read(mask).await?),
            None => None,
        };
        let started_at = runtime.now();
        let edit = editor.edit(request, picture, mask, &memory);
        let outcome = within(runtime, self.settings.timeout_ms, edit).await.unwrap_or(Err(GenerateError::Timeout));
        memory.give_originals_back();
        library.recorder.record(&Event::Generation {
            provider: editor.name(),
            outcome: outcome.as_ref().map_or_else(GenerateError::reason, |_| "ok"),
            duration_ms: runtime.now().millis_since(started_at),
            total_tokens: outcome.as_ref().ok().and_then(|made| made.total_tokens),
            failed_providers: Vec::new(),
        });
        Ok(outcome?)
    }

    /// A stored image as an editor takes it.
    async fn read(&self, record: &ImageRecord) -> Result<Picture, Cause> {
        Ok(Picture { bytes: self.bytes_of(record).await?, format: record.description.format })
    }

    /// The bytes of a stored image.
    pub(super) async fn bytes_of(&self, record: &ImageRecord) -> Result<Blob, Cause> {
        let image = ServableImage::of_record(record).ok_or_else(super::cause::gone)?;
        let object = self.library.open(&image, None).await?;
        let bytes = object.body.collect(image.size_bytes).await;
        bytes.map_err(|_| Cause::passing("storage-unavailable", "the bytes of the image broke off"))
    }

    #[expect(clippy::too_many_arguments, reason = "what an attempt has gathered")]
    async fn add_output(
        &self,
        editor: &dyn Editor,
        request: &EditRequest,
        original: ImageRecord,
        made: GeneratedImage,
        job: &Job,
        output_id: ImageId,
        lease: &Lease,
    ) -> Result<Attempted, Cause> {
        let library = &self.library;
        let event = JobEvent {
            provider: Some(editor.name().to_owned()),
            ..JobEvent::new(library.runtime.now(), JobState::Completed)
        };
        let completion = complete_job(job.id, lease, &event)
            .map_err(|_| Cause::passing("internal-error", "the job cannot be completed"))?;
        let parent = original.description;
        let generation = generation(editor, request, &made);
        let file = made.file;
        let image = NewImage {
            id: Some(output_id),
            created_at: library.runtime.now(),
            owner_id: parent.owner_id.clone(),
            format: file.format(),
            dimensions: Measured::Known(file.geometry()),
            body: file.into_bytes().into(),
            sha256: None,
            visibility: parent.visibility,
            associations: parent.associations.clone(),
            labels: Labels::default(),
            source: Source::Output(Box::new(Output { job: job.id, parent, generation, completion })),
            prompt_in_metadata: self.settings.prompt_in_metadata,
            idempotency: None,
        };
        match library.add(image).await {
            Ok(_) => Ok(Attempted::Completed),
            Err(AddError::Limit(limit)) => Err(limit.into()),
            Err(AddError::Store(error)) => Err(error.into()),
            Err(AddError::Superseded) => match self.another_output(job, lease).await? {
                Some(_) => Err(Cause::passing("output-superseded", "the row of the output was given up")),
                None => Ok(Attempted::Lost),
            },
            Err(AddError::Catalog(error)) if error.kind() == DatabaseErrorKind::Constraint => {
                self.why_refused(job, output_id, lease).await
            }
            Err(AddError::Catalog(error)) => Err(error.into()),
        }
    }

    /// What stood in the way of a commit that the database refused: the worker has the job no more, or the shoot takes no images any more.
    async fn why_refused(&self, job: &Job, output_id: ImageId, lease: &Lease) -> Result<Attempted, Cause> {
        let library = &self.library;
        let now = library.catalog.find_job(job.id, &crate::catalog::OwnerFilter::Any).await?;
        let is_ours = now.is_some_and(|job| job.state == JobState::Processing && job.holder.has(lease));
        if is_ours {
            // Its bytes are swept.
            library.catalog.abandon(output_id, library.runtime.now()).await?;
            return Err(Cause::lasting("shoot-not-found", "the shoot of the image was deleted"));
        }
        Ok(Attempted::Lost)
    }
}

pub(super) fn size_bytes(record: &ImageRecord) -> u64 {
    record.content.as_ref().map_or(0, |content| content.size_bytes)
}

/// What the job asks for. Nothing is left of it when the image was deleted.
fn edit_request(job: &Job) -> Result<EditRequest, Cause> {
    let prompt = job.request.prompt.as_deref().ok_or_else(gone)?;
    let unreadable = |_| Cause::lasting("request-unreadable", "this version does not take what the job asks for");
    Ok(EditRequest {
        prompt: Prompt::parse(prompt).map_err(unreadable)?,
        tier: job.request.tier.unwrap_or_default(),
        size: job.request.size.as_deref().map_or(Ok(Size::Auto), Size::parse).map_err(unreadable)?,
    })
}

/// What to remember of an output: what was asked, and who made it.
fn generation(editor: &dyn Editor, request: &EditRequest, made: &GeneratedImage) -> GenerationRecord {
    GenerationRecord {
        provider: editor.name().to_owned(),
        model: made.model.clone(),
        prompt: request.prompt.as_str().to_owned(),
        prompt_cut: false,
        size: request.size.text().into_owned(),
        quality: editor.tier(request.tier).quality.map(|quality: Quality| quality.as_str().to_owned()),
        style: None,
        background: None,
        output_format: None,
        output_compression: None,
        revised_prompt: made.revised_prompt.clone(),
        total_tokens: made.total_tokens,
        failed_providers: Vec::new(),
        original_url: made.original_url.clone(),
    }
}
