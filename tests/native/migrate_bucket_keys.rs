//! Keys of any text in another bucket, as servers of several kinds list them.

use serde_json::json;

use crate::api::migrate_crash::take_up;
use crate::image_fixtures::bytes;
use crate::migrate_bucket::{migrate, reasons, world_with};
use crate::migrate_other_bucket::Keys;
use crate::migrate_table::{act, objects};

/// What is encoded, or looks as if it were, in keys that XML can hold.
const PLAIN: [&str; 8] = ["a b", "a+b", "a%20b", "a%2Bb", "ü&<\u{1f98a}>", "a//b/", "\u{7f}\u{85}", "q?x#y"];
const CONTROLS: [&str; 5] = ["\u{1}", "a\u{1}b", "a\u{2}b", "a\r\nb\tc", "\u{1f}~\u{fffd}"];

fn contents<'keys>(keys: &'keys [String], png: &'keys [u8]) -> Vec<(&'keys str, &'keys [u8])> {
    keys.iter().map(|key| (key.as_str(), png)).collect()
}

fn under_prefix(keys: &[&str]) -> Vec<String> {
    let longest = format!("pics/{}", "x".repeat(1_019));
    let mut keys: Vec<_> = keys.iter().map(|key| format!("pics/{key}")).chain([longest]).collect();
    keys.sort();
    keys
}

#[test]
fn keys_of_any_text_are_copied_however_a_server_lists_them() {
    let png = bytes("rgb.png");
    let all = under_prefix(&[&PLAIN[..], &CONTROLS[..]].concat());
    for server in [Keys::Referred, Keys::Repeating, Keys::Replacing, Keys::Failing] {
        let (world, bucket) = world_with(&[], &contents(&all, &png));
        bucket.keys.set(server);
        bucket.page.set(3);
        let run = migrate(&world);
        assert_eq!((&run["state"], &run["result"]["migrated"]), (&json!("completed"), &json!(all.len())), "{run}");
        let copies: Vec<_> = objects(&world).into_iter().map(|(key, _)| key).collect();
        assert_eq!(copies, all);
        assert_eq!(migrate(&world)["result"]["total"], 0, "what was copied is known again");
        let valid = act(&world, &json!({"action": "validate", "source": "old", "checkIntegrity": true}));
        assert_eq!((&valid["result"]["isValid"], &valid["result"]["valid"]), (&json!(true), &json!(all.len())));

        let listed = world.call("GET", "/api/images", None).json()["images"].clone();
        for image in listed.as_array().unwrap() {
            let path = image["url"].as_str().unwrap().strip_prefix("https://images.example").unwrap();
            assert_eq!(world.send("GET", path, &[], None).body, png, "{image}");
            assert!(image["filename"].as_str().is_none_or(|name| !name.contains(char::is_control)), "{image}");
        }
        let back = act(&world, &json!({"action": "rollback", "source": "old", "deleteFromR2": true}));
        assert_eq!((&back["result"]["rolledBack"], objects(&world).len()), (&json!(all.len()), 0), "{back}");
    }
}

#[test]
fn encoded_keys_are_asked_for_only_where_others_may_be_lost() {
    let png = bytes("rgb.png");
    for server in [Keys::Referred, Keys::Repeating, Keys::Replacing, Keys::Failing] {
        let (world, bucket) = world_with(&[], &contents(&under_prefix(&PLAIN), &png));
        bucket.keys.set(server);
        assert_eq!(migrate(&world)["result"]["migrated"], PLAIN.len() + 1);
        assert_eq!(bucket.lists.get(), 1);

        // Nothing in these shows whether they are encoded.
        let (world, bucket) = world_with(&[], &[("pics/a%20b", &png), ("pics/a+b", &png)]);
        bucket.keys.set(server);
        migrate(&world);
        let copies: Vec<_> = objects(&world).into_iter().map(|(key, _)| key).collect();
        assert_eq!(copies, ["pics/a%20b", "pics/a+b"]);
    }
}

#[test]
fn a_server_that_loses_keys_and_encodes_none_has_them_skipped() {
    let png = bytes("rgb.png");
    let (world, bucket) = world_with(&[], &[("pics/a\u{1}b", &png), ("pics/c", &png)]);
    bucket.keys.set(Keys::ReplacingOnly);
    let run = migrate(&world);
    assert_eq!(reasons(&world, &run)[0], (json!("pics/a\u{fffd}b"), json!("gone")), "{run}");
    assert_eq!(objects(&world).len(), 1);
}

#[test]
fn named_objects_are_found_by_keys_of_any_text() {
    let png = bytes("rgb.png");
    for server in [Keys::Referred, Keys::Repeating, Keys::Replacing, Keys::Failing] {
        let (world, bucket) = world_with(&[], &[("pics/a\u{1}b", &png), ("pics/a\u{1}b2", &png)]);
        bucket.keys.set(server);
        let run = act(&world, &json!({"action": "migrate", "source": "old", "imageIds": ["pics/a\u{1}b"]}));
        assert_eq!(run["result"]["migrated"], 1, "{run}");
        assert_eq!(objects(&world)[0].0, "pics/a\u{1}b");
    }
}

#[test]
fn pages_without_objects_are_not_the_end() {
    let png = bytes("rgb.png");
    let (world, bucket) = world_with(&[], &[("pics/a", &png), ("pics/b", &png), ("pics/c", &png)]);
    bucket.page.set(1);
    bucket.begins_with_nothing.set(true);
    let run = migrate(&world);
    assert_eq!((&run["result"]["migrated"], bucket.lists.get()), (&json!(3), 6), "{run}");
}

#[test]
fn a_server_that_gives_the_same_page_again_ends_the_run() {
    let png = bytes("rgb.png");
    let (world, bucket) = world_with(&[], &[("pics/a", &png), ("pics/b", &png)]);
    bucket.page.set(1);
    bucket.ignores_start_after.set(true);
    let run = migrate(&world);
    assert_eq!((&run["state"], &run["result"]["migrated"]), (&json!("failed"), &json!(1)), "{run}");
    assert!(run["result"]["warnings"][0].as_str().unwrap().starts_with("source-unreadable"), "{run}");
}

#[test]
fn an_outage_in_a_listing_is_waited_for() {
    let (world, bucket) = world_with(&[], &[("pics/a", &bytes("rgb.png"))]);
    bucket.status.set(Some(500));
    let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate", "source": "old"}), &[]);
    assert_eq!((answer.status, answer.code().as_str()), (503, "source-unavailable"));
    bucket.status.set(None);
    assert_eq!(take_up(&world, "an outage")["state"], "completed");
}
