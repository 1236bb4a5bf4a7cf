//! Objects of another bucket, copied and let go of again.

use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::http::HttpRequest;
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use crate::api::migrate_crash::{Seam, ask_until_crash, assert_honest, take_up, walk};
use crate::api::world::{TOKEN, World};
use crate::image_fixtures::bytes;
use crate::migrate_other_bucket::{Object, OtherBucket};
use crate::migrate_table::{act, assert_counted, clean, large_jpeg, lines, objects, query};

pub fn world_with(changes: &[(&str, Json)], objects: &[(&str, &[u8])]) -> (World, Rc<OtherBucket>) {
    let mut source = json!({"kind": "bucket", "name": "old", "endpoint": "https://s3.example.org", "region": "eu-west-1",
        "bucket": "photos", "prefix": "pics/"});
    for (field, value) in changes {
        source[*field] = value.clone();
    }
    world_of(&source, objects, &[])
}

pub fn world_of(source: &Json, objects: &[(&str, &[u8])], more: &[(&str, &str)]) -> (World, Rc<OtherBucket>) {
    let sources = json!([source]).to_string();
    let own = [
        ("ENABLE_R2_STORAGE", "true"),
        ("API_TOKEN", TOKEN),
        ("MIGRATION_SOURCES", &sources),
        ("S3_SOURCE_OLD_ACCESS_KEY_ID", "key-id"),
        ("S3_SOURCE_OLD_SECRET_ACCESS_KEY", "the-secret"),
    ];
    let world = World::with_vars(&[&own, more].concat());
    assert!(world.app.services.problems.is_empty(), "{:?}", world.app.services.problems);
    let bucket = Rc::new(OtherBucket::default());
    for (key, bytes) in objects {
        bucket.has(key, bytes);
    }
    let server = Rc::clone(&bucket);
    world.outside.server.replace(Some(Rc::new(move |request: &HttpRequest| server.answer(request))));
    (world, bucket)
}

pub fn migrate(world: &World) -> Json {
    act(world, &json!({"action": "migrate", "source": "old"}))
}

pub fn reasons(world: &World, run: &Json) -> Vec<(Json, Json)> {
    lines(world, run).into_iter().map(|line| (line["id"].clone(), line["reason"].clone())).collect()
}

#[test]
fn objects_are_copied_under_their_keys_with_what_they_say_of_themselves() {
    let png = bytes("rgb.png");
    let odd = "pics/2024/ü & <b>.png";
    let (world, bucket) = world_with(&[], &[("pics/a.png", &png), (odd, &bytes("still.gif")), ("other/x.png", &png)]);
    let page = Object {
        bytes: b"<html></html>".to_vec(),
        headers: vec![("Content-Type", "text/html"), ("Cache-Control", "max-age=60"), ("X-Amz-Meta-Author", "jane")],
    };
    bucket.objects.borrow_mut().insert("pics/index.html".to_owned(), page);
    let run = migrate(&world);
    assert_eq!((&run["result"]["migrated"], &run["state"]), (&json!(3), &json!("completed")), "{run}");
    let copies: Vec<_> = objects(&world).into_iter().map(|(key, _)| key).collect();
    assert_eq!(copies, [odd, "pics/a.png", "pics/index.html"]);
    assert_eq!(world.bucket.inner.contents()["pics/a.png"], png);
    let metadata = world.metadata("pics/index.html");
    assert_eq!((metadata["author"].as_str(), metadata["source"].as_str()), ("jane", "old"));
    let line = &lines(&world, &run)[2];
    assert_eq!((&line["type"], &line["from"]), (&json!("text/html"), &json!("s3:https://s3.example.org/photos")));

    let listed = world.call("GET", "/api/images", None).json()["images"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 2, "images only: {listed}");
    let gif = listed.as_array().unwrap().iter().find(|image| image["content_type"] == "image/gif").unwrap();
    assert_eq!((&gif["sourceItem"], &gif["filename"]), (&json!(odd), &json!("ü & <b>.png")));
    let path = gif["url"].as_str().unwrap().strip_prefix("https://images.example").unwrap();
    assert_eq!(world.send("GET", path, &[], None).body, bytes("still.gif"));
    let valid = act(&world, &json!({"action": "validate", "source": "old"}));
    assert_eq!((&valid["result"]["isValid"], &valid["result"]["valid"]), (&json!(true), &json!(3)), "{valid}");
    assert!(!world.log_text().contains("the-secret"));
}

