//! Adding frames: puts one by one, commits of many.

use super::Library;
use super::metadata::object_metadata;
use super::remove::RemoveError;
use super::stores::Target;
use crate::bytes::Blob;
use crate::catalog::{
    Associations, CatalogError, Content, Description, Frame, FrameUpload, FramesBegun, ImageRecord, LimitReached,
    MovedImages, OwnerFilter, Status, UploadEnd,
};
use crate::image::{Format, FrameId, FrameNumber, Geometry, ImageId, ImageKey, Labels, SessionId, UserId, Visibility};
use crate::store::{Media, PutObject, PutReceipt, StoreError, StoreErrorKind};
use crate::telemetry::Event;

/// Frames in one commit: with their adoptions 100 statements, where D1 takes 1,000 an invocation.
pub const FRAMES_A_COMMIT: usize = 50;
/// Keys that are tried for a frame without a number, where other uploads took the next ones meanwhile.
const MAX_NUMBERS_TRIED: usize = 20;

/// Why an upload of frames stopped. What it had committed stays.
#[derive(Debug)]
pub enum FramesError {
    /// The session is another owner's, or its id is no session's.
    NotFound,
    /// The session's frames are being deleted, or left-overs are being removed.
    Busy,
    Store(StoreError),
    Catalog(CatalogError),
    /// A frame that was to be replaced could not be removed.
    Remove(RemoveError),
}

impl From<CatalogError> for FramesError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

/// How frames are taken.
#[derive(Debug, Clone)]
pub struct FrameOptions {
    pub visibility: Visibility,
    /// Whether another frame of the same number is replaced.
    pub replace: bool,
}

/// What became of a frame.
#[derive(Debug, Clone)]
pub enum FrameOutcome {
    /// It is readable.
    Stored(Box<ImageRecord>),
    /// The session had it already.
    Unchanged(Box<ImageRecord>),
    /// It is readable in the place of another.
    Replaced(Box<ImageRecord>),
    /// Its number has another frame.
    Taken,
    /// A frame of the session was deleted meanwhile, or another upload holds the number. Sent again, it may be taken.
    Interrupted,
    /// The next free number is over the highest.
    NoNumber,
    /// The session's owner may not have it.
    Limit(LimitReached),
}

/// An upload of frames to a session, under way.
///
/// 1. begin: a row of the upload names whatever it puts;
/// 2. put each frame, create-only, under a key that is a function of session, number and format;
/// 3. commit every [`FRAMES_A_COMMIT`] of them in one transaction;
/// 4. with the last commit the upload's row goes, unless it put something that was not committed: the sweep finds that by the row.
///
/// Costs one R2 class A operation a frame, one database call, and one for each [`FRAMES_A_COMMIT`] frames begun.
pub struct FrameIntake<'library> {
    library: &'library Library,
    upload: FrameUpload,
    owner_id: Option<UserId>,
    options: FrameOptions,
    next_number: u32,
    /// Put and not committed, with their places in `outcomes`.
    pending: Vec<(usize, ImageRecord)>,
    outcomes: Vec<(Option<FrameNumber>, Option<FrameOutcome>)>,
    /// Places in `outcomes` of frames that another made room for.
    replaced: Vec<usize>,
    /// Whether everything that was put is committed or pending.
    is_accounted_for: bool,
    /// Whether a frame was over a limit, so that others are asked for before they are put.
    is_limited: bool,
}

impl<'library> FrameIntake<'library> {
    /// Begins an upload to a session of the owner's, which is made if there is none.
    ///
    /// # Errors
    /// [`FramesError`].
    pub async fn begin(
        library: &'library Library,
        session: SessionId,
        owner: &OwnerFilter,
        options: FrameOptions,
    ) -> Result<Self, FramesError> {
        let upload = FrameUpload { session, token: hex::encode(library.runtime.random_bytes()) };
        let begun = library.catalog.begin_frames(&upload, owner, library.runtime.now()).await?;
        let (owner_id, highest) = match begun {
            FramesBegun::Begun { owner_id, highest } => (owner_id, highest),
            FramesBegun::Busy => return Err(FramesError::Busy),
            FramesBegun::NotFound => return Err(FramesError::NotFound),
        };
        Ok(Self {
            library,
            upload,
            owner_id,
            options,
            next_number: highest.map_or(1, |highest| highest + 1),
            pending: Vec::new(),
            outcomes: Vec::new(),
            replaced: Vec::new(),
            is_accounted_for: true,
            is_limited: false,
        })
    }

