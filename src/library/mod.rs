//! Images as a whole: every flow that touches both the bytes and the row.
//!
//! Invariants, held through any failure of any call and checked by `tests/native/api/crash.rs`:
//! - a row that says `stored` names bytes that are there, whole;
//! - bytes in R2 are named by a row (`pending` before they are written, `deleting` until they are gone), or lie under the prefix of a
//!   session of frames that has a row for the upload which put them;
//! - bytes in the embedded store are named by a row or unowned, and unowned ones are swept.

mod add;
mod adopt;
mod budget;
mod clear;
mod examine;
mod following;
mod frames;
mod metadata;
mod new_image;
mod open;
mod output;
mod purge;
mod remove;
mod stores;
mod sweep;
mod variants;

pub use add::{AddError, Measured, NewImage, Output, Source};
pub use adopt::{AdoptError, Adopted, NotAdopted};
pub use budget::{GenerationShare, MemoryBudget, Share, VariantShare};
pub use clear::{ClearError, Cleared, SLICES_AT_ONCE};
pub use examine::{ExamineError, Examined};
pub use frames::{FRAMES_A_COMMIT, FrameIntake, FrameOptions, FrameOutcome, FramesError};
pub use metadata::{IMAGE_ID, belongs_to, object_metadata};
pub use open::OpenError;
pub use output::{OutputLeft, OutputLeftError};
pub use purge::{PURGE_AT_ONCE, PurgeState};
pub use remove::{RemoveError, SWEEP_AFTER_MS};
pub use stores::{Placement, Stores, Target};
pub use sweep::Swept;
pub use variants::DropError;

use std::rc::Rc;

use async_trait::async_trait;

use crate::catalog::Catalog;
use crate::image::ImageId;
use crate::runtime::Runtime;
use crate::telemetry::Recorder;

/// The cache in front of the Worker, which answers for public images without asking.
#[async_trait(?Send)]
pub trait EdgeCache: 'static {
    /// Makes the cache forget images everywhere, at most [`PURGE_AT_ONCE`] of them.
    ///
    /// # Errors
    /// The platform's words; the cache may go on answering for each of them.
    async fn purge(&self, ids: &[ImageId]) -> Result<(), String>;
}

/// The images of one deployment, for the length of one request.
#[derive(Clone)]
pub struct Library {
    pub catalog: Catalog,
    pub stores: Stores,
    pub runtime: Rc<dyn Runtime>,
    pub recorder: Recorder,
    pub budget: Rc<MemoryBudget>,
    pub cache: Rc<dyn EdgeCache>,
}
