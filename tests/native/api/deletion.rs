//! What the cache in front is made to forget, and what a caller is told of it.

use serde_json::{Value, json};
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::callers::Users;
use super::world::{Answer, PNG, TOKEN, World};

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

fn upload(world: &World, query: &str) -> String {
    world.upload(query, PNG).json()["id"].as_str().unwrap().to_owned()
}

fn delete(world: &World, id: &str) -> Answer {
    world.call("DELETE", &format!("/api/images/{id}"), None)
}

/// Whether a deletion was answered as done, and whether the purge was called pending.
fn is_pending(answer: &Answer) -> bool {
    assert_eq!(answer.status, 204, "{answer:?}");
    let header = answer.header("cache-purge");
    assert!(header.is_none_or(|header| header == "pending"));
    header.is_some()
}

fn queued(world: &World) -> Vec<Value> {
    world.rows("SELECT stage, due_at_ms, failures FROM stillstore_purges ORDER BY image_id")
}

#[test]
fn thirty_deletions_with_a_cache_that_allows_25_calls_are_purged_in_the_end_and_none_is_claimed_before() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let ids: Vec<_> = (0..30).map(|_| upload(&world, "")).collect();
        world.cache.allows.set(Some(25));
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(is_pending(&delete(&world, id)), index >= 25, "deletion {index}");
            assert_eq!(world.cache.forgot(id), index < 25, "deletion {index}");
            assert_eq!(world.send("GET", &format!("/images/{id}"), &[], None).code(), "image-deleted");
        }
        assert!(world.bucket.inner.contents().is_empty());
        // The limit holds for a while: cron is refused too, and nothing is lost.
        world.runtime.advance(2 * MINUTE_MS);
        world.sweep();
        assert!(is_pending(&delete(&world, &ids[29])));

        world.cache.allows.set(None);
        world.cache.calls.set(0);
        world.runtime.advance(10 * MINUTE_MS);
        world.sweep();
        assert_eq!(world.cache.calls.get(), 1, "five in one call");
        for id in &ids {
            assert!(world.cache.forgot(id) && !is_pending(&delete(&world, id)));
        }
    }
}

#[test]
fn a_deletion_sends_what_others_left() {
    let world = World::new(true);
    let ids: Vec<_> = (0..120).map(|_| upload(&world, "")).collect();
    world.cache.allows.set(Some(0));
    for id in &ids[..119] {
        assert!(is_pending(&delete(&world, id)));
    }
    world.cache.allows.set(None);
    world.cache.calls.set(0);
    world.runtime.advance(2 * MINUTE_MS);
    assert!(!is_pending(&delete(&world, &ids[119])));
    assert_eq!((world.cache.calls.get(), world.cache.purged.borrow().len()), (1, 100));
    world.sweep();
    assert_eq!((world.cache.calls.get(), world.cache.purged.borrow().len()), (2, 120));
}

#[test]
fn a_purge_that_is_refused_waits_longer_each_time() {
    let world = World::new(true);
    let id = upload(&world, "");
    world.cache.allows.set(Some(0));
    delete(&world, &id);
    let mut expected_ms = MINUTE_MS;
    for failures in 1..10 {
        world.cache.calls.set(0);
        assert_eq!(queued(&world)[0]["failures"], failures);
        world.runtime.advance(expected_ms - 1);
        world.sweep();
        assert_eq!(world.cache.calls.get(), 0, "after {failures} refusals");
        world.runtime.advance(1);
        world.sweep();
        assert_eq!(world.cache.calls.get(), 1, "after {failures} refusals");
        expected_ms = (2 * expected_ms).min(HOUR_MS);
    }
}

#[test]
fn what_no_cache_can_hold_is_not_purged() {
    let world = World::new(true);
    let private = upload(&world, "visibility=private");
    world.cache.allows.set(Some(0));
    assert!(!is_pending(&delete(&world, &private)));
    // Never stored: the bucket does not answer, and neither does the database that would take the bytes instead.
    world.bucket.plan.fail_all(StoreCall::Put, Fault::FailAfter);
    world.database.plan.fail_nth(None::<stillstore::sql::DatabaseCall>, 2, Fault::FailBefore);
    assert_eq!(world.upload("", PNG).status, 503);
    world.bucket.plan.heal();
    world.database.plan.heal();
    world.runtime.advance(2 * HOUR_MS);
    world.sweep();
    world.assert_swept();
    assert_eq!(world.cache.calls.get(), 0);
    assert!(queued(&world).is_empty());
}

#[test]
fn a_read_that_filled_the_cache_behind_the_purge_is_purged_by_a_later_sweep() {
    let world = World::new(true);
    let id = upload(&world, "");
    assert!(!is_pending(&delete(&world, &id)));
    assert_eq!(world.cache.purged.borrow().len(), 1);
    // A read that began before the deletion has filled the cache by now.
    world.cache.purged.borrow_mut().clear();
    world.runtime.advance(HOUR_MS - 1);
    world.sweep();
    assert!(world.cache.purged.borrow().is_empty());
    assert!(!is_pending(&delete(&world, &id)), "it was purged once");
    world.runtime.advance(1);
    world.sweep();
    assert!(world.cache.forgot(&id));
    world.runtime.advance(2 * HOUR_MS);
    world.sweep();
    assert_eq!(world.cache.purged.borrow().len(), 1, "twice in all");
    assert!(queued(&world).is_empty());
}

