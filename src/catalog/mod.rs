//! The catalogue: one row is the truth about where an image is.
//!
//! ```text
//!            reserve          commit            begin_delete          finish_delete        purge_tombstones
//! (no row) ----------> pending -----> stored ----------------> deleting -------------> deleted -----------> (no row)
//!     \                   \              ^                        ^
//!      \-------------------\-------------/ commit                 |
//!                           \--- abandon, begin_delete -----------/     withdraw takes a pending row back
//! ```
//!
//! - A row is there before its bytes are, and until they are gone, so that a crash leaves nothing that
//!   [`Catalog::stale`] does not find.
//! - Nothing leaves `deleting` but to `deleted`: whoever began a deletion may rely on it.
//! - Each change names the state it starts from, and raises `version`; two at once cannot both win.
//! - Each operation is one round trip, unless its documentation says otherwise, and may be repeated when its answer was
//!   lost: the repetition changes nothing and gives the same answer, or one that says what has happened since.

mod alerts;
mod analyses;
pub mod collections;
mod columns;
mod commit;
mod cursor;
mod delete;
mod error;
mod filter;
mod frame_commit;
mod frames;
mod holdings;
mod idempotency;
pub mod jobs;
mod key;
mod leaving;
mod limits;
mod list;
mod lookup;
mod misses;
pub mod moved;
mod multipart;
mod placeholders;
mod purges;
mod reconcile;
mod record;
mod reserve;
mod row;
mod statistics;
mod sweep;
mod uploads;
mod usage;
mod variants;
mod walk;

pub use alerts::{Condition, DueAlert, MAX_ATTEMPTS};
pub use analyses::{AnalysisPart, KeptAnalysis};
pub use collections::{Collection, CollectionCursor, CollectionKind, CollectionPage, CollectionState, require_open};
pub(crate) use columns::IMAGE_COLUMNS;
pub use commit::{Commit, Committed};
pub use cursor::{InvalidCursor, PageCursor};
pub use delete::{DeleteFinished, DeleteStep, MovedImages};
pub use error::CatalogError;
pub use filter::{InvalidPageSize, ListFilter, LookedFor, PageSize};
pub use frame_commit::{FramesCommitted, UploadEnd};
pub use frames::{FrameUpload, FramesBegun};
pub use holdings::{Holding, Home, USAGE_DAYS, Usage, UsageDay};
pub use idempotency::{Claim, IDEMPOTENCY_RETENTION_MS, Lease};
pub use key::{IdempotencyKey, InvalidIdempotencyKey};
pub use leaving::Fate;
pub use limits::{Limit, LimitReached, UserLimits};
pub use list::{ListError, Page};
pub use lookup::{ServableImage, Serving};
pub use multipart::KeptPart;
pub use purges::{CachePurge, DuePurges, queue_purges};
pub use reconcile::{HELD_AT_ONCE, KeyedRow, Names, Unnamed, require_alone};
pub use record::{
    Associations, Content, Description, Frame, GenerationRecord, ImageRecord, OwnerFilter, SourceItem, Status,
};
pub use reserve::Reservation;
pub(crate) use row::{insert_image, records};
pub use statistics::Statistics;
pub use uploads::{CloseReason, DueUpload, Granted, Received, Upload, UploadState, confirm_upload};
pub use variants::{LeavingVariant, StoredVariant, VariantClaim, VariantName, VariantState};
pub use walk::LOOKED_THROUGH;

use std::rc::Rc;

use crate::runtime::Runtime;
use crate::sql::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement};

/// The rows of all images, the idempotency keys that led to them, and what the cache in front must forget. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    database: Rc<dyn Database>,
    /// Further databases whose journals name images.
    others: Rc<[(String, Rc<dyn Database>)]>,
    misses: Option<Rc<misses::Misses>>,
    limits: UserLimits,
}

impl Catalog {
    /// The catalogue in `database`, whose migrations are applied.
    #[must_use]
    pub fn new(database: Rc<dyn Database>) -> Self {
        Self { database, others: Rc::default(), misses: None, limits: UserLimits::default() }
    }

    /// The catalogue that also serves what was moved out of tables in these databases, by binding.
    #[must_use]
    pub fn with_others(self, others: Rc<[(String, Rc<dyn Database>)]>, runtime: Rc<dyn Runtime>) -> Self {
        Self { others, misses: Some(Rc::new(misses::Misses::new(runtime))), ..self }
    }

    /// The catalogue that lets no user add more than this.
    #[must_use]
    pub fn with_limits(self, limits: UserLimits) -> Self {
        Self { limits, ..self }
    }

    /// The database that it is in.
    #[must_use]
    pub fn database(&self) -> Rc<dyn Database> {
        Rc::clone(&self.database)
    }

    /// Runs `statements` as one round trip that `operation` stands for; one answer each.
    async fn batch<const COUNT: usize>(
        &self,
        operation: &'static str,
        statements: [Statement; COUNT],
    ) -> Result<[QueryResult; COUNT], CatalogError> {
        let results = self.database.batch(statements.into()).await.map_err(CatalogError::during(operation))?;
        results
            .try_into()
            .map_err(|_| DatabaseError::new(DatabaseErrorKind::Corrupt, "not one answer a statement"))
            .map_err(CatalogError::during(operation))
    }
}
