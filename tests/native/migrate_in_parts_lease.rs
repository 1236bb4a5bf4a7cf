//! The lease of a run while a part of an object takes longer than a lease.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use stillstore::bytes::Body;
use stillstore::http::{HttpAnswer, HttpClient, HttpError, HttpRequest};
use stillstore::image::ObjectKey;
use stillstore::migrate::seam::PartSizes;
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::{
    MultipartId, MultipartObject, MultipartStore, PartNumber, StoreCall, StoreError, UploadedPart,
};

use crate::api::migrate_crash::{ask_until_crash, take_up};
use crate::api::world::World;
use crate::migrate_bucket::{reasons, world_with};
use crate::migrate_in_parts::long_text;
use crate::migrate_table::query;
use crate::runtime::{TestRuntime, block_on};

const MIB: usize = 1024 * 1024;
/// How long a call takes, as configured.
const CALL_MS: i64 = 30_000;
/// A slice's: each part is a slice, and written down before the next is put.
const SLICE_MS: i64 = 10_000;
/// In these times of a call a lease of 100 seconds runs out.
const WAITS: usize = 4;
const KEY: &str = "pics/b.txt";

/// Where something takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slow {
    /// The other bucket begins to answer late.
    Read,
    /// The part arrives late.
    Put,
}

type Meanwhile = Box<dyn Fn(usize)>;

/// Keeps one call waiting, while time passes and other things happen.
struct Wait {
    runtime: Rc<TestRuntime>,
    /// The call that waits, counted down, the next being 1.
    planned: Cell<Option<(Slow, usize)>>,
    meanwhile: RefCell<Option<Meanwhile>>,
    /// Comes in place of the first part before the object is made, and is called something else.
    late_part: RefCell<Option<Body>>,
}

