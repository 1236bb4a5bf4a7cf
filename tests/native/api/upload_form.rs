//! `POST /api/images` with a form.

use serde_json::{Value, json};
use stillstore::bytes::Body;
use stillstore::image::Sha256Digest;
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::world::{Answer, Arriving, PNG, TOKEN, World};
use crate::image_fixtures;

const MIB: usize = 1024 * 1024;

fn field(name: &str, value: &str) -> Vec<u8> {
    format!("--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").into_bytes()
}

fn file(filename: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{filename}\"\r\nContent-Type: text/plain\r\n\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

fn form(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat(), b"--b--\r\n".to_vec()].concat()
}

fn send_to(world: &World, path: &str, body: impl Into<Body>) -> Answer {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("authorization", authorization.as_str()), ("content-type", "multipart/form-data; boundary=b")];
    world.send("POST", path, &headers, Some(body.into()))
}

fn send(world: &World, body: impl Into<Body>) -> Answer {
    send_to(world, "/api/images", body)
}

/// A body that arrives, with its length known in advance or not.
fn arriving(bytes: Vec<u8>, is_length_known: bool) -> Body {
    let length = bytes.len() as u64;
    Body::from_source(Box::new(Arriving::of(bytes)), is_length_known.then_some(length))
}

/// A JPEG of this size.
fn jpeg(total_bytes: usize) -> Vec<u8> {
    let mut bytes = image_fixtures::bytes("rotated.jpg");
    bytes.resize(total_bytes, 7);
    bytes
}

fn stored_nothing(world: &World) {
    assert!(world.bucket.inner.contents().is_empty());
    assert!(world.rows("SELECT id FROM stillstore_images WHERE status <> 'deleting'").is_empty());
}

#[test]
fn a_form_is_an_upload_with_its_fields_before_or_after_the_file() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let parts = [
            field("context", "chat"),
            file(r"C:\pictures\My Cat.PNG", PNG),
            field("meta.uploader_id", "u7"),
            field("personaId", "p\u{e4}"),
        ];
        let answer = send_to(&world, "/api/images?context=other&sessionId=s1", form(&parts));
        assert_eq!(answer.status, 201, "{answer:?}");
        let record = answer.json();
        let id = record["id"].as_str().unwrap();
        assert_eq!(record["key"], format!("chat/2027/01/{}_my-cat.png", &id[..8]));
        let expected = json!({
            "size": PNG.len(), "filename": "My Cat.PNG", "content_type": "image/png", "personaId": "p\u{e4}", "sessionId": "s1",
            "metadata": {"uploader_id": "u7"}
        });
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(&record[name], value, "{name}");
        }
        assert_eq!(world.send("GET", &format!("/images/{id}"), &[], None).body, PNG);
        world.assert_invariants();
    }
}

#[test]
fn the_filename_of_a_field_counts_and_one_that_cannot_be_is_none() {
    let world = World::new(true);
    for (parts, filename) in [
        (vec![field("filename", "a.png"), file("b.png", PNG)], json!("a.png")),
        (vec![file("b.png", PNG), field("filename", "a.png")], json!("a.png")),
        (vec![file("", PNG)], Value::Null),
        (vec![file(&"x".repeat(256), PNG)], Value::Null),
    ] {
        assert_eq!(send(&world, form(&parts)).json()["filename"], filename);
    }
}

