//! Images of another bucket that are read before a run has moved them.

use std::rc::Rc;

use futures::future::join_all;
use serde_json::{Value as Json, json};
use stillstore::api::Request;
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use crate::api::migrate_crash::{Seam, take_up, walk};
use crate::api::world::{Answer, World};
use crate::image_fixtures::bytes;
use crate::migrate_bucket::{migrate, reasons, world_of};
use crate::migrate_other_bucket::OtherBucket;
use crate::migrate_table::{act, assert_counted, large_jpeg, objects, query};
use crate::runtime::block_on;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const MINUTES_5_MS: i64 = 5 * 60 * 1_000;

fn world_reading(visibility: &str, objects: &[(&str, &[u8])]) -> (World, Rc<OtherBucket>) {
    let source = json!({"kind": "bucket", "name": "old", "endpoint": "https://s3.example.org", "region": "eu-west-1",
        "bucket": "photos", "prefix": "pics/", "visibility": visibility});
    world_of(&source, objects, &[("READ_THROUGH", "old")])
}

fn world(objects: &[(&str, &[u8])]) -> (World, Rc<OtherBucket>) {
    world_reading("public", objects)
}

fn get(world: &World, path: &str) -> Answer {
    world.send("GET", path, &[], None)
}

fn status(answer: &Answer) -> (u16, String) {
    (answer.status, if answer.status < 400 { String::new() } else { answer.code() })
}

