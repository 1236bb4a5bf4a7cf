//! Fetching an item that is claimed, and moving it.

use std::cell::RefCell;
use std::rc::Rc;

use super::{DELETED, FoundImage, ReadThrough, Reading, TIMEOUT, Turn, UNAVAILABLE};
use crate::bytes::{Blob, Body, BodyParts};
use crate::catalog::ServableImage;
use crate::image::{ObjectKey, Sha256Digest};
use crate::migrate::adoption;
use crate::migrate::destination::NewCopy;
use crate::migrate::runs::ledger::require_one_change;
use crate::migrate::runs::read_through::{self, MovedTo};
use crate::migrate::runs::{ActionParameters, Parameters, Progress, Run, RunId, State};
use crate::migrate::source::{Movable, Reached, ReachedImage, Switch};
use crate::migrate::task::{Blame, Refusal};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, Holder, QueryResult};
use crate::store::{PutReceipt, StorageKind};

/// How long it is remembered that a source does not have an item, in milliseconds.
const MISS_MS: i64 = 5 * 60 * 1_000;
/// How long a source that failed is not asked for the item again.
const FAILURE_MS: i64 = 5_000;
/// As long, when it took all of the time that it has: meanwhile, others have its place among those that are fetched.
const TIMEOUT_MS: i64 = 60_000;

/// An image on its way into the bucket.
struct Moving {
    turn: Turn,
    run: Run,
    key: ObjectKey,
    movable: Box<dyn Movable>,
    sha256: Option<Sha256Digest>,
    /// Its length, when it is known.
    size_bytes: u64,
}

