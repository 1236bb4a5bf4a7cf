//! Jobs: made, worked on, listed, cancelled, tried again and given up.

use futures::future::join;
use serde_json::{Value, json};
use stillstore::app::Delivery;
use stillstore::generate::GenerateError;
use stillstore::queue::Message;

use super::callers::Users;
use super::job_fakes::edited;
use super::world::{Answer, PNG, TOKEN, World};
use crate::image_fixtures;
use crate::runtime::{block_on, run_until_stalled};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;
const HOUR_MS: i64 = 60 * 60 * 1000;

pub fn world(r2_enabled: bool) -> World {
    let r2 = if r2_enabled { "true" } else { "false" };
    World::with_vars(&[("ENABLE_R2_STORAGE", r2), ("API_TOKEN", TOKEN), ("EDIT_PROVIDER", "workers-ai")])
}

pub fn uploaded(world: &World) -> String {
    let answer = world.upload("filename=a.png", PNG);
    answer.json()["id"].as_str().unwrap_or_else(|| panic!("{answer:?}")).to_owned()
}

fn post(world: &World, body: &Value, headers: &[(&str, &str)]) -> Answer {
    world.post_json("/jobs", body, headers)
}

pub fn made(world: &World, asset: &str) -> String {
    let answer = post(world, &json!({"asset_id": asset, "prompt": "warmer light"}), &[]);
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Delivers what the queue holds now, each message once.
pub fn deliver_all(world: &World) -> Vec<Delivery> {
    let messages = std::mem::take(&mut *world.mailbox.messages.borrow_mut());
    let deliver =
        |(message, _): (Message, u32)| block_on(world.app.deliver(Some(serde_json::to_string(&message).unwrap())));
    messages.into_iter().map(deliver).collect()
}

fn deliver(world: &World, job: &str) -> Delivery {
    block_on(world.app.deliver(Some(message(job))))
}

fn message(job: &str) -> String {
    json!({"kind": "job", "jobId": job}).to_string()
}

fn job(world: &World, id: &str) -> Value {
    let answer = world.call("GET", &format!("/jobs/{id}"), None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn states(job: &Value) -> Vec<&str> {
    job["events"].as_array().unwrap().iter().map(|event| event["state"].as_str().unwrap()).collect()
}

#[test]
fn a_job_makes_an_image_beside_its_original() {
    for r2_enabled in [true, false] {
        let world = world(r2_enabled);
        let asset = uploaded(&world);
        let answer = post(&world, &json!({"asset_id": asset, "prompt": " warmer light", "tier": "premium"}), &[]);
        assert_eq!(answer.status, 202);
        let waiting = answer.json();
        let id = waiting["id"].as_str().unwrap();
        assert_eq!(answer.header("location"), Some(format!("/jobs/{id}").as_str()));
        assert_eq!((&waiting["status"], &waiting["output_url"]), (&json!("queued"), &Value::Null));
        world.runtime.advance(7);
        assert_eq!(deliver_all(&world), [Delivery::Acknowledge]);

        let done = job(&world, id);
        assert_eq!(done["status"], "completed", "{done}");
        assert_eq!(done["output_path"], format!("outputs/{id}.png"));
        assert_eq!(states(&done), ["queued", "processing", "completed"]);
        let event = &done["events"][2];
        let storage = if r2_enabled { "r2" } else { "d1" };
        assert_eq!((&event["provider"], &event["storage_type"]), (&json!("retoucher"), &json!(storage)));
        assert_eq!(done["events"][1]["duration_ms"], 7, "how long it was queued");
        let url = done["output_url"].as_str().unwrap().replace("https://images.example", "");
        assert_eq!(world.call("GET", &url, None).body, edited(1));
        let output = world.call("GET", &format!("/api/images/{}", done["output_id"].as_str().unwrap()), None).json();
        assert_eq!(output["generation"]["prompt"], "warmer light");
        assert_eq!(output["parentId"], done["asset_id"]);
        assert_eq!(
            (&output["generation"]["model"], &output["generation"]["quality"]),
            (&json!("retouch-1"), &json!("high"))
        );
        let parent = world.rows("SELECT parent_id FROM stillstore_images WHERE parent_id IS NOT NULL");
        assert_eq!(parent, [json!({"parent_id": asset})]);
        let edits = world.retoucher.edits.borrow();
        assert_eq!((edits.len(), &edits[0].original[..]), (1, PNG));
        world.assert_invariants();
    }
}

#[test]
fn the_editor_without_a_key_makes_an_upright_image() {
    let world = World::with_vars(&[("API_TOKEN", TOKEN), ("EDIT_PROVIDER", "builtin")]);
    let answer = world.upload("filename=a.jpg", &image_fixtures::bytes("rotated.jpg"));
    let asset = answer.json()["id"].as_str().unwrap().to_owned();
    let id = made(&world, &asset);
    deliver_all(&world);
    let done = job(&world, &id);
    assert_eq!((&done["status"], &done["events"][2]["provider"]), (&json!("completed"), &json!("builtin")), "{done}");
    let output = world.call("GET", &format!("/api/images/{}", done["output_id"].as_str().unwrap()), None).json();
    assert_eq!((&output["width"], &output["height"]), (&json!(24), &json!(40)));
    assert_eq!(output["content_type"], "image/jpeg");
    // What it does not do ends the job at once.
    let body = json!({"asset_id": asset, "prompt": "a", "size": "1024x1024"});
    let refused = post(&world, &body, &[]).json()["id"].as_str().unwrap().to_owned();
    deliver_all(&world);
    assert_eq!(job(&world, &refused)["error_code"], "field-unsupported");
    world.assert_invariants();
}

#[test]
fn an_asset_of_a_shoot_has_its_outputs_beside_it_and_in_its_listing() {
    let world = world(true);
    let shoot = world.post_json("/shoots", &json!({"name": "Garden"}), &[]).json();
    let asset = asset_of(&world, &shoot);
    let id = made(&world, &asset);
    deliver_all(&world);
    let done = job(&world, &id);
    let shoot_id = shoot["id"].as_str().unwrap();
    assert_eq!(done["output_path"], format!("operator/{shoot_id}/{asset}/outputs/{id}.png"));
    let assets = world.call("GET", &format!("/shoots/{shoot_id}/assets"), None).json();
    assert_eq!(assets["assets"].as_array().unwrap().len(), 1);
    assert_eq!(assets["assets"][0]["outputs"][0]["file_path"], done["output_path"]);
    // An edit of an edit lies beside the asset, too.
    let again = made(&world, done["output_id"].as_str().unwrap());
    deliver_all(&world);
    assert_eq!(job(&world, &again)["output_path"], format!("operator/{shoot_id}/{asset}/outputs/{again}.png"));
    // A shoot that is deleted takes no more.
    let late = made(&world, &asset);
    world.retoucher.errors.borrow_mut().push(GenerateError::Timeout);
    deliver_all(&world);
    assert_eq!(world.call("DELETE", &format!("/shoots/{shoot_id}"), None).status, 200);
    world.runtime.advance(HOUR_MS);
    deliver_all(&world);
    let failed = job(&world, &late);
    assert_eq!((&failed["status"], &failed["error_code"]), (&json!("failed"), &json!("image-deleted")));
    assert_eq!(failed["prompt"], Value::Null, "a deleted image's prompts are gone");
    world.assert_invariants();
}

/// An asset of a shoot, by the presigned way.
pub fn asset_of(world: &World, shoot: &Value) -> String {
    let ask = json!({"shoot_id": shoot["id"], "filename": "a.png", "content_type": "image/png"});
    let granted = world.post_json("/uploads/presign", &ask, &[]).json();
    let url = granted["upload"]["url"].as_str().unwrap().replace("https://images.example", "");
    let sent = world.send("PUT", &url, &[("content-type", "image/png")], Some(PNG.to_vec().into()));
    assert_eq!(sent.status, 200, "{sent:?}");
    let confirm =
        json!({"asset_id": granted["asset_id"], "shoot_id": shoot["id"], "object_key": granted["object_key"]});
    assert_eq!(world.post_json("/uploads/confirm", &confirm, &[]).status, 200);
    granted["asset_id"].as_str().unwrap().to_owned()
}

#[test]
fn fields_come_as_forms_and_break_rules_by_name() {
    let world = world(true);
    let asset = uploaded(&world);
    let form = format!("asset_id={asset}&prompt=warmer+light&tier=standard");
    let headers =
        [("authorization", &*format!("Bearer {TOKEN}")), ("content-type", "application/x-www-form-urlencoded")];
    let answer = world.send("POST", "/jobs", &headers, Some(form.into_bytes().into()));
    assert_eq!((answer.status, &answer.json()["prompt"]), (202, &json!("warmer light")));
    let gif = world.upload("filename=a.gif", include_bytes!("../../fixtures/images/still.gif")).json()["id"].clone();
    let long = "a".repeat(4_001);
    for (body, field) in [
        (json!({"prompt": "a"}), "asset_id"),
        (json!({"asset_id": asset}), "prompt"),
        (json!({"asset_id": "x", "prompt": "a"}), "asset_id"),
        (json!({"asset_id": asset, "prompt": "  "}), "prompt"),
        (json!({"asset_id": asset, "prompt": long}), "prompt"),
        (json!({"asset_id": asset, "prompt": "a", "tier": "gold"}), "tier"),
        (json!({"asset_id": asset, "prompt": "a", "size": "7x7"}), "size"),
        (json!({"asset_id": asset, "prompt": "a", "mask_id": "0f8fad5b-d9cb-469f-a165-70867728950e"}), "mask_id"),
        (json!({"asset_id": gif, "prompt": "a"}), "asset_id"),
    ] {
        let answer = post(&world, &body, &[]);
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{body}");
    }
    let missing = json!({"asset_id": "0f8fad5b-d9cb-469f-a165-70867728950e", "prompt": "a"});
    assert_eq!(post(&world, &missing, &[]).code(), "image-not-found");
    assert_eq!(world.rows("SELECT id FROM stillstore_jobs").len(), 1, "nothing else was stored");
    for (query, field) in [("status=done", "status"), ("asset_id=1", "asset_id"), ("cursor=x", "cursor"), ("x=1", "x")]
    {
        let answer = world.call("GET", &format!("/jobs?{query}"), None);
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)), "{query}");
    }
}

