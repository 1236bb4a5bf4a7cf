//! What is worth telling: events, the fields that they log, and the counters that they move.

mod counters;
mod event;
mod recorder;

pub use counters::{Counters, R2Operations};
pub use event::{ConfigProblem, Event, Outcome};
pub use recorder::{Recorder, Sink};
