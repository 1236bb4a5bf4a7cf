//! An object that is too long for one put: it is put in parts, some in each slice. How far it is stands in the run's cursor.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use futures::future::{Either, select};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::movable::{BucketMovable, IMAGE_ID, Measured, Opened};
use super::state::ObjectState;
use crate::bytes::{Body, ByteRange, ResumableSha256};
use crate::image::{Format, ObjectKey, SNIFF_BYTES};
use crate::migrate::destination::{Destination, NewCopy, PutError};
use crate::migrate::runs::Run;
use crate::migrate::source::{Contents, InPartsSettings, Movable, Switch};
use crate::migrate::task::{Interruption, Refusal, SliceContext};
use crate::runtime::{Timestamp, within};
use crate::s3::ReadError;
use crate::sql::{DatabaseError, QueryResult, Statement};
use crate::store::{
    Media, MultipartId, MultipartObject, ObjectHeaders, ObjectMetadata, PartNumber, PutReceipt, StorageKind,
    StoreError, StoreErrorKind, UploadedPart,
};

/// What the bucket calls the parts goes into the run's row, of which D1 takes 2,000,000 bytes.
const MAX_ETAGS_BYTES: u64 = 1_400_000;

/// How far an object is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    object: String,
    state: ObjectState,
    key: ObjectKey,
    upload: MultipartId,
    part_bytes: u64,
    /// The `ETag` of the first read. Some servers list none, and know no conditions.
    #[serde(default)]
    read_etag: Option<String>,
    /// What the bucket calls the parts that it has, from the first on.
    etags: Vec<String>,
    digest: ResumableSha256,
    content_type: Option<String>,
    format: Option<String>,
    metadata: ObjectMetadata,
}

/// Why an object does not come on.
pub enum Halt {
    /// The item is refused, or tried again.
    Refused(Refusal),
    /// The upload is gone, or of another state of the object: it is begun anew.
    Anew,
    Run(Interruption),
}

impl From<Refusal> for Halt {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Progress {
    /// What a cursor says.
    pub fn of_cursor(cursor: Option<&Json>) -> Option<Self> {
        serde_json::from_value(cursor?.get("parts")?.clone()).ok()
    }

    /// A cursor that stands behind `after`, with this progress of the next object.
    pub fn into_cursor(self, after: Option<&str>) -> Json {
        match after {
            Some(after) => json!({ "after": after, "parts": self }),
            None => json!({ "parts": self }),
        }
    }

    /// Whether it is of this state of the object.
    pub fn is_of(&self, movable: &BucketMovable) -> bool {
        (&self.object, &self.state, &self.key) == (&movable.object, &movable.state, &movable.key)
    }

    fn put_bytes(&self) -> u64 {
        (self.part_bytes * self.etags.len() as u64).min(self.state.size_bytes)
    }

    /// Whether the bucket has every part.
    pub fn is_whole(&self) -> bool {
        self.put_bytes() == self.state.size_bytes
    }

