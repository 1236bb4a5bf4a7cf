//! `/sessions` and their frames: add, list, serve, delete.

use serde_json::{Value, json};
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use super::world::{Answer, PNG, TOKEN, World};
use crate::runtime::block_on;

pub const BOUNDARY: &str = "x-frames";
const HOURS_2_MS: i64 = 2 * 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A whole image of a few bytes, another for each width.
pub fn svg(width: usize) -> Vec<u8> {
    format!(r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="2"/>"#).into_bytes()
}

pub fn form(parts: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, bytes) in parts {
        let head =
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.bin\"\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

pub fn post_until_crash(world: &World, path: &str, body: Vec<u8>) -> Option<Answer> {
    let bearer = format!("Bearer {TOKEN}");
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [("authorization", bearer.as_str()), ("content-type", content_type.as_str())];
    world.send_until_crash("POST", path, &headers, Some(body.into()))
}

fn post(world: &World, path: &str, parts: &[(&str, Vec<u8>)]) -> Answer {
    post_until_crash(world, path, form(parts)).expect("the request hangs")
}

/// So many frames, numbered from `first` on.
fn numbered(first: usize, frames: usize) -> Vec<(String, Vec<u8>)> {
    (first..first + frames).map(|number| (format!("frame_{number:04}"), svg(number + 1))).collect()
}

fn add(world: &World, session: &str, first: usize, frames: usize) -> Answer {
    let parts = numbered(first, frames);
    let parts: Vec<_> = parts.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    post(world, &format!("/sessions/{session}/frames"), &parts)
}

/// Every frame of the session, page by page.
fn list(world: &World, session: &str) -> Vec<Value> {
    let mut frames = Vec::new();
    let mut query = "limit=100".to_owned();
    loop {
        let answer = world.call("GET", &format!("/sessions/{session}/frames?{query}"), None);
        assert_eq!(answer.status, 200, "{answer:?}");
        let page = answer.json();
        frames.extend(page["frames"].as_array().unwrap().clone());
        match page["nextCursor"].as_str() {
            Some(cursor) => query = format!("limit=100&cursor={cursor}"),
            None => return frames,
        }
    }
}

fn numbers(world: &World, session: &str) -> Vec<u64> {
    list(world, session).iter().map(|frame| frame["frameNumber"].as_u64().unwrap()).collect()
}

fn is_interrupted(world: &World, session: &str) -> bool {
    world.call("GET", &format!("/sessions/{session}/frames"), None).json()["interrupted"].as_bool().unwrap()
}

fn outcomes(answer: &Answer) -> Vec<(Option<u64>, String)> {
    let frames = answer.json()["frames"].as_array().unwrap().clone();
    let outcome = |frame: &Value| (frame["frameNumber"].as_u64(), frame["outcome"].as_str().unwrap().to_owned());
    frames.iter().map(outcome).collect()
}

fn tick(world: &World) {
    block_on(world.app.tick());
}

#[test]
fn frames_are_numbered_by_their_names_or_by_the_next_free_number() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let parts = [("frame_0007", svg(1)), ("frames", svg(2)), ("frames[3]", svg(3)), ("file", svg(4))];
        let answer = post(&world, "/sessions/s1/frames", &parts);
        assert_eq!(answer.status, 201, "{answer:?}");
        let stored = |number| (Some(number), "stored".to_owned());
        assert_eq!(outcomes(&answer), [7, 8, 3, 9].map(stored));
        assert_eq!(outcomes(&post(&world, "/sessions/s1/frames", &[("a", svg(5))])), [stored(10)]);
        assert_eq!(outcomes(&post(&world, "/sessions/s2/frames", &[("a", PNG.to_vec())])), [stored(1)]);
        assert_eq!(numbers(&world, "s1"), [3, 7, 8, 9, 10]);

        let frame = &list(&world, "s1")[1];
        assert_eq!((&frame["key"], &frame["sessionId"]), (&json!("frames/s1/0007.svg"), &json!("s1")));
        assert_eq!(
            (&frame["visibility"], &frame["storage"]),
            (&json!("private"), &json!(if r2_enabled { "r2" } else { "d1" }))
        );
        assert_eq!(world.call("GET", "/sessions/s1/frames/7", None).body, svg(1));
        let signed = frame["url"].as_str().unwrap().replace("https://images.example", "");
        assert_eq!(world.send("GET", &signed, &[], None).body, svg(1), "a presigned download");
        let by_session = world.call("GET", "/api/images?sessionId=s1", None).json();
        assert_eq!(
            by_session["images"].as_array().unwrap().len(),
            5,
            "the persona application's session means the same"
        );
        if r2_enabled {
            let metadata = world.metadata("frames/s2/0001.png");
            assert_eq!((metadata["session-id"].as_str(), metadata["frame-number"].as_str()), ("s2", "1"));
        }
        world.assert_invariants();
        assert!(world.rows("SELECT token FROM stillstore_frame_uploads").is_empty());
    }
}

