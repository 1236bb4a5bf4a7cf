//! Which home new bytes go to, and where old ones are read.

use std::rc::Rc;

use crate::image::{ImageId, Visibility};
use crate::runtime::Runtime;
use crate::store::{
    EmbeddedStore, Fallback, ImageStore, MultipartStore, Observed, ObservedParts, StorageKind, StoreError,
    StoreErrorKind,
};
use crate::telemetry::{Event, Recorder};

/// Name of the bucket's binding, for logs.
const BUCKET: &str = "R2_IMAGES";
/// Name of the database's binding, for logs.
const DATABASE: &str = "DB";

/// The homes of image bytes, each logging what it does.
#[derive(Clone)]
pub struct Stores {
    r2: Option<Rc<dyn ImageStore>>,
    parts: Option<Rc<dyn MultipartStore>>,
    embedded: Rc<EmbeddedStore>,
    runtime: Rc<dyn Runtime>,
    recorder: Recorder,
    placement: Placement,
}

/// What the configuration says about new images.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    pub r2_enabled: bool,
    /// The bucket has a public domain: whoever knows a key can read the object.
    pub r2_is_public: bool,
    pub timeout_ms: u64,
}

/// Where a new image goes.
pub enum Target {
    /// To R2 first, into the database when R2 fails.
    R2(Rc<dyn ImageStore>),
    /// Into the database; holds why, when R2 was asked for.
    Embedded { store: Rc<dyn ImageStore>, reason: Option<&'static str> },
}

impl Stores {
    /// The homes at hand; `r2` and `parts`, which are the same bucket, are `None` when it is not bound.
    #[must_use]
    pub fn new(
        r2: Option<Rc<dyn ImageStore>>,
        parts: Option<Rc<dyn MultipartStore>>,
        embedded: Rc<EmbeddedStore>,
        runtime: Rc<dyn Runtime>,
        recorder: &Recorder,
        placement: Placement,
    ) -> Self {
        Self { r2, parts, embedded, runtime, recorder: recorder.clone(), placement }
    }

    /// The home of an image's stored bytes; `None` when it is R2 and the bucket is not bound.
    #[must_use]
    pub fn at(&self, storage: StorageKind, image: ImageId) -> Option<Rc<dyn ImageStore>> {
        match storage {
            StorageKind::R2 => self.r2.as_ref().map(|r2| self.observed(Rc::clone(r2), BUCKET, Some(image))),
            StorageKind::D1 => Some(self.embedded(image)),
        }
    }

    /// A home for what is not one image's alone; `None` when it is R2 and the bucket is not bound.
    #[must_use]
    pub fn of_several(&self, storage: StorageKind) -> Option<Rc<dyn ImageStore>> {
        match storage {
            StorageKind::R2 => self.r2.as_ref().map(|r2| self.observed(Rc::clone(r2), BUCKET, None)),
            StorageKind::D1 => Some(self.observed(Rc::clone(&self.embedded) as Rc<dyn ImageStore>, DATABASE, None)),
        }
    }

    /// The bucket as it takes one object in parts; `None` when it is not bound.
    #[must_use]
    pub fn parts(&self, image: ImageId) -> Option<Rc<dyn MultipartStore>> {
        let parts = Rc::clone(self.parts.as_ref()?);
        Some(Rc::new(ObservedParts::new(parts, BUCKET, image, Rc::clone(&self.runtime), self.recorder.clone())))
    }

    fn embedded(&self, image: ImageId) -> Rc<dyn ImageStore> {
        self.observed(Rc::clone(&self.embedded) as Rc<dyn ImageStore>, DATABASE, Some(image))
    }

    fn observed(&self, store: Rc<dyn ImageStore>, bucket: &'static str, image: Option<ImageId>) -> Rc<dyn ImageStore> {
        Rc::new(Observed::new(store, bucket, image, Rc::clone(&self.runtime), self.recorder.clone()))
    }

    /// Records a read that went past the home, in one call with a row.
    pub fn record_read(&self, storage: StorageKind, image: ImageId, bytes: u64) {
        self.recorder.record(&Event::Storage {
            operation: "get",
            backend: storage.as_str(),
            bucket: if storage == StorageKind::R2 { BUCKET } else { DATABASE },
            image_id: Some(image),
            bytes,
            duration_ms: 0,
            outcome: "ok",
            cause: None,
        });
    }

    /// Whether new images go to R2 first. Private bytes never go to a bucket with a public domain.
    #[must_use]
    pub fn prefers_r2(&self, visibility: Visibility) -> bool {
        self.bucket_for(visibility).is_ok()
    }

    /// The bucket that new images go to first; otherwise why they do not, when R2 was asked for.
    fn bucket_for(&self, visibility: Visibility) -> Result<&Rc<dyn ImageStore>, Option<&'static str>> {
        if !self.placement.r2_enabled {
            return Err(None);
        }
        if visibility == Visibility::Private && self.placement.r2_is_public {
            return Err(Some("private-image-and-public-bucket"));
        }
        self.r2.as_ref().ok_or(Some("r2-not-bound"))
    }

    /// Where a new image goes.
    #[must_use]
    pub fn target(&self, visibility: Visibility, image: ImageId) -> Target {
        match self.bucket_for(visibility) {
            Err(reason) => Target::Embedded { store: self.embedded(image), reason },
            Ok(r2) => Target::R2(Rc::new(Fallback {
                primary: self.observed(Rc::clone(r2), BUCKET, Some(image)),
                secondary: self.embedded(image),
                runtime: Rc::clone(&self.runtime),
                deadline_ms: self.placement.timeout_ms,
            })),
        }
    }

    /// The embedded store itself, for its own upkeep.
    #[must_use]
    pub fn embedded_sweeper(&self) -> &EmbeddedStore {
        &self.embedded
    }
}

/// Why nothing is read or removed where the bucket is not bound.
pub(super) fn not_bound() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the bucket R2_IMAGES is not bound")
}
