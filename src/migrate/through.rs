//! Reading through: an image that no run has moved yet is fetched from its source for whoever reads it, and moved by that.
//!
//! 1. look: the item was moved, or was asked for in vain a moment ago;
//! 2. claim it, so that one request fetches it, whatever its isolate; the others look again;
//! 3. find it in its source, and read it: one that is short enough is answered with at once;
//! 4. write down the key, put the object, and record the move in one transaction, which gives the claim back.
//!
//! A claim that was not given back is taken over by the sweep, which removes what it put unless something names that.

use std::cell::RefCell;
use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::destination::{NewCopy, remove_own};
use super::reading::{Place, UnderWay};
use super::registry::Sources;
use super::runs::ledger::require_one_change;
use super::runs::read_through::{self, Claimed};
use super::runs::{ActionParameters, Parameters, Progress, PublicBase, Run, RunId, State};
use super::source::{Reached, Surroundings, Switch};
use super::task::{Blame, Refusal};
use crate::bytes::{Blob, Body, BodyParts};
use crate::catalog::ServableImage;
use crate::image::{ImageId, ObjectKey};
use crate::runtime::{Runtime, Timestamp};
use crate::sql::{Database, DatabaseError, DatabaseErrorKind, Holder, Lease, QueryResult};
use crate::store::{PutReceipt, StorageKind};
use crate::telemetry::{Event, Recorder};

/// How long it is remembered that a source does not have an item, in milliseconds.
pub const MISS_MS: i64 = 5 * 60 * 1_000;
/// How long a source that failed is not asked for the item again.
const FAILURE_MS: i64 = 5_000;
/// How long a request waits for another that fetches the same item.
const LONGEST_WAIT_MS: u64 = 15_000;
const FIRST_PAUSE_MS: u64 = 50;
const LONGEST_PAUSE_MS: u64 = 800;
/// Beyond its calls, what a fetch may take.
const MARGIN_MS: u64 = 30_000;
/// From so long after its end a claim is taken over: no put of it can be under way.
const SWEPT_AFTER_MS: i64 = 60 * 60 * 1_000;
const SWEPT_AT_ONCE: u16 = 20;

/// The reasons of misses that are told apart.
const DELETED: &str = "deleted";
const UNAVAILABLE: &str = "unavailable";

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
    /// What this isolate fetches.
    pub under_way: Rc<UnderWay>,
    /// How long a call to the source may take, in milliseconds.
    pub source_timeout_ms: u64,
    pub recorder: Recorder,
}

/// An item that this request fetches.
struct Turn {
    item: String,
    lease: Lease,
    /// Gives the place in the isolate back when it is dropped.
    _place: Place,
}

impl ReadThrough {
    fn runtime(&self) -> &Rc<dyn Runtime> {
        &self.surroundings.destination.runtime
    }

    fn database(&self) -> &Rc<dyn Database> {
        self.sources.catalogue()
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
        loop {
            if !self.under_way.has(item) {
                let looked =
                    self.database().batch(Vec::from(read_through::look(&self.source, item, self.now()))).await?;
                if let Some(known) = known(&looked)? {
                    return Ok(known);
                }
                if !self.sources.is_usable(&self.source).await? {
                    return Ok(Reading::Absent);
                }
                match self.under_way.enter(item) {
                    Ok(Some(place)) => match self.claim(item, place).await? {
                        Ok((turn, former)) => return self.fetch(turn, former, wants_bytes).await,
                        Err(Some(known)) => return Ok(known),
                        Err(None) => {}
                    },
                    Ok(None) => {}
                    Err(_) => return Ok(Reading::Busy),
                }
            }
            if self.now().millis_since(began_at) >= LONGEST_WAIT_MS {
                return Ok(Reading::Busy);
            }
            self.runtime().sleep(pause_ms).await;
            pause_ms = (2 * pause_ms).min(LONGEST_PAUSE_MS);
        }
    }

    /// Takes the item; otherwise says what it has become meanwhile, if that is known.
    async fn claim(
        &self,
        item: &str,
        place: Place,
    ) -> Result<Result<(Turn, Option<ObjectKey>), Option<Reading>>, DatabaseError> {
        let lease_ms = 2 * (self.source_timeout_ms + self.surroundings.destination.timeout_ms) + MARGIN_MS;
        let lease = Lease::begin(&**self.runtime(), i64::try_from(lease_ms).unwrap_or(i64::MAX));
        let now = self.now();
        let mut statements = vec![read_through::claim(&self.source, item, &lease, now)];
        statements.extend(read_through::look(&self.source, item, now));
        let answers = self.database().batch(statements).await?;
        let (claimed, looked) = answers.split_at(answers.len().min(1));
        let claimed = claimed.first().map(QueryResult::first::<Claimed>).transpose()?.flatten();
        let known = known(looked)?;
        let Some(claimed) = claimed else { return Ok(Err(known)) };
        let turn = Turn { item: item.to_owned(), lease, _place: place };
        if known.is_some() {
            self.release(&turn).await;
            return Ok(Err(known));
        }
        Ok(Ok((turn, claimed.storage_key)))
    }

