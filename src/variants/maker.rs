//! Makes a variant once, and keeps it.

use super::Refusal;
use super::codecs::{CodecError, Codecs, Job, MadeVariant};
use super::images::is_animation;
use super::memory::{self, HEADER_BYTES, Original};
use super::whole::measuring;
use crate::bytes::Blob;
use crate::catalog::{CatalogError, ServableImage, StoredVariant, VariantClaim, VariantName, VariantState};
use crate::image::{Fit, Format, Geometry, Placeholder, VariantForm};
use crate::library::{Library, MemoryBudget, OpenError};
use crate::runtime::within;
use crate::sql::Lease;
use crate::store::StoreError;
use crate::telemetry::Event;

/// How long one request has a variant to itself, in milliseconds: many times what making it takes.
const LEASE_MS: i64 = 60_000;
/// How often a request looks whether another has made it, in milliseconds: what one request waits for cannot wake another.
const LOOK_MS: u64 = 30;
/// How often it looks: for 15 seconds.
const LOOKS: u64 = 15_000 / LOOK_MS;

/// How long what makes variants elsewhere may take, in milliseconds.
const ELSEWHERE_MS: u64 = 30_000;

/// Makes variants of images.
pub struct Maker<'request> {
    pub library: &'request Library,
    pub codecs: &'request dyn Codecs,
    /// `VARIANT_MAX_PIXELS`.
    pub max_pixels: u32,
    /// `VARIANT_MAX_PER_IMAGE`.
    pub most: u16,
}

/// A variant that can be answered with.
#[derive(Debug)]
pub struct Outcome {
    pub variant: StoredVariant,
    /// All of it, when it was made just now.
    pub bytes: Option<Blob>,
}

/// A variant that was made and is not kept yet.
struct Made {
    variant: StoredVariant,
    bytes: Blob,
    placeholder: Option<Placeholder>,
}

/// Why there is no variant.
#[derive(Debug)]
pub enum VariantError {
    /// The image cannot become that.
    Refused(Refusal),
    /// The image has as many as it may.
    LimitReached,
    /// Another request takes too long to make it, or there is no memory for it just now.
    Busy,
    /// The codecs cannot be asked.
    Unavailable(String),
    Open(OpenError),
    Catalog(CatalogError),
}