#[test]
fn an_image_that_no_run_has_moved_is_fetched_served_and_moved() {
    let png = bytes("rgb.png");
    let odd = "pics/2024/ü b.png";
    let (world, bucket) = world(&[("pics/a.png", &png), (odd, &bytes("still.gif"))]);
    let first = get(&world, "/images/pics/a.png");
    assert_eq!((first.status, &first.body), (200, &png));
    assert_eq!(first.header("content-type"), Some("image/png"));
    assert_eq!(first.header("cache-control"), Some("public, max-age=300"), "a later run may copy another state");
    assert_eq!(objects(&world), [("pics/a.png".to_owned(), png.clone())]);

    let again = get(&world, "/images/pics/a.png");
    assert_eq!((again.status, &again.body, again.header("etag")), (200, &png, first.header("etag")));
    assert_eq!(again.header("last-modified"), first.header("last-modified"));
    let cached = world.send("GET", "/images/pics/a.png", &[("if-none-match", first.header("etag").unwrap())], None);
    assert_eq!((cached.status, cached.header("cache-control")), (304, Some("public, max-age=300")));
    assert_eq!((bucket.reads.get(), bucket.lists.get()), (1, 1));
    assert_eq!(world.send("HEAD", "/images/pics/2024/%C3%BC%20b.png", &[], None).status, 200);
    assert_eq!(get(&world, "/images/pics/2024/%C3%BC%20b.png").body, bytes("still.gif"));

    let listed = world.call("GET", "/api/images", None).json()["images"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    assert_eq!(migrate(&world)["result"]["total"], 0, "both are in the journal");
    assert_eq!(bucket.reads.get(), 2);
    let valid = act(&world, &json!({"action": "validate", "source": "old"}));
    assert_eq!((&valid["result"]["isValid"], &valid["result"]["valid"]), (&json!(true), &json!(2)), "{valid}");
    let counted = query(&world.sqlite, "SELECT items, bytes FROM stillstore_read_counters WHERE source = 'old'");
    assert_eq!(counted, [json!({"items": 2, "bytes": png.len() + bytes("still.gif").len()})]);
    assert_counted(&world.sqlite, "");
    let back = act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
    assert_eq!(back["result"]["rolledBack"], 2, "{back}");
    assert!(objects(&world).is_empty() && !world.log_text().contains("pics/a.png"));
}

#[test]
fn a_stampede_fetches_once() {
    for other_isolates in [false, true] {
        let (world, bucket) = world(&[("pics/a.png", &bytes("rgb.png"))]);
        world.runtime.yields_in_sleeps.set(true);
        world.runtime.sleep_through(1_000);
        if other_isolates {
            let lease = world.runtime.now_ms() + 500;
            let claim =
                format!("INSERT INTO stillstore_read_throughs VALUES ('old', 'pics/a.png', NULL, 'theirs', {lease})");
            query(&world.sqlite, &claim);
        }
        let request = || Request::new("GET", "https://images.example/images/pics/a.png", Vec::new(), None);
        let answers = block_on(join_all((0..50).map(|_| async {
            let mut response = world.app.handle(request()).await;
            if let Some(afterwards) = response.afterwards.take() {
                afterwards.await;
            }
            response.status
        })));
        assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
        assert_eq!((bucket.reads.get(), objects(&world).len()), (1, 1));
    }
}

#[test]
fn what_the_bucket_does_not_have_is_remembered_for_a_while() {
    let (world, bucket) = world(&[("pics/b.txt", b"a text"), ("other/x.png", &bytes("rgb.png"))]);
    for path in ["/images/pics/a.png", "/images/pics/b.txt", "/images/other/x.png", "/images/pics/"] {
        assert_eq!(status(&get(&world, path)), (404, "image-not-found".to_owned()), "{path}");
    }
    bucket.has("pics/a.png", &bytes("rgb.png"));
    let asked = bucket.lists.get();
    assert_eq!(get(&world, "/images/pics/a.png").status, 404);
    assert_eq!(bucket.lists.get(), asked, "the bucket is not asked again");
    world.runtime.advance(MINUTES_5_MS);
    assert_eq!(get(&world, "/images/pics/a.png").status, 200);
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_read_throughs").is_empty());
    assert_eq!(get(&world, "/images/pics/a.png?w=nothing").code(), "invalid-field");
}

#[test]
fn what_was_deleted_stays_deleted_longer_than_its_tombstone() {
    let (world, bucket) = world(&[("pics/a.png", &bytes("rgb.png"))]);
    get(&world, "/images/pics/a.png");
    let id = world.call("GET", "/api/images", None).json()["images"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    for days in [0, 31] {
        world.runtime.advance(days * DAY_MS);
        world.sweep();
        assert_eq!(status(&get(&world, "/images/pics/a.png")), (410, "image-deleted".to_owned()));
        assert_eq!(reasons(&world, &migrate(&world)), [(json!("pics/a.png"), json!("deleted"))]);
    }
    assert_eq!((query(&world.sqlite, "SELECT * FROM stillstore_images").len(), bucket.reads.get()), (0, 1));
}

#[test]
fn private_images_are_fetched_for_the_operator_only() {
    let (world, bucket) = world_reading("private", &[("pics/a.png", &bytes("rgb.png"))]);
    for _ in 0..2 {
        assert_eq!(status(&get(&world, "/images/pics/a.png")), (404, "image-not-found".to_owned()));
    }
    assert_eq!((bucket.reads.get(), bucket.lists.get()), (0, 0));
    let read = world.call("GET", "/images/pics/a.png", None);
    assert_eq!((read.status, read.header("cache-control")), (200, Some("private, no-cache")));
    assert_eq!(status(&get(&world, "/images/pics/a.png")), (404, "image-not-found".to_owned()), "also once it is here");
    let id = world.call("GET", "/api/images", None).json()["images"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(get(&world, &format!("/images/{id}")).status, 403);
}

#[test]
fn without_the_variable_or_the_secrets_nothing_is_fetched() {
    let (mut world, bucket) = world(&[("pics/a.png", &bytes("rgb.png")), ("pics/b.png", &bytes("still.gif"))]);
    assert_eq!(get(&world, "/images/pics/a.png").status, 200);
    bucket.status.set(Some(403));
    assert_eq!(status(&get(&world, "/images/pics/b.png")), (503, "source-unavailable".to_owned()));
    let own: Rc<[_]> = world.app.services.config.migration_sources.iter().cloned().map(without_secrets).collect();
    world.app.services.config.migration_sources = own;
    world.runtime.advance(MINUTES_5_MS);
    assert_eq!(get(&world, "/images/pics/a.png").status, 200, "what was moved is served");
    assert_eq!(get(&world, "/images/pics/b.png").status, 404);
    world.app.services.config.read_through = None;
    assert_eq!(get(&world, "/images/pics/a.png").status, 404);
    assert_eq!(bucket.reads.get(), 1);
}

fn without_secrets(source: stillstore::migrate::ConfiguredSource) -> stillstore::migrate::ConfiguredSource {
    match source {
        stillstore::migrate::ConfiguredSource::Bucket(bucket) => {
            stillstore::migrate::ConfiguredSource::Bucket(bucket.with_credentials(None))
        }
        other => other,
    }
}

#[test]
fn an_outage_is_answered_with_503_and_over_within_seconds() {
    let (world, bucket) = world(&[("pics/a.png", &bytes("rgb.png"))]);
    bucket.status.set(Some(503));
    let answer = get(&world, "/images/pics/a.png");
    assert_eq!(
        (status(&answer), answer.header("retry-after").is_some()),
        ((503, "source-unavailable".to_owned()), true)
    );
    bucket.status.set(None);
    assert_eq!((get(&world, "/images/pics/a.png").status, bucket.reads.get()), (503, 0));
    world.runtime.advance(5_000);
    assert_eq!(get(&world, "/images/pics/a.png").status, 200);
}

#[test]
fn an_object_that_is_too_long_to_be_held_is_stored_first() {
    let jpeg = large_jpeg(9 * 1024 * 1024);
    let (world, bucket) = world(&[("pics/large.jpg", &jpeg)]);
    let answer = get(&world, "/images/pics/large.jpg");
    assert!(answer.status == 200 && answer.body == jpeg);
    assert_eq!((bucket.reads.get(), objects(&world).len()), (1, 1));
}

#[test]
fn a_run_leaves_an_object_that_a_reader_fetches_and_a_reader_one_that_a_run_moves() {
    let (world, bucket) = world(&[("pics/a.png", &bytes("rgb.png")), ("pics/b.png", &bytes("still.gif"))]);
    let later = world.runtime.now_ms() + 60_000;
    let claim =
        format!("INSERT INTO stillstore_read_throughs VALUES ('old', 'pics/a.png', 'pics/a.png', 'theirs', {later})");
    query(&world.sqlite, &claim);
    let run = migrate(&world);
    assert_eq!(reasons(&world, &run), [(json!("pics/a.png"), json!("being-read")), (json!("pics/b.png"), Json::Null)]);
    assert_eq!((bucket.reads.get(), objects(&world).len()), (1, 1));
    world.runtime.advance(2 * DAY_MS);
    block_on(world.app.tick());
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_read_throughs").is_empty(), "cron goes over what was left");

    let run = act(&world, &json!({"action": "migrate", "source": "old"}));
    assert_eq!(run["result"]["migrated"], 1, "{run}");
    bucket.has("pics/c.png", &bytes("rgb.png"));
    let in_flight = json!([{"item": "pics/c.png", "key": "pics/c.png"}]);
    let running = format!(
        "UPDATE stillstore_runs SET state = 'paused', in_flight = '{in_flight}' WHERE id = (SELECT id FROM stillstore_runs WHERE exclusive = 1 LIMIT 1)"
    );
    query(&world.sqlite, &running);
    world.runtime.sleep_through(1_000);
    assert_eq!(status(&get(&world, "/images/pics/c.png")), (503, "busy".to_owned()));
    query(&world.sqlite, "UPDATE stillstore_runs SET state = 'completed', in_flight = '[]' WHERE state = 'paused'");
    assert_eq!(get(&world, "/images/pics/c.png").status, 200);
}

fn check(seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{seam:?} call {nth}, {fault:?}");
    let png = bytes("rgb.png");
    let (world, _) = world(&[("pics/a.png", &png)]);
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
    let answer = world.send_until_crash("GET", "/images/pics/a.png", &[], None);
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    if let Some(answer) = answer {
        assert!(answer.status == 503 || (answer.status == 200 && answer.body == png), "{case}: {answer:?}");
    }
    let run = migrate(&world);
    assert_eq!(run["state"], "completed", "{case}: {run}");
    for _ in 0..2 {
        world.runtime.advance(2 * 60 * 60 * 1_000);
        block_on(world.app.tick());
    }
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_read_throughs").is_empty(), "{case}");
    let keys = query(&world.sqlite, "SELECT storage_key FROM stillstore_moves");
    assert_eq!(keys.len(), objects(&world).len(), "{case}: an object an entry");
    let read = get(&world, "/images/pics/a.png");
    assert!(read.status == 200 && read.body == png, "{case}: {read:?}");
    assert_counted(&world.sqlite, &case);
    has_failed
}

#[test]
fn reading_through_survives_every_failure() {
    walk("read", &[Seam::Database, Seam::Bucket], check);
}

fn check_beside(seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("a run beside a reader: {seam:?} call {nth}, {fault:?}");
    let png = bytes("rgb.png");
    let (world, _) = world(&[("pics/a.png", &png), ("pics/b.png", &bytes("still.gif"))]);
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
    let _ = crate::api::migrate_crash::ask_until_crash(
        &world,
        &json!({"action": "migrate", "source": "old", "batchSize": 1}),
    );
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    world.runtime.sleep_through(1_000);
    let early = get(&world, "/images/pics/a.png");
    assert!(early.status == 503 || early.body == png, "{case}: {early:?}");
    if world.call("GET", "/api/migrate-images", None).json()["run"]["action"] == "migrate" {
        take_up(&world, &case);
    }
    world.runtime.advance(MINUTES_5_MS);
    let read = get(&world, "/images/pics/a.png");
    assert!(read.status == 200 && read.body == png, "{case}: {read:?}");
    migrate(&world);
    let keys = query(&world.sqlite, "SELECT storage_key FROM stillstore_moves");
    assert_eq!((keys.len(), objects(&world).len()), (2, 2), "{case}: an object an entry");
    assert_counted(&world.sqlite, &case);
    has_failed
}

#[test]
fn a_run_that_died_and_a_reader_lose_nothing() {
    walk("beside", &[Seam::Database, Seam::Bucket], check_beside);
}
