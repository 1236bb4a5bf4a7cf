//! `POST /api/images`.

use serde_json::json;
use stillstore::bytes::Body;
use stillstore::image::Sha256Digest;
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use super::world::{Arriving, PNG, TOKEN, World};
use crate::image_fixtures;

#[test]
fn an_upload_answers_with_its_record_and_is_readable_in_both_modes() {
    for (r2_enabled, storage) in [(true, "r2"), (false, "d1")] {
        let world = World::new(r2_enabled);
        let answer = world.upload(
            "filename=My%20Cat%21.PNG&context=studio&personaId=p1&meta.uploader_id=u7&meta.note=gr%C3%BC%C3%9Fe",
            PNG,
        );
        assert_eq!(answer.status, 201, "{answer:?}");
        let record = answer.json();
        let id = record["id"].as_str().unwrap();
        assert_eq!(answer.header("location"), Some(format!("/api/images/{id}").as_str()));
        assert_eq!(record["url"], format!("https://images.example/images/{id}"));
        let key = record["key"].as_str().unwrap();
        let expected = format!("studio/2027/01/{}_my-cat.png", &id[..8]);
        assert_eq!(key, expected);
        assert_eq!(record["size"], PNG.len());
        assert_eq!(record["content_type"], "image/png");
        assert_eq!(record["sha256"], Sha256Digest::of(PNG).to_string());
        assert_eq!((&record["filename"], &record["storage"]), (&json!("My Cat!.PNG"), &json!(storage)));
        assert_eq!((&record["width"], &record["height"]), (&json!(1), &json!(1)));
        assert!(record["orientation"].is_null() && record.as_object().unwrap().contains_key("orientation"));
        assert_eq!(record["metadata"], json!({"uploader_id": "u7", "note": "gr\u{fc}\u{df}e"}));
        assert_eq!(world.send("GET", &format!("/images/{id}"), &[], None).body, PNG);
        if r2_enabled {
            assert_eq!(world.metadata(key)["meta-uploader_id"], "u7");
        }
        assert_eq!(world.call("GET", &format!("/api/images/{id}"), None).json(), record);
    }
}

#[test]
fn what_the_bytes_are_decides_and_not_what_the_client_says() {
    let world = World::new(true);
    let record = world.upload("filename=cat.jpg", PNG).json();
    assert_eq!(record["content_type"], "image/png");
    assert!(record["key"].as_str().unwrap().ends_with("_cat.png"));
    for bytes in [&b""[..], b"hello", b"<html><body><svg></svg></body></html>", b"%PDF-1.7", &[0; 5000]] {
        let answer = world.upload("filename=cat.png", bytes);
        assert_eq!((answer.status, answer.code().as_str()), (415, "not-an-image"));
    }
    assert_eq!(world.bucket.inner.contents().len(), 1);
}

#[test]
fn an_image_that_is_not_whole_is_refused_and_leaves_nothing() {
    let jpeg = image_fixtures::bytes("rotated.jpg");
    let gif = b"GIF89a\x02\0\x03\0\0\0\0;".as_slice();
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        for (bytes, code) in [(&jpeg[..jpeg.len() - 1], "truncated"), (&PNG[..40], "truncated"), (gif, "malformed")] {
            let answer = world.upload("", bytes);
            assert_eq!((answer.status, answer.code().as_str()), (422, code), "{answer:?}");
        }
        assert!(world.bucket.plan.calls().is_empty());
        assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
        assert!(world.rows("SELECT write_id FROM stillstore_blobs").is_empty());
        assert_eq!(world.upload("", &[jpeg.as_slice(), b"more"].concat()).status, 201);
    }
}

/// A JPEG as phones make them: turned, with 200 KB of metadata, and as long as `total_bytes`.
fn phone_jpeg(total_bytes: usize) -> Vec<u8> {
    let jpeg = image_fixtures::bytes("rotated.jpg");
    let metadata = [b"\xFF\xE2\xFF\xFF".as_slice(), &vec![7; 65_533]].concat().repeat(3);
    let mut bytes = [&jpeg[..20], &metadata, &jpeg[20..]].concat();
    bytes.resize(total_bytes, 7);
    bytes
}

