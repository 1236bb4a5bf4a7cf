//! Objects that have the keys that copies of another bucket would get: those of others, and copies that a rollback has left.

use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use crate::api::migrate_crash::{Seam, ask_until_crash, assert_honest, take_up, walk};
use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_bucket::{migrate, reasons, world_of, world_with};
use crate::migrate_other_bucket::OtherBucket;
use crate::migrate_table::{act, objects};
use crate::runtime::block_on;

const HOURS_2_MS: i64 = 2 * 60 * 60 * 1_000;

fn fail(world: &World, seam: Seam, nth: usize, fault: Fault) {
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket | Seam::Other => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
    }
}

/// Lets everybody go; says whether a call had failed.
fn heal(world: &World) -> bool {
    let has_failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    has_failed
}

fn check_run(in_parts: bool, seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("in parts: {in_parts}, {seam:?} call {nth}, {fault:?}");
    let (mut world, _) = world_with(&[], &[("pics/a.png", &bytes("rgb.png")), ("pics/b.txt", &[b'x'; 2_000])]);
    if in_parts {
        world.app.services.part_sizes.above_bytes = 1_000;
    }
    world.put_foreign_object("pics/b.txt", b"theirs");
    fail(&world, seam, nth, fault);
    let body = json!({"action": "migrate", "source": "old"});
    let answer = ask_until_crash(&world, &body);
    let has_failed = heal(&world);
    assert_honest(answer.as_ref(), &case);
    if world.call("GET", "/api/migrate-images", None).json()["run"].is_null() {
        act(&world, &body);
    }
    let run = take_up(&world, &case);
    assert_eq!((&run["progress"]["done"], &run["progress"]["failed"]), (&json!(2), &json!(1)), "{case}: {run}");
    let theirs = world.bucket.inner.contents().remove("pics/b.txt");
    assert_eq!(theirs.as_deref(), Some(&b"theirs"[..]), "{case}: nobody removes what is another's");
    assert_eq!(objects(&world).len(), 2, "{case}");
    has_failed
}

#[test]
fn a_run_that_fails_anywhere_leaves_what_others_have_under_its_keys() {
    for in_parts in [false, true] {
        walk("a run", &[Seam::Database, Seam::Bucket], |seam, nth, fault| check_run(in_parts, seam, nth, fault));
    }
}

fn reading_world() -> (World, Rc<OtherBucket>) {
    let source = json!({"kind": "bucket", "name": "old", "endpoint": "https://s3.example.org", "region": "eu-west-1",
        "bucket": "photos", "prefix": "pics/", "visibility": "public"});
    world_of(&source, &[("pics/a.png", &bytes("rgb.png"))], &[("READ_THROUGH", "old")])
}

#[test]
fn a_reader_who_fails_anywhere_leaves_what_others_have_under_the_key() {
    walk("a reader", &[Seam::Database, Seam::Bucket], |seam, nth, fault| {
        let (world, _) = reading_world();
        world.put_foreign_object("pics/a.png", b"theirs");
        fail(&world, seam, nth, fault);
        let _ = world.send_until_crash("GET", "/images/pics/a.png", &[], None);
        let has_failed = heal(&world);
        for _ in 0..2 {
            world.runtime.advance(HOURS_2_MS);
            block_on(world.app.tick());
        }
        let theirs = world.bucket.inner.contents().remove("pics/a.png");
        assert_eq!(theirs.as_deref(), Some(&b"theirs"[..]), "{seam:?} call {nth}, {fault:?}");
        assert!(
            world.rows("SELECT item_id FROM stillstore_read_throughs").is_empty(),
            "{seam:?} call {nth}, {fault:?}"
        );
        has_failed
    });
}

#[test]
fn a_state_never_gets_the_key_of_a_copy_that_was_left() {
    for (first, second, third) in [
        (bytes("rgb.png"), bytes("still.gif"), bytes("baseline.jpg")),
        (b"a text".to_vec(), b"another text".to_vec(), bytes("rgb.png")),
    ] {
        let (world, bucket) = world_with(&[], &[("pics/a", &first)]);
        migrate(&world);
        act(&world, &json!({"action": "rollback", "source": "old"}));
        bucket.has("pics/a", &second);
        let run = migrate(&world);
        assert_eq!(reasons(&world, &run), [(json!("pics/a"), json!("replaces-copy"))]);
        let valid = act(&world, &json!({"action": "validate", "source": "old"}));
        assert_eq!(valid["result"]["orphaned"][0]["id"], "pics/a", "{valid}");
        act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
        assert_eq!(objects(&world), [("pics/a".to_owned(), first.clone())], "what was left is left");

        bucket.has("pics/a", &third);
        let run = migrate(&world);
        assert_eq!((&run["result"]["migrated"], &run["result"]["failed"]), (&json!(1), &json!(0)), "{run}");
        act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
        bucket.has("pics/a", &first);
        let run = migrate(&world);
        assert_eq!(run["result"]["migrated"], 1, "{run}");
        assert_eq!(objects(&world), [("pics/a".to_owned(), first)], "the state that it was has its key again");
    }
}

#[test]
fn a_run_that_ends_early_leaves_a_copy_that_was_left_to_be_copied_again() {
    let png = bytes("rgb.png");
    walk("again", &[Seam::Database, Seam::Bucket], |seam, nth, fault| {
        let case = format!("{seam:?} call {nth}, {fault:?}");
        let (world, bucket) = world_with(&[], &[("pics/a.png", &png)]);
        migrate(&world);
        act(&world, &json!({"action": "rollback", "source": "old"}));
        world.runtime.advance(1);
        fail(&world, seam, nth, fault);
        let _ = ask_until_crash(&world, &json!({"action": "migrate", "source": "old"}));
        let has_failed = heal(&world);
        bucket.loses("pics/a.png");
        let latest: Json = world.call("GET", "/api/migrate-images", None).json()["run"].clone();
        if latest["state"] == "running" {
            take_up(&world, &case);
        }
        assert_eq!(objects(&world), [("pics/a.png".to_owned(), png.clone())], "{case}");
        has_failed
    });
}