    /// Best effort: a claim that stays ends by itself.
    async fn release(&self, turn: &Turn) {
        let _ = self.database().run(read_through::release(&self.source, &turn.item, &turn.lease)).await;
    }

    async fn fetch(&self, turn: Turn, former: Option<ObjectKey>, wants_bytes: bool) -> Result<Reading, DatabaseError> {
        let reached = match self.sources.reach(&self.source, &turn.item, &self.surroundings).await {
            Ok(Ok(Ok(reached))) => reached,
            Ok(Ok(Err(refusal))) => {
                self.record(refusal.reason, 0, self.now(), Some(refusal.detail.clone()));
                return Ok(self.missed(&turn, &refusal).await);
            }
            Ok(Err(_)) => {
                self.release(&turn).await;
                return Ok(Reading::Absent);
            }
            Err(error) => {
                self.release(&turn).await;
                return Err(error);
            }
        };
        // Whoever had the item before put an object of another state of it, and did not live to see it named.
        if let Some(former) = former.filter(|former| *former != reached.key)
            && !self.remove_unnamed(&self.source, &turn.item, &former).await?
        {
            self.release(&turn).await;
            return Ok(Reading::Unavailable);
        }
        let now = self.now();
        let announce = read_through::announce(&self.source, &turn.item, &turn.lease, &reached.key, now);
        if let Err(error) = self.database().batch(vec![announce, require_one_change()]).await {
            self.release(&turn).await;
            return Err(error);
        }
        let Reached { image_id, key, format, visibility, filename, body, movable } = reached;
        let promised_bytes = body.promised_bytes();
        let (body, bytes) = match body.into_parts() {
            BodyParts::Blob(blob) => (Body::from(blob.clone()), Some(blob)),
            BodyParts::Source(source) => (Body::from_source(source, promised_bytes), None),
        };
        let sha256 = match &bytes {
            Some(bytes) => Some(self.runtime().sha256(bytes).await),
            None => None,
        };
        let image = sha256.zip(bytes).map(|(sha256, bytes)| {
            let (size_bytes, created_at) = (bytes.size_bytes() as u64, now);
            let key = key.clone();
            let storage = StorageKind::R2;
            let image = ServableImage {
                id: image_id,
                storage,
                key,
                format,
                size_bytes,
                sha256,
                visibility,
                filename,
                created_at,
                version: 1,
            };
            (image, bytes)
        });
        let this = self.clone();
        let storing = Box::pin(async move {
            let copy = || NewCopy { sha256, ..movable.copy() };
            let first = RefCell::new(Some(body));
            let open = async || match first.take() {
                Some(body) => Ok(body),
                None => movable.open().await,
            };
            let put = this.surroundings.destination.put(copy, open).await;
            let outcome = match put {
                Ok(receipt) => {
                    let run = this.run(now);
                    let switch = movable.switch(&run, &receipt, now);
                    this.commit(&turn, switch, &receipt, &key, now).await
                }
                Err(error) => {
                    // What may yet be put stays written down, for the sweep.
                    if !error.is_uncertain {
                        this.missed(&turn, &error.refusal).await;
                    }
                    Err(error.refusal.detail)
                }
            };
            let (word, bytes) = if outcome.is_ok() { ("ok", promised_bytes.unwrap_or(0)) } else { ("failed", 0) };
            this.record(word, bytes, now, outcome.as_ref().err().cloned());
            outcome.is_ok()
        });
        match image {
            Some((image, bytes)) if wants_bytes => Ok(Reading::Found(Box::new(FoundImage { image, bytes, storing }))),
            _ if storing.await => Ok(Reading::Moved(image_id)),
            _ => Ok(Reading::Unavailable),
        }
    }

    /// Remembers for a while that there is nothing to be had, and gives the item back.
    async fn missed(&self, turn: &Turn, refusal: &Refusal) -> Reading {
        let (reason, for_ms, reading) = match refusal.blame {
            Blame::Item if refusal.reason == DELETED => (DELETED, MISS_MS, Reading::Deleted),
            Blame::Item => (refusal.reason, MISS_MS, Reading::Absent),
            Blame::Source | Blame::Destination => (UNAVAILABLE, FAILURE_MS, Reading::Unavailable),
        };
        let now = self.now();
        let miss = read_through::miss(&self.source, &turn.item, reason, now.plus_millis(for_ms));
        let release = read_through::release(&self.source, &turn.item, &turn.lease);
        // Best effort: without it the source is asked again.
        let _ = self.database().batch(vec![miss, release]).await;
        reading
    }