#[test]
fn dimensions_are_found_after_long_metadata_in_memory_and_in_passing() {
    let bearer = format!("Bearer {TOKEN}");
    for (r2_enabled, total_bytes, fill_budget) in [
        (true, 300_000, false),
        (false, 300_000, false),
        (true, 27_000_000, false),
        (true, 300_000, true),
        (false, 300_000, true),
    ] {
        let world = World::new(r2_enabled);
        let share = fill_budget.then(|| world.fill_memory_budget());
        let body = Body::from_source(Box::new(Arriving::of(phone_jpeg(total_bytes))), Some(total_bytes as u64));
        let answer = world.send("POST", "/api/images", &[("authorization", bearer.as_str())], Some(body));
        let record = answer.json();
        let context = format!("{r2_enabled} {total_bytes} {fill_budget}");
        assert_eq!((&record["width"], &record["height"]), (&json!(24), &json!(40)), "{context}: {answer:?}");
        assert_eq!(record["orientation"], 6, "{context}");
        assert_eq!(world.call("GET", &format!("/api/images/{}", record["id"].as_str().unwrap()), None).json(), record);
        drop(share);
    }
}

#[test]
fn a_streamed_image_is_believed_by_its_header() {
    let bearer = format!("Bearer {TOKEN}");
    let world = World::new(true);
    let mut bytes = PNG[..41].to_vec();
    bytes.resize(26_300_000, 0);
    let body = Body::from_source(Box::new(Arriving::of(bytes)), Some(26_300_000));
    let answer = world.send("POST", "/api/images", &[("authorization", bearer.as_str())], Some(body));
    assert_eq!((answer.status, &answer.json()["width"]), (201, &json!(1)));
}

#[test]
fn bad_parameters_are_named_and_nothing_is_stored() {
    let world = World::new(true);
    let labels = (0..17).map(|number| format!("meta.n{number}=x")).collect::<Vec<_>>().join("&");
    for (field, query) in [
        ("filename", "filename=".to_owned()),
        ("filename", format!("filename={}", "x".repeat(256))),
        ("filename", "filename=a%0Ab".to_owned()),
        ("context", "context=../etc".to_owned()),
        ("context", "context=Studio".to_owned()),
        ("context", "context=generated".to_owned()),
        ("context", "context=".to_owned()),
        ("personaId", "personaId=%20".to_owned()),
        ("visibility", "visibility=secret".to_owned()),
        ("sha256", "sha256=abc".to_owned()),
        ("meta", "meta.=x".to_owned()),
        ("meta", "meta.A=x".to_owned()),
        ("meta", format!("meta.a={}", "x".repeat(513))),
        ("meta", labels),
        ("persona", "persona=p1".to_owned()),
        ("query", "filename=%FF".to_owned()),
    ] {
        let answer = world.upload(&query, PNG);
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-field"), "{query}");
        assert_eq!(answer.json()["field"], field, "{query}");
    }
    assert!(world.bucket.plan.calls().is_empty() && world.rows("SELECT id FROM stillstore_images").is_empty());
}

#[test]
fn a_parameter_without_a_name_is_refused_in_words() {
    let problem = World::new(true).upload("=x", PNG).json();
    assert_eq!((problem["field"].as_str(), problem["status"].as_u64()), (Some(""), Some(400)));
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.starts_with("the empty name is not a parameter; the parameters are filename, "), "{detail}");
}

#[test]
fn a_wrong_digest_stores_nothing_and_a_right_one_passes() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let wrong = world.upload(&format!("sha256={}", Sha256Digest::of(b"other")), PNG);
        assert_eq!((wrong.status, wrong.code().as_str()), (422, "checksum-mismatch"));
        assert_eq!(wrong.json()["field"], "sha256");
        assert!(world.bucket.inner.contents().is_empty() && world.rows("SELECT 1 FROM stillstore_blobs").is_empty());
        assert!(world.rows("SELECT id FROM stillstore_images").is_empty(), "no trace of an image that never was");
        let digest = Sha256Digest::of(PNG).to_string().to_uppercase();
        assert_eq!(world.upload(&format!("sha256={digest}"), PNG).status, 201);
    }
}

