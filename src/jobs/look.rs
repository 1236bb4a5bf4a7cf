//! Jobs that look at an image, or at the frames of a session.

use super::Jobs;
use super::cause::{Cause, gone};
use super::edit::size_bytes;
use super::work::Attempted;
use crate::catalog::jobs::{Job, JobEvent, JobState, JobSubject};
use crate::catalog::{AnalysisPart, ImageRecord, OwnerFilter};
use crate::generate::GenerateError;
use crate::runtime::within;
use crate::sql::{DatabaseErrorKind, Lease};
use crate::variants::Measures;
use crate::vision::{Analysis, BYTES_AT_ONCE, Look, PICTURES_AT_ONCE, Picture, Seen, Vision};

/// The most frames of a session that an analysis has: with the longest texts, as many as a row may hold.
pub(super) const MAX_FRAMES: u16 = 1_000;
/// Frames that a worker asks for: those of one call, and whether there are more.
const FRAMES_AND_ONE: u16 = 17;

const _: () = assert!(FRAMES_AND_ONE as usize == PICTURES_AT_ONCE + 1);

/// What a worker looks at.
struct Slice {
    records: Vec<ImageRecord>,
    /// Whether the session has frames after them.
    has_more: bool,
}

impl Jobs {
    /// Looks at the subject of a job:
    ///
    /// 1. read what earlier workers came to;
    /// 2. read the next pictures, as many as one call takes, and have the provider look at them;
    /// 3. keep what it found. In the same transaction, the job is completed if these were the last, and otherwise given back, so that a worker
    ///    of a long session is gone before its time is over, and nothing is paid for twice after a crash.
    pub(super) async fn look(&self, job: &Job, lease: &Lease) -> Attempted {
        match self.try_look(job, lease).await {
            Ok(attempted) => attempted,
            Err(cause) => Attempted::Failed(cause),
        }
    }

    async fn try_look(&self, job: &Job, lease: &Lease) -> Result<Attempted, Cause> {
        let library = &self.library;
        let vision = self.vision.as_deref();
        let vision = vision.ok_or_else(|| Cause::lasting("vision-not-configured", "VISION_PROVIDER cannot be used"))?;
        let begun = match &job.subject {
            JobSubject::Image(_) => None,
            JobSubject::Session(_) => library.catalog.begun_analysis(job.id).await?,
        };
        // Of another provider, it begins anew.
        let begun = begun.and_then(|kept| {
            let analysis = Analysis::from_json(&kept.answer).filter(|analysis| analysis.is_of(vision))?;
            Some((analysis, kept.last_ordinal?))
        });
        let (mut analysis, after_ordinal) = match begun {
            Some((analysis, last)) => (analysis, Some(last)),
            None => (Analysis::new(vision), None),
        };
        let slice = self.slice(&job.subject, after_ordinal).await?;
        if slice.records.is_empty() && analysis.pictures.is_empty() {
            return Err(Cause::lasting("session-empty", "the session has no frames any more"));
        }
        let found = self.seen(vision, &slice.records, job.request.prompt.as_deref()).await?;
        if let ([seen], JobSubject::Image(_)) = (&found.pictures[..], &job.subject)
            && let Some(code) = seen.error
        {
            return Err(Cause::lasting(code, "the image cannot be looked at"));
        }
        analysis.summaries.extend(found.summary);
        let measured = slice.records.iter().zip(&found.pictures).filter(|(record, _)| record.placeholder.is_none());
        let placeholders = measured.filter_map(|(record, seen)| {
            Some((record.description.id, seen.measures.as_ref().and_then(Measures::placeholder)?))
        });
        let placeholders = placeholders.collect();
        for (record, seen) in slice.records.iter().zip(found.pictures) {
            analysis.add(record, seen);
        }
        let too_large = |what: &str| Cause::lasting("session-too-large", what.to_owned());
        if analysis.pictures.len() > usize::from(MAX_FRAMES)
            || (slice.has_more && analysis.pictures.len() == usize::from(MAX_FRAMES))
        {
            return Err(too_large("the session has more frames than an analysis has"));
        }
        let answer = analysis.to_json().map_err(|_| too_large("the analysis is longer than is kept"))?;
        let last = slice.records.last().and_then(|record| record.description.frame.as_ref());
        let completion = JobEvent {
            provider: Some(vision.name().to_owned()),
            ..JobEvent::new(library.runtime.now(), JobState::Completed)
        };
        let part = AnalysisPart {
            answer,
            last_ordinal: last.map(|place| place.ordinal).or(after_ordinal),
            after_ordinal,
            completion: (!slice.has_more).then_some(completion),
            placeholders,
        };
        self.keep(job, lease, &part).await
    }