#[test]
fn without_an_editor_there_are_no_jobs() {
    let mut world = World::new(true);
    world.app.services.editor = None;
    let asset = uploaded(&world);
    assert_eq!(post(&world, &json!({"asset_id": asset, "prompt": "a"}), &[]).code(), "editor-not-configured");
}

#[test]
fn a_key_makes_one_job_a_day() {
    let world = world(true);
    let asset = uploaded(&world);
    let body = json!({"asset_id": asset, "prompt": "warmer light"});
    let ask = |body: &Value| post(&world, body, &[("idempotency-key", "k")]);
    let first = ask(&body);
    let again = ask(&body);
    assert_eq!((first.status, again.status), (202, 200));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!(ask(&json!({"asset_id": asset, "prompt": "colder"})).code(), "idempotency-key-reused");
    // The key is no generation's.
    assert_eq!(world.generate(&[("idempotency-key", "k")]).status, 200);
    deliver_all(&world);
    assert_eq!(ask(&body).json()["status"], "completed");
    assert_eq!(world.mailbox.messages.borrow().len(), 0);
    world.runtime.advance(DAY_MS);
    assert_eq!(ask(&body).status, 202, "a day later it counts as never used");
    assert_eq!(world.rows("SELECT id FROM stillstore_jobs").len(), 2);
}