    /// The journal wants a run; that of all moves by readers is no row.
    fn run(&self, now: Timestamp) -> Run {
        Run {
            id: RunId::from_random_bytes([0; 16]),
            source: self.source.clone(),
            parameters: Parameters {
                batch_size: 1,
                concurrency: 1,
                item_ids: None,
                public_base: PublicBase::Worker(String::new()),
                action: ActionParameters::Migrate { dry_run: false, fallback_only: false },
            },
            state: State::Running,
            requested: None,
            progress: Progress::default(),
            cursor: None,
            in_flight: Vec::new(),
            slices: 0,
            holder: Holder::nobody(),
            receipt: None,
            created_at: now,
            updated_at: now,
            finished_at: None,
        }
    }

    /// Records the move. When it cannot be recorded because somebody else has moved the item, the object goes unless it is theirs.
    async fn commit(
        &self,
        turn: &Turn,
        switch: Result<Switch, DatabaseError>,
        receipt: &PutReceipt,
        key: &ObjectKey,
        now: Timestamp,
    ) -> Result<(), String> {
        let Switch { statements, staged, .. } = switch.map_err(|error| error.to_string())?;
        let mut all = vec![read_through::release(&self.source, &turn.item, &turn.lease), require_one_change()];
        all.extend(statements);
        all.extend(read_through::count_stages(&self.source, staged));
        all.push(read_through::count(&self.source, receipt.size_bytes, now));
        let Err(failed) = self.database().batch(all.clone()).await else { return Ok(()) };
        if failed.kind == DatabaseErrorKind::Unavailable && self.database().batch(all).await.is_ok() {
            return Ok(());
        }
        let look = Vec::from(read_through::look(&self.source, &turn.item, now));
        let looked = self.database().batch(look).await.and_then(|answers| read_through::looked(&answers));
        match looked {
            Ok((Some(moved), _)) if moved.storage_key == *key => Ok(()),
            Ok(_) => {
                if self.remove_unnamed(&self.source, &turn.item, key).await.unwrap_or(false) {
                    self.release(turn).await;
                }
                Err(failed.to_string())
            }
            // The sweep looks again.
            Err(error) => Err(error.to_string()),
        }
    }

    /// Removes the object of an item that this request has, unless something names it. False when that failed.
    async fn remove_unnamed(&self, source: &str, item: &str, key: &ObjectKey) -> Result<bool, DatabaseError> {
        let named = self.database().run(read_through::named(source, item, key)).await?;
        if named.rows::<One>()?.is_empty() {
            return Ok(remove_own(&*self.surroundings.destination.bucket, key, source).await.is_ok());
        }
        Ok(true)
    }

    /// Goes over claims that nobody gave back.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sweep(&self) -> Result<(), DatabaseError> {
        let now = self.now();
        let lease = Lease::begin(&**self.runtime(), i64::try_from(MARGIN_MS).unwrap_or(i64::MAX));
        let take_over = read_through::take_over(&lease, now.plus_millis(-SWEPT_AFTER_MS), SWEPT_AT_ONCE);
        for Claimed { source, item_id, storage_key } in self.database().run(take_over).await?.rows::<Claimed>()? {
            let is_clear = match &storage_key {
                Some(key) => self.remove_unnamed(&source, &item_id, key).await?,
                None => true,
            };
            if is_clear {
                self.database().run(read_through::release(&source, &item_id, &lease)).await?;
            }
        }
        Ok(())
    }

    fn record(&self, outcome: &'static str, bytes: u64, began_at: Timestamp, cause: Option<String>) {
        let duration_ms = self.now().millis_since(began_at);
        self.recorder.record(&Event::ReadThrough { source: self.source.clone(), outcome, bytes, duration_ms, cause });
    }
}

#[derive(serde::Deserialize)]
struct One {
    #[serde(rename = "one")]
    _one: u8,
}

/// What is known of an item without its source.
fn known(looked: &[QueryResult]) -> Result<Option<Reading>, DatabaseError> {
    Ok(match read_through::looked(looked)? {
        (Some(moved), _) => Some(Reading::Moved(moved.image_id)),
        (None, Some(reason)) => Some(match reason.as_str() {
            DELETED => Reading::Deleted,
            UNAVAILABLE => Reading::Unavailable,
            _ => Reading::Absent,
        }),
        (None, None) => None,
    })
}
