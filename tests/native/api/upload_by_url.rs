//! `POST /api/images` with the URL where the image is.

use serde_json::{Value, json};
use stillstore::bytes::BodyError;
use stillstore::http::HttpResponse;

use super::world::{Answer, PNG, TOKEN, World};
use crate::image_fixtures;

const URL: &str = "https://cdn.discordapp.com/attachments/1/2/My%20Cat.png?ex=6553f100";
const DEFAULT: &str = "https://cdn.example.org/default.png";

fn worlds() -> [World; 2] {
    ["true", "false"].map(|enabled| {
        World::with_vars(&[("ENABLE_R2_STORAGE", enabled), ("API_TOKEN", TOKEN), ("DEFAULT_PORTRAIT_URL", DEFAULT)])
    })
}

fn send(world: &World, body: &Value) -> Answer {
    world.post_json("/api/images", body, &[])
}

fn stored_nothing(world: &World) {
    assert!(world.bucket.inner.contents().is_empty());
    assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
}

#[test]
fn the_image_at_a_url_is_stored_with_its_fields() {
    for world in worlds() {
        world.outside.has(URL, 200, PNG);
        let answer = send(
            &world,
            &json!({
                "source_url": URL, "context": "discord", "sessionId": "s1", "meta.uploader_id": "u7", "visibility": null
            }),
        );
        assert_eq!(answer.status, 201, "{answer:?}");
        let record = answer.json();
        let id = record["id"].as_str().unwrap();
        assert_eq!(record["url"], format!("https://images.example/images/{id}"));
        assert_eq!(record["key"], format!("discord/2027/01/{}_my-cat.png", &id[..8]));
        assert_eq!((&record["filename"], &record["size"]), (&json!("My Cat.png"), &json!(PNG.len())));
        assert_eq!(
            (&record["content_type"], &record["metadata"]),
            (&json!("image/png"), &json!({"uploader_id": "u7"}))
        );
        assert_eq!(world.send("GET", &format!("/images/{id}"), &[], None).body, PNG);
        let requests = world.outside.requests.borrow();
        assert_eq!((requests.len(), requests[0].url.as_str()), (1, URL));
        assert!(requests[0].headers.iter().all(|(name, _)| *name == "accept"), "nothing of the caller's");
        assert!(!world.log_text().contains("6553f100"), "queries are secrets");
    }
}

#[test]
fn a_wrong_request_is_refused_before_anything_is_fetched() {
    for world in worlds() {
        for (body, status, code, field) in [
            (json!({}), 400, "invalid-field", "source_url"),
            (json!({"source_url": 7}), 400, "invalid-field", "source_url"),
            (json!({"source_url": URL, "colour": "red"}), 400, "invalid-field", "colour"),
            (json!({"source_url": URL, "context": "NO"}), 400, "invalid-field", "context"),
            (json!({"source_url": URL, "context": ["chat"]}), 400, "invalid-field", "context"),
            (
                json!({"source_url": "https://10.0.0.1/a.png", "onFailure": "default"}),
                422,
                "refused-address",
                "source_url",
            ),
            (json!({"source_url": "https://images.example/images/1"}), 422, "refused-address", "source_url"),
        ] {
            let answer = send(&world, &body);
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
            assert_eq!(answer.json()["field"], field, "{answer:?}");
        }
        assert!(world.outside.requests.borrow().is_empty());
        stored_nothing(&world);
    }
}

/// How the body of an answer ends.
type Break = fn() -> BodyError;

/// The code of the answer, what a URL gives that leads to it, and its status.
fn failures() -> Vec<(&'static str, HttpResponse, Option<Break>, u16)> {
    let page = |status, body: &[u8]| HttpResponse { status, headers: Vec::new(), body: body.to_vec() };
    let redirect =
        HttpResponse { headers: vec![("location".to_owned(), "https://10.0.0.1/".to_owned())], ..page(302, b"") };
    let short = HttpResponse { headers: vec![("content-length".to_owned(), "5000".to_owned())], ..page(200, PNG) };
    let jpeg = image_fixtures::bytes("rotated.jpg");
    vec![
        ("source-gone", page(404, b"This content is no longer available."), None, 422),
        ("source-forbidden", page(403, b""), None, 422),
        ("source-failed", page(500, b""), None, 502),
        ("refused-address", redirect, None, 422),
        ("not-an-image", page(200, b"<html></html>"), None, 415),
        ("truncated", page(200, &jpeg[..jpeg.len() - 1]), None, 422),
        ("source-failed", short, None, 502),
        ("source-failed", page(200, PNG), Some(|| BodyError::Interrupted("the connection broke".to_owned())), 502),
        ("source-timeout", page(200, PNG), Some(|| BodyError::TimedOut), 504),
        ("source-too-large", page(200, PNG), Some(|| BodyError::TooLong { limit_bytes: 100_000_000 }), 422),
    ]
}

#[test]
fn what_went_wrong_at_the_source_is_named_and_nothing_is_stored() {
    for (code, page, breaks, status) in failures() {
        for world in worlds() {
            world.outside.pages.borrow_mut().insert(URL.to_owned(), page.clone());
            world.outside.breaks.set(breaks);
            let answer = send(&world, &json!({"source_url": URL}));
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
            assert_eq!(answer.json()["field"], "source_url", "{answer:?}");
            assert!(!String::from_utf8_lossy(&answer.body).contains("6553f100"));

            let answer = send(&world, &json!({"source_url": URL, "onFailure": "default"}));
            assert_eq!(answer.status, 200, "{answer:?}");
            let answer = answer.json();
            assert_eq!(
                (&answer["url"], &answer["isDefault"], &answer["reason"]["code"]),
                (&json!(DEFAULT), &json!(true), &json!(code))
            );
            stored_nothing(&world);
        }
    }
}

#[test]
fn a_host_that_cannot_be_reached_is_named() {
    for world in worlds() {
        let answer = send(&world, &json!({"source_url": URL}));
        assert_eq!((answer.status, answer.code().as_str()), (502, "source-failed"));
        stored_nothing(&world);
    }
}