#[test]
fn deliveries_again_and_at_once_make_one_output() {
    let world = world(true);
    let asset = uploaded(&world);
    let id = made(&world, &asset);
    let both = join(world.app.deliver(Some(message(&id))), world.app.deliver(Some(message(&id))));
    let (one, other) = block_on(both);
    assert!(one == Delivery::Acknowledge && matches!(other, Delivery::Acknowledge | Delivery::RetryAfter { .. }));
    for _ in 0..2 {
        assert_eq!(deliver(&world, &id), Delivery::Acknowledge);
    }
    assert_eq!(world.retoucher.calls(), 1);
    assert_eq!(world.rows("SELECT id FROM stillstore_images WHERE parent_id IS NOT NULL").len(), 1);
    for unknown in ["0f8fad5b-d9cb-469f-a165-70867728950e", "nonsense"] {
        assert_eq!(deliver(&world, unknown), Delivery::Acknowledge);
    }
}

#[test]
fn a_cause_that_passes_is_tried_again_later_and_later_and_then_given_up() {
    let world = world(true);
    let asset = uploaded(&world);
    let id = made(&world, &asset);
    world.retoucher.errors.borrow_mut().extend([GenerateError::Timeout; 5]);
    let mut delays = Vec::new();
    for attempt in 1..=5 {
        deliver_all(&world);
        let now = job(&world, &id);
        assert_eq!(now["attempts"], attempt);
        assert_eq!(now["status"], if attempt < 5 { "queued" } else { "failed" }, "{now}");
        let next = world.mailbox.messages.borrow().first().cloned();
        if let Some((_, delay_s)) = next {
            assert_eq!(deliver(&world, &id), Delivery::RetryAfter { delay_s }, "too early");
            delays.push(delay_s);
            world.runtime.advance(i64::from(delay_s) * 1000);
        }
    }
    assert!(delays.len() == 4 && delays.is_sorted() && delays[0] >= 5 && delays[3] >= 320, "{delays:?}");
    let failed = job(&world, &id);
    assert_eq!(failed["error_code"], "provider-timeout");
    assert_eq!(states(&failed).len(), 1 + 2 * 5);
    assert_eq!(failed["events"][2]["error"], "provider-timeout");
    assert!(!world.log_text().contains("warmer light"), "prompts are in no log");
}