    async fn keep(&self, job: &Job, lease: &Lease, part: &AnalysisPart) -> Result<Attempted, Cause> {
        let library = &self.library;
        let keep = || library.catalog.keep_analysis(job, lease, part, library.runtime.now());
        // Once more after a failure: if the first took effect, the second is refused, since the worker has the job no more.
        let (kept, is_second) = match keep().await {
            Err(error) if error.kind() != DatabaseErrorKind::Constraint => (keep().await, true),
            kept => (kept, false),
        };
        match kept {
            Ok(()) if part.completion.is_some() => Ok(Attempted::Completed),
            Ok(()) => Ok(Attempted::Continued),
            Err(error) if error.kind() == DatabaseErrorKind::Constraint => {
                let now = library.catalog.find_job(job.id, &OwnerFilter::Any).await?;
                if now.is_some_and(|job| job.state == JobState::Processing && job.holder.has(lease)) {
                    if let Some(owner) =
                        library.catalog.limited(job.owner_id.as_ref()).filter(|_| job.counted_calls == 1)
                        && let Some(limit) =
                            library.catalog.calls_limit_reached(owner, 1, library.runtime.now()).await?
                    {
                        return Err(limit.into());
                    }
                    return match job.subject {
                        JobSubject::Image(_) => Err(gone()),
                        JobSubject::Session(_) => {
                            Err(Cause::passing("session-changed", "frames were deleted meanwhile"))
                        }
                    };
                }
                // One message too many does no harm, one too few costs ten minutes.
                if is_second && part.completion.is_none() {
                    return Ok(Attempted::Continued);
                }
                Ok(Attempted::Lost)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The pictures that come next, as many as one call takes.
    async fn slice(&self, subject: &JobSubject, after: Option<u32>) -> Result<Slice, Cause> {
        let catalog = &self.library.catalog;
        let mut records = match subject {
            JobSubject::Image(id) => vec![catalog.find_stored(*id).await?.ok_or_else(gone)?],
            JobSubject::Session(id) => catalog.frames_after(id, after, FRAMES_AND_ONE).await?,
        };
        let fitting = fitting(records.iter().map(size_bytes));
        let has_more = records.len() > fitting;
        records.truncate(fitting);
        Ok(Slice { records, has_more })
    }

    /// What the provider finds on each picture; of one that it does not take, why.
    async fn seen(&self, vision: &dyn Vision, records: &[ImageRecord], question: Option<&str>) -> Result<Look, Cause> {
        let busy = || Cause::passing("busy", "the Worker has as much work as it has memory for");
        let runtime = &self.library.runtime;
        let refusal = |record: &ImageRecord| {
            if !vision.takes(record.description.format) {
                return Some("image-unsupported");
            }
            (size_bytes(record) > vision.max_bytes()).then_some("image-too-large")
        };
        let taken: Vec<&ImageRecord> = records.iter().filter(|record| refusal(record).is_none()).collect();
        let mut look = Look::default();
        if !taken.is_empty() {
            let lifetime_ms = u64::try_from(self.settings.lease_ms).unwrap_or(u64::MAX);
            let memory = self.library.budget.take_for_generation(0, lifetime_ms, &**runtime).ok_or_else(busy)?;
            let size_bytes = taken.iter().map(|record| size_bytes(record)).sum();
            if !memory.hold_originals(vision.room_bytes(size_bytes)).await {
                return Err(busy());
            }
            let mut pictures = Vec::with_capacity(taken.len());
            for record in taken {
                pictures.push(Picture { bytes: self.bytes_of(record).await?, format: record.description.format });
            }
            let seen = within(runtime, self.settings.timeout_ms, vision.look(pictures, question, &memory)).await;
            look = seen.unwrap_or(Err(GenerateError::Timeout))?;
        }
        let mut found = look.pictures.into_iter();
        let each = records.iter().map(|record| match refusal(record) {
            Some(code) => Seen { error: Some(code), ..Seen::default() },
            None => found.next().unwrap_or_default(),
        });
        Ok(Look { pictures: each.collect(), summary: look.summary })
    }
}

/// How many of pictures of these sizes one call takes.
fn fitting(sizes_bytes: impl Iterator<Item = u64>) -> usize {
    let mut sum_bytes = 0;
    let fitting = sizes_bytes.take(PICTURES_AT_ONCE).take_while(|size_bytes| {
        let is_first = sum_bytes == 0;
        sum_bytes += size_bytes.max(&1);
        is_first || sum_bytes <= BYTES_AT_ONCE
    });
    fitting.count()
}

/// How many calls pictures of these sizes take.
pub(super) fn calls_for(mut sizes_bytes: &[u64]) -> u32 {
    let mut calls = 0;
    while !sizes_bytes.is_empty() {
        // At least one fits.
        sizes_bytes = sizes_bytes.get(fitting(sizes_bytes.iter().copied())..).unwrap_or_default();
        calls += 1;
    }
    calls
}
