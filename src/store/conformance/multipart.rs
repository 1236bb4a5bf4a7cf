//! The contract of [`MultipartStore`], on a store that reads what the parts made.

use futures::future::{LocalBoxFuture, join_all};

use super::arriving::ArrivingBytes;
use super::trial::{Outcome, Sample, Trial, expect, failed};
use crate::bytes::{Body, BodyError};
use crate::image::{Format, ObjectKey};
use crate::store::{
    ImageStore, LEAST_PART_BYTES, Media, MultipartId, MultipartObject, MultipartStore, ObjectHeaders, ObjectMetadata,
    PartNumber, StoreError, StoreErrorKind, UploadedPart,
};

/// One rule of the contract.
pub struct MultipartCase {
    /// Unique; also the name in test output.
    pub name: &'static str,
    check: for<'trial> fn(&'trial PartsTrial<'trial>) -> LocalBoxFuture<'trial, Outcome>,
}

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        &[$(MultipartCase { name: stringify!($name), check: |trial| Box::pin($name(trial)) }),*]
    };
}

/// The whole contract.
pub const MULTIPART_CASES: &[MultipartCase] = cases![
    parts_in_any_order_make_the_object,
    one_small_part_makes_an_object,
    a_part_that_is_put_again_counts_once,
    an_object_is_invisible_before_it_is_complete,
    the_object_has_its_type_and_metadata,
    a_part_of_another_length_than_promised_is_not_put,
    an_interrupted_part_is_not_put,
    parts_that_are_not_there_are_refused,
    parts_of_wrong_sizes_are_refused,
    a_completed_upload_is_over,
    an_aborted_upload_is_over_and_aborting_again_is_fine,
    uploads_of_one_key_do_not_meet,
];

/// Checks one rule on a store; see [`super::run`].
///
/// # Errors
/// In words, which expectation did not hold.
pub async fn run(case: &MultipartCase, images: &dyn ImageStore, parts: &dyn MultipartStore, run_id: &str) -> Outcome {
    let images = Trial { store: images, prefix: format!("conformance/{run_id}/{}/", case.name) };
    let trial = PartsTrial { images, parts };
    let outcome = (case.check)(&trial).await;
    let removed = trial.images.remove_everything().await;
    outcome.and(removed)
}

/// The size of a whole part.
#[expect(clippy::cast_possible_truncation, reason = "5 MiB")]
const PART_BYTES: usize = LEAST_PART_BYTES as usize;

struct PartsTrial<'store> {
    images: Trial<'store>,
    parts: &'store dyn MultipartStore,
}

/// An upload under way.
struct Begun<'trial> {
    parts: &'trial dyn MultipartStore,
    key: ObjectKey,
    id: MultipartId,
}

impl PartsTrial<'_> {
    async fn begin(&self, name: &str) -> Result<Begun<'_>, String> {
        let key = self.images.key(name)?;
        let media = Media::PrivateImage(Format::Png);
        let metadata = ObjectMetadata::from([("name".to_owned(), format!("{name} \u{2713}"))]);
        let object = MultipartObject { key: key.clone(), media, metadata, headers: ObjectHeaders::default() };
        let id = self.parts.create(object).await.map_err(failed("create"))?;
        Ok(Begun { parts: self.parts, key, id })
    }
}

impl Begun<'_> {
    async fn try_put(&self, part: u32, body: impl Into<Body>) -> Result<UploadedPart, StoreError> {
        self.parts.put_part(&self.key, &self.id, number(part), body.into()).await
    }

    async fn put(&self, part: u32, body: impl Into<Body>) -> Result<UploadedPart, String> {
        let put = self.try_put(part, body).await.map_err(failed("put_part"))?;
        expect(put.number == number(part), "a part has its number")?;
        Ok(put)
    }

    async fn complete(&self, parts: &[&UploadedPart]) -> Result<(), StoreError> {
        let parts: Vec<_> = parts.iter().map(|part| (*part).clone()).collect();
        self.parts.complete(&self.key, &self.id, &parts).await
    }

    async fn abort(&self) -> Outcome {
        self.parts.abort(&self.key, &self.id).await.map_err(failed("abort"))
    }
}

fn number(part: u32) -> PartNumber {
    PartNumber::try_from(part).unwrap_or(PartNumber::MAX)
}