#[test]
fn a_provider_says_how_long_to_wait() {
    let world = world(true);
    let id = made(&world, &uploaded(&world));
    world.retoucher.errors.borrow_mut().push(GenerateError::RateLimited { retry_after_ms: Some(90_000) });
    deliver_all(&world);
    let (_, delay_s) = world.mailbox.messages.borrow()[0].clone();
    assert!((90..=135).contains(&delay_s), "{delay_s}");
    world.runtime.advance(i64::from(delay_s) * 1000);
    deliver_all(&world);
    assert_eq!(job(&world, &id)["status"], "completed");
}

#[test]
fn a_cause_that_stays_ends_a_job_at_once() {
    for error in [GenerateError::Moderation, GenerateError::Unauthorized { status: 401 }] {
        let world = world(true);
        let id = made(&world, &uploaded(&world));
        world.retoucher.errors.borrow_mut().push(error);
        deliver_all(&world);
        let failed = job(&world, &id);
        assert_eq!((&failed["status"], &failed["attempts"]), (&json!("failed"), &json!(1)));
        assert_eq!(failed["error_code"], error.reason());
        assert!(world.mailbox.messages.borrow().is_empty());
    }
}

#[test]
fn a_cancelled_job_makes_no_image_whenever_it_is_cancelled() {
    for r2_enabled in [true, false] {
        let world = world(r2_enabled);
        let asset = uploaded(&world);
        let id = made(&world, &asset);
        let cancel = || world.call("DELETE", &format!("/jobs/{id}"), None);
        assert_eq!((cancel().status, cancel().status), (200, 200));
        deliver_all(&world);
        assert_eq!((world.retoucher.calls(), &job(&world, &id)["status"]), (0, &json!("cancelled")));

        // While the editor is at it.
        let id = made(&world, &asset);
        world.retoucher.hangs.set(true);
        world.runtime.end_sleeps_up_to(0);
        let mut working = std::pin::pin!(world.app.deliver(Some(message(&id))));
        assert!(crate::runtime::poll_until_stalled(working.as_mut()).is_none());
        assert_eq!(job(&world, &id)["status"], "processing");
        let cancelled = world.call("DELETE", &format!("/jobs/{id}"), None).json();
        assert_eq!(states(&cancelled), ["queued", "processing", "cancelled"]);
        world.runtime.end_sleeps_up_to(u64::MAX);
        world.retoucher.hangs.set(false);

        // Between the edit and its commit, which finds that the job is not the worker's any more.
        let id = made(&world, &asset);
        world.database.plan.fail_nth(None::<stillstore::sql::DatabaseCall>, 4, stillstore::sql::Fault::HangBefore);
        assert!(run_until_stalled(world.app.deliver(Some(message(&id)))).is_none(), "before the commit");
        world.database.plan.heal();
        assert_eq!(world.call("DELETE", &format!("/jobs/{id}"), None).status, 200);
        for _ in 0..3 {
            world.runtime.advance(2 * HOUR_MS);
            block_on(world.app.tick());
        }
        assert_eq!(deliver(&world, &id), Delivery::Acknowledge);
        assert!(world.rows("SELECT id FROM stillstore_images WHERE parent_id IS NOT NULL").is_empty());
        world.assert_invariants();
        world.assert_swept();
    }
}