    /// Puts a frame whose bytes are a whole image; without a number it gets the next free one.
    ///
    /// # Errors
    /// [`FramesError`] when no store took it, or the database failed.
    pub async fn add(
        &mut self,
        number: Option<FrameNumber>,
        bytes: Blob,
        format: Format,
        geometry: Option<Geometry>,
    ) -> Result<(), FramesError> {
        if self.pending.len() == FRAMES_A_COMMIT {
            self.commit(UploadEnd::GoesOn).await?;
        }
        if self.is_limited
            && let Some(limit) = self.limit_for(&bytes, 0).await?
        {
            self.outcomes.push((number, Some(FrameOutcome::Limit(limit))));
            return Ok(());
        }
        if let (Some(number), true) = (number, self.options.replace)
            && let Some(outcome) = self.replace(number, &bytes).await?
        {
            self.outcomes.push((Some(number), Some(outcome)));
            return Ok(());
        }
        let place = self.outcomes.len();
        let mut tries = 0;
        loop {
            let candidate = number.or_else(|| FrameNumber::try_from(self.next_number).ok());
            let Some(candidate) = candidate.filter(|_| tries < MAX_NUMBERS_TRIED) else {
                self.outcomes.push((number, Some(FrameOutcome::NoNumber)));
                return Ok(());
            };
            tries += 1;
            self.next_number = self.next_number.max(u32::from(candidate.get()) + 1);
            let description = self.describe(candidate, format);
            match self.put(&description, bytes.clone()).await {
                Ok(receipt) => {
                    self.outcomes.push((Some(candidate), None));
                    let record = self.record(description, receipt, geometry);
                    self.pending.push((place, record));
                    return Ok(());
                }
                Err(error) if error.kind == StoreErrorKind::KeyTaken => {
                    if number.is_some() {
                        let outcome = self.why_taken(candidate).await?;
                        self.outcomes.push((Some(candidate), Some(outcome)));
                        return Ok(());
                    }
                }
                Err(error) => {
                    self.is_accounted_for &= error.stored_nothing();
                    return Err(FramesError::Store(error));
                }
            }
        }
    }

    /// Commits what is left, and says what became of each frame, in the order in which they were added. `is_whole` says whether the
    /// form came to its end.
    ///
    /// # Errors
    /// [`FramesError`] when the database failed.
    pub async fn finish(mut self, is_whole: bool) -> Result<Vec<(Option<FrameNumber>, FrameOutcome)>, FramesError> {
        let end = match (is_whole, self.is_accounted_for) {
            (false, _) => UploadEnd::BrokenOff,
            (true, true) => UploadEnd::Complete,
            (true, false) => UploadEnd::GoesOn,
        };
        let all_new = self.commit(end).await?;
        if is_whole && !all_new && self.is_accounted_for {
            let now = self.library.runtime.now();
            self.library.catalog.commit_frames(&self.upload, &[], UploadEnd::Complete, now).await?;
        }
        let outcomes = self.outcomes.into_iter();
        Ok(outcomes.map(|(number, outcome)| (number, outcome.unwrap_or(FrameOutcome::Interrupted))).collect())
    }

    /// The limit that a frame would exceed in the place of `replaced_bytes`, as far as that is known before its commit.
    async fn limit_for(&self, bytes: &Blob, replaced_bytes: u64) -> Result<Option<LimitReached>, FramesError> {
        let (owner, now) = (self.owner_id.as_ref(), self.library.runtime.now());
        Ok(self.library.catalog.limit_for(owner, bytes.size_bytes() as u64, replaced_bytes, now).await?)
    }

