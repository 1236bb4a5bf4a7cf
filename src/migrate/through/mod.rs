//! Reading through: an image that no run has moved yet is fetched from its source for whoever reads it, and moved by that.
//!
//! 1. look: the item was moved, or was asked for in vain a moment ago;
//! 2. claim it, so that one request fetches it, whatever its isolate; the others look again;
//! 3. find it in its source, and read it: one that is short enough is answered with at once;
//! 4. write down the key, put the object, and record the move in one transaction, which gives the claim back.
//!
//! A claim that was not given back is taken over by the sweep, which removes what it put unless something names that.

mod claim;
mod fetch;
mod look;
mod sweep;

use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::reading::{Place, UnderWay};
use super::registry::Sources;
use super::runs::PublicBase;
use super::source::Surroundings;
use crate::bytes::Blob;
use crate::catalog::ServableImage;
use crate::image::ImageId;
use crate::runtime::{Runtime, Timestamp};
use crate::sql::{Database, DatabaseError, Lease};
use crate::telemetry::{Event, Recorder};

/// How long a request waits for another that fetches the same item, and for its place among those that fetch.
const LONGEST_WAIT_MS: u64 = 15_000;
const FIRST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 800;
/// Beyond its calls, what a fetch may take: it waits for its turn at a host.
const MARGIN_MS: u64 = 30_000;

/// The reasons of misses that are told apart.
const DELETED: &str = "deleted";
const UNAVAILABLE: &str = "unavailable";

/// The reason of a source that did not answer in time.
const TIMEOUT: &str = "timeout";

/// What there is to read under an item's name.
pub enum Reading {
    /// It was moved: this image.
    Moved(ImageId),
    /// It was found now, and is all here.
    Found(Box<FoundImage>),
    Absent,
    Deleted,
    /// The source or the bucket fails.
    Unavailable,
    /// Too many are being fetched, or this one takes too long.
    Busy,
}

/// An image that was found in its source a moment ago.
pub struct FoundImage {
    pub image: ServableImage,
    pub bytes: Blob,
    /// Moves it; says whether it was moved.
    pub storing: LocalBoxFuture<'static, bool>,
}

/// Reads one source through.
#[derive(Clone)]
pub struct ReadThrough {
    pub sources: Rc<Sources>,
    pub source: String,
    pub surroundings: Surroundings,
    /// What the URLs start with that rows get.
    pub public_base: PublicBase,
    /// What this isolate fetches.
    pub under_way: Rc<UnderWay>,
    /// How long a call to the source may take, in milliseconds.
    pub source_timeout_ms: u64,
    pub recorder: Recorder,
}

/// An item that this request fetches.
struct Turn {
    item: String,
    /// What it is remembered by if there is nothing to be had.
    missed_by: String,
    lease: Lease,
    /// Gives the place in the isolate back when it is dropped.
    _place: Place,
}

impl ReadThrough {
    fn runtime(&self) -> &Rc<dyn Runtime> {
        &self.surroundings.destination.runtime
    }

    /// The database of the source's journal.
    fn journal(&self) -> Rc<dyn Database> {
        Rc::clone(self.sources.ledger_at(&self.source).database())
    }

    fn now(&self) -> Timestamp {
        self.runtime().now()
    }

    /// What there is under an item's name, fetched if need be. `wants_bytes` when the whole image can be answered with.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn read(&self, item: &str, wants_bytes: bool) -> Result<Reading, DatabaseError> {
        let began_at = self.now();
        let mut pause_ms = FIRST_PAUSE_MS;
        let mut waiting = None;
        loop {
            if !self.under_way.has(item) {
                let missed_by = match self.look(item).await? {
                    Ok(known) => return Ok(known),
                    Err(missed_by) => missed_by,
                };
                if let Some(place) = self.under_way.enter(item) {
                    match self.claim(item, missed_by, place).await? {
                        Ok((turn, former)) => return self.fetch(turn, former, wants_bytes).await,
                        Err(Some(known)) => return Ok(known),
                        Err(None) => {}
                    }
                } else if waiting.is_none() && !self.under_way.has(item) {
                    waiting = self.under_way.wait();
                    if waiting.is_none() {
                        return Ok(Reading::Busy);
                    }
                }
            }
            if self.now().millis_since(began_at) >= LONGEST_WAIT_MS {
                return Ok(Reading::Busy);
            }
            self.runtime().sleep(pause_ms).await;
            pause_ms = (2 * pause_ms).min(LONGEST_PAUSE_MS);
        }
    }

    fn record(&self, outcome: &'static str, bytes: u64, began_at: Timestamp, cause: Option<String>) {
        let duration_ms = self.now().millis_since(began_at);
        self.recorder.record(&Event::ReadThrough { source: self.source.clone(), outcome, bytes, duration_ms, cause });
    }
}