    fn parts(&self) -> Vec<UploadedPart> {
        let numbers = (1..).map_while(|number| PartNumber::in_store(number).ok());
        numbers.zip(&self.etags).map(|(number, etag)| UploadedPart { number, etag: etag.clone() }).collect()
    }
}

/// Puts parts of an object until the slice is over; answers with how far it is then. What is put for another state of it is given up.
///
/// # Errors
/// [`Halt`]; what was put before is lost to the run when nothing says otherwise.
pub async fn go_on(
    movable: &BucketMovable,
    settings: &InPartsSettings,
    destination: &Destination,
    saved: Option<Progress>,
    context: &SliceContext<'_>,
) -> Result<Progress, Halt> {
    let (saved, other) = match saved {
        Some(saved) if saved.is_of(movable) => (Some(saved), None),
        other => (None, other),
    };
    if let Some(other) = other {
        // R2 gives up what this does not.
        let _ = settings.store.abort(&other.key, &other.upload).await;
    }
    let mut progress = match saved {
        Some(saved) => saved,
        None => begin(movable, settings, destination, context).await?,
    };
    let mut has_come_on = false;
    while !(progress.is_whole() || has_come_on && context.is_late()) {
        match put_next(movable, settings, destination, &mut progress, context).await {
            Ok(()) => has_come_on = true,
            Err(Halt::Refused(_)) if has_come_on => break,
            Err(halt) => return Err(halt),
        }
    }
    Ok(progress)
}

/// Learns what the object says of itself, and begins an upload.
async fn begin(
    movable: &BucketMovable,
    settings: &InPartsSettings,
    destination: &Destination,
    context: &SliceContext<'_>,
) -> Result<Progress, Halt> {
    let range = ByteRange { offset_bytes: 0, length_bytes: (SNIFF_BYTES as u64).min(movable.state.size_bytes) };
    let mut object = movable.read_range(range, 1).await?;
    let prefix =
        object.body.peek(SNIFF_BYTES).await.map_err(|_| movable.refusal(ReadError::Unavailable { status: None }))?;
    let format = Format::sniff(&prefix);
    movable.require_wanted(format)?;
    let headers = ObjectHeaders { md5: None, ..movable.headers(&object, format) };
    let metadata = movable.metadata(&object);
    let content_type = headers.content_type.clone();
    let media = format.map_or(Media::Original, |format| Media::image(format, movable.source.visibility));
    let new = MultipartObject { key: movable.key.clone(), media, metadata: metadata.clone(), headers };
    context.count(|operations| operations.r2_class_a += 1);
    let upload = in_time(destination, 1, settings.store.create(new)).await?;
    Ok(Progress {
        object: movable.object.clone(),
        state: movable.state.clone(),
        key: movable.key.clone(),
        upload,
        part_bytes: settings.sizes.part_bytes_of(movable.state.size_bytes),
        read_etag: object.header("etag").map(str::to_owned),
        etags: Vec::new(),
        digest: ResumableSha256::default(),
        content_type,
        format: format.map(|format| format.content_type().to_owned()),
        metadata,
    })
}

async fn put_next(
    movable: &BucketMovable,
    settings: &InPartsSettings,
    destination: &Destination,
    progress: &mut Progress,
    context: &SliceContext<'_>,
) -> Result<(), Halt> {
    let too_many = |_| Refusal::failed("too-large", "the object has more parts than an upload takes");
    let number = PartNumber::in_store(progress.etags.len() + 1).map_err(too_many)?;
    // A part may take as long as a put; the lease is renewed first.
    context.announce(&[], Vec::new()).await.map_err(Halt::Run)?;
    let offset_bytes = progress.put_bytes();
    let length_bytes = progress.part_bytes.min(progress.state.size_bytes - offset_bytes);
    let calls = settings.sizes.calls_of(length_bytes);
    let passing = Rc::new(RefCell::new(progress.digest.clone()));
    let put = async {
        let object = movable.read_range(ByteRange { offset_bytes, length_bytes }, calls).await?;
        let read_etag = object.header("etag");
        if read_etag.is_some() && progress.read_etag.is_some() && read_etag != progress.read_etag.as_deref() {
            return Err(movable.refusal(ReadError::Changed).into());
        }
        let digest = Rc::clone(&passing);
        let body = object.body.watched(move |run| digest.borrow_mut().pass(&run.to_vec()));
        context.count(|operations| operations.r2_class_a += 1);
        in_time(destination, calls, settings.store.put_part(&progress.key, &progress.upload, number, body)).await
    };
    let part = while_leased(destination, context, put).await?;
    progress.digest = passing.borrow().clone();
    let parts = progress.state.size_bytes.div_ceil(progress.part_bytes);
    if part.etag.len() as u64 * parts > MAX_ETAGS_BYTES {
        let detail = "the bucket's names of all its parts do not fit into the run's row";
        return Err(Refusal::failed("too-large", detail).into());
    }
    progress.etags.push(part.etag);
    Ok(())
}

/// What `work` gives. Until then the lease is renewed once in the time of a call: a part may take several.
async fn while_leased<T>(
    destination: &Destination,
    context: &SliceContext<'_>,
    work: impl Future<Output = Result<T, Halt>>,
) -> Result<T, Halt> {
    let mut work = Box::pin(work);
    loop {
        match select(work, destination.runtime.sleep(destination.timeout_ms)).await {
            Either::Left((done, _)) => return done,
            Either::Right(((), rest)) => work = rest,
        }
        // A database that fails for a moment does not cost the part.
        if let Err(Interruption::LeaseLost) = context.announce(&[], Vec::new()).await {
            return Err(Halt::Run(Interruption::LeaseLost));
        }
    }
}

async fn in_time<T>(
    destination: &Destination,
    calls: u64,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, Halt> {
    match within(&destination.runtime, calls * destination.timeout_ms, call).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(StoreError { kind: StoreErrorKind::NoSuchUpload, .. })) => Err(Halt::Anew),
        Ok(Err(StoreError { kind: StoreErrorKind::Body(_), .. })) => {
            Err(Refusal::of_source("original-unreadable", "the bytes could not be read to their end").into())
        }
        Ok(Err(error)) => Err(Refusal::of_bucket(error.code()).into()),
        Err(late) => Err(Refusal::of_late_bucket(late).into()),
    }
}