#[test]
fn a_wrong_form_is_refused_and_stores_nothing() {
    let world = World::new(true);
    let (png, whole) = (file("a.png", PNG), form(&[file("a.png", PNG)]));
    for (body, code, named) in [
        (form(&[field("context", "chat")]), "invalid-field", json!("file")),
        (form(&[png.clone(), png.clone()]), "invalid-field", json!("file")),
        (form(&[field("colour", "red"), png.clone()]), "invalid-field", json!("colour")),
        (form(&[png.clone(), field("context", "NO")]), "invalid-field", json!("context")),
        (form(&[field("filename", &"x".repeat(5_000)), png.clone()]), "invalid-field", json!("filename")),
        (form(&[field("source_url", "https://a.example.org/"), png.clone()]), "invalid-field", json!("source_url")),
        (form(&[file("a.png", b"hello")]), "not-an-image", Value::Null),
        (form(&[file("a.png", &PNG[..40])]), "truncated", Value::Null),
        (form(&[field("sha256", &"0".repeat(64)), png.clone()]), "checksum-mismatch", json!("sha256")),
        (b"no form".to_vec(), "body-interrupted", Value::Null),
        (whole[..whole.len() - 4].to_vec(), "body-interrupted", Value::Null),
        (b"--b\r\nContent-Type: image/png\r\n\r\n\r\n--b--\r\n".to_vec(), "invalid-form", Value::Null),
        (form(&vec![field("context", "chat"); 65]), "invalid-form", Value::Null),
    ] {
        let answer = send(&world, body);
        assert_eq!((answer.code().as_str(), &answer.json()["field"]), (code, &named), "{answer:?}");
        assert!((400..500).contains(&answer.status));
        stored_nothing(&world);
    }
    let headers = [("authorization", format!("Bearer {TOKEN}")), ("content-type", "multipart/form-data".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(world.send("POST", "/api/images", &headers, Some(whole.into())).code(), "invalid-form");
}

#[test]
fn a_large_file_streams_when_it_is_the_last_part() {
    let world = World::new(true);
    let bytes = jpeg(26 * MIB);
    let parts = form(&[field("context", "chat"), file("large.jpg", &bytes)]);
    let answer = send(&world, arriving(parts, true));
    assert_eq!(answer.status, 201, "{answer:?}");
    let record = answer.json();
    assert_eq!(
        (&record["size"], &record["sha256"]),
        (&json!(bytes.len()), &json!(Sha256Digest::of(&bytes).to_string()))
    );
    world.assert_invariants();
}

#[test]
fn a_file_that_must_stream_and_whose_length_is_not_known_is_refused() {
    let large = file("large.jpg", &jpeg(26 * MIB));
    let no_line_break = form(std::slice::from_ref(&large));
    let no_line_break = no_line_break[..no_line_break.len() - 2].to_vec();
    for (body, is_length_known) in [
        (form(&[large.clone(), field("context", "chat")]), true),
        (no_line_break, true),
        (form(std::slice::from_ref(&large)), false),
        (form(&[file("large.jpg", &jpeg(8 * MIB + 1))]), false),
    ] {
        let world = World::new(true);
        let answer = send(&world, arriving(body, is_length_known));
        assert_eq!((answer.status, answer.code().as_str()), (411, "length-required"), "{answer:?}");
        world.runtime.advance(2 * 60 * 60 * 1000);
        world.sweep();
        stored_nothing(&world);
    }
    let world = World::new(true);
    assert_eq!(send(&world, arriving(form(&[file("a.jpg", &jpeg(8 * MIB))]), false)).status, 201);
    // With or without the line break: it is held, so that its end decides.
    let held = form(&[file("a.jpg", &jpeg(2 * MIB))]);
    assert_eq!(send(&world, arriving(held[..held.len() - 2].to_vec(), true)).status, 201);
}

#[test]
fn a_form_over_the_limit_is_refused() {
    let world = World::new(false);
    let answer = send(&world, arriving(form(&[file("a.jpg", &jpeg(26 * MIB))]), true));
    assert_eq!((answer.status, answer.code().as_str()), (413, "body-too-large"), "{answer:?}");
    stored_nothing(&world);
}

const DEFAULT: &str = "https://cdn.example.org/default.png";

fn with_default(r2_enabled: bool) -> World {
    let enabled = if r2_enabled { "true" } else { "false" };
    World::with_vars(&[("ENABLE_R2_STORAGE", enabled), ("API_TOKEN", TOKEN), ("DEFAULT_IMAGE_URL", DEFAULT)])
}

#[test]
fn the_default_image_stands_in_when_we_fail() {
    for body in [
        form(&[field("onFailure", "default"), file("a.png", PNG)]),
        form(&[file("a.png", PNG), field("onFailure", "default")]),
    ] {
        let world = with_default(true);
        world.bucket.plan.fail_all(StoreCall::Put, Fault::FailBefore);
        world.database.plan.fail_all(None, Fault::FailBefore);
        let answer = send(&world, body.clone());
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        assert_eq!((&answer["url"], &answer["isDefault"]), (&json!(DEFAULT), &json!(true)));
        assert_eq!(answer["reason"]["code"], "database-unavailable");
        for absent in ["key", "size", "filename", "content_type"] {
            assert!(answer[absent].is_null() && answer.as_object().unwrap().contains_key(absent), "{absent}");
        }
        assert!(
            world
                .log()
                .iter()
                .any(|line| line["event"] == "default-image" && line["outcome"] == "database-unavailable")
        );
        world.database.plan.heal();
        world.bucket.plan.heal();
        assert_eq!(send(&world, body).status, 201);
    }
}

#[test]
fn the_default_image_does_not_stand_in_for_a_wrong_request() {
    let world = with_default(true);
    for (body, status) in [
        (form(&[field("onFailure", "default"), file("a.png", b"hello")]), 415),
        (form(&[field("onFailure", "default"), file("a.png", PNG), field("context", "NO")]), 400),
        (form(&[field("onFailure", "default")]), 400),
        (form(&[field("onFailure", "maybe"), file("a.png", PNG)]), 400),
    ] {
        assert_eq!(send(&world, body).status, status);
    }
    let raw = |query: &str, bytes: &[u8]| world.upload(query, bytes);
    assert_eq!(raw("onFailure=default&context=NO", PNG).status, 400);
    let interrupted = Body::from_source(Box::new(Arriving::png(1_000)), Some(2_000));
    assert_eq!(world.call("POST", "/api/images?onFailure=default", Some(interrupted)).code(), "body-interrupted");
    assert_eq!(send_to(&world, "/api/images?onFailure=default", form(&[file("a.png", PNG)])).status, 201);

    let without = World::new(true).upload("onFailure=default", PNG);
    assert_eq!((without.code().as_str(), &without.json()["field"]), ("invalid-field", &json!("onFailure")));
}
