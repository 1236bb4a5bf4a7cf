//! The whole bucket against the rows: objects that nothing names, and rows whose object is not there. A slice at a time, in the order of
//! keys, so that whoever asks goes on with the key where the slice before ended; nothing is kept between two slices.
//!
//! What is younger than a period of grace is left alone: work under way puts bytes before the row that names them.

mod asked;
mod error;
mod look;
mod place;
mod treat;

pub use asked::{Treatment, Wanted};
pub use error::ReconcileError;
pub use look::{Foreign, Missing};
pub use treat::Fate;

use self::look::Look;
use super::registry::Sources;
use crate::image::ObjectKey;
use crate::library::Library;
use crate::store::ObjectInfo;

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