#[test]
fn a_number_sent_again_is_fine_with_the_same_bytes_only() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let first = post(&world, "/sessions/s/frames", &[("1", svg(1)), ("2", svg(2))]).json();
        let again = post(&world, "/sessions/s/frames", &[("1", svg(1)), ("3", svg(3)), ("1", svg(1))]);
        assert_eq!((again.status, &again.json()["stored"], &again.json()["unchanged"]), (201, &json!(1), &json!(2)));
        assert_eq!(again.json()["frames"][0]["image"]["id"], first["frames"][0]["image"]["id"]);
        assert!(world.rows("SELECT token FROM stillstore_frame_uploads").is_empty());

        let taken = post(&world, "/sessions/s/frames", &[("1", svg(9))]);
        assert_eq!((taken.status, taken.code().as_str()), (409, "frame-taken"));
        let other_format = post(&world, "/sessions/s/frames", &[("1", PNG.to_vec())]);
        assert_eq!((other_format.status, other_format.code().as_str()), (409, "frame-taken"));
        let some = post(&world, "/sessions/s/frames", &[("1", svg(9)), ("4", svg(4)), ("5", b"none".to_vec())]);
        assert_eq!(some.status, 207);
        let codes: Vec<_> =
            some.json()["frames"].as_array().unwrap().iter().map(|frame| frame["code"].clone()).collect();
        assert_eq!(codes, [json!("frame-taken"), Value::Null, json!("not-an-image")]);
        assert_eq!(world.call("GET", "/sessions/s/frames/1", None).body, svg(1));
        world.assert_invariants();
        world.runtime.advance(HOURS_2_MS);
        tick(&world);
        world.assert_swept();
        assert_eq!(numbers(&world, "s"), [1, 2, 3, 4]);
    }
}

#[test]
fn a_frame_is_replaced_where_the_caller_says_so() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        add(&world, "s", 1, 3);
        let parts = [("4", svg(40)), ("1", svg(10)), ("2", PNG.to_vec()), ("3", svg(4)), ("4", svg(41))];
        let answer = post(&world, "/sessions/s/frames?replace=true", &parts);
        assert_eq!(answer.status, 201, "{answer:?}");
        let words: Vec<_> = outcomes(&answer).into_iter().map(|(_, outcome)| outcome).collect();
        assert_eq!(words, ["stored", "replaced", "replaced", "unchanged", "replaced"]);
        for (number, bytes) in [(1, svg(10)), (2, PNG.to_vec()), (3, svg(4)), (4, svg(41))] {
            assert_eq!(world.call("GET", &format!("/sessions/s/frames/{number}"), None).body, bytes, "{number}");
        }
        assert!(!is_interrupted(&world, "s"));
        world.assert_invariants();
        world.runtime.advance(HOURS_2_MS);
        tick(&world);
        world.assert_swept();
    }
}

#[test]
fn a_frame_costs_one_put_and_its_share_of_a_call_for_fifty() {
    for (frames, commits) in [(1, 1), (15, 1), (50, 1), (51, 2), (200, 4)] {
        let world = World::new(true);
        let answer = add(&world, "s", 1, frames);
        assert_eq!((answer.status, &answer.json()["stored"]), (201, &json!(frames)));
        let puts = world.bucket.plan.calls().len();
        assert_eq!((puts, world.database.plan.calls().len()), (frames, 1 + commits), "{frames} frames");
    }
}