    /// Whose a key is that holds other bytes.
    async fn why_taken(&mut self, number: FrameNumber) -> Result<FrameOutcome, FramesError> {
        self.commit(UploadEnd::GoesOn).await?;
        let found = self.library.catalog.frames_numbered(&self.upload.session, &[number]).await?;
        Ok(if found.is_empty() { FrameOutcome::Interrupted } else { FrameOutcome::Taken })
    }

    /// Removes the frame whose place `bytes` take; what became of them, if they are not to be put.
    async fn replace(&mut self, number: FrameNumber, bytes: &Blob) -> Result<Option<FrameOutcome>, FramesError> {
        self.commit(UploadEnd::GoesOn).await?;
        let catalog = &self.library.catalog;
        let found = catalog.frames_numbered(&self.upload.session, &[number]).await?;
        let Some(other) = found.into_iter().next() else { return Ok(None) };
        let digest = self.library.runtime.sha256(bytes).await;
        if other.content.as_ref().is_some_and(|content| content.sha256 == digest) {
            return Ok(Some(FrameOutcome::Unchanged(Box::new(other))));
        }
        let replaced_bytes = other.content.as_ref().map_or(0, |content| content.size_bytes);
        if let Some(limit) = self.limit_for(bytes, replaced_bytes).await? {
            return Ok(Some(FrameOutcome::Limit(limit)));
        }
        let id = other.description.id;
        self.library.remove(id, &OwnerFilter::Any, MovedImages::Stay).await.map_err(FramesError::Remove)?;
        let left = catalog.find(id, &OwnerFilter::Any).await?;
        // The removal has made this upload lose its right, as every other of the session.
        let former = self.is_accounted_for.then(|| self.upload.token.clone());
        self.upload.token = hex::encode(self.library.runtime.random_bytes());
        if let Some(former) = former {
            catalog.end_upload(&former).await?;
        }
        match catalog.begin_frames(&self.upload, &OwnerFilter::Any, self.library.runtime.now()).await? {
            FramesBegun::Begun { .. } => {}
            FramesBegun::Busy => return Err(FramesError::Busy),
            FramesBegun::NotFound => return Err(FramesError::NotFound),
        }
        self.replaced.push(self.outcomes.len());
        // The key of one whose bytes may come back is not free yet.
        let is_gone = left.is_none_or(|record| record.status == Status::Deleted);
        Ok((!is_gone).then_some(FrameOutcome::Interrupted))
    }

    fn describe(&self, number: FrameNumber, format: Format) -> Description {
        let session = &self.upload.session;
        let frame = FrameId { session: session.clone(), number };
        Description {
            id: ImageId::from_random_bytes(self.library.runtime.random_bytes()),
            key: ImageKey::Frame { frame, format }.object_key(),
            format,
            visibility: self.options.visibility,
            filename: None,
            context: None,
            associations: Associations { session_id: Some(session.to_string()), ..Associations::default() },
            labels: Labels::default(),
            owner_id: self.owner_id.clone(),
            frame: Some(Frame { collection_id: session.collection(), ordinal: number.get().into() }),
            parent_id: None,
            moved_from: None,
            created_at: self.library.runtime.now(),
        }
    }

    async fn put(&self, description: &Description, bytes: Blob) -> Result<PutReceipt, StoreError> {
        let (store, reason) = match self.library.stores.target(description.visibility, description.id) {
            Target::R2(store) => (store, None),
            Target::Embedded { store, reason } => (store, reason),
        };
        let object = PutObject {
            key: description.key.clone(),
            body: bytes.into(),
            media: Media::image(description.format, description.visibility),
            sha256: None,
            metadata: object_metadata(description, None, false),
        };
        let receipt = store.put(object).await?;
        let fallback_reason = receipt.fallback_reason.or_else(|| reason.map(str::to_owned));
        if let Some(reason) = &fallback_reason {
            self.library.recorder.record(&Event::Fallback { image_id: description.id, reason: reason.clone() });
        }
        Ok(PutReceipt { fallback_reason, ..receipt })
    }

