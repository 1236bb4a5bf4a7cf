//! Jobs: leased work on images that goes by the queue.
//!
//! A message names a job, and may come twice, late or never; the row says what there is to do. Whoever claims it works on it alone. What it makes
//! becomes readable in the transaction that completes the job, so that two workers, a second delivery or a crash make one output.

mod batch;
mod cause;
mod create;
mod edit;
mod look;
mod take_up;
mod work;

pub use batch::{BatchMade, MAX_BATCH_JOBS};
pub use create::CreateError;
pub use work::Worked;

use std::rc::Rc;

use crate::catalog::jobs::JobFailure;
use crate::edit::Editor;
use crate::image::JobId;
use crate::library::Library;
use crate::queue::{Message, RunQueue};
use crate::vision::Vision;

/// What the configuration says about jobs.
#[derive(Debug, Clone, Copy)]
pub struct JobSettings {
    /// Workers that a job has at most, one after the other.
    pub max_attempts: u16,
    /// How many days a job is remembered.
    pub retention_days: u16,
    /// How long a worker has a job, in milliseconds: longer than its provider and stores may take.
    pub lease_ms: i64,
    /// How long an editor or a vision provider may take, in milliseconds.
    pub timeout_ms: u64,
    /// Whether an output's object carries its prompt.
    pub prompt_in_metadata: bool,
}

/// The jobs of one deployment, as one piece of work sees them.
pub struct Jobs {
    pub library: Library,
    /// The configured editor.
    pub editor: Option<Rc<dyn Editor>>,
    /// The configured vision provider.
    pub vision: Option<Rc<dyn Vision>>,
    /// Takes messages, when it is bound. Without it cron works on what is due.
    pub queue: Option<Rc<dyn RunQueue>>,
    pub settings: JobSettings,
}

/// The message that has a worker look at a job.
fn message(id: JobId) -> Message {
    Message::Job { job_id: id.to_string() }
}

/// Why a job ends whose workers all vanished.
fn exhausted() -> JobFailure {
    JobFailure::new("attempts-exhausted", "each worker that took the job was gone before its end")
}