#[test]
fn a_form_that_breaks_off_keeps_its_whole_frames_and_the_list_says_so() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let whole = form(&[("1", svg(1)), ("2", svg(2)), ("3", svg(3))]);
        let broken = post_until_crash(&world, "/sessions/s/frames", whole[..whole.len() - 30].to_vec()).unwrap();
        assert_eq!((broken.status, broken.code().as_str()), (400, "body-interrupted"), "{broken:?}");
        assert!(broken.json()["detail"].as_str().unwrap().contains("2 whole frames"), "{broken:?}");
        assert_eq!(numbers(&world, "s"), [1, 2]);
        assert!(is_interrupted(&world, "s"));
        assert_eq!(outcomes(&post(&world, "/sessions/s/frames", &[("3", svg(3))])), [(Some(3), "stored".to_owned())]);
        world.runtime.advance(HOURS_2_MS);
        tick(&world);
        assert!(!is_interrupted(&world, "s"));
        world.assert_swept();
        assert_eq!(numbers(&world, "s"), [1, 2, 3]);
    }
}

#[test]
fn what_a_killed_upload_put_is_swept_and_blocks_nobody() {
    let world = World::new(true);
    // The commit hangs.
    world.database.plan.fail_nth(None::<DatabaseCall>, 2, Fault::HangBefore);
    assert!(post_until_crash(&world, "/sessions/s/frames", form(&[("1", svg(1)), ("2", svg(2))])).is_none());
    world.database.plan.heal();
    assert_eq!(world.bucket.inner.contents().len(), 2);
    world.assert_invariants();
    assert_eq!(post(&world, "/sessions/s/frames", &[("1", svg(1))]).status, 201, "the same bytes");
    let other = post(&world, "/sessions/s/frames", &[("2", svg(9))]);
    assert_eq!((other.code().as_str(), other.header("retry-after")), ("session-busy", Some("5")));
    let next = post(&world, "/sessions/s/frames", &[("file", svg(8))]);
    assert_eq!(outcomes(&next), [(Some(3), "stored".to_owned())], "a number that nobody holds");
    world.runtime.advance(HOURS_2_MS);
    tick(&world);
    world.assert_swept();
    assert_eq!(post(&world, "/sessions/s/frames", &[("2", svg(9))]).status, 201);
    assert_eq!(numbers(&world, "s"), [1, 2, 3]);
}

#[test]
fn deleting_a_sessions_frames_answers_how_many_and_leaves_the_session() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        add(&world, "s", 1, 120);
        add(&world, "other", 1, 2);
        let deleted = world.call("DELETE", "/sessions/s/frames", None);
        assert_eq!((deleted.status, deleted.json()), (200, json!({"deleted": 120, "remaining": 0})));
        assert_eq!(numbers(&world, "s"), Vec::<u64>::new());
        assert_eq!(world.call("GET", "/sessions/s/frames/1", None).code(), "frame-not-found");
        assert_eq!(numbers(&world, "other"), [1, 2]);
        let again = world.call("DELETE", "/sessions/s/frames", None);
        assert_eq!((again.status, again.json()), (200, json!({"deleted": 0, "remaining": 0})));
        assert_eq!(add(&world, "s", 1, 2).status, 201, "the numbers are free");
        world.assert_invariants();
        world.runtime.advance(HOURS_2_MS);
        tick(&world);
        world.assert_swept();
    }
}

#[test]
fn more_than_a_thousand_frames_are_unreadable_at_once_and_deleted_by_and_by() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        add(&world, "s", 0, 1_000);
        add(&world, "s", 1_000, 300);
        let before = world.bucket.plan.calls().len();
        let deleted = world.call("DELETE", "/sessions/s/frames", None);
        assert_eq!((deleted.status, deleted.json()), (202, json!({"deleted": 1000, "remaining": 300})));
        assert_eq!(world.bucket.plan.calls().len() - before, if r2_enabled { 2 } else { 0 }, "a call a slice");
        assert_eq!(numbers(&world, "s"), Vec::<u64>::new());
        assert_eq!(world.rows("SELECT id FROM stillstore_images WHERE status = 'stored'").len(), 0);
        let busy = add(&world, "s", 1, 1);
        assert_eq!((busy.status, busy.code().as_str(), busy.header("retry-after")), (409, "session-busy", Some("5")));
        let message = r#"{"kind":"collection","collectionId":"s"}"#.to_owned();
        block_on(world.app.deliver(Some(message)));
        assert_eq!(world.bucket.inner.contents().len(), 0);
        assert_eq!(add(&world, "s", 1, 1).status, 201);
        world.assert_invariants();
    }
}