/// What parts make.
fn joined(samples: &[&Sample]) -> Sample {
    Sample::new(samples.iter().flat_map(|sample| sample.bytes.clone()).collect())
}

fn expect_kind<T>(outcome: Result<T, StoreError>, kind: &StoreErrorKind, what: &str) -> Outcome {
    match outcome {
        Err(error) if error.kind == *kind => Ok(()),
        Err(error) => Err(format!("{what}: {kind:?}, not {error}")),
        Ok(_) => Err(format!("{what}: {kind:?}, not accepted")),
    }
}

async fn parts_in_any_order_make_the_object(trial: &PartsTrial<'_>) -> Outcome {
    let samples = [Sample::noise(PART_BYTES, 50), Sample::noise(PART_BYTES, 51), Sample::noise(1_000, 52)];
    let [first, second, third] = &samples;
    let upload = trial.begin("any-order").await?;
    // Numbers need not be next to each other.
    let last = upload.put(9, third.streamed()).await?;
    let puts = join_all([upload.put(4, second.streamed()), upload.put(2, first.streamed())]).await;
    let puts = puts.into_iter().collect::<Result<Vec<_>, _>>()?;
    let [middle, start] = &puts[..] else { return Err("two puts have two answers".to_owned()) };
    upload.complete(&[start, middle, &last]).await.map_err(failed("complete"))?;
    trial.images.expect_stored("any-order", &joined(&[first, second, third])).await
}

async fn one_small_part_makes_an_object(trial: &PartsTrial<'_>) -> Outcome {
    for (name, sample) in [("blob", Sample::noise(10, 53)), ("stream", Sample::noise(300_000, 54))] {
        let upload = trial.begin(name).await?;
        let body: Body = if name == "blob" { sample.bytes.clone().into() } else { sample.streamed() };
        let part = upload.put(1, body).await?;
        upload.complete(&[&part]).await.map_err(failed("complete"))?;
        trial.images.expect_stored(name, &sample).await?;
    }
    Ok(())
}

async fn a_part_that_is_put_again_counts_once(trial: &PartsTrial<'_>) -> Outcome {
    let (first, last, other) = (Sample::noise(PART_BYTES, 55), Sample::noise(500, 56), Sample::noise(700, 57));
    let upload = trial.begin("again").await?;
    let start = upload.put(1, first.streamed()).await?;
    upload.put(2, other.streamed()).await?;
    let end = upload.put(2, last.streamed()).await?;
    upload.complete(&[&start, &end]).await.map_err(failed("complete"))?;
    trial.images.expect_stored("again", &joined(&[&first, &last])).await
}

async fn an_object_is_invisible_before_it_is_complete(trial: &PartsTrial<'_>) -> Outcome {
    let upload = trial.begin("invisible").await?;
    trial.images.expect_absent("invisible").await?;
    upload.put(1, Sample::noise(100, 58).bytes).await?;
    trial.images.expect_absent("invisible").await?;
    upload.abort().await?;
    trial.images.expect_absent("invisible").await
}

async fn the_object_has_its_type_and_metadata(trial: &PartsTrial<'_>) -> Outcome {
    let upload = trial.begin("described").await?;
    let part = upload.put(1, Sample::noise(100, 59).bytes).await?;
    upload.complete(&[&part]).await.map_err(failed("complete"))?;
    let head = trial.images.store.head(&upload.key).await.map_err(failed("head"))?.ok_or("no head")?;
    expect(head.content_type == "image/png", format!("the type comes back, not {}", head.content_type))?;
    let name = head.metadata.get("name").map(String::as_str);
    expect(name == Some("described \u{2713}"), format!("the metadata comes back, not {:?}", head.metadata))
}

async fn a_part_of_another_length_than_promised_is_not_put(trial: &PartsTrial<'_>) -> Outcome {
    let upload = trial.begin("lengths").await?;
    let bytes = Sample::noise(400_000, 60).bytes;
    let too_short = BodyError::TooShort { expected_bytes: 400_001, actual_bytes: 400_000 };
    let too_long = BodyError::TooLong { limit_bytes: 399_999 };
    for (promised_bytes, error) in [(400_001, too_short), (399_999, too_long)] {
        let body = ArrivingBytes::new(&bytes).into_body(Some(promised_bytes));
        expect_kind(upload.try_put(1, body).await, &StoreErrorKind::Body(error), "a broken promise")?;
    }
    upload.abort().await
}