    fn record(&self, description: Description, receipt: PutReceipt, geometry: Option<Geometry>) -> ImageRecord {
        ImageRecord {
            description,
            version: 1,
            status: Status::Stored,
            storage: receipt.storage,
            content: Some(Content {
                size_bytes: receipt.size_bytes,
                sha256: receipt.sha256,
                dimensions: geometry.map(|geometry| geometry.dimensions),
                orientation: geometry.and_then(|geometry| geometry.orientation),
            }),
            generation: None,
            placeholder: None,
            two_homes: Some(receipt.fallback_reason.is_some()),
            fallback_reason: receipt.fallback_reason,
            embedded_write_id: None,
            updated_at: self.library.runtime.now(),
        }
    }

    /// Commits the pending frames, and finds out about those that stayed out. Whether all became readable now.
    async fn commit(&mut self, end: UploadEnd) -> Result<bool, FramesError> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() && end == UploadEnd::GoesOn {
            return Ok(true);
        }
        let (left, refused) = self.commit_all(pending, end).await?;
        if left.is_empty() {
            return Ok(true);
        }
        let numbers: Vec<_> = left.iter().filter_map(|(place, _)| self.outcomes.get(*place)?.0).collect();
        let found = self.library.catalog.frames_numbered(&self.upload.session, &numbers).await?;
        for (place, record) in left {
            let ordinal = |frame: &ImageRecord| frame.description.frame.as_ref().map(|place| place.ordinal);
            let other = found.iter().find(|other| ordinal(other) == ordinal(&record));
            let outcome = match other {
                // The commit happened before, and its answer was lost.
                Some(other) if other.description.id == record.description.id => self.stored(place, record),
                Some(other) if is_same(other, &record) => {
                    self.is_accounted_for &= other.storage == record.storage;
                    FrameOutcome::Unchanged(Box::new(other.clone()))
                }
                Some(_) => {
                    self.is_accounted_for = false;
                    FrameOutcome::Taken
                }
                None => {
                    self.is_accounted_for = false;
                    let limit = refused.iter().find(|(id, _)| *id == record.description.id);
                    limit.map_or(FrameOutcome::Interrupted, |(_, limit)| FrameOutcome::Limit(*limit))
                }
            };
            self.note(place, outcome);
        }
        Ok(false)
    }

    /// Commits frames, notes those that became readable, and answers with the others, and with those of them that are over a limit.
    async fn commit_all(
        &mut self,
        pending: Vec<(usize, ImageRecord)>,
        end: UploadEnd,
    ) -> Result<(Vec<(usize, ImageRecord)>, Vec<(ImageId, LimitReached)>), FramesError> {
        let catalog = &self.library.catalog;
        let records: Vec<_> = pending.iter().map(|(_, record)| record.clone()).collect();
        let now = self.library.runtime.now();
        // Once more after a failure: the first may have taken effect, and committing twice is committing once.
        let committed = match catalog.commit_frames(&self.upload, &records, end, now).await {
            Err(_) => catalog.commit_frames(&self.upload, &records, end, now).await?,
            Ok(committed) => committed,
        };
        let mut left = Vec::new();
        for (place, record) in pending {
            if committed.readable.contains(&record.description.id) {
                let outcome = self.stored(place, record);
                self.note(place, outcome);
            } else {
                left.push((place, record));
            }
        }
        self.is_limited |= !committed.refused.is_empty();
        Ok((left, committed.refused))
    }

    fn stored(&self, place: usize, record: ImageRecord) -> FrameOutcome {
        let record = Box::new(record);
        if self.replaced.contains(&place) { FrameOutcome::Replaced(record) } else { FrameOutcome::Stored(record) }
    }

    fn note(&mut self, place: usize, outcome: FrameOutcome) {
        if let Some((_, slot)) = self.outcomes.get_mut(place) {
            *slot = Some(outcome);
        }
    }
}

/// Whether two records are of the same bytes.
fn is_same(one: &ImageRecord, other: &ImageRecord) -> bool {
    let digest = |record: &ImageRecord| record.content.as_ref().map(|content| content.sha256);
    digest(one) == digest(other)
}