/// An object whose parts are all in the bucket.
pub struct WholeInParts {
    pub movable: BucketMovable,
    pub progress: Progress,
    pub settings: InPartsSettings,
    pub destination: Destination,
}

impl WholeInParts {
    pub fn new(
        movable: BucketMovable,
        progress: Progress,
        settings: InPartsSettings,
        destination: Destination,
    ) -> Self {
        let format = Format::ALL.into_iter().find(|format| Some(format.content_type()) == progress.format.as_deref());
        let headers = ObjectHeaders { content_type: progress.content_type.clone(), ..ObjectHeaders::default() };
        let metadata = progress.metadata.clone();
        movable.opened.replace(Some(Opened { format, geometry: Measured::Known(None), headers, metadata }));
        Self { movable, progress, settings, destination }
    }

    /// Makes the object of its parts, unless that was done before: an upload that was completed is gone.
    async fn complete(&self) -> Result<(), PutError> {
        let failed = |refusal, is_uncertain| PutError { refusal, is_uncertain };
        let Progress { key, upload, .. } = &self.progress;
        for attempt in 0..2 {
            let found =
                match within(&self.destination.runtime, self.destination.timeout_ms, self.destination.bucket.head(key))
                    .await
                {
                    Ok(Ok(found)) => found,
                    Ok(Err(error)) => return Err(failed(Refusal::of_bucket(error.code()), attempt > 0)),
                    Err(late) => return Err(failed(Refusal::of_late_bucket(late), attempt > 0)),
                };
            if let Some(found) = found {
                let is_ours = found.metadata.get(IMAGE_ID) == Some(&self.movable.image_id.to_string());
                if is_ours && found.size_bytes == self.progress.state.size_bytes {
                    return Ok(());
                }
                // To complete the upload would write over it.
                return Err(failed(Refusal::failed("key-taken", "other bytes are stored under the key"), false));
            }
            if attempt > 0 {
                break;
            }
            let parts = self.progress.parts();
            let completing = self.settings.store.complete(key, upload, &parts);
            match within(&self.destination.runtime, self.destination.timeout_ms, completing).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(StoreError { kind: StoreErrorKind::NoSuchUpload, .. })) => {}
                // A part of a worker that had lost its lease may have come late, in place of the one whose name is known.
                Ok(Err(StoreError { kind: StoreErrorKind::PartsRefused, .. })) => {
                    let _ = self.settings.store.abort(key, upload).await;
                }
                Ok(Err(error)) => return Err(failed(Refusal::of_bucket(error.code()), true)),
                Err(late) => return Err(failed(Refusal::of_late_bucket(late), true)),
            }
        }
        Err(failed(
            Refusal::failed("upload-lost", "the bucket does not have the parts that were put; a later run begins anew"),
            false,
        ))
    }
}

#[async_trait(?Send)]
impl Movable for WholeInParts {
    fn copy(&self) -> NewCopy {
        self.movable.copy()
    }

    fn reads(&self) -> Vec<Statement> {
        self.movable.reads()
    }

    fn take(&mut self, answers: Vec<QueryResult>) {
        self.movable.take(answers);
    }

    async fn open(&self) -> Result<Body, Refusal> {
        self.movable.open().await
    }

    async fn finish(&self) -> Option<Result<PutReceipt, PutError>> {
        let sha256 = self.progress.digest.clone().finish();
        let size_bytes = self.progress.state.size_bytes;
        let receipt = PutReceipt { storage: StorageKind::R2, size_bytes, sha256, fallback_reason: None };
        Some(self.complete().await.map(|()| receipt))
    }

    async fn check(&self) -> Result<Contents, Refusal> {
        self.movable.check().await
    }

    fn switch(&self, run: &Run, receipt: &PutReceipt, now: Timestamp) -> Result<Switch, DatabaseError> {
        self.movable.switch(run, receipt, now)
    }
}
