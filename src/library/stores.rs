//! Which home new bytes go to, and where old ones are read.

use std::rc::Rc;

use crate::image::{ObjectKey, Visibility};
use crate::runtime::Runtime;
use crate::store::{EmbeddedStore, Fallback, ImageStore, Observed, StorageKind};
use crate::telemetry::{Event, Recorder};

/// Name of the bucket's binding, for logs.
const BUCKET: &str = "R2_IMAGES";
/// Name of the database's binding, for logs.
const DATABASE: &str = "DB";

/// The homes of image bytes, each logging what it does.
#[derive(Clone)]
pub struct Stores {
    r2: Option<Rc<dyn ImageStore>>,
    embedded: Rc<dyn ImageStore>,
    embedded_sweeper: Rc<EmbeddedStore>,
    runtime: Rc<dyn Runtime>,
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
    /// The homes at hand; `r2` is `None` when the bucket is not bound.
    #[must_use]
    pub fn new(
        r2: Option<Rc<dyn ImageStore>>,
        embedded: Rc<EmbeddedStore>,
        runtime: Rc<dyn Runtime>,
        recorder: &Recorder,
        placement: Placement,
    ) -> Self {
        let observe = |store, bucket| -> Rc<dyn ImageStore> {
            Rc::new(Observed::new(store, bucket, Rc::clone(&runtime), recorder.clone()))
        };
        Self {
            r2: r2.map(|store| observe(store, BUCKET)),
            embedded: observe(Rc::clone(&embedded) as Rc<dyn ImageStore>, DATABASE),
            embedded_sweeper: embedded,
            runtime,
            placement,
        }
    }

    /// The home of stored bytes; `None` when it is R2 and the bucket is not bound.
    #[must_use]
    pub fn at(&self, storage: StorageKind) -> Option<&Rc<dyn ImageStore>> {
        match storage {
            StorageKind::R2 => self.r2.as_ref(),
            StorageKind::D1 => Some(&self.embedded),
        }
    }

    /// Records a read that went past the home, in one call with a row.
    pub fn record_read(&self, storage: StorageKind, key: &ObjectKey, bytes: u64, recorder: &Recorder) {
        recorder.record(&Event::Storage {
            operation: "get",
            backend: storage.as_str(),
            bucket: if storage == StorageKind::R2 { BUCKET } else { DATABASE },
            key: key.to_string(),
            bytes,
            duration_ms: 0,
            outcome: "ok",
            cause: None,
        });
    }

    /// Where a new image goes. Private bytes never go to a bucket with a public domain.
    #[must_use]
    pub fn target(&self, visibility: Visibility) -> Target {
        let embedded = |reason| Target::Embedded { store: Rc::clone(&self.embedded), reason };
        if !self.placement.r2_enabled {
            return embedded(None);
        }
        if visibility == Visibility::Private && self.placement.r2_is_public {
            return embedded(Some("private-image-and-public-bucket"));
        }
        match &self.r2 {
            None => embedded(Some("r2-not-bound")),
            Some(r2) => Target::R2(Rc::new(Fallback {
                primary: Rc::clone(r2),
                secondary: Rc::clone(&self.embedded),
                runtime: Rc::clone(&self.runtime),
                deadline_ms: self.placement.timeout_ms,
            })),
        }
    }

    /// The embedded store itself, for its own upkeep.
    #[must_use]
    pub fn embedded_sweeper(&self) -> &EmbeddedStore {
        &self.embedded_sweeper
    }
}

impl Target {
    /// Whether the database is the first choice.
    #[must_use]
    pub const fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded { .. })
    }
}