#[test]
fn an_image_whose_bytes_cannot_be_removed_yet_leaves_the_cache_at_once() {
    let world = World::new(true);
    let ids = [upload(&world, ""), upload(&world, "")];
    world.bucket.plan.fail_all(StoreCall::Delete, Fault::FailBefore);
    for id in &ids {
        assert_eq!(delete(&world, id).code(), "storage-unavailable");
        assert!(world.cache.forgot(id));
    }
    world.bucket.plan.heal();
    world.cache.purged.borrow_mut().clear();
    world.cache.calls.set(0);
    world.runtime.advance(2 * HOUR_MS);
    world.sweep();
    world.assert_swept();
    assert!(ids.iter().all(|id| world.cache.forgot(id)));
    assert_eq!(world.cache.calls.get(), 1, "the sweep sends them together");
}

#[test]
fn an_image_that_may_come_back_is_purged_when_it_is_erased_and_when_it_is_gone() {
    let world = World::new(true);
    world.bucket.plan.fail_all(StoreCall::Put, Fault::FailBefore);
    let id = upload(&world, "");
    world.bucket.plan.heal();
    world.cache.allows.set(Some(0));
    assert!(is_pending(&delete(&world, &id)));
    assert_eq!(world.rows("SELECT status FROM stillstore_images"), [json!({"status": "deleting"})]);
    assert_eq!(queued(&world).len(), 1);
    world.cache.allows.set(None);
    world.runtime.advance(2 * HOUR_MS);
    world.sweep();
    world.assert_swept();
    assert!(world.cache.forgot(&id));
}

#[test]
fn the_edge_keeps_a_public_image_for_a_day_and_no_private_one() {
    let world = World::new(true);
    let public = format!("/images/{}", upload(&world, ""));
    let etag = world.send("GET", &public, &[], None).header("etag").unwrap().to_owned();
    let reads: [&[(&str, &str)]; 3] = [&[], &[("range", "bytes=1-3")], &[("if-none-match", &etag)]];
    for headers in reads {
        let answer = world.send("GET", &public, headers, None);
        assert_eq!(answer.header("cloudflare-cdn-cache-control"), Some("public, s-maxage=86400"), "{answer:?}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
    }
    let private = format!("/images/{}", upload(&world, "visibility=private"));
    let answer = world.call("GET", &private, None);
    assert_eq!((answer.status, answer.header("cloudflare-cdn-cache-control")), (200, None));
}

#[test]
fn no_log_line_of_an_images_life_has_its_key_or_file_name() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let id = upload(&world, "context=portraits&filename=jane-doe.png");
        world.send("GET", &format!("/images/{id}"), &[], None);
        world.bucket.plan.fail_all(StoreCall::Put, Fault::FailBefore);
        let fallen_back = upload(&world, "context=portraits&filename=jane-doe.png");
        world.bucket.plan.heal();
        delete(&world, &id);
        delete(&world, &fallen_back);
        world.runtime.advance(2 * HOUR_MS);
        world.sweep();
        let log = world.log_text();
        assert!(!log.contains("jane") && !log.contains("portraits"), "{log}");
        assert!(log.contains(&id) && log.contains(&fallen_back));
    }
}

#[test]
fn a_user_who_lost_the_answer_gets_it_again_and_another_user_finds_nothing() {
    let users = Users::by_secret();
    let world = users.world_with(&[("API_TOKEN", TOKEN), ("ENABLE_R2_STORAGE", "true")]);
    let began_at_ms = world.runtime.now_ms();
    let bearer_of =
        |user: &str| format!("Bearer {}", users.token_from((world.runtime.now_ms() - began_at_ms) / 1_000, user));
    let call = |method: &str, id: &str, user: &str| {
        let bearer = bearer_of(user);
        world.send(method, &format!("/api/images/{id}"), &[("authorization", &bearer)], None)
    };
    let upload = |fails: bool| {
        if fails {
            world.bucket.plan.fail_all(StoreCall::Put, Fault::FailAfter);
        }
        let bearer = bearer_of("alice");
        let headers = [("authorization", bearer.as_str()), ("content-type", "image/png")];
        let answer = world.send("POST", "/api/images", &headers, Some(PNG.to_vec().into()));
        world.bucket.plan.heal();
        answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
    };
    // What fell back may be in two homes, so that its deletion is finished later.
    for falls_back in [false, true] {
        let id = upload(falls_back);
        world.cache.allows.set(Some(0));
        assert!(is_pending(&call("DELETE", &id, "alice")), "falls back: {falls_back}");
        assert!(is_pending(&call("DELETE", &id, "alice")) && is_pending(&delete(&world, &id)));
        assert_eq!(call("DELETE", &id, "bob").code(), "image-not-found");
        world.cache.allows.set(None);
        world.runtime.advance(2 * HOUR_MS);
        world.sweep();
        assert!(!is_pending(&call("DELETE", &id, "alice")), "falls back: {falls_back}");
        assert_eq!(call("DELETE", &id, "bob").code(), "image-not-found");
        assert_eq!(call("GET", &id, "alice").code(), "image-not-found");
        world.runtime.advance(31 * 24 * HOUR_MS);
        world.sweep();
        assert_eq!(delete(&world, &id).code(), "image-not-found");
        assert_eq!(call("DELETE", &id, "alice").code(), "image-not-found");
    }
}
