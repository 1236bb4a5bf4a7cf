//! Reconciliations while calls fail, and while others are at work.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;
use stillstore::image::{Format, ObjectKey};
use stillstore::library::SWEEP_AFTER_MS;
use stillstore::sql::{Database, DatabaseCall, Fault, Statement};
use stillstore::store::{
    ByteRange, ImageStore, ListPage, ObjectInfo, PutObject, PutReceipt, StorageKind, StoreCall, StoreError,
    StoredObject,
};

use super::reconcile::{keys, old_world, orphan, outcomes, reconcile, wait};
use super::world::{Answer, PNG, TOKEN, World};
use crate::runtime::block_on;

/// Longer than any slice has calls.
const MOST_CALLS: usize = 30;

#[test]
fn a_failure_of_any_call_loses_no_bytes_and_the_next_time_does_it() {
    let mut cases = 0;
    for action in ["adopt", "remove"] {
        for is_database in [true, false] {
            for fault in Fault::ALL {
                for nth in 1..=MOST_CALLS {
                    let world = old_world();
                    let (id, key) = orphan(&world, "context=studio&filename=a.png", PNG);
                    let other = world.upload("context=studio&filename=b.png", PNG).json();
                    wait(&world);
                    if is_database {
                        world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault);
                    } else {
                        world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault);
                    }
                    let case = format!("{action}, database {is_database}, call {nth}, {fault:?}");
                    let answer = send(&world, action);
                    assert!(answer.is_none_or(|answer| [200, 503].contains(&answer.status)), "{case}");
                    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
                    world.database.plan.heal();
                    world.bucket.plan.heal();
                    if action == "adopt" {
                        assert!(world.bucket.inner.contents().contains_key(&key), "{case}: nothing is removed");
                    }
                    // What a crash left is swept before anybody asks again.
                    for _ in 0..2 {
                        world.runtime.advance(SWEEP_AFTER_MS + 1);
                        world.sweep();
                    }
                    if action == "adopt" {
                        assert!(world.bucket.inner.contents().contains_key(&key), "{case}: the sweep removes nothing");
                    }
                    assert_eq!(send(&world, action).unwrap().status, 200, "{case}");
                    let is_image = world.call("GET", &format!("/images/{id}"), None).status == 200;
                    let is_there = world.bucket.inner.contents().contains_key(&key);
                    assert_eq!((is_image, is_there), (action == "adopt", action == "adopt"), "{case}");
                    world.assert_readable_as(other["id"].as_str().unwrap(), 200);
                    world.assert_invariants();
                    world.assert_swept();
                    if !has_failed {
                        break;
                    }
                    cases += 1;
                    assert!(nth < MOST_CALLS, "{case}: raise MOST_CALLS");
                }
            }
        }
    }
    assert!(cases > 50, "{cases} cases");
}

fn send(world: &World, action: &str) -> Option<Answer> {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = json!({"action": action}).to_string().into_bytes();
    world.send_until_crash("POST", "/api/reconcile", &headers, Some(body.into()))
}

/// The bucket, in which somebody else does something before the second listing, before objects are removed, and before one is looked at.
struct Meddled {
    inner: Rc<dyn ImageStore>,
    lists: Cell<u32>,
    before_second_list: Box<dyn Fn()>,
    before_removal: Box<dyn Fn()>,
    before_head: Box<dyn Fn()>,
}

#[async_trait(?Send)]
impl ImageStore for Meddled {
    fn kind(&self) -> StorageKind {
        self.inner.kind()
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        self.inner.put(object).await
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        (self.before_head)();
        self.inner.head(key).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    async fn delete_all(&self, keys: &[ObjectKey]) -> Result<(), StoreError> {
        (self.before_removal)();
        self.inner.delete_all(keys).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        self.lists.set(self.lists.get() + 1);
        if self.lists.get() == 2 {
            (self.before_second_list)();
        }
        self.inner.list(prefix, start_after, limit).await
    }
}

const TAKE_KEY: &str = "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, version, \
    created_at_ms, updated_at_ms) VALUES (?2, 'pending', 'r2', ?1, 'image/png', 'public', '{}', 1, 1, 1) \
    ON CONFLICT DO NOTHING";

#[test]
fn what_does_not_match_once_is_looked_at_again_and_a_key_is_nobodys_while_its_object_goes() {
    let mut world = old_world();
    let (_, named_late) = orphan(&world, "filename=late.png", PNG);
    let (_, gone) = orphan(&world, "filename=gone.png", PNG);
    let back = world.upload("filename=back.png", PNG).json()["key"].as_str().unwrap().to_owned();
    let metadata = world.metadata(&back);
    world.lose_object(&back);
    wait(&world);
    let (sqlite, inner) = (Rc::clone(&world.sqlite), Rc::clone(&world.bucket) as Rc<dyn ImageStore>);
    let take_key = move |key: &str, id: &str| {
        let changed = block_on(sqlite.run(Statement::new(TAKE_KEY).bind(key).bind(id))).expect("a statement");
        changed.changes
    };
    let take_key = Rc::new(take_key);
    let held = Rc::new(Cell::new(None));
    world.app.services.r2 = Some(Rc::new(Meddled {
        inner: Rc::clone(&inner),
        lists: Cell::new(0),
        before_second_list: Box::new({
            let (take_key, key) = (Rc::clone(&take_key), named_late.clone());
            let object = move || PutObject {
                key: back.clone().try_into().unwrap(),
                body: PNG.to_vec().into(),
                media: Format::Png.into(),
                sha256: None,
                metadata: metadata.clone(),
            };
            move || {
                assert_eq!(take_key(&key, "0f8fad5b-d9cb-469f-a165-70867728950e"), 1);
                block_on(inner.put(object())).unwrap();
            }
        }),
        before_removal: Box::new({
            let (held, key) = (Rc::clone(&held), gone.clone());
            move || held.set(Some(take_key(&key, "1f8fad5b-d9cb-469f-a165-70867728950e")))
        }),
        before_head: Box::new(|| {}),
    }));
    let report = reconcile(&world, "remove");
    assert_eq!(outcomes(&report), BTreeMap::from([(gone, "removed".to_owned())]));
    assert_eq!(keys(&report["missing"]), [""; 0]);
    assert!(world.bucket.inner.contents().contains_key(&named_late));
    assert_eq!(held.get(), Some(0), "no image gets the key of an object that is being removed");
}

#[test]
fn an_object_that_goes_while_it_is_adopted_is_no_image() {
    let mut world = old_world();
    let (id, key) = orphan(&world, "filename=a.png", PNG);
    wait(&world);
    let inner = Rc::clone(&world.bucket) as Rc<dyn ImageStore>;
    world.app.services.r2 = Some(Rc::new(Meddled {
        inner: Rc::clone(&inner),
        lists: Cell::new(0),
        before_second_list: Box::new(|| {}),
        before_removal: Box::new(|| {}),
        before_head: Box::new({
            let key: ObjectKey = key.clone().try_into().unwrap();
            move || block_on(inner.delete(&key)).unwrap()
        }),
    }));
    assert_eq!(outcomes(&reconcile(&world, "adopt")), BTreeMap::from([(key, "kept gone".to_owned())]));
    world.assert_readable_as(&id, 410);
    assert!(world.rows("SELECT id FROM stillstore_images WHERE status = 'stored'").is_empty());
}