#[test]
fn a_later_run_copies_what_is_new_or_has_changed_and_reads_nothing_else() {
    let keys: Vec<_> = (0..25).map(|n| format!("pics/{n:02}.png")).collect();
    let (world, bucket) = world_with(&[], &[]);
    for key in &keys {
        bucket.has(key, &[bytes("rgb.png"), key.as_bytes().to_vec()].concat());
    }
    bucket.page.set(7);
    let run = act(&world, &json!({"action": "migrate", "source": "old", "batchSize": 4}));
    assert_eq!(run["result"]["migrated"], 25, "{run}");
    assert_eq!((bucket.reads.get(), bucket.lists.get()), (25, 4), "a page is listed once");
    let run = migrate(&world);
    assert_eq!((&run["result"]["total"], bucket.reads.get()), (&json!(0), 25), "{run}");

    bucket.has("pics/03.png", &bytes("still.gif"));
    bucket.has("pics/99.png", &bytes("baseline.jpg"));
    let run = migrate(&world);
    let moved = [("pics/03.png", json!("replaces-copy")), ("pics/99.png", Json::Null)];
    assert_eq!(reasons(&world, &run), moved.map(|(id, why)| (json!(id), why)), "{run}");
    let of_03: Vec<_> = objects(&world).into_iter().filter(|(key, _)| key.starts_with("pics/03")).collect();
    assert_eq!(of_03.len(), 2, "no bytes are written over others");
    assert!(
        of_03[1].0.starts_with("pics/03~")
            && of_03[1].0.strip_suffix(".png").is_some()
            && of_03[1].1 == bytes("still.gif")
    );
    let run = migrate(&world);
    assert_eq!(run["result"]["total"], 0, "{run}");
}

#[test]
fn a_state_that_was_copied_before_gets_the_key_that_it_had() {
    let (first, second) = (bytes("rgb.png"), bytes("still.gif"));
    let (world, bucket) = world_with(&[], &[("pics/a.png", &first)]);
    migrate(&world);
    bucket.has("pics/a.png", &second);
    migrate(&world);
    let both = objects(&world);
    assert_eq!(both.len(), 2, "{both:?}");

    let back = act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
    assert_eq!(back["result"]["rolledBack"], 1, "{back}");
    let run = migrate(&world);
    assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(1), &json!(0)), "{run}");
    assert_eq!(objects(&world), both, "the first copy is another image's still");

    bucket.has("pics/a.png", &first);
    let run = migrate(&world);
    assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(1), &json!(0)), "{run}");
    assert_eq!(objects(&world), both, "no object loses its name");
}

#[test]
fn an_object_that_changes_after_it_was_listed_is_read_again() {
    let (world, bucket) = world_with(&[], &[("pics/a.png", &bytes("rgb.png")), ("pics/b.png", &bytes("still.gif"))]);
    let newer = Object { bytes: bytes("baseline.jpg"), headers: Vec::new() };
    bucket.before_read.replace(Some(("pics/a.png".to_owned(), newer)));
    let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate", "source": "old"}), &[]);
    let run = if answer.status == 503 { take_up(&world, "changed") } else { answer.json() };
    assert_eq!(run["state"], "completed", "{run}");
    assert_eq!(world.bucket.inner.contents()["pics/a.png"], bytes("baseline.jpg"));
    assert_eq!(objects(&world).len(), 2);
}

#[test]
fn each_cause_has_its_word() {
    let (world, bucket) = world_with(
        &[("others", json!("skip")), ("key", json!("old/{key}"))],
        &[("pics/a.png", &bytes("rgb.png")), ("pics/b.txt", b"a text"), ("pics/c\0.png", &bytes("rgb.png"))],
    );
    bucket.has(&format!("pics/{}.png", "x".repeat(1_015)), &bytes("rgb.png"));
    bucket.has("pics/y/../z.png", &bytes("rgb.png"));
    let dry = act(&world, &json!({"action": "migrate", "source": "old", "dryRun": true}));
    assert_eq!(
        (&dry["result"]["migrated"], &dry["result"]["failed"], bucket.reads.get()),
        (&json!(2), &json!(3), 0),
        "{dry}"
    );
    assert_eq!(dry["result"]["bytes"], bytes("rgb.png").len() + b"a text".len(), "as the listing says");
    let run = migrate(&world);
    let causes: Vec<_> = reasons(&world, &run).into_iter().map(|(_, why)| why).collect();
    assert_eq!(causes[..2], [Json::Null, json!("not-an-image")]);
    assert_eq!(causes[2..], [const { "key-not-possible" }; 3].map(|cause| json!(cause)));
    assert_eq!(objects(&world)[0].0, "old/pics/a.png");

    for (status, code) in [(403, "source-forbidden"), (404, "source-unreadable")] {
        bucket.status.set(Some(status));
        let run = migrate(&world);
        assert_eq!(run["state"], "failed", "{run}");
        assert!(run["result"]["warnings"][0].as_str().unwrap().starts_with(code), "{run}");
    }
    bucket.status.set(Some(503));
    let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate", "source": "old"}), &[]);
    assert_eq!((answer.status, answer.code().as_str()), (503, "source-unavailable"));
    bucket.status.set(None);
    assert_eq!(take_up(&world, "an outage")["state"], "completed_with_errors");
}

#[test]
fn named_objects_are_copied_by_their_keys() {
    let (world, _) = world_with(&[], &[("pics/a.png", &bytes("rgb.png")), ("pics/a.png.bak", b"x"), ("x", b"x")]);
    let named = json!({"action": "migrate", "source": "old", "imageIds": ["pics/a.png", "x", "pics/none"]});
    let expected = |first: Json| [("pics/a.png", first), ("x", json!("not-found")), ("pics/none", json!("not-found"))];
    let run = act(&world, &named);
    assert_eq!(reasons(&world, &run), expected(Json::Null).map(|(id, why)| (json!(id), why)));
    let run = act(&world, &named);
    assert_eq!(reasons(&world, &run), expected(json!("already-moved")).map(|(id, why)| (json!(id), why)));
}

