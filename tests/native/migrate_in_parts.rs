//! Objects of another bucket that are too long for one put.

use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::image::Sha256Digest;
use stillstore::migrate::seam::PartSizes;
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use crate::api::migrate_crash::{Seam, ask_until_crash, assert_honest, take_up, walk};
use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_bucket::{migrate, reasons, world_with};
use crate::migrate_other_bucket::OtherBucket;
use crate::migrate_table::{act, large_jpeg, objects, query};

const MIB: usize = 1024 * 1024;

fn world(objects: &[(&str, &[u8])]) -> (World, Rc<OtherBucket>) {
    let (mut world, bucket) = world_with(&[], objects);
    world.app.services.part_sizes =
        PartSizes { above_bytes: 8 * MIB as u64, part_bytes: 5 * MIB as u64, ..PartSizes::default() };
    (world, bucket)
}

pub fn long_text(size_bytes: usize) -> Vec<u8> {
    (0..size_bytes).map(|at| b'a' + u8::try_from(at / 1000 % 26).unwrap()).collect()
}

#[test]
fn a_long_object_is_put_in_parts_and_is_the_same() {
    let (text, jpeg) = (long_text(11 * MIB + 1_000), large_jpeg(9 * MIB));
    let (world, bucket) = world(&[
        ("pics/a.png", &bytes("rgb.png")),
        ("pics/b.txt", &text),
        ("pics/c.jpg", &jpeg),
        ("pics/d.gif", &bytes("still.gif")),
    ]);
    bucket.says("pics/b.txt", &[("Content-Type", "text/plain"), ("X-Amz-Meta-Author", "jane")]);
    let dry = act(&world, &json!({"action": "migrate", "source": "old", "dryRun": true}));
    assert_eq!((&dry["result"]["migrated"], bucket.reads.get()), (&json!(4), 0), "{dry}");
    let run = migrate(&world);
    assert_eq!((&run["result"]["migrated"], &run["state"]), (&json!(4), &json!("completed")), "{run}");
    let contents = world.bucket.inner.contents();
    assert!(contents["pics/b.txt"] == text && contents["pics/c.jpg"] == jpeg);
    assert_eq!(world.metadata("pics/b.txt")["author"], "jane");
    assert_eq!(bucket.reads.get(), 2 + (1 + 3) + (1 + 2), "one look and each part once");
    let kept = query(&world.sqlite, "SELECT sha256, content_type FROM stillstore_moves WHERE item_id = 'pics/b.txt'");
    assert_eq!(kept, [json!({"sha256": Sha256Digest::of(&text).to_string(), "content_type": "text/plain"})]);
    assert!(world.bucket.inner.unfinished_uploads().is_empty());
    let listed = world.call("GET", "/api/images", None).json()["images"].clone();
    assert_eq!(listed.as_array().unwrap().len(), 3, "the JPEG is an image: {listed}");
    for integrity in [false, true] {
        let valid = act(&world, &json!({"action": "validate", "source": "old", "checkIntegrity": integrity}));
        assert_eq!(valid["result"]["isValid"], true, "{valid}");
    }
    assert_eq!(migrate(&world)["result"]["total"], 0);
    let named = act(&world, &json!({"action": "migrate", "source": "old", "imageIds": ["pics/b.txt"]}));
    assert_eq!(reasons(&world, &named)[0].1, json!("too-large"));
    let back = act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
    assert_eq!(back["result"]["rolledBack"], 4, "{back}");
    assert!(objects(&world).is_empty());
}

#[test]
fn an_object_that_changes_between_its_parts_is_begun_anew() {
    let (old, new) = (long_text(11 * MIB), large_jpeg(9 * MIB));
    let (world, bucket) = world(&[("pics/b.txt", &old)]);
    bucket.changes_at_read(3, "pics/b.txt", &new);
    let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate", "source": "old"}), &[]);
    let run = if answer.status == 503 { take_up(&world, "changed") } else { answer.json() };
    assert_eq!(run["state"], "completed", "{run}");
    assert!(world.bucket.inner.contents()["pics/b.txt"] == new);
    assert!(world.bucket.inner.unfinished_uploads().is_empty(), "the other was given up");
}

#[test]
fn parts_of_two_states_are_never_joined_at_a_server_that_knows_no_conditions() {
    let old = long_text(11 * MIB);
    let new: Vec<u8> = old.iter().map(u8::to_ascii_uppercase).collect();
    let (world, bucket) = world(&[("pics/b.txt", &old)]);
    bucket.is_lax.set(true);
    bucket.changes_at_read(3, "pics/b.txt", &new);
    let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate", "source": "old"}), &[]);
    assert_eq!(answer.code(), "source-unavailable", "the listing does not tell the states apart: {answer:?}");
    let run = take_up(&world, "changed");
    assert_eq!((&run["state"], &run["progress"]["failed"]), (&json!("completed_with_errors"), &json!(1)), "{run}");
    assert!(objects(&world).is_empty());
    assert_eq!(migrate(&world)["result"]["migrated"], 1);
    assert!(world.bucket.inner.contents()["pics/b.txt"] == new);
}

#[test]
fn nothing_is_written_over_what_has_the_key() {
    let (world, _) = world(&[("pics/b.txt", &long_text(9 * MIB))]);
    world.put_foreign_object("pics/b.txt", b"theirs");
    let run = migrate(&world);
    assert_eq!(reasons(&world, &run), [(json!("pics/b.txt"), json!("key-taken"))]);
    assert_eq!(world.bucket.inner.contents()["pics/b.txt"], b"theirs");
}

fn check(body: &Json, text: &[u8], seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{seam:?} call {nth}, {fault:?}");
    let (mut world, _) = world(&[("pics/a.png", &bytes("rgb.png")), ("pics/b.txt", text)]);
    // Of one part: more would have the walk last for minutes.
    world.app.services.part_sizes.above_bytes = 1_000;
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
    let answer = ask_until_crash(&world, body);
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    assert_honest(answer.as_ref(), &case);
    if world.call("GET", "/api/migrate-images", None).json()["run"].is_null() {
        act(&world, body);
    }
    let run = take_up(&world, &case);
    assert_eq!((&run["progress"]["done"], &run["progress"]["failed"]), (&json!(2), &json!(0)), "{case}: {run}");
    assert!(world.bucket.inner.contents()["pics/b.txt"] == text, "{case}");
    assert_eq!(objects(&world).len(), 2, "{case}");
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_runs WHERE in_flight <> '[]'").is_empty(), "{case}");
    has_failed
}

#[test]
fn putting_in_parts_survives_every_failure() {
    let (body, text) = (json!({"action": "migrate", "source": "old"}), long_text(2_000));
    walk("in parts", &[Seam::Database, Seam::Bucket], |seam, nth, fault| check(&body, &text, seam, nth, fault));
}