#[test]
fn limits_hold_before_and_while_reading() {
    let bearer = format!("Bearer {TOKEN}");
    let token = [("authorization", bearer.as_str())];
    for (r2_enabled, promised, arriving, status, code) in [
        (true, Some(100_000_001), 64, 413, "body-too-large"),
        (false, Some(26_214_401), 64, 413, "body-too-large"),
        (true, Some(1000), 900, 400, "body-interrupted"),
        (true, Some(1000), 1001, 413, "body-too-large"),
        (true, None, 8_388_609, 411, "length-required"),
        (false, None, 8_388_609, 411, "length-required"),
    ] {
        let world = World::new(r2_enabled);
        let body = Body::from_source(Box::new(Arriving::png(arriving)), promised);
        let answer = world.send("POST", "/api/images", &token, Some(body));
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{promised:?} {arriving}");
        assert!(world.bucket.inner.contents().is_empty());
        assert!(world.rows("SELECT id FROM stillstore_images WHERE status = 'stored'").is_empty());
        assert!(world.rows("SELECT write_id FROM stillstore_blobs").is_empty());
    }
}

#[test]
fn an_upload_of_unknown_length_needs_room_in_memory() {
    let bearer = format!("Bearer {TOKEN}");
    let world = World::new(true);
    let send = || {
        let body = Body::from_source(Box::new(Arriving::png(PNG.len() as u64)), None);
        world.send("POST", "/api/images", &[("authorization", bearer.as_str())], Some(body))
    };
    let share = world.fill_memory_budget();
    assert_eq!(send().code(), "length-required");
    drop(share);
    assert_eq!(send().status, 201);
}

#[test]
fn streamed_bodies_arrive_whole_with_and_without_a_length() {
    let bearer = format!("Bearer {TOKEN}");
    let token = [("authorization", bearer.as_str())];
    for (r2_enabled, size, promised) in [
        (true, 5_000, true),
        (true, 5_000, false),
        (true, 30_000_000, true),
        (false, 5_000, false),
        (false, 26_214_400, true),
    ] {
        let world = World::new(r2_enabled);
        let body = Body::from_source(Box::new(Arriving::png(size)), promised.then_some(size));
        let answer = world.send("POST", "/api/images", &token, Some(body));
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["size"], size);
        world.assert_invariants();
    }
}

#[test]
fn bytes_that_someone_else_put_under_a_key_stay() {
    let key = "uploads/2027/01/07070707_image.png";
    let draws = [[1; 16], [7; 16]];
    // The key is found taken, or the put fails and nobody knows what became of it.
    for (fails, status) in [(false, 201), (true, 503)] {
        let world = World::new(true);
        world.put_foreign_object(key, b"not ours");
        world.runtime.plan_draws(draws);
        if fails {
            world.bucket.plan.fail_nth(StoreCall::Put, 1, Fault::FailBefore);
            world.database.plan.fail_nth(DatabaseCall::Write, 2, Fault::FailBefore);
        }
        assert_eq!(world.upload("", PNG).status, status);
        for _ in 0..3 {
            world.runtime.advance(2 * 60 * 60 * 1000);
            world.sweep();
        }
        assert!(world.rows("SELECT id FROM stillstore_images WHERE status IN ('pending', 'deleting')").is_empty());
        assert_eq!(world.bucket.inner.contents().get(key).map(Vec::as_slice), Some(&b"not ours"[..]), "fails: {fails}");
    }
}

#[test]
fn colliding_keys_get_another_id_and_never_share_an_object() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let (request_id, mut alike) = ([1; 16], [7; 16]);
        world.runtime.plan_draws([request_id, alike]);
        let first = world.upload("filename=same.png", PNG).json();
        // Another id that starts with the same eight digits.
        alike[15] = 8;
        world.runtime.plan_draws([request_id, alike]);
        let other = [PNG, b"trailing"].concat();
        let second = world.upload("filename=same.png", &other);
        assert_eq!(second.status, 201, "{second:?}");
        assert_ne!(first["key"], second.json()["key"]);
        let read = |record: &serde_json::Value| {
            world.send("GET", &format!("/images/{}", record["id"].as_str().unwrap()), &[], None).body
        };
        assert_eq!((read(&first), read(&second.json())), (PNG.to_vec(), other));
    }
}