#[test]
fn a_rollback_leaves_the_objects_and_removes_a_copy_only_when_its_object_is_there() {
    let (world, bucket) = world_with(
        &[],
        &[("pics/a.png", &bytes("rgb.png")), ("pics/b.txt", b"a text"), ("pics/c.gif", &bytes("still.gif"))],
    );
    migrate(&world);
    let cleaned = clean(&world, "old");
    assert!(reasons(&world, &cleaned).iter().all(|(_, why)| why == "nothing-to-clean"), "{cleaned}");
    let back = act(&world, &json!({"action": "rollback", "source": "old"}));
    assert_eq!(back["result"]["rolledBack"], 3, "{back}");
    assert!(world.call("GET", "/api/images", None).json()["images"].as_array().unwrap().is_empty());
    assert_eq!(migrate(&world)["result"]["migrated"], 3);
    bucket.objects.borrow_mut().remove("pics/a.png");
    bucket.has("pics/c.gif", b"other");
    let back = act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
    let expected =
        [("pics/a.png", json!("original-gone")), ("pics/b.txt", Json::Null), ("pics/c.gif", json!("source-changed"))];
    assert_eq!(reasons(&world, &back), expected.map(|(id, why)| (json!(id), why)), "{back}");
    assert_eq!(objects(&world).len(), 2);
}

#[test]
fn what_was_deleted_here_stays_deleted() {
    let (world, _) = world_with(&[], &[("pics/a.png", &bytes("rgb.png"))]);
    migrate(&world);
    let id = world.call("GET", "/api/images", None).json()["images"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    let run = migrate(&world);
    assert_eq!(reasons(&world, &run), [(json!("pics/a.png"), json!("deleted"))]);
    assert!(objects(&world).is_empty());
}

#[test]
fn a_large_object_streams_and_is_valid() {
    let jpeg = large_jpeg(9 * 1024 * 1024);
    let (world, _) = world_with(&[], &[("pics/large.jpg", &jpeg)]);
    assert_eq!(migrate(&world)["result"]["migrated"], 1);
    let image = world.call("GET", "/api/images", None).json()["images"][0].clone();
    assert_eq!((&image["size"], &image["width"]), (&json!(jpeg.len()), &json!(40)), "{image}");
    assert_eq!(act(&world, &json!({"action": "validate", "source": "old"}))["result"]["isValid"], true);
}

#[test]
fn without_its_secrets_a_bucket_is_no_source() {
    let source = json!([{"kind": "bucket", "name": "old", "endpoint": "https://s3.example.org", "bucket": "photos"}])
        .to_string();
    let world =
        World::with_vars(&[("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("MIGRATION_SOURCES", &source)]);
    let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate", "source": "old"}), &[]);
    assert_eq!((answer.status, answer.code().as_str()), (409, "source-unusable"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("S3_SOURCE_OLD_ACCESS_KEY_ID"), "{answer:?}");
}

fn check(body: &Json, seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{body}, {seam:?} call {nth}, {fault:?}");
    let contents: [(&str, &[u8]); 3] =
        [("pics/a.png", &bytes("rgb.png")), ("pics/b.txt", b"a text"), ("pics/c.gif", &bytes("still.gif"))];
    let (world, bucket) = world_with(&[], &contents);
    if body["action"] != "migrate" {
        migrate(&world);
        world.runtime.advance(1);
    }
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
    let answer = ask_until_crash(&world, body);
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    assert_honest(answer.as_ref(), &case);
    let latest = world.call("GET", "/api/migrate-images", None).json()["run"].clone();
    if latest["action"] != body["action"] {
        act(&world, body);
    }
    let run = take_up(&world, &case);
    assert_eq!((&run["progress"]["done"], &run["progress"]["failed"]), (&json!(3), &json!(0)), "{case}: {run}");
    let keys = query(&world.sqlite, "SELECT storage_key FROM stillstore_moves");
    assert_eq!(keys.len(), objects(&world).len(), "{case}: an object an entry");
    for (key, bytes) in objects(&world) {
        assert_eq!(bucket.objects.borrow()[&key].bytes, bytes, "{case}");
    }
    assert_counted(&world.sqlite, &case);
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_runs WHERE in_flight <> '[]'").is_empty(), "{case}");
    has_failed
}

#[test]
fn every_action_over_a_bucket_survives_every_failure() {
    for body in [
        json!({"action": "migrate", "source": "old", "batchSize": 2}),
        json!({"action": "rollback", "source": "old", "batchSize": 2}),
        json!({"action": "rollback", "source": "old", "batchSize": 2, "deleteFromR2": true}),
    ] {
        walk(&body.to_string(), &[Seam::Database, Seam::Bucket], |seam, nth, fault| check(&body, seam, nth, fault));
    }
}
