//! Variants once they are made: served, shared, removed with their image, moved with it.

use futures::future::join_all;
use stillstore::api::Request;
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::world::{Answer, PNG, TOKEN, World};
use crate::runtime::block_on;

const JPEG: &[u8] = include_bytes!("../../fixtures/images/baseline.jpg");
const HOURS_2_MS: i64 = 2 * 60 * 60 * 1000;

fn stored(world: &World) -> String {
    let uploaded = world.upload("filename=cat.jpg", JPEG);
    format!("/images/{}", uploaded.json()["id"].as_str().unwrap())
}

fn get(world: &World, path: &str, headers: &[(&str, &str)]) -> Answer {
    world.send("GET", path, headers, None)
}

fn calls(world: &World) -> (usize, usize) {
    (world.database.plan.calls().len(), world.bucket.plan.calls().len())
}

#[test]
fn a_kept_variant_costs_what_an_image_costs() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let path = format!("{}?w=32", stored(&world));
        let made = get(&world, &path, &[]);
        let before = calls(&world);
        assert_eq!(get(&world, &path, &[]).body, made.body);
        let after = calls(&world);
        assert_eq!((after.0 - before.0, after.1 - before.1), if r2_enabled { (1, 1) } else { (1, 0) });
        assert_eq!(world.codecs.calls.get(), 1);
    }
}

#[test]
fn ranges_and_conditions_are_answered_as_for_an_image() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let path = format!("{}?w=32", stored(&world));
        // The first answer is of what was just made, the second of what was kept.
        for _ in 0..2 {
            let part = get(&world, &path, &[("range", "bytes=2-5")]);
            let whole = get(&world, &path, &[]);
            assert_eq!((part.status, &part.body[..]), (206, &whole.body[2..6]));
            let content_range = format!("bytes 2-5/{}", whole.body.len());
            assert_eq!(part.header("content-range"), Some(content_range.as_str()));
            let etag = whole.header("etag").unwrap();
            assert_eq!(get(&world, &path, &[("if-none-match", etag)]).status, 304);
            assert_eq!(get(&world, &path, &[("if-match", "\"other\"")]).status, 412);
            assert_eq!(get(&world, &path, &[("range", "bytes=999999-")]).status, 416);
            let head = world.send("HEAD", &path, &[], None);
            assert_eq!((head.status, head.header("etag"), head.body.len()), (200, Some(etag), 0));
        }
    }
}

#[test]
fn a_stampede_makes_one() {
    let world = World::new(true);
    let path = stored(&world);
    world.codecs.yields.set(true);
    world.runtime.yields_in_sleeps.set(true);
    let request = || Request::new("GET", &format!("https://images.example{path}?w=32"), Vec::new(), None);
    let answers = block_on(join_all((0..100).map(|_| world.app.handle(request()))));
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(world.codecs.calls.get(), 1);
    let puts = world.bucket.inner.contents().into_keys().filter(|key| key.starts_with("stillstore/variants/"));
    assert_eq!(puts.count(), 1);
}

#[test]
fn variants_go_with_their_image() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let path = stored(&world);
        for width in [32, 64] {
            assert_eq!(get(&world, &format!("{path}?w={width}"), &[]).status, 200);
        }
        world.assert_invariants();
        world.assert_swept();
        assert_eq!(world.call("DELETE", &format!("/api{path}"), None).status, 204);
        assert!(world.bucket.inner.contents().is_empty());
        assert!(world.rows("SELECT object_key FROM stillstore_blobs").is_empty());
        assert!(world.rows("SELECT form FROM stillstore_variants").is_empty());
        let gone = get(&world, &format!("{path}?w=32"), &[]);
        assert_eq!((gone.status, gone.code().as_str()), (410, "image-deleted"));
    }
}

#[test]
fn variants_are_made_anew_where_their_image_moves() {
    let world = World::new(false);
    let path = stored(&world);
    let made = get(&world, &format!("{path}?w=32"), &[]);
    let mut world = world;
    world.app.services.config.r2_enabled = true;
    let run = world.post_json("/api/migrate-images", &serde_json::json!({"action": "migrate"}), &[]);
    assert_eq!(run.status, 200, "{run:?}");
    assert_eq!(world.rows("SELECT id FROM stillstore_images WHERE storage = 'r2'").len(), 1);
    assert_eq!(get(&world, &format!("{path}?w=32"), &[]).body, made.body);
    let rows = world.rows("SELECT storage, state FROM stillstore_variants");
    assert_eq!(rows, [serde_json::json!({"storage": "r2", "state": "stored"})]);
    assert!(
        world.rows("SELECT object_key FROM stillstore_blobs WHERE object_key LIKE 'stillstore/variants/%'").is_empty()
    );
    let objects = world.bucket.inner.contents().into_keys();
    assert_eq!(objects.filter(|key| key.starts_with("stillstore/variants/")).count(), 1);
}

#[test]
fn a_variant_whose_bytes_are_gone_is_made_anew() {
    for lost_is_damaged in [false, true] {
        let world = World::new(true);
        let path = format!("{}?w=32", stored(&world));
        let made = get(&world, &path, &[]);
        let keys = world.bucket.inner.contents().into_keys();
        let key = keys.into_iter().find(|key| key.starts_with("stillstore/variants/")).unwrap();
        world.lose_object(&key);
        if lost_is_damaged {
            world.put_foreign_object(&key, PNG);
        }
        assert_eq!(get(&world, &path, &[]).body, made.body);
        assert_eq!(world.codecs.calls.get(), 2);
        assert_eq!(get(&world, &path, &[]).body, made.body);
        assert_eq!(world.codecs.calls.get(), 2);
    }
}