#[test]
fn a_job_that_has_ended_cannot_be_cancelled() {
    let world = world(true);
    let id = made(&world, &uploaded(&world));
    deliver_all(&world);
    assert_eq!(world.call("DELETE", &format!("/jobs/{id}"), None).code(), "job-ended");
    assert_eq!(world.call("DELETE", "/jobs/0f8fad5b-d9cb-469f-a165-70867728950e", None).code(), "job-not-found");
    assert_eq!(job(&world, &id)["status"], "completed");
}

#[test]
fn what_the_queue_gives_up_is_a_failed_job() {
    let world = world(true);
    let asset = uploaded(&world);
    let id = made(&world, &asset);
    let bury = |body: Option<String>| block_on(world.app.deliver_from("stillstore-dead-letters", body));
    assert_eq!(bury(Some(message(&id))), Delivery::Acknowledge);
    let failed = job(&world, &id);
    assert_eq!((&failed["status"], &failed["error_code"]), (&json!("failed"), &json!("dead-lettered")));
    // One that has ended stays as it is, and one that a worker has is left to it.
    let done = made(&world, &asset);
    deliver(&world, &done);
    bury(Some(message(&done)));
    assert_eq!(job(&world, &done)["status"], "completed");
    let held = made(&world, &asset);
    world.retoucher.hangs.set(true);
    world.runtime.end_sleeps_up_to(0);
    assert!(run_until_stalled(world.app.deliver(Some(message(&held)))).is_none());
    bury(Some(message(&held)));
    assert_eq!(job(&world, &held)["status"], "processing");
    for other in [None, Some("nonsense".to_owned()), Some(json!({"runId": "r", "source": "embedded"}).to_string())] {
        assert_eq!(bury(other), Delivery::Acknowledge);
    }
    world.database.plan.fail_nth(None::<stillstore::sql::DatabaseCall>, 1, stillstore::sql::Fault::FailBefore);
    assert!(matches!(bury(Some(message(&id))), Delivery::RetryAfter { .. }), "a lost dead letter is a lost job");
}

#[test]
fn cron_takes_up_jobs_that_lost_their_message_or_their_worker() {
    let world = world(true);
    let asset = uploaded(&world);
    world.mailbox.is_down.set(true);
    let lost = made(&world, &asset);
    world.mailbox.is_down.set(false);
    let killed = made(&world, &asset);
    world.mailbox.messages.borrow_mut().clear();
    world.retoucher.hangs.set(true);
    world.runtime.end_sleeps_up_to(0);
    assert!(run_until_stalled(world.app.deliver(Some(message(&killed)))).is_none());
    world.runtime.end_sleeps_up_to(u64::MAX);
    world.retoucher.hangs.set(false);
    assert!(matches!(deliver(&world, &killed), Delivery::RetryAfter { .. }), "its lease is not over");
    block_on(world.app.tick());
    assert!(world.mailbox.messages.borrow().is_empty(), "not yet");
    world.runtime.advance(10 * 60 * 1000);
    block_on(world.app.tick());
    assert_eq!(world.mailbox.messages.borrow().len(), 2);
    deliver_all(&world);
    for id in [&lost, &killed] {
        assert_eq!(job(&world, id)["status"], "completed");
    }
    assert_eq!(job(&world, &killed)["attempts"], 2);
}

#[test]
fn without_a_queue_cron_works_on_what_is_due() {
    let mut world = world(true);
    world.app.services.runs = None;
    let id = made(&world, &uploaded(&world));
    block_on(world.app.tick());
    assert_eq!(job(&world, &id)["status"], "completed");
}

#[test]
fn a_job_whose_workers_all_vanish_fails() {
    let world = world(true);
    let id = made(&world, &uploaded(&world));
    world.retoucher.hangs.set(true);
    world.runtime.end_sleeps_up_to(0);
    for _ in 0..5 {
        assert!(run_until_stalled(world.app.deliver(Some(message(&id)))).is_none());
        world.runtime.advance(HOUR_MS);
    }
    assert_eq!(deliver(&world, &id), Delivery::Acknowledge);
    let failed = job(&world, &id);
    assert_eq!((&failed["status"], &failed["error_code"]), (&json!("failed"), &json!("attempts-exhausted")));
}

