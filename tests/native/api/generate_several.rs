//! `POST /api/generate-image` with `n`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stillstore::generate::GenerateError;
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::world::{Answer, PNG, TOKEN, World};

const HOUR_MS: i64 = 60 * 60 * 1000;

fn several(world: &World, count: u64, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"prompt": "a lighthouse", "personaId": "p1", "n": count});
    world.post_json("/api/generate-image", &body, headers)
}

/// The ids of the images of an answer, in order.
fn ids(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let images = body["images"].as_array().cloned().unwrap_or_default();
    images.iter().map(|image| image["image"]["id"].as_str().unwrap().to_owned()).collect()
}

fn stored(world: &World) -> BTreeSet<String> {
    let rows = world.rows("SELECT id FROM stillstore_images WHERE status = 'stored'");
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn each_image_has_its_own_id_row_and_key_and_the_first_is_the_answers() {
    for (r2_enabled, storage) in [(true, "r2"), (false, "d1")] {
        let world = World::new(r2_enabled);
        let answer = several(&world, 3, &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        let ids = ids(&answer);
        assert_eq!((ids.len(), stored(&world)), (3, ids.iter().cloned().collect()));
        let mut keys = BTreeSet::new();
        for image in body["images"].as_array().unwrap() {
            assert_eq!(image["storage"]["type"], storage);
            keys.insert(image["storage"]["details"]["key"].as_str().unwrap().to_owned());
            assert_eq!(image["originalUrl"], image["imageUrl"]);
            let path = image["imageUrl"].as_str().unwrap().strip_prefix("https://images.example").unwrap();
            assert_eq!(world.send("GET", path, &[], None).body, PNG);
        }
        assert_eq!(keys.len(), 3);
        for field in ["imageUrl", "originalUrl", "storage", "image"] {
            assert_eq!(body["images"][0][field], body[field], "{field}");
        }
        assert_eq!((&body["success"], &body["generation"]["provider"]), (&json!(true), &json!("placeholder")));
        let variations: Vec<u8> = world.studio.requests.borrow().iter().map(|request| request.variation).collect();
        assert_eq!(variations, [0, 1, 2]);
        world.assert_invariants();
        world.assert_swept();
    }
}

#[test]
fn one_image_is_in_the_list_too() {
    let world = World::new(true);
    let body = world.generate(&[]).json();
    assert_eq!(body["images"].as_array().unwrap().len(), 1);
    assert_eq!(body["images"][0]["image"], body["image"]);
}

#[test]
fn each_costs_what_one_costs() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        several(&world, 2, &[]);
        let puts = world.bucket.plan.calls().iter().filter(|call| call.kind == StoreCall::Put).count();
        assert_eq!((puts, world.database.plan.calls().len()), (if r2_enabled { 2 } else { 0 }, 4));
        let world = World::new(r2_enabled);
        several(&world, 2, &[("idempotency-key", "k")]);
        assert_eq!(world.database.plan.calls().len(), 6, "and a claim each");
    }
}

#[test]
fn the_same_key_answers_with_the_same_images() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let key = [("idempotency-key", "visit-1")];
        let (first, second) = (several(&world, 3, &key), several(&world, 3, &key));
        assert_eq!((first.status, second.status, world.studio.calls.get()), (200, 200, 3));
        assert_eq!((first.header("idempotency-replayed"), second.header("idempotency-replayed")), (None, Some("true")));
        assert_eq!(first.json(), second.json());
        for count in [1, 2, 4] {
            let other = several(&world, count, &key);
            assert_eq!((other.status, other.code().as_str()), (422, "idempotency-key-reused"));
        }
        assert_eq!(world.studio.calls.get(), 3);
    }
}

#[test]
fn a_key_that_is_forgotten_makes_all_of_them_anew() {
    let world = World::new(true);
    let key = [("idempotency-key", "visit-1")];
    world.studio.fails_at.set(Some((2, GenerateError::Timeout)));
    assert_eq!(several(&world, 2, &key).status, 504);
    world.runtime.advance(HOUR_MS);
    let first = ids(&several(&world, 2, &key));
    assert_eq!(first.len(), 2);
    // The second image's key was claimed later, hence lives longer: it must not be found in the first one's next life.
    world.runtime.advance(23 * HOUR_MS);
    let other = world.post_json("/api/generate-image", &json!({"prompt": "b", "personaId": "p1", "n": 2}), &key);
    assert_eq!(other.status, 200, "{other:?}");
    let second = ids(&other);
    assert!(second.iter().all(|id| !first.contains(id)));
    assert_eq!(stored(&world).len(), 4);
}