impl ReadThrough {
    /// Fetches what was claimed. `former` is what was being put when the item's claim was somebody else's.
    pub(super) async fn fetch(
        &self,
        turn: Turn,
        former: Option<ObjectKey>,
        wants_bytes: bool,
    ) -> Result<Reading, DatabaseError> {
        let now = self.now();
        let run = self.run(now);
        let reached = match self.sources.reach(&run, &turn.item, &self.surroundings).await {
            Ok(Ok(Ok(Reached::Found(found)))) => *found,
            Ok(Ok(Ok(Reached::Here(image)))) => {
                self.release(&turn).await;
                return Ok(Reading::Moved(image));
            }
            Ok(Ok(Err(refusal))) => {
                self.record(refusal.reason, 0, now, Some(refusal.detail.clone()));
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
            && !self.remove_unnamed(&self.journal(), &self.source, &turn.item, &former).await?
        {
            self.release(&turn).await;
            return Ok(Reading::Unavailable);
        }
        let now = self.now();
        let announce = read_through::announce(&self.source, &turn.item, &turn.lease, &reached.key, now);
        if let Err(error) = self.journal().batch(vec![announce, require_one_change()]).await {
            self.release(&turn).await;
            return Err(error);
        }
        let ReachedImage { image_id, key, format, visibility, filename, body, movable } = reached;
        let size_bytes = body.promised_bytes().unwrap_or(0);
        let (body, bytes) = held(body);
        let sha256 = match (&bytes, movable.copy().sha256) {
            (Some(bytes), None) => Some(self.runtime().sha256(bytes).await),
            (_, known) => known,
        };
        let found = sha256.zip(bytes).map(|(sha256, bytes)| {
            let image = ServableImage {
                id: image_id,
                storage: StorageKind::R2,
                key: key.clone(),
                format,
                size_bytes: bytes.size_bytes() as u64,
                sha256,
                visibility,
                filename,
                created_at: now,
                version: 1,
            };
            (image, bytes)
        });
        let moving = Moving { turn, run, key, movable, sha256, size_bytes };
        let this = self.clone();
        let storing = Box::pin(async move { this.store(moving, body, now).await });
        match found {
            Some((image, bytes)) if wants_bytes => Ok(Reading::Found(Box::new(FoundImage { image, bytes, storing }))),
            _ if storing.await => Ok(Reading::Moved(image_id)),
            _ => Ok(Reading::Unavailable),
        }
    }

    /// Puts the object and records the move. Says whether it was moved.
    async fn store(&self, moving: Moving, body: Body, began_at: Timestamp) -> bool {
        let Moving { movable, sha256, .. } = &moving;
        let copy = || NewCopy { sha256: *sha256, ..movable.copy() };
        let first = RefCell::new(Some(body));
        let open = async || match first.take() {
            Some(body) => Ok(body),
            None => movable.open().await,
        };
        let outcome = match self.surroundings.destination.put(copy, open).await {
            Ok(receipt) => self.commit(&moving, &receipt, began_at).await,
            Err(error) => {
                // What may yet be put stays written down, for the sweep.
                if !error.is_uncertain {
                    self.missed(&moving.turn, &error.refusal).await;
                }
                Err(error.refusal.detail)
            }
        };
        let (word, bytes) = if outcome.is_ok() { ("ok", moving.size_bytes) } else { ("failed", 0) };
        self.record(word, bytes, began_at, outcome.as_ref().err().cloned());
        outcome.is_ok()
    }

    /// Remembers for a while that there is nothing to be had, and gives the item back.
    async fn missed(&self, turn: &Turn, refusal: &Refusal) -> Reading {
        let (reason, for_ms, reading) = match refusal.blame {
            Blame::Item if refusal.reason == DELETED => (DELETED, MISS_MS, Reading::Deleted),
            Blame::Item => (refusal.reason, MISS_MS, Reading::Absent),
            Blame::Source if refusal.reason == TIMEOUT => (UNAVAILABLE, TIMEOUT_MS, Reading::Unavailable),
            Blame::Source | Blame::Destination => (UNAVAILABLE, FAILURE_MS, Reading::Unavailable),
        };
        let now = self.now();
        let miss = read_through::miss(&self.source, &turn.missed_by, reason, now.plus_millis(for_ms));
        let release = read_through::release(&self.source, &turn.item, &turn.lease);
        // Best effort: without it the source is asked again.
        let _ = self.journal().batch(vec![miss, release]).await;
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
                public_base: self.public_base.clone(),
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
    async fn commit(&self, moving: &Moving, receipt: &PutReceipt, now: Timestamp) -> Result<(), String> {
        let Moving { turn, run, key, movable, .. } = moving;
        let switch = movable.switch(run, receipt, now);
        let Switch { statements, staged, .. } = switch.map_err(|error| error.to_string())?;
        let release = read_through::release(&self.source, &turn.item, &turn.lease);
        let mut all = vec![release, require_one_change()];
        all.extend(statements);
        all.extend(read_through::count_stages(&self.source, staged));
        all.push(read_through::count(&self.source, receipt.size_bytes, now));
        let journal = self.journal();
        let mut recorded = journal.batch(all.clone()).await;
        if recorded.as_ref().is_err_and(|failed| failed.kind == DatabaseErrorKind::Unavailable) {
            recorded = journal.batch(all).await;
        }
        let Err(failed) = recorded else {
            self.adopt().await;
            return Ok(());
        };
        let looked = journal.run(read_through::moved(&self.source, &turn.item)).await;
        match looked.and_then(|answer| QueryResult::first::<MovedTo>(&answer)) {
            Ok(Some(moved)) if moved.storage_key == *key => {
                self.release(turn).await;
                Ok(())
            }
            Ok(_) => {
                if self.remove_unnamed(&journal, &self.source, &turn.item, key).await.unwrap_or(false) {
                    self.release(turn).await;
                }
                Err(failed.to_string())
            }
            // The sweep looks again.
            Err(error) => Err(error.to_string()),
        }
    }

    /// Makes a row of the catalogue of a move whose journal is in another database. Best effort: cron does so too, and the journal serves
    /// the image until then.
    async fn adopt(&self) {
        let ledger = self.sources.ledger_at(&self.source);
        if !Rc::ptr_eq(self.sources.catalogue(), ledger.database()) {
            let _ = adoption::adopt(self.sources.catalogue(), &ledger, self.now()).await;
        }
    }
}

/// A body, and its bytes if they are all here.
fn held(body: Body) -> (Body, Option<Blob>) {
    let promised_bytes = body.promised_bytes();
    match body.into_parts() {
        BodyParts::Blob(blob) => (Body::from(blob.clone()), Some(blob)),
        BodyParts::Source(source) => (Body::from_source(source, promised_bytes), None),
    }
}