#[test]
fn jobs_are_forgotten_after_their_retention() {
    let world = world(true);
    let asset = uploaded(&world);
    let done = made(&world, &asset);
    deliver_all(&world);
    world.mailbox.is_down.set(true);
    let waiting = made(&world, &asset);
    world.mailbox.is_down.set(false);
    world.runtime.advance(30 * DAY_MS + 1);
    block_on(world.app.tick());
    assert_eq!(world.call("GET", &format!("/jobs/{done}"), None).status, 404);
    assert_eq!(job(&world, &waiting)["status"], "queued", "one that has not ended stays");
    assert_eq!(world.rows("SELECT id FROM stillstore_images WHERE parent_id IS NOT NULL").len(), 1);
}

#[test]
fn listings_show_what_matches_in_pages() {
    let world = world(true);
    let (one, other) = (uploaded(&world), uploaded(&world));
    let mut ids = Vec::new();
    for asset in [&one, &other, &one] {
        ids.push(made(&world, asset));
        world.runtime.advance(1);
    }
    deliver(&world, &ids[0]);
    let list = |query: &str| {
        let page = world.call("GET", &format!("/jobs?{query}"), None).json();
        let ids: Vec<String> =
            page["jobs"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
        (ids, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").0, [&*ids[2], &*ids[1], &*ids[0]]);
    assert_eq!(list("status=queued").0, [&*ids[2], &*ids[1]]);
    assert_eq!(list(&format!("asset_id={one}")).0, [&*ids[2], &*ids[0]]);
    assert_eq!(list(&format!("asset_id={one}&status=completed")).0, [&*ids[0]]);
    let (first, next) = list("limit=2");
    let (second, end) = list(&format!("limit=2&cursor={}", next.unwrap()));
    assert_eq!(([first, second].concat(), end), (vec![ids[2].clone(), ids[1].clone(), ids[0].clone()], None));
    let shown = world.call("GET", "/jobs?status=completed", None).json();
    assert!(shown["jobs"][0]["output_url"].as_str().unwrap().starts_with("https://images.example/images/"));
}

#[test]
fn users_jobs_are_their_own_and_count_for_their_limits() {
    let users = Users::by_secret();
    let vars = [
        ("API_TOKEN", TOKEN),
        ("ENABLE_R2_STORAGE", "true"),
        ("EDIT_PROVIDER", "workers-ai"),
        ("USER_MAX_GENERATIONS_PER_DAY", "2"),
    ];
    let world = users.world_with(&vars);
    let send = |user: &str, method: &str, path: &str, body: Option<Vec<u8>>| {
        let authorization = format!("Bearer {}", users.token_of(user));
        let content_type = if path == "/api/images" { "image/png" } else { "application/json" };
        let headers = [("authorization", authorization.as_str()), ("content-type", content_type)];
        world.send(method, path, &headers, body.map(Into::into))
    };
    let asset = send("alice", "POST", "/api/images", Some(PNG.to_vec())).json()["id"].clone();
    let body = json!({"asset_id": asset, "prompt": "a"}).to_string().into_bytes();
    assert_eq!(send("bob", "POST", "/jobs", Some(body.clone())).code(), "image-not-found");
    let create = || send("alice", "POST", "/jobs", Some(body.clone()));
    let (first, second) = (create(), create());
    assert_eq!((first.status, second.status), (202, 202));
    assert_eq!(create().code(), "generation-limit-reached");
    let id = first.json()["id"].as_str().unwrap().to_owned();
    for (method, path) in [("GET", format!("/jobs/{id}")), ("DELETE", format!("/jobs/{id}"))] {
        assert_eq!(send("bob", method, &path, None).code(), "job-not-found");
    }
    assert_eq!(send("bob", "GET", "/jobs", None).json()["jobs"], json!([]));
    assert_eq!(send("alice", "GET", "/jobs", None).json()["jobs"].as_array().unwrap().len(), 2);
    // A cancelled job gives back what it was counted for; one that is done has it.
    let second = second.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(send("alice", "DELETE", &format!("/jobs/{second}"), None).status, 200);
    deliver_all(&world);
    assert_eq!(create().status, 202);
    assert_eq!(create().code(), "generation-limit-reached");
    let owners = world.rows("SELECT owner_id FROM stillstore_images WHERE parent_id IS NOT NULL");
    assert_eq!(owners, [json!({"owner_id": "alice"})]);
    deliver_all(&world);
    assert!(world.rows("SELECT image_id FROM stillstore_usage_claims").is_empty());
}

#[test]
fn a_mask_goes_with_the_original() {
    let world = world(true);
    let (asset, mask) = (uploaded(&world), world.upload("", &edited(200)).json()["id"].clone());
    let answer = post(&world, &json!({"asset_id": asset, "prompt": "a", "mask_id": mask, "size": "1024x1024"}), &[]);
    assert_eq!((answer.status, &answer.json()["mask_id"]), (202, &mask));
    deliver_all(&world);
    let edits = world.retoucher.edits.borrow();
    assert_eq!(edits[0].mask.as_deref(), Some(&edited(200)[..]));
    assert_eq!(edits[0].request.size.text(), "1024x1024");
}

#[test]
fn a_batch_makes_a_job_for_each_asset_of_a_shoot() {
    let world = world(true);
    let shoot = world.post_json("/shoots", &json!({"name": "Garden"}), &[]).json();
    let path = format!("/shoots/{}/jobs", shoot["id"].as_str().unwrap());
    let ask = |prompt: &str| world.post_json(&path, &json!({"prompt": prompt}), &[("idempotency-key", "k")]);
    assert_eq!(ask("warmer light").code(), "shoot-empty");
    let assets: Vec<String> = (0..3).map(|_| asset_of(&world, &shoot)).collect();
    let answer = ask("warmer light");
    assert_eq!((answer.status, &answer.json()["total"], &answer.json()["skipped"]), (202, &json!(3), &json!(0)));
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), Some(format!("/batches/{id}").as_str()));
    assert_eq!(world.mailbox.messages.borrow().len(), 3, "one call to the queue");
    // Sent again, with an asset that came meanwhile.
    asset_of(&world, &shoot);
    assert_eq!((&ask("warmer light").json()["id"], &ask("warmer light").json()["total"]), (&json!(id), &json!(4)));
    assert_eq!(ask("colder").code(), "idempotency-key-reused");
    let progress = || world.call("GET", &format!("/batches/{id}"), None).json();
    assert_eq!(progress()["queued"], 4);
    let listed = world.call("GET", &format!("/jobs?batch_id={id}&asset_id={}", assets[0]), None).json();
    let first = listed["jobs"][0]["id"].as_str().unwrap().to_owned();
    deliver(&world, &first);
    assert_eq!((&progress()["completed"], &progress()["queued"]), (&json!(1), &json!(3)));
    let cancelled = world.call("DELETE", &format!("/batches/{id}"), None).json();
    assert_eq!((&cancelled["completed"], &cancelled["cancelled"]), (&json!(1), &json!(3)));
    deliver_all(&world);
    assert_eq!(world.retoucher.calls(), 1);
    assert_eq!(progress(), cancelled);
    for (body, field) in [(json!({}), "prompt"), (json!({"prompt": "a", "tier": "x"}), "tier")] {
        let answer = world.post_json(&path, &body, &[]);
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!(field)));
    }
    let unknown = "/batches/0f8fad5b-d9cb-469f-a165-70867728950e";
    for method in ["GET", "DELETE"] {
        assert_eq!(world.call(method, unknown, None).code(), "batch-not-found");
    }
    world.assert_invariants();
}