impl Wait {
    async fn pass(&self, slow: Slow) {
        let Some((planned, nth)) = self.planned.get().filter(|(planned, _)| *planned == slow) else { return };
        self.planned.set((nth > 1).then_some((planned, nth - 1)));
        if nth > 1 {
            return;
        }
        for waited in 1..=WAITS {
            self.runtime.advance(CALL_MS);
            if let Some(meanwhile) = &*self.meanwhile.borrow() {
                meanwhile(waited);
            }
            if waited == WAITS {
                return;
            }
            let mut has_waited = false;
            poll_fn(|context| {
                if std::mem::replace(&mut has_waited, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }
}

struct SlowServer(Rc<dyn HttpClient>, Rc<Wait>);

#[async_trait(?Send)]
impl HttpClient for SlowServer {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        if request.headers.iter().any(|(name, _)| *name == "range") {
            self.1.pass(Slow::Read).await;
        }
        self.0.send(request).await
    }
}

struct SlowParts(Rc<dyn MultipartStore>, Rc<Wait>);

#[async_trait(?Send)]
impl MultipartStore for SlowParts {
    async fn create(&self, object: MultipartObject) -> Result<MultipartId, StoreError> {
        self.0.create(object).await
    }

    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &MultipartId,
        number: PartNumber,
        body: Body,
    ) -> Result<UploadedPart, StoreError> {
        self.1.pass(Slow::Put).await;
        let part = self.0.put_part(key, upload, number, body).await;
        self.1.runtime.advance(SLICE_MS);
        part
    }

    async fn complete(&self, key: &ObjectKey, upload: &MultipartId, parts: &[UploadedPart]) -> Result<(), StoreError> {
        if let Some(body) = self.1.late_part.take() {
            self.0.put_part(key, upload, parts[0].number, body).await?;
        }
        self.0.complete(key, upload, parts).await
    }

    async fn abort(&self, key: &ObjectKey, upload: &MultipartId) -> Result<(), StoreError> {
        self.0.abort(key, upload).await
    }
}

/// A world with an object of three parts, one of which takes its time: the third read is of the second part, since the first is a look.
fn world(slow: Slow) -> (Rc<World>, Rc<Wait>, Vec<u8>) {
    let text = long_text(11 * MIB);
    let (mut world, _) = world_with(&[], &[(KEY, &text)]);
    let services = &mut world.app.services;
    services.part_sizes = PartSizes { above_bytes: 8 * MIB as u64, part_bytes: 5 * MIB as u64, call_bytes: MIB as u64 };
    let nth = if slow == Slow::Read { 3 } else { 2 };
    let runtime = Rc::clone(&world.runtime);
    let planned = Cell::new(Some((slow, nth)));
    let wait = Rc::new(Wait { runtime, planned, meanwhile: RefCell::default(), late_part: RefCell::default() });
    services.http = Rc::new(SlowServer(Rc::clone(&services.http), Rc::clone(&wait)));
    services.parts = services.parts.take().map(|parts| Rc::new(SlowParts(parts, Rc::clone(&wait))) as Rc<_>);
    // The deadline of the part does not come.
    world.runtime.end_sleeps_up_to(CALL_MS.unsigned_abs());
    (Rc::new(world), wait, text)
}

fn rows(world: &World) -> Vec<Json> {
    let tables = ["stillstore_runs", "stillstore_run_lines", "stillstore_moves", "stillstore_images"];
    tables.iter().flat_map(|table| query(&world.sqlite, &format!("SELECT * FROM {table}"))).collect()
}

/// How often each call to the bucket was made that changes something.
fn writes(world: &World) -> [usize; 4] {
    let calls = world.bucket.plan.calls();
    let kinds = [StoreCall::PutPart, StoreCall::CompleteMultipart, StoreCall::AbortMultipart, StoreCall::Put];
    kinds.map(|kind| calls.iter().filter(|call| call.kind == kind).count())
}

fn assert_copied_once(world: &World, text: &[u8], case: &str) {
    let latest = world.call("GET", "/api/migrate-images", None).json()["run"].clone();
    let run = if latest["state"] == "running" { take_up(world, case) } else { latest };
    assert_eq!((&run["state"], &run["progress"]["done"]), (&json!("completed"), &json!(1)), "{case}: {run}");
    assert!(world.bucket.inner.contents()[KEY] == text, "{case}");
    assert_eq!(query(&world.sqlite, "SELECT item_id FROM stillstore_moves").len(), 1, "{case}");
    assert!(world.bucket.inner.unfinished_uploads().is_empty(), "{case}");
}

#[test]
fn a_part_that_takes_longer_than_a_lease_keeps_the_run() {
    for slow in [Slow::Read, Slow::Put] {
        let (world, wait, text) = world(slow);
        let workers = Rc::new(RefCell::new(Vec::new()));
        let (others, seen) = (Rc::clone(&world), Rc::clone(&workers));
        wait.meanwhile.replace(Some(Box::new(move |_| {
            block_on(others.app.tick());
            seen.borrow_mut().extend(query(&others.sqlite, "SELECT lease_token FROM stillstore_runs"));
        })));
        ask_until_crash(&world, &json!({"action": "migrate", "source": "old"}));
        let mut workers = workers.take();
        assert_eq!(workers.len(), WAITS, "{slow:?}: it was waited");
        workers.dedup();
        assert!(workers.len() == 1 && !workers[0]["lease_token"].is_null(), "{slow:?}: one worker: {workers:?}");
        assert_copied_once(&world, &text, &format!("{slow:?}"));
        assert_eq!(writes(&world)[0], 3, "{slow:?}: each part was put once");
    }
}

/// Has another worker take the run over after `waits`, because the database could not renew the lease; the other gets as far as the end, or
/// as an outage of the bucket at the object's end.
fn lose_lease(slow: Slow, waits: usize, ends: bool) {
    let case = format!("{slow:?}, after {waits} waits, ends: {ends}");
    let (world, wait, text) = world(slow);
    let taken_over = Rc::new(RefCell::new(None));
    let (others, over) = (Rc::clone(&world), Rc::clone(&taken_over));
    wait.meanwhile.replace(Some(Box::new(move |waited| {
        if waited == 1 {
            others.database.plan.fail_all(None::<DatabaseCall>, Fault::FailBefore);
        }
        if waited == waits {
            others.database.plan.heal();
            if !ends {
                others.bucket.plan.fail_nth(StoreCall::CompleteMultipart, 1, Fault::FailBefore);
            }
            // The lease may be another 30 seconds from its end.
            others.runtime.advance(CALL_MS);
            block_on(others.app.tick());
            over.replace(Some((rows(&others), writes(&others))));
        }
    })));
    let answer = ask_until_crash(&world, &json!({"action": "migrate", "source": "old"}));
    let (rows_then, writes_then) = taken_over.take().expect("another worker");
    let of_other = if ends { "completed" } else { "running" };
    assert_eq!(query(&world.sqlite, "SELECT state FROM stillstore_runs"), [json!({"state": of_other})], "{case}");
    assert!(rows(&world) == rows_then, "{case}: the old worker wrote to the database: {answer:?}");
    let mut allowed = writes_then;
    // A put that was under way while the lease was lost may still arrive.
    allowed[0] += usize::from(waits == WAITS);
    assert_eq!(writes(&world), allowed, "{case}: the old worker wrote to the bucket");
    assert_copied_once(&world, &text, &case);
}

#[test]
fn a_worker_whose_lease_was_lost_in_the_middle_of_a_part_writes_nothing_more() {
    for ends in [true, false] {
        for slow in [Slow::Read, Slow::Put] {
            for waits in [WAITS - 1, WAITS] {
                lose_lease(slow, waits, ends);
            }
        }
    }
}

#[test]
fn an_object_whose_part_was_put_over_by_a_late_worker_is_begun_anew_by_the_next_run() {
    let (world, wait, text) = world(Slow::Put);
    wait.late_part.replace(Some(vec![0; 5 * MIB].into()));
    ask_until_crash(&world, &json!({"action": "migrate", "source": "old"}));
    let run = take_up(&world, "late");
    let run = json!({"runId": run["id"]});
    assert_eq!(reasons(&world, &run), [(json!(KEY), json!("upload-lost"))], "{run}");
    assert!(world.bucket.inner.unfinished_uploads().is_empty());
    ask_until_crash(&world, &json!({"action": "migrate", "source": "old"}));
    assert_copied_once(&world, &text, "the next run");
}