#[test]
fn a_deletion_whose_store_fails_is_taken_up_by_cron() {
    let world = World::new(true);
    add(&world, "s", 1, 3);
    world.bucket.plan.fail_all(StoreCall::Delete, Fault::FailBefore);
    let deleted = world.call("DELETE", "/sessions/s/frames", None);
    assert_eq!((deleted.status, deleted.json()), (202, json!({"deleted": 0, "remaining": 3})));
    assert_eq!(numbers(&world, "s"), Vec::<u64>::new());
    world.bucket.plan.heal();
    tick(&world);
    world.assert_swept();
    assert!(world.bucket.inner.contents().is_empty());
}

#[test]
fn a_session_that_takes_no_frame_for_the_retention_period_goes() {
    let vars = [("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("FRAME_RETENTION_DAYS", "7")];
    for (vars, is_kept) in [(&vars[..], false), (&vars[..2], true)] {
        let world = World::with_vars(vars);
        add(&world, "old", 1, 3);
        world.runtime.advance(6 * DAY_MS);
        add(&world, "young", 1, 3);
        tick(&world);
        assert_eq!(numbers(&world, "old").len(), 3);
        world.runtime.advance(DAY_MS + 1);
        tick(&world);
        let answer = world.call("GET", "/sessions/old/frames", None);
        assert_eq!(answer.status, if is_kept { 200 } else { 404 });
        assert_eq!(numbers(&world, "young").len(), 3);
        assert_eq!(world.bucket.inner.contents().len(), if is_kept { 6 } else { 3 });
        world.assert_invariants();
    }
}

#[test]
fn a_session_is_made_with_an_id_or_without() {
    let world = World::new(true);
    let made = world.post_json("/sessions", &json!({}), &[]);
    assert_eq!(made.status, 201);
    let id = made.json()["sessionId"].as_str().unwrap().to_owned();
    assert_eq!(world.call("GET", &format!("/sessions/{id}/frames"), None).status, 200);
    assert_eq!(world.post_json("/sessions", &json!({"sessionId": "s.1"}), &[]).status, 201);
    assert_eq!(world.post_json("/sessions", &json!({"sessionId": "s.1"}), &[]).status, 200);
    for id in ["", "a/b", ".", "-x", &"a".repeat(129)] {
        let refused = world.post_json("/sessions", &json!({"sessionId": id}), &[]);
        assert_eq!((refused.code().as_str(), refused.json()["field"].as_str()), ("invalid-field", Some("sessionId")));
    }
}

#[test]
fn what_is_no_upload_of_frames_is_refused() {
    let world = World::new(true);
    let one = || form(&[("1", svg(1))]);
    for (path, body, code) in [
        ("/sessions/s/frames?replace=maybe", one(), "invalid-field"),
        ("/sessions/s/frames?visibility=none", one(), "invalid-field"),
        ("/sessions/s/frames?other=1", one(), "invalid-field"),
        ("/sessions/-/frames", one(), "session-not-found"),
        ("/sessions/s/frames", form(&[]), "invalid-field"),
        ("/sessions/s/frames", form(&[("1", Vec::new())]), "not-an-image"),
        ("/sessions/s/frames", form(&[("10000", svg(1))]), "invalid-field"),
        ("/sessions/s/frames", form(&[("1", PNG[..PNG.len() / 2].to_vec())]), "truncated"),
        ("/sessions/s/frames", b"no form".to_vec(), "body-interrupted"),
    ] {
        let refused = post_until_crash(&world, path, body).unwrap();
        assert_eq!(refused.code(), code, "{path}");
    }
    let json = world.post_json("/sessions/s/frames", &json!({}), &[]);
    assert_eq!(json.code(), "unsupported-media-type");
    assert!(world.bucket.inner.contents().is_empty());
    for path in ["/sessions/unknown/frames", "/sessions/-/frames"] {
        assert_eq!(world.call("GET", path, None).code(), "session-not-found");
        assert_eq!(world.call("DELETE", path, None).code(), "session-not-found");
    }
    assert_eq!(world.call("GET", "/sessions/s/frames/10000", None).code(), "session-not-found");
}
