//! The whole bucket against the rows: objects that nothing names, and rows whose object is not there. A slice at a time, in the order of
//! keys, so that whoever asks goes on with the key where the slice before ended; nothing is kept between two slices.
//!
//! What is younger than a period of grace is left alone: work under way puts bytes before the row that names them.

mod look;
mod place;
mod treat;

pub use look::Missing;
pub use treat::Fate;

use self::look::Look;
use super::registry::Sources;
use crate::catalog::CatalogError;
use crate::image::ObjectKey;
use crate::library::{AdoptError, Library};
use crate::runtime::Timestamp;
use crate::sql::DatabaseError;
use crate::store::{ObjectInfo, StoreError};

/// What to do with objects that nothing names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// Say which they are.
    Report,
    /// Make images of them.
    Adopt,
    /// Remove them.
    Remove,
}

/// What of the bucket to look at, and what to do.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub treatment: Treatment,
    /// Where the slice begins; at the start of the bucket without it.
    pub after: Option<ObjectKey>,
    /// Objects and rows that have changed since are left alone.
    pub unchanged_since: Timestamp,
}

/// A slice of the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reconciled {
    /// Objects that were looked at.
    pub objects: u64,
    /// Rows that say that their image is in the bucket.
    pub rows: u64,
    /// Objects that nothing names and whose keys are none of ours: never touched.
    pub foreign: Foreign,
    pub orphans: Vec<(ObjectInfo, Fate)>,
    pub missing: Vec<Missing>,
    /// Where the next slice begins; `None` at the end of the bucket.
    pub until: Option<ObjectKey>,
}

/// Objects of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Foreign {
    pub objects: u64,
    pub bytes: u64,
}

/// Why a slice was not looked through. What was done of it stays done, and asking again is fine.
#[derive(Debug)]
pub enum ReconcileError {
    /// No bucket is bound.
    NoBucket,
    Store(StoreError),
    Catalog(CatalogError),
    Database(DatabaseError),
    Adopt(AdoptError),
}

impl From<StoreError> for ReconcileError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CatalogError> for ReconcileError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<DatabaseError> for ReconcileError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<AdoptError> for ReconcileError {
    fn from(error: AdoptError) -> Self {
        Self::Adopt(error)
    }
}

/// Looks through a slice of the bucket, twice where something does not match, and treats what did not match either time.
///
/// # Errors
/// [`ReconcileError`].
pub async fn reconcile(library: &Library, sources: &Sources, wanted: &Wanted) -> Result<Reconciled, ReconcileError> {
    let first = Look::at(library, sources, wanted).await?;
    let look = if first.matches() { first } else { first.confirmed_by(Look::at(library, sources, wanted).await?) };
    let Look { objects, rows, foreign, orphans, missing, until } = look;
    let (orphans, until) = treat::treat(library, wanted.treatment, orphans, until).await?;
    Ok(Reconciled { objects, rows, foreign, orphans, missing, until })
}