impl From<CatalogError> for VariantError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<Refusal> for VariantError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Maker<'_> {
    /// A variant of an image, of which nothing is known yet, or what `state` says:
    ///
    /// 1. claim it: one request makes it, the others look again until it is there;
    /// 2. read the image, decode, scale and encode it;
    /// 3. put it where the image is;
    /// 4. make the row say that it can be read.
    ///
    /// If 3 or 4 fails, the answer is what was made all the same, and the next request makes it again.
    ///
    /// # Errors
    /// [`VariantError`].
    pub async fn variant(
        &self,
        image: &ServableImage,
        form: &VariantForm,
        mut state: VariantState,
    ) -> Result<Outcome, VariantError> {
        if !self.codecs.decodes(image.format) {
            return Err(Refusal::Unsupported.into());
        }
        let name = VariantName { image_id: image.id, form };
        for _ in 0..LOOKS {
            match state {
                VariantState::Stored(variant) => return Ok(Outcome { variant, bytes: None }),
                VariantState::Refused(refusal) => return Err(Refusal::from_text(&refusal).into()),
                // It goes with what the image was before it moved.
                VariantState::Leaving(variant) if variant.due_at <= self.library.runtime.now() => {
                    if self.library.drop_variants(&[variant]).await.is_err() {
                        return self.make_unkept(image, form).await;
                    }
                }
                VariantState::Leaving(_) => return self.make_unkept(image, form).await,
                VariantState::Making => self.library.runtime.sleep(LOOK_MS).await,
                VariantState::Unknown => {}
            }
            let lease = Lease::begin(&*self.library.runtime, LEASE_MS);
            let key = form.object_key(image.id, &image.key);
            let now = self.library.runtime.now();
            let claim = || self.library.catalog.claim_variant(name, &key, image.storage, self.most, &lease, now);
            // Once more: the first may have taken effect, and then the lease is this one.
            let claimed = match claim().await {
                Err(_) => claim().await?,
                Ok(claimed) => claimed,
            };
            match claimed {
                VariantClaim::Claimed { has_placeholder } => {
                    return self.make(image, name, &lease, !has_placeholder).await;
                }
                VariantClaim::Taken(taken) => state = taken,
                VariantClaim::LimitReached => return Err(VariantError::LimitReached),
                VariantClaim::NoImage => return self.make_unkept(image, form).await,
            }
        }
        Err(VariantError::Busy)
    }

    /// Makes a variant that cannot be kept just now.
    async fn make_unkept(&self, image: &ServableImage, form: &VariantForm) -> Result<Outcome, VariantError> {
        let Made { variant, bytes, .. } = self.transform(image, form, false).await?;
        self.record(image, "ok", bytes.size_bytes(), false, None);
        Ok(Outcome { variant, bytes: Some(bytes) })
    }

    /// Makes a variant whose lease this request has, and the image's placeholder, unless it has one.
    async fn make(
        &self,
        image: &ServableImage,
        name: VariantName<'_>,
        lease: &Lease,
        with_placeholder: bool,
    ) -> Result<Outcome, VariantError> {
        let catalog = &self.library.catalog;
        let made = match self.transform(image, name.form, with_placeholder).await {
            Ok(made) => made,
            Err(VariantError::Refused(refusal)) => {
                catalog.refuse_variant(name, refusal.as_str(), lease, self.library.runtime.now()).await?;
                return Err(refusal.into());
            }
            Err(error) => {
                // Otherwise it ends by itself.
                let _ = catalog.release_variant(name, lease).await;
                return Err(error);
            }
        };
        let kept = self.keep(image, name, &made, lease).await;
        let Made { variant, bytes, .. } = made;
        if kept.is_err() {
            let _ = catalog.release_variant(name, lease).await;
        }
        let cause = kept.as_ref().err().cloned();
        self.record(image, "ok", bytes.size_bytes(), kept.is_ok_and(|is_kept| is_kept), cause);
        Ok(Outcome { variant, bytes: Some(bytes) })
    }

    async fn keep(
        &self,
        image: &ServableImage,
        name: VariantName<'_>,
        Made { variant, bytes, placeholder }: &Made,
        lease: &Lease,
    ) -> Result<bool, String> {
        let put = self.library.put_variant(image.id, variant, image.visibility, bytes).await;
        put.map_err(|error: StoreError| error.to_string())?;
        let catalog = &self.library.catalog;
        let keep = || catalog.keep_variant(name, variant, placeholder.as_ref(), lease);
        match keep().await {
            // Once more: the first may have taken effect, and then changes nothing.
            Err(_) => keep().await.map_err(|error| error.to_string()),
            Ok(is_kept) => Ok(is_kept),
        }
    }

    /// Reads the image, and makes the variant of it.
    async fn transform(
        &self,
        image: &ServableImage,
        form: &VariantForm,
        with_placeholder: bool,
    ) -> Result<Made, VariantError> {
        let outcome = self.transformed(image, form, with_placeholder).await;
        let MadeVariant { bytes, format, is_of_animation, placeholder } = match outcome {
            Ok(made) => made,
            Err(VariantError::Refused(refusal)) => {
                self.record(image, refusal.as_str(), 0, false, None);
                return Err(refusal.into());
            }
            Err(error) => return Err(error),
        };
        let runtime = &self.library.runtime;
        let variant = StoredVariant {
            storage: image.storage,
            key: form.object_key(image.id, &image.key),
            format,
            size_bytes: bytes.size_bytes() as u64,
            sha256: runtime.sha256(&bytes).await,
            is_of_animation,
            created_at: runtime.now(),
        };
        Ok(Made { variant, bytes, placeholder })
    }

    async fn transformed(
        &self,
        image: &ServableImage,
        form: &VariantForm,
        with_placeholder: bool,
    ) -> Result<MadeVariant, VariantError> {
        // The image is in memory twice.
        if image.size_bytes > MemoryBudget::MAX_VARIANT_BYTES / 2 {
            return Err(Refusal::TooLarge.into());
        }
        // Room for the image alone, until its header says how much the rest takes.
        let arriving = self.room(image.size_bytes).await?;
        let body = self.library.open(image, None).await.map_err(VariantError::Open)?.body;
        let bytes =
            body.collect(image.size_bytes).await.map_err(|error| VariantError::Open(OpenError::Store(error.into())))?;
        let (format, geometry) = Format::inspect_blob(&bytes).map_err(|_| Refusal::Impossible)?;
        let geometry = geometry.ok_or(Refusal::Impossible)?;
        let Geometry { dimensions, orientation } = geometry;
        if u64::from(dimensions.width) * u64::from(dimensions.height) > u64::from(self.max_pixels) {
            return Err(Refusal::TooLarge.into());
        }
        let header = bytes.prefix(HEADER_BYTES);
        let original = Original { format, header: &header, size_bytes: image.size_bytes, dimensions };
        let need = if self.codecs.works_elsewhere() {
            memory::need_elsewhere(&original, form, MemoryBudget::MAX_VARIANT_BYTES)
        } else {
            memory::need(&original, form, MemoryBudget::MAX_VARIANT_BYTES)
        };
        let need = need.ok_or(Refusal::TooLarge)?;
        drop(arriving);
        let _room = self.room(need.peak_bytes).await?;
        let job = Job {
            orientation: orientation.map_or(1, crate::image::Orientation::get),
            max_pixels: self.max_pixels,
            coarseness: need.coarseness,
            with_placeholder,
            ..Job::new(bytes, form, format)
        };
        // Whoever works elsewhere does not say it.
        let is_animation = self.codecs.works_elsewhere() && is_animation(format, &header);
        let made = self.made(job).await;
        let made = made.map(|made| MadeVariant { is_of_animation: made.is_of_animation || is_animation, ..made });
        let made = match made {
            Ok(made) if with_placeholder && made.placeholder.is_none() && shows_all(form) => {
                let placeholder = self.placeholder_of(&made).await;
                Ok(MadeVariant { placeholder, ..made })
            }
            made => made,
        };
        made.map_err(|error| match error {
            CodecError::Unsupported => Refusal::Unsupported.into(),
            CodecError::Undecodable => Refusal::Impossible.into(),
            CodecError::TooManyPixels => Refusal::TooLarge.into(),
            CodecError::Trapped(cause) => {
                self.record(image, "trapped", 0, false, Some(cause));
                Refusal::Impossible.into()
            }
            CodecError::Unavailable(cause) => VariantError::Unavailable(cause),
        })
    }

    /// What the codecs make. What is elsewhere may never answer.
    async fn made(&self, job: Job) -> Result<MadeVariant, CodecError> {
        let work = self.codecs.transform(job);
        if !self.codecs.works_elsewhere() {
            return work.await;
        }
        let in_time = within(&self.library.runtime, ELSEWHERE_MS, work).await;
        in_time.unwrap_or_else(|_| Err(CodecError::Unavailable("no answer in time".to_owned())))
    }

    /// The placeholder of an image, of its variant, where that can be measured now.
    async fn placeholder_of(&self, made: &MadeVariant) -> Option<Placeholder> {
        let (job, peak_bytes) = measuring(made.bytes.clone(), self.max_pixels).ok()?;
        let now = self.library.runtime.now();
        let _room = self.library.budget.take_for_variant(peak_bytes, now, LEASE_MS.unsigned_abs())?;
        self.codecs.measure(job).await.ok()?.placeholder()
    }

    /// A share of the isolate's memory, as soon as there is one.
    async fn room(&self, size_bytes: u64) -> Result<crate::library::VariantShare<'_>, VariantError> {
        let runtime = &self.library.runtime;
        for _ in 0..LOOKS {
            let share = self.library.budget.take_for_variant(size_bytes, runtime.now(), LEASE_MS.unsigned_abs());
            if let Some(share) = share {
                return Ok(share);
            }
            runtime.sleep(LOOK_MS).await;
        }
        Err(VariantError::Busy)
    }

    fn record(&self, image: &ServableImage, outcome: &'static str, bytes: usize, kept: bool, cause: Option<String>) {
        let bytes = bytes as u64;
        self.library.recorder.record(&Event::Variant { image_id: image.id, outcome, bytes, kept, cause });
    }
}

/// Whether nothing of the image is cut off.
fn shows_all(form: &VariantForm) -> bool {
    matches!(form.fit(), Fit::Contain | Fit::ScaleDown) || form.width().is_none() || form.height().is_none()
}
