//! A put that was given up takes effect all the same, later.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use async_trait::async_trait;
use serde_json::json;
use stillstore::image::ObjectKey;
use stillstore::library::SWEEP_AFTER_MS;
use stillstore::store::{
    ByteRange, ImageStore, ListPage, ObjectInfo, PutObject, PutReceipt, StorageKind, StoreError, StoredObject,
};

use super::migrate::{act, embedded_world};
use super::world::{PNG, World};
use crate::runtime::block_on;

/// A bucket whose puts of images take longer than anybody waits. They are under way as soon as they were asked for, like the platform's, and end
/// when somebody waits for them again, or at the latest with [`SlowBucket::catch_up`].
struct SlowBucket {
    inner: Rc<dyn ImageStore>,
    under_way: RefCell<Vec<PutObject>>,
}

impl SlowBucket {
    async fn catch_up(&self) -> Option<Result<PutReceipt, StoreError>> {
        let mut last = None;
        for object in self.under_way.take() {
            last = Some(self.inner.put(object).await);
        }
        last
    }
}

#[async_trait(?Send)]
impl ImageStore for SlowBucket {
    fn kind(&self) -> StorageKind {
        self.inner.kind()
    }

    async fn put(&self, object: PutObject) -> Result<PutReceipt, StoreError> {
        if object.key.as_str().starts_with("stillstore/") {
            return self.inner.put(object).await;
        }
        self.under_way.borrow_mut().push(object);
        let mut is_asked_again = false;
        poll_fn(|_| if std::mem::replace(&mut is_asked_again, true) { Poll::Ready(()) } else { Poll::Pending }).await;
        self.catch_up().await.expect("it is still under way")
    }

    async fn get(&self, key: &ObjectKey, range: Option<ByteRange>) -> Result<Option<StoredObject>, StoreError> {
        self.inner.get(key, range).await
    }

    async fn head(&self, key: &ObjectKey) -> Result<Option<ObjectInfo>, StoreError> {
        self.inner.head(key).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&ObjectKey>, limit: u16) -> Result<ListPage, StoreError> {
        self.inner.list(prefix, start_after, limit).await
    }
}

/// Slows the bucket of the world down.
fn slow_bucket(world: &mut World) -> Rc<SlowBucket> {
    let inner = Rc::clone(&world.bucket) as Rc<dyn ImageStore>;
    let bucket = Rc::new(SlowBucket { inner, under_way: RefCell::default() });
    world.app.services.r2 = Some(Rc::clone(&bucket) as Rc<dyn ImageStore>);
    world.runtime.end_sleeps_up_to(u64::MAX);
    bucket
}

/// An embedded image, its id, and a slow bucket that a run is about to move it into.
fn slow_world() -> (World, String, Rc<SlowBucket>) {
    let (mut world, images) = embedded_world(&[70]);
    let bucket = slow_bucket(&mut world);
    let (id, _) = images.into_iter().next().unwrap();
    let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate"}), &[]);
    assert_eq!(answer.code(), "storage-unavailable", "the run waits for the bucket");
    (world, id, bucket)
}

fn state(world: &World) -> String {
    let runs = world.rows("SELECT state FROM stillstore_runs");
    runs[0]["state"].as_str().unwrap().to_owned()
}

/// Keys of images in the bucket, once nothing is under way any more.
fn images_in(world: &World, bucket: &SlowBucket) -> Vec<String> {
    block_on(bucket.catch_up());
    world.bucket.inner.contents().into_keys().filter(|key| !key.starts_with("stillstore/")).collect()
}

#[test]
fn a_run_that_is_cancelled_leaves_nothing_of_a_put_that_was_late() {
    let (world, id, bucket) = slow_world();
    act(&world, &json!({"action": "cancel"}));
    assert_eq!(state(&world), "cancelled");
    assert_eq!(images_in(&world, &bucket), [""; 0]);
    assert_eq!(world.call("GET", &format!("/images/{id}"), None).status, 200);
}

#[test]
fn a_run_that_waited_for_the_bucket_too_often_leaves_nothing_of_its_late_puts() {
    let (world, id, bucket) = slow_world();
    while state(&world) == "running" {
        block_on(world.app.tick());
    }
    assert_eq!(state(&world), "completed_with_errors");
    assert_eq!(images_in(&world, &bucket), [""; 0]);
    assert_eq!(world.call("GET", &format!("/images/{id}"), None).status, 200);
}

#[test]
fn an_image_that_is_deleted_while_its_put_is_late_leaves_nothing() {
    let (world, id, bucket) = slow_world();
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    block_on(world.app.tick());
    assert_eq!(state(&world), "completed");
    assert_eq!(images_in(&world, &bucket), [""; 0]);
}

#[test]
fn an_image_that_fell_back_long_ago_is_deleted_for_good() {
    let mut world = World::new(true);
    let bucket = slow_bucket(&mut world);
    let id = world.upload("", PNG).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(images_in(&world, &bucket).len(), 1, "the put took effect behind the upload");
    world.runtime.advance(SWEEP_AFTER_MS);
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    assert_eq!(world.rows("SELECT status FROM stillstore_images"), [json!({"status": "deleted"})]);
    world.assert_swept();
}

#[test]
fn an_image_that_fell_back_and_is_deleted_while_its_put_is_late_leaves_nothing() {
    let mut world = World::new(true);
    let bucket = slow_bucket(&mut world);
    let record = world.upload("filename=jane-doe.png&personaId=jane&meta.note=hello", PNG).json();
    assert_eq!(record["fallbackReason"], "store-timeout");
    let path = format!("/api/images/{}", record["id"].as_str().unwrap());
    for _ in 0..2 {
        assert_eq!(world.call("DELETE", &path, None).status, 204);
        assert_eq!(world.call("GET", &path, None).code(), "image-deleted");
    }
    let row = world.rows("SELECT status, filename, context, persona_id, labels FROM stillstore_images")[0].clone();
    let erased = json!({"status": "deleting", "filename": null, "context": null, "persona_id": null, "labels": "{}"});
    assert_eq!(row, erased, "what people wrote does not wait for the sweep");

    assert_eq!(images_in(&world, &bucket).len(), 1, "the put took effect behind the deletion");
    world.assert_invariants();
    world.runtime.advance(SWEEP_AFTER_MS);
    world.sweep();
    world.assert_swept();
    assert_eq!(world.rows("SELECT status FROM stillstore_images"), [json!({"status": "deleted"})]);
}