#[test]
fn a_store_that_takes_nothing_does_not_keep_the_variant_from_its_reader() {
    let world = World::new(true);
    let path = format!("{}?w=32", stored(&world));
    world.bucket.plan.fail_all(StoreCall::Put, Fault::FailBefore);
    for calls in 1..=2 {
        assert_eq!(get(&world, &path, &[]).status, 200);
        assert_eq!(world.codecs.calls.get(), calls);
    }
    world.bucket.plan.heal();
    assert_eq!(get(&world, &path, &[]).status, 200);
    assert_eq!(get(&world, &path, &[]).status, 200);
    assert_eq!(world.codecs.calls.get(), 3, "kept once the store takes it");
    world.assert_swept();
}

#[test]
fn what_was_abandoned_or_refused_is_swept() {
    let world = World::new(true);
    let path = stored(&world);
    assert_eq!(get(&world, &format!("{path}?w=32"), &[]).status, 200);
    world.rows("UPDATE stillstore_variants SET state = 'making', lease_token = 'gone', due_at_ms = 1");
    world.sweep();
    assert!(world.rows("SELECT form FROM stillstore_variants").is_empty());
    assert_eq!(world.bucket.inner.contents().len(), 1);

    let damaged = [&PNG[..41], b"no deflate data", &PNG[56..]].concat();
    let uploaded = world.upload("filename=a.png", &damaged);
    let refused = format!("/images/{}?w=32", uploaded.json()["id"].as_str().unwrap());
    assert_eq!(get(&world, &refused, &[]).status, 422);
    world.runtime.advance(HOURS_2_MS);
    world.sweep();
    assert_eq!(world.rows("SELECT refusal FROM stillstore_variants"), [serde_json::json!({"refusal": "impossible"})]);
    world.runtime.advance(12 * HOURS_2_MS);
    world.sweep();
    assert!(world.rows("SELECT form FROM stillstore_variants").is_empty());
}

#[test]
fn variants_count_as_their_owners_bytes() {
    let world =
        World::with_vars(&[("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("USER_MAX_BYTES", "100000000")]);
    let path = stored(&world);
    let id = &path["/images/".len()..];
    world.rows("UPDATE stillstore_images SET owner_id = 'u1'");
    world.rows(
        "INSERT INTO stillstore_usage (owner_id, bytes, day, images, generations) VALUES ('u1', 500000, 0, 0, 0)",
    );
    let bytes = || world.rows("SELECT bytes FROM stillstore_usage")[0]["bytes"].as_u64().unwrap();
    let made = get(&world, &format!("{path}?w=32"), &[]);
    assert_eq!(bytes(), 500_000 + made.body.len() as u64);
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    assert_eq!(bytes(), 500_000 - JPEG.len() as u64, "nothing of the variant is left");
}

#[test]
fn the_first_variant_gives_the_record_a_placeholder() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let path = stored(&world);
        let record = || world.call("GET", &format!("/api{path}"), None).json();
        let before = record();
        assert!(before.get("thumbhash").is_none() && before.get("dominantColor").is_none(), "{before}");
        assert_eq!(get(&world, &format!("{path}?w=64"), &[]).status, 200);
        let after = record();
        let hash = after["thumbhash"].as_str().unwrap().to_owned();
        assert!((8..=36).contains(&hash.len()), "{hash}");
        assert!(
            after["dominantColor"].as_str().is_some_and(|colour| colour.len() == 7 && colour.starts_with('#')),
            "{after}"
        );
        for field in ["updatedAt", "sha256", "status"] {
            assert_eq!(before[field], after[field], "{field}");
        }
        assert_eq!(world.call("GET", "/api/images", None).json()["images"][0]["thumbhash"], hash.as_str());
        let measured = world.codecs.placeholders.get();
        assert_eq!(get(&world, &format!("{path}?w=96"), &[]).status, 200);
        assert_eq!(world.codecs.placeholders.get(), measured, "once");
        assert_eq!(world.call("DELETE", &format!("/api{path}"), None).status, 204);
        let left = world.rows("SELECT thumbhash, dominant_color FROM stillstore_images");
        assert_eq!(left, [serde_json::json!({"thumbhash": null, "dominant_color": null})]);
    }
}

#[test]
fn a_placeholder_that_was_not_kept_is_made_with_the_next_variant() {
    for fault in [Fault::FailBefore, Fault::FailAfter] {
        for nth in 1..=8 {
            let world = World::new(false);
            let path = stored(&world);
            world.database.plan.fail_nth(None, nth, fault);
            get(&world, &format!("{path}?w=32"), &[]);
            world.database.plan.heal();
            for width in [32, 64] {
                assert_eq!(get(&world, &format!("{path}?w={width}"), &[]).status, 200, "{fault:?} {nth}");
            }
            let hashes = world.rows("SELECT id FROM stillstore_images WHERE thumbhash IS NOT NULL");
            assert_eq!(hashes.len(), 1, "{fault:?} {nth}");
            world.assert_invariants();
        }
    }
}