async fn an_interrupted_part_is_not_put(trial: &PartsTrial<'_>) -> Outcome {
    let upload = trial.begin("interrupted").await?;
    let bytes = Sample::noise(300_000, 61).bytes;
    let body = ArrivingBytes::new(&bytes).then_breaks().into_body(Some(600_000));
    let error = upload.try_put(1, body).await.err().ok_or("an interrupted part is refused")?;
    let is_interrupted = matches!(error.kind, StoreErrorKind::Body(BodyError::Interrupted(_)));
    expect(is_interrupted, format!("the sender broke off, not {error}"))?;
    upload.abort().await
}

async fn parts_that_are_not_there_are_refused(trial: &PartsTrial<'_>) -> Outcome {
    let upload = trial.begin("missing").await?;
    let sample = Sample::noise(1_000, 62);
    let part = upload.put(1, sample.bytes.clone()).await?;
    let other = UploadedPart { number: number(2), etag: part.etag.clone() };
    let changed = UploadedPart { number: number(1), etag: "0123456789abcdef0123456789abcdef".to_owned() };
    for parts in [&[&other][..], &[&changed], &[&part, &part], &[]] {
        expect_kind(upload.complete(parts).await, &StoreErrorKind::PartsRefused, "parts that are not there")?;
        trial.images.expect_absent("missing").await?;
    }
    upload.complete(&[&part]).await.map_err(failed("complete"))?;
    trial.images.expect_stored("missing", &sample).await
}

async fn parts_of_wrong_sizes_are_refused(trial: &PartsTrial<'_>) -> Outcome {
    let upload = trial.begin("sizes").await?;
    let small = upload.put(1, Sample::noise(1_000, 63).bytes).await?;
    let large = upload.put(2, Sample::noise(PART_BYTES, 64).streamed()).await?;
    let larger = upload.put(3, Sample::noise(PART_BYTES + 1, 65).streamed()).await?;
    let last = upload.put(4, Sample::noise(10, 66).bytes).await?;
    for parts in [&[&small, &large][..], &[&large, &larger], &[&large, &larger, &last]] {
        expect_kind(upload.complete(parts).await, &StoreErrorKind::PartsRefused, "parts of wrong sizes")?;
        trial.images.expect_absent("sizes").await?;
    }
    upload.abort().await
}

async fn a_completed_upload_is_over(trial: &PartsTrial<'_>) -> Outcome {
    let sample = Sample::noise(1_000, 67);
    let upload = trial.begin("over").await?;
    let part = upload.put(1, sample.bytes.clone()).await?;
    upload.complete(&[&part]).await.map_err(failed("complete"))?;
    expect_kind(upload.complete(&[&part]).await, &StoreErrorKind::NoSuchUpload, "completing again")?;
    let late = upload.try_put(1, Sample::noise(1_000, 68).bytes).await;
    expect_kind(late, &StoreErrorKind::NoSuchUpload, "a part that comes late")?;
    upload.abort().await?;
    trial.images.expect_stored("over", &sample).await
}

async fn an_aborted_upload_is_over_and_aborting_again_is_fine(trial: &PartsTrial<'_>) -> Outcome {
    let upload = trial.begin("aborted").await?;
    let part = upload.put(1, Sample::noise(1_000, 69).bytes).await?;
    upload.abort().await?;
    upload.abort().await?;
    expect_kind(upload.complete(&[&part]).await, &StoreErrorKind::NoSuchUpload, "completing")?;
    let late = upload.try_put(1, Sample::noise(1_000, 70).bytes).await;
    expect_kind(late, &StoreErrorKind::NoSuchUpload, "a part that comes late")?;
    trial.images.expect_absent("aborted").await
}

async fn uploads_of_one_key_do_not_meet(trial: &PartsTrial<'_>) -> Outcome {
    let (one, other) = (Sample::noise(1_000, 71), Sample::noise(1_000, 72));
    let (first, second) = (trial.begin("shared").await?, trial.begin("shared").await?);
    let part = first.put(1, one.bytes.clone()).await?;
    second.put(1, other.bytes).await?;
    second.abort().await?;
    first.complete(&[&part]).await.map_err(failed("complete"))?;
    trial.images.expect_stored("shared", &one).await
}
