//! `GET /api/usage`, and what keeps it exact.

use serde_json::{Value, json};
use stillstore::app::BUNDLE;
use stillstore::runtime::Runtime as _;

use super::callers::Users;
use super::migrate::{act, embedded_world};
use super::world::{PNG, TOKEN, World};
use crate::runtime::block_on;
use crate::sqlite::DATABASE_BYTES;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

fn usage(world: &World) -> Value {
    let answer = world.call("GET", "/api/usage", None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn holding(name: &str, images: u64, bytes: usize) -> Value {
    json!({ "name": name, "images": images, "bytes": bytes })
}

#[test]
fn every_image_is_in_its_kind_its_context_and_its_owner() {
    let users = Users::by_secret();
    let world = users.world_with(&[("API_TOKEN", TOKEN), ("ENABLE_R2_STORAGE", "true")]);
    let authorization = format!("Bearer {}", users.token_of("alice"));
    for query in ["", "?context=studio", "?context=studio&filename=b.png"] {
        world.send(
            "POST",
            &format!("/api/images{query}"),
            &[("authorization", &authorization)],
            Some(PNG.to_vec().into()),
        );
    }
    assert_eq!(world.generate(&[]).status, 200);
    let mine = world.upload("context=studio", PNG).json()["id"].as_str().unwrap().to_owned();

    let size = PNG.len();
    let answer = usage(&world);
    assert_eq!(answer["month"], "2027-01");
    assert_eq!(answer["storage"]["r2"], json!({ "images": 5, "bytes": 5 * size }));
    assert_eq!(answer["storage"]["d1"], json!({ "images": 0, "bytes": 0 }));
    assert_eq!(answer["kinds"], json!([holding("upload", 4, 4 * size), holding("generated", 1, size)]));
    assert_eq!(answer["contexts"].as_array().unwrap()[0], holding("studio", 3, 3 * size));
    assert_eq!(answer["owners"], json!([holding("alice", 3, 3 * size), holding("", 2, 2 * size)]));
    assert_eq!(answer["operations"]["classA"], 5);
    assert_eq!(answer["databaseBytes"], DATABASE_BYTES);
    assert_eq!(answer["alerts"], json!([]));

    assert_eq!(world.call("DELETE", &format!("/api/images/{mine}"), None).status, 204);
    let answer = usage(&world);
    assert_eq!(answer["owners"], json!([holding("alice", 3, 3 * size), holding("", 1, size)]));
    assert_eq!(answer["operations"]["classA"], 5, "what was put was put");
}

#[test]
fn a_migration_counts_its_puts_and_moves_no_holding() {
    let (world, images) = embedded_world(&[70, 80, 90]);
    let before = usage(&world);
    assert_eq!(before["operations"]["classA"], 0);
    act(&world, &json!({ "action": "migrate" }));
    let after = usage(&world);
    assert_eq!(after["storage"]["r2"]["images"], images.len());
    assert_eq!(after["kinds"], before["kinds"]);
    // 240 bytes of images, four characters for three of them.
    assert_eq!((&before["cleanup"]["images"], &after["cleanup"]), (&json!(0), &json!({"images": 3, "bytes": 320})));
    // The receipt's put, and the listing that looks for leftovers if there is one, are in a bundle that is not added yet.
    assert_eq!(after["operations"]["classA"], images.len());
    act(&world, &json!({ "action": "rollback" }));
    let after = usage(&world);
    assert_eq!(after["operations"]["classA"], images.len(), "a rollback of originals that are there puts nothing");
    assert_eq!(after["kinds"], before["kinds"]);
    assert_eq!(after["cleanup"]["images"], 0, "nothing is moved any more");
}

#[test]
fn reads_are_added_in_bundles_and_fewer_than_one_is_not_told() {
    let world = World::new(true);
    let id = world.upload("filename=a.png", PNG).json()["id"].as_str().unwrap().to_owned();
    for _ in 1..BUNDLE {
        assert_eq!(world.call("GET", &format!("/images/{id}"), None).status, 200);
    }
    assert!(!world.app.has_a_bundle());
    assert_eq!(usage(&world)["operations"]["classB"], 0);
    assert_eq!(world.call("GET", &format!("/images/{id}"), None).status, 200);
    assert!(world.app.has_a_bundle());
    block_on(world.app.tell_operations());
    assert!(!world.app.has_a_bundle());
    assert_eq!(usage(&world)["operations"], json!({ "classA": 1, "classB": BUNDLE }));
    block_on(world.app.tell_operations());
    assert_eq!(usage(&world)["operations"]["classB"], BUNDLE, "a bundle is added once");

    // From 15 January to 3 February.
    world.runtime.advance(19 * DAY_MS);
    let answer = usage(&world);
    assert_eq!((&answer["month"], &answer["operations"]), (&json!("2027-02"), &json!({ "classA": 0, "classB": 0 })));
    world.upload("filename=b.png", PNG);
    assert_eq!(usage(&world)["operations"]["classA"], 1);
}

#[test]
fn cron_keeps_what_each_day_ends_with_for_ninety_days() {
    let world = World::new(true);
    for day in 0..95 {
        world.upload("filename=a.png", PNG);
        block_on(world.app.tick());
        // Later on the day; the last look counts.
        if day % 2 == 0 {
            block_on(world.app.tick());
        }
        world.runtime.advance(DAY_MS);
    }
    let answer = usage(&world);
    let days = answer["days"].as_array().unwrap();
    assert_eq!(days.len(), 89, "today has not been looked at");
    let last = days.last().unwrap();
    assert_eq!(last["date"], world.runtime.now().plus_millis(-DAY_MS).to_iso8601()[..10]);
    assert_eq!((&last["r2Images"], &last["r2Bytes"]), (&json!(95), &json!(95 * PNG.len())));
    assert_eq!(last["databaseBytes"], DATABASE_BYTES);
    assert_eq!(last["classA"], 1, "the put of the day; what cron lists of the bucket is nothing");
    assert!(world.rows("SELECT day FROM stillstore_usage_days").len() <= 92);
}

#[test]
fn what_is_free_and_nearly_used_up_is_an_alert() {
    let world = World::with_vars(&[("API_TOKEN", TOKEN), ("ENABLE_R2_STORAGE", "true"), ("USAGE_ALERT_PERCENT", "50")]);
    let resources = |world: &World| {
        let alerts = usage(world)["alerts"].as_array().unwrap().clone();
        alerts.iter().map(|alert| alert["resource"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let of_r2 = "WHERE status = 'stored' AND storage = 'r2' AND fallback = 0";
    world.rows(format!("UPDATE stillstore_counters SET bytes = 4999999999 {of_r2}").leak());
    assert!(resources(&world).is_empty());
    world.rows(format!("UPDATE stillstore_counters SET bytes = 5000000000 {of_r2}").leak());
    assert_eq!(resources(&world), ["r2-storage"]);
    world.rows(format!("UPDATE stillstore_counters SET month = 202701, month_puts = 2000000 {of_r2}").leak());
    let answer = usage(&world);
    assert_eq!(answer["alerts"].as_array().unwrap().len(), 2);
    assert_eq!(answer["dollars"]["soFar"], 4.5);
}