#[test]
fn a_batch_whose_answers_are_lost_is_made_once() {
    for fault in stillstore::sql::Fault::ALL {
        for nth in 1..=5 {
            let world = world(true);
            let shoot = world.post_json("/shoots", &json!({"name": "Garden"}), &[]).json();
            for _ in 0..2 {
                asset_of(&world, &shoot);
            }
            let path = format!("/shoots/{}/jobs", shoot["id"].as_str().unwrap());
            let bearer = format!("Bearer {TOKEN}");
            let headers = [("authorization", &*bearer), ("content-type", "application/json"), ("idempotency-key", "k")];
            let ask = || {
                let body = json!({"prompt": "a"}).to_string().into_bytes();
                world.send_until_crash("POST", &path, &headers, Some(body.into()))
            };
            world.database.plan.fail_nth(None::<stillstore::sql::DatabaseCall>, nth, fault);
            drop(ask());
            world.database.plan.heal();
            assert_eq!(ask().unwrap().json()["total"], 2, "{fault:?} {nth}");
            for _ in 0..3 {
                deliver_all(&world);
                world.runtime.advance(HOUR_MS);
                block_on(world.app.tick());
            }
            let made = world.rows("SELECT id FROM stillstore_images WHERE parent_id IS NOT NULL AND status = 'stored'");
            assert_eq!((made.len(), world.retoucher.calls()), (2, 2), "{fault:?} {nth}");
        }
    }
}