#[test]
fn a_failure_names_the_images_that_are_there_and_the_key_makes_the_others() {
    let world = World::new(true);
    let key = [("idempotency-key", "visit-1")];
    world.studio.fails_at.set(Some((3, GenerateError::Timeout)));
    let partly = several(&world, 4, &key);
    assert_eq!((partly.status, partly.code().as_str()), (504, "provider-timeout"));
    let detail = partly.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("2 of 4 images are stored and named in `images`"), "{detail}");
    assert!(detail.contains("Idempotency-Key"), "{detail}");
    let made = ids(&partly);
    assert_eq!((made.len(), world.studio.calls.get()), (2, 3), "no more is asked for after a failure");
    assert_eq!(stored(&world), made.iter().cloned().collect());
    for image in partly.json()["images"].as_array().unwrap() {
        let path = image["imageUrl"].as_str().unwrap().strip_prefix("https://images.example").unwrap();
        assert_eq!(world.send("GET", path, &[], None).body, PNG);
    }

    let whole = several(&world, 4, &key);
    assert_eq!((whole.status, whole.header("idempotency-replayed"), world.studio.calls.get()), (200, None, 5));
    let all = ids(&whole);
    assert_eq!((&all[..2], all.len(), stored(&world)), (&made[..], 4, all.iter().cloned().collect()));
    assert!(!world.log_text().contains("lighthouse"), "prompts stay out of the log");
}

#[test]
fn without_a_key_a_failure_names_the_images_too() {
    let world = World::new(true);
    world.studio.fails_at.set(Some((2, GenerateError::Moderation)));
    let partly = several(&world, 2, &[]);
    assert_eq!((partly.status, partly.code().as_str()), (422, "prompt-refused"));
    assert_eq!(stored(&world), ids(&partly).into_iter().collect());
    assert!(
        partly.json()["detail"]
            .as_str()
            .unwrap()
            .ends_with("1 of 2 images are stored and named in `images`: ask for the others")
    );
    world.studio.fails_at.set(Some((3, GenerateError::Moderation)));
    assert_eq!(several(&world, 2, &[]).json()["images"], Value::Null, "nothing was made");
}

#[test]
fn an_image_that_was_deleted_is_not_made_again() {
    for deleted in 0..3 {
        let world = World::new(true);
        let key = [("idempotency-key", "visit-1")];
        let made = ids(&several(&world, 3, &key));
        assert_eq!(world.call("DELETE", &format!("/api/images/{}", made[deleted]), None).status, 204);
        let gone = several(&world, 3, &key);
        assert_eq!((gone.status, gone.code().as_str()), (410, "image-deleted"));
        assert_eq!((ids(&gone), world.studio.calls.get()), (made[..deleted].to_vec(), 3));
    }
}

#[test]
fn a_second_image_in_work_is_409_and_is_made_once_its_lease_has_ended() {
    let world = World::new(true);
    // Three calls make the first image, the fourth claims the second one's key, the fifth hangs.
    world.database.plan.fail_nth(None, 5, Fault::HangBefore);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "k")];
    let body = || Some(br#"{"prompt": "a lighthouse", "personaId": "p1", "n": 2}"#.to_vec().into());
    assert!(world.send_until_crash("POST", "/api/generate-image", &headers, body()).is_none());
    let waiting = several(&world, 2, &[("idempotency-key", "k")]);
    assert_eq!((waiting.status, waiting.code().as_str()), (409, "idempotency-in-progress"));
    assert!(waiting.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    let made = ids(&waiting);
    assert_eq!(made.len(), 1);
    world.runtime.advance(HOUR_MS);
    let whole = several(&world, 2, &[("idempotency-key", "k")]);
    assert_eq!((whole.status, &ids(&whole)[..1], stored(&world).len()), (200, &made[..], 2));
}
