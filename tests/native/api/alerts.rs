//! What `ALERT_WEBHOOK_URL` is told, and how often.

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use stillstore::catalog::MAX_ATTEMPTS;
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::migrate::act;
use super::world::{PNG, TOKEN, World};
use crate::runtime::block_on;

const URL: &str = "https://alerts.example/hook";
const SECRET: &str = "a secret of at least 32 characters";
const HOUR_MS: i64 = 60 * 60 * 1000;
const OF_R2: &str = "WHERE status = 'stored' AND storage = 'r2' AND fallback = 0";

fn world() -> World {
    let world = World::with_vars(&[
        ("API_TOKEN", TOKEN),
        ("ENABLE_R2_STORAGE", "true"),
        ("ALERT_WEBHOOK_URL", URL),
        ("ALERT_WEBHOOK_SECRET", SECRET),
    ]);
    assert!(world.app.services.problems.is_empty());
    world.outside.has(URL, 204, b"");
    world
}

/// Lets cron look; the messages that were sent, whose signatures are checked.
fn told(world: &World) -> Vec<Value> {
    world.outside.requests.borrow_mut().clear();
    world.runtime.advance(10 * 60 * 1000);
    block_on(world.app.tick());
    let requests = world.outside.requests.borrow();
    let messages = requests.iter().map(|request| {
        assert_eq!(request.url, URL);
        let signature = &request.headers.iter().find(|(name, _)| *name == "stillstore-signature").unwrap().1;
        let (at, digest) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        let mac = mac.chain_update(at).chain_update(b".").chain_update(&request.body);
        assert_eq!(digest, hex::encode(mac.finalize().into_bytes()));
        serde_json::from_slice(&request.body).unwrap()
    });
    messages.collect()
}

fn ids(messages: &[Value]) -> Vec<(&str, &str)> {
    messages.iter().map(|message| (message["id"].as_str().unwrap(), message["state"].as_str().unwrap())).collect()
}

#[test]
fn a_threshold_is_told_when_it_is_crossed_and_again_the_next_time() {
    let world = world();
    let set = |bytes: u64| {
        world.rows(format!("UPDATE stillstore_counters SET bytes = {bytes} {OF_R2}").leak());
    };
    assert!(told(&world).is_empty());
    set(8_000_000_000);
    let messages = told(&world);
    assert_eq!(ids(&messages), [("free-tier/r2-storage#1", "on")]);
    assert!(messages[0]["text"].as_str().unwrap().starts_with("80 % of the r2-storage"));
    assert!(told(&world).is_empty(), "once");
    set(0);
    assert!(told(&world).is_empty());
    set(9_000_000_000);
    assert_eq!(ids(&told(&world)), [("free-tier/r2-storage#3", "on")]);
}

#[test]
fn the_beginning_and_the_end_of_fallback_are_told() {
    let world = world();
    world.bucket.plan.fail_all(StoreCall::Put, Fault::FailBefore);
    assert_eq!(world.upload("filename=a.png", PNG).json()["storage"], "d1");
    world.bucket.plan.heal();
    assert_eq!(ids(&told(&world)), [("fallback#1", "on")]);
    assert!(told(&world).is_empty());
    act(&world, &json!({ "action": "migrate" }));
    assert_eq!(ids(&told(&world)), [("fallback#2", "off")]);
    assert!(told(&world).is_empty());
}

#[test]
fn a_run_that_ends_with_errors_is_told_once() {
    let world = world();
    world.rows("CREATE TABLE images (id TEXT PRIMARY KEY, image_url TEXT, image_data TEXT, image_mime_type TEXT, r2_key TEXT, migration_status TEXT, migrated_at INTEGER)");
    world.rows("INSERT INTO images (id, image_data) VALUES ('broken', 'bm8gaW1hZ2U=')");
    let run = act(&world, &json!({ "action": "migrate", "source": "images" }));
    assert_eq!(run["state"], "completed_with_errors");
    let messages = told(&world);
    let id = format!("run/{}#1", run["runId"].as_str().unwrap());
    assert_eq!(ids(&messages), [(id.as_str(), "on")]);
    assert!(messages[0]["text"].as_str().unwrap().contains("1 of its items failed"));
    assert!(told(&world).is_empty());
    for _ in 0..31 * 24 {
        world.runtime.advance(HOUR_MS);
    }
    assert!(told(&world).is_empty(), "old runs are nobody's news");
    assert!(world.rows("SELECT name FROM stillstore_alerts WHERE name LIKE 'run/%'").is_empty());
}

#[test]
fn a_message_that_is_not_taken_is_sent_again_with_its_id_and_given_up_at_last() {
    let world = world();
    world.outside.has(URL, 500, b"");
    world.rows(format!("UPDATE stillstore_counters SET bytes = 8000000000 {OF_R2}").leak());
    let mut sent = 0;
    for _ in 0..60 {
        let messages = told(&world);
        assert!(messages.len() <= 1);
        assert!(messages.iter().all(|message| message["id"] == "free-tier/r2-storage#1"));
        sent += messages.len();
        world.runtime.advance(HOUR_MS);
    }
    assert_eq!(sent, usize::from(MAX_ATTEMPTS));

    // Taken at the second time, it is not sent a third.
    let world = self::world();
    world.outside.has(URL, 500, b"");
    world.rows(format!("UPDATE stillstore_counters SET bytes = 8000000000 {OF_R2}").leak());
    assert_eq!(told(&world).len(), 1);
    world.outside.has(URL, 200, b"ok");
    assert_eq!(told(&world).len(), 1);
    assert!(told(&world).is_empty());
}

#[test]
fn nothing_is_told_where_nobody_is_to_be_told() {
    let world = World::new(true);
    world.rows(format!("UPDATE stillstore_counters SET bytes = 9000000000 {OF_R2}").leak());
    block_on(world.app.tick());
    assert!(world.outside.requests.borrow().is_empty());
    assert!(world.rows("SELECT name FROM stillstore_alerts").is_empty());
}

#[test]
fn every_failed_call_of_the_database_leaves_a_message_that_is_told() {
    for call in 1..40 {
        for fault in [Fault::FailBefore, Fault::FailAfter] {
            let world = world();
            world.rows(format!("UPDATE stillstore_counters SET bytes = 8000000000 {OF_R2}").leak());
            world.database.plan.fail_nth(None, call, fault);
            let mut messages = told(&world);
            world.database.plan.heal();
            messages.extend(told(&world));
            messages.extend(told(&world));
            let ids = ids(&messages);
            assert!(!ids.is_empty(), "call {call}, {fault:?}");
            assert!(ids.iter().all(|id| *id == ("free-tier/r2-storage#1", "on")), "call {call}, {fault:?}: {ids:?}");
        }
    }
}
