//! Descriptions of images and analyses of sessions: made by jobs, slice by slice, kept, and gone with what they are about.

use serde_json::{Value, json};
use stillstore::app::Delivery;
use stillstore::catalog::AnalysisPart;
use stillstore::catalog::jobs::{Job, JobClaim, JobEvent, JobFailure, JobState};
use stillstore::generate::GenerateError;
use stillstore::sql::{DatabaseCall, DatabaseErrorKind, Fault, Lease};
use stillstore::store::StoreCall;

use super::frames::{form, post_until_crash};
use super::jobs::{deliver_all, uploaded};
use super::world::{Answer, PNG, TOKEN, World};
use crate::image_fixtures;
use crate::runtime::{block_on, run_until_stalled};

/// Longer than any flow has calls.
const MOST_CALLS: usize = 40;
const MINUTES_11_MS: i64 = 11 * 60 * 1000;
const DAYS_2_MS: i64 = 2 * 24 * 60 * 60 * 1000;

/// A deployment whose provider is the fake one, or our own.
fn world(provider: &str) -> World {
    World::with_vars(&[
        ("ENABLE_R2_STORAGE", "true"),
        ("API_TOKEN", TOKEN),
        ("EDIT_PROVIDER", "workers-ai"),
        ("VISION_PROVIDER", provider),
    ])
}

fn add_frames(world: &World, frames: &[(usize, Vec<u8>)]) {
    let names: Vec<_> = frames.iter().map(|(number, bytes)| (format!("frame_{number:04}"), bytes.clone())).collect();
    let parts: Vec<_> = names.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    let answer = post_until_crash(world, "/sessions/s/frames", form(&parts)).expect("an answer");
    assert_eq!(answer.status, 201, "{answer:?}");
}

/// A whole PNG of so many grey pixels.
fn png(width: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, 1);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&vec![7; width as usize]).unwrap();
    bytes
}

fn add_pngs(world: &World, count: u32) {
    let frames: Vec<_> = (0..count).map(|number| (number as usize, png(number + 1))).collect();
    add_frames(world, &frames);
}

fn ask(world: &World, path: &str, headers: &[(&str, &str)]) -> Answer {
    let bearer = format!("Bearer {TOKEN}");
    let headers: Vec<_> = [("authorization", bearer.as_str())].into_iter().chain(headers.iter().copied()).collect();
    world.send("POST", path, &headers, None)
}

fn analyze(world: &World) -> String {
    let answer = ask(world, "/sessions/s/analyze", &[]);
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn analysis(world: &World) -> Value {
    let answer = world.call("GET", "/sessions/s/analysis", None);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn numbers(analysis: &Value) -> Vec<u64> {
    let pictures = analysis["pictures"].as_array().unwrap();
    pictures.iter().map(|picture| picture["frameNumber"].as_u64().unwrap()).collect()
}

fn job(world: &World, id: &str) -> Value {
    world.call("GET", &format!("/jobs/{id}"), None).json()
}

/// Delivers messages until there are none.
fn deliver_to_the_end(world: &World) {
    while !world.mailbox.messages.borrow().is_empty() {
        for delivery in deliver_all(world) {
            assert_eq!(delivery, Delivery::Acknowledge);
        }
    }
}

#[test]
fn an_image_is_measured_without_a_key() {
    let world = world("builtin");
    let image = world.upload("filename=a.jpg", &image_fixtures::bytes("rotated.jpg")).json();
    let id = image["id"].as_str().unwrap();
    let path = format!("/images/{id}/description");
    assert_eq!(world.call("GET", &path, None).code(), "analysis-not-found");
    let asked = ask(&world, &format!("/images/{id}/describe"), &[]);
    assert_eq!((asked.status, &asked.json()["kind"]), (202, &json!("describe")));
    deliver_to_the_end(&world);
    let job_id = asked.json()["id"].clone();
    assert_eq!(job(&world, job_id.as_str().unwrap())["status"], "completed");
    let description = world.call("GET", &path, None).json();
    assert_eq!((&description["version"], &description["provider"]), (&json!(1), &json!("builtin")));
    assert_eq!(description["jobId"], job_id);
    let picture = &description["pictures"][0];
    assert_eq!((&picture["width"], &picture["height"], &picture["imageId"]), (&json!(24), &json!(40), &json!(id)));
    assert!(picture["thumbhash"].as_str().unwrap().len() >= 8 && picture["sharpness"].is_u64(), "{picture}");
    let colour = &picture["dominantColors"][0];
    assert!(colour["color"].as_str().unwrap().starts_with('#') && colour["percent"].as_u64().unwrap() > 2, "{picture}");
    assert_eq!(picture["perceptualHash"].as_str().unwrap().len(), 16);
    let record = world.call("GET", &format!("/api/images/{id}"), None).json();
    assert_eq!((&record["thumbhash"], &record["dominantColor"]), (&picture["thumbhash"], &colour["color"]));
    // What is not decoded is refused at once; and nothing is left of an image that is deleted.
    let svg = world.upload("filename=a.svg", &image_fixtures::bytes("plain.svg")).json();
    let refused = ask(&world, &format!("/images/{}/describe", svg["id"].as_str().unwrap()), &[]).json();
    deliver_to_the_end(&world);
    let refused = job(&world, refused["id"].as_str().unwrap());
    assert_eq!((&refused["error_code"], &refused["attempts"]), (&json!("image-unsupported"), &json!(1)));
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    assert!(world.rows("SELECT job_id FROM stillstore_analyses").is_empty());
    world.assert_invariants();
}

#[test]
fn a_session_is_looked_at_slice_by_slice() {
    let world = world("workers-ai");
    add_pngs(&world, 40);
    let id = analyze(&world);
    assert_eq!(deliver_all(&world), [Delivery::Acknowledge]);
    assert_eq!(world.call("GET", "/sessions/s/analysis", None).code(), "analysis-not-found", "not before it is whole");
    assert_eq!(job(&world, &id)["status"], "queued");
    // The second slice fails at first, and only it is looked at again.
    world.onlooker.errors.borrow_mut().push(GenerateError::Timeout);
    deliver_all(&world);
    world.runtime.advance(MINUTES_11_MS);
    deliver_to_the_end(&world);
    assert_eq!(*world.onlooker.calls.borrow(), [16, 16, 16, 8]);
    let done = job(&world, &id);
    assert_eq!((&done["status"], &done["session_id"]), (&json!("completed"), &json!("s")), "{done}");
    let analysis = analysis(&world);
    assert_eq!(numbers(&analysis), (0..40).collect::<Vec<_>>());
    assert_eq!(analysis["summaries"], json!(["16 pictures", "16 pictures", "8 pictures"]));
    assert_eq!((&analysis["model"], &analysis["sessionId"]), (&json!("look-1"), &json!("s")));
    assert_eq!(analysis["pictures"][39]["text"], format!("{} bytes", png(40).len()));
    // Another one takes its place when it is whole.
    let again = analyze(&world);
    deliver_to_the_end(&world);
    assert_eq!(world.call("GET", "/sessions/s/analysis", None).json()["jobId"], again);
    assert_eq!(world.rows("SELECT job_id FROM stillstore_analyses").len(), 1);
}

#[test]
fn frames_that_look_alike_are_found() {
    let world = world("builtin");
    let [cat, moon] = ["cat", "moon"]
        .map(|name| std::fs::read(format!("{}/docs/images/{name}-before.jpg", env!("CARGO_MANIFEST_DIR"))).unwrap());
    let brighter = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/images/cat-after.jpg")).unwrap();
    let svg = image_fixtures::bytes("plain.svg");
    add_frames(&world, &[(3, cat), (4, moon), (7, brighter), (9, svg), (11, PNG[..PNG.len() - 1].to_vec())][..4]);
    analyze(&world);
    deliver_to_the_end(&world);
    let analysis = analysis(&world);
    let alike: Vec<_> = analysis["pictures"].as_array().unwrap().iter().map(|p| p["nearDuplicateOf"].clone()).collect();
    assert_eq!(alike, [Value::Null, Value::Null, json!(3), Value::Null]);
    assert_eq!(analysis["pictures"][3]["error"], "image-unsupported");
    assert_eq!(analysis["summaries"], json!([]));
}

#[test]
fn an_analysis_goes_with_the_first_of_its_frames() {
    let world = world("workers-ai");
    add_pngs(&world, 20);
    let ids: Vec<String> = world.call("GET", "/sessions/s/frames", None).json()["frames"]
        .as_array()
        .unwrap()
        .iter()
        .map(|frame| frame["id"].as_str().unwrap().to_owned())
        .collect();
    analyze(&world);
    deliver_all(&world);
    // Between two slices: it begins anew, without the frame.
    assert_eq!(world.call("DELETE", &format!("/api/images/{}", ids[2]), None).status, 204);
    deliver_to_the_end(&world);
    let expected: Vec<u64> = (0..20).filter(|number| *number != 2).collect();
    assert_eq!(numbers(&analysis(&world)), expected);
    assert_eq!(world.call("DELETE", &format!("/api/images/{}", ids[5]), None).status, 204);
    assert_eq!(world.call("GET", "/sessions/s/analysis", None).code(), "analysis-not-found");
    // Without frames there is nothing to look at.
    let late = analyze(&world);
    assert!(world.call("DELETE", "/sessions/s/frames", None).status < 300);
    deliver_to_the_end(&world);
    assert_eq!(job(&world, &late)["error_code"], "session-empty");
    assert_eq!(ask(&world, "/sessions/s/analyze", &[]).code(), "session-empty");
    assert_eq!(ask(&world, "/sessions/none/analyze", &[]).code(), "session-not-found");
}

#[test]
fn a_model_answers_questions_in_its_summaries_and_builtin_takes_none() {
    let world = world("workers-ai");
    add_pngs(&world, 20);
    let image = uploaded(&world);
    let question = json!({"prompt": ": who is it?"});
    let asked = world.post_json("/sessions/s/analyze", &question, &[("idempotency-key", "k")]);
    assert_eq!((asked.status, &asked.json()["prompt"]), (202, &question["prompt"]));
    let other = world.post_json("/sessions/s/analyze", &json!({"prompt": "other"}), &[("idempotency-key", "k")]);
    assert_eq!(other.code(), "idempotency-key-reused");
    deliver_to_the_end(&world);
    assert_eq!(analysis(&world)["summaries"], json!(["16 pictures: who is it?", "4 pictures: who is it?"]));

    let describe = format!("/images/{image}/describe");
    assert_eq!(world.post_json(&describe, &json!({"prompt": " "}), &[]).status, 400);
    let asked = world.post_json(&describe, &question, &[]).json();
    assert_eq!(world.call("DELETE", &format!("/api/images/{image}"), None).status, 204);
    let job = world.call("GET", &format!("/jobs/{}", asked["id"].as_str().unwrap()), None).json();
    assert_eq!(job.get("prompt"), None, "the words go with the image");

    let world = self::world("builtin");
    let describe = format!("/images/{}/describe", uploaded(&world));
    let refused = world.post_json(&describe, &question, &[]);
    assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("prompt")));
    assert_eq!(world.post_json(&describe, &json!({}), &[]).status, 202);
}

#[test]
fn a_key_makes_one_job_and_what_stays_begun_is_forgotten() {
    let world = world("workers-ai");
    add_pngs(&world, 20);
    let image = uploaded(&world);
    let key = [("idempotency-key", "k")];
    let first = ask(&world, "/sessions/s/analyze", &key);
    let again = ask(&world, "/sessions/s/analyze", &key);
    assert_eq!((first.status, again.status), (202, 200));
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_eq!(ask(&world, &format!("/images/{image}/describe"), &key).code(), "idempotency-key-reused");
    deliver_all(&world);
    let path = format!("/jobs/{}", first.json()["id"].as_str().unwrap());
    assert_eq!(world.call("DELETE", &path, None).status, 200);
    assert_eq!(world.rows("SELECT is_whole FROM stillstore_analyses"), [json!({"is_whole": 0})]);
    world.runtime.advance(DAYS_2_MS);
    block_on(world.app.tick());
    assert!(world.rows("SELECT is_whole FROM stillstore_analyses").is_empty());
    // What the provider refuses for good ends a job.
    world.onlooker.errors.borrow_mut().push(GenerateError::Moderation);
    let refused = ask(&world, &format!("/images/{image}/describe"), &[]).json();
    deliver_to_the_end(&world);
    assert_eq!(job(&world, refused["id"].as_str().unwrap())["error_code"], "moderation-refused");
    let mut world = world;
    world.app.services.vision = None;
    assert_eq!(ask(&world, "/sessions/s/analyze", &[]).code(), "vision-not-configured");
}

#[test]
fn a_failure_anywhere_looks_at_each_frame_and_keeps_it_once() {
    let mut cases = 0;
    for slice in [1, 2] {
        for is_database in [true, false] {
            for fault in Fault::ALL {
                for nth in 1..=MOST_CALLS {
                    let world = world("workers-ai");
                    add_pngs(&world, 18);
                    let id = analyze(&world);
                    if slice == 2 {
                        deliver_all(&world);
                    }
                    if is_database {
                        world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault);
                    } else {
                        world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault);
                    }
                    let case = format!("slice {slice}, database {is_database}, call {nth}, {fault:?}");
                    let message = || Some(json!({"kind": "job", "jobId": id}).to_string());
                    let _ = run_until_stalled(world.app.deliver(message()));
                    let calls = world.database.plan.calls();
                    let has_failed = calls.iter().any(|call| call.fault.is_some())
                        || world.bucket.plan.calls().iter().any(|call| call.fault.is_some());
                    world.database.plan.heal();
                    world.bucket.plan.heal();
                    // Messages come, or cron takes the job up.
                    for _ in 0..4 {
                        world.runtime.advance(MINUTES_11_MS);
                        block_on(world.app.tick());
                        deliver_all(&world);
                    }
                    assert_eq!(job(&world, &id)["status"], "completed", "{case}");
                    assert_eq!(numbers(&analysis(&world)), (0..18).collect::<Vec<_>>(), "{case}");
                    assert_eq!(world.rows("SELECT job_id FROM stillstore_analyses").len(), 1, "{case}");
                    assert!(world.onlooker.calls.borrow().len() <= 4, "{case}: {:?}", world.onlooker.calls.borrow());
                    if !has_failed {
                        break;
                    }
                    cases += 1;
                    assert!(nth < MOST_CALLS, "{case}: raise MOST_CALLS");
                }
            }
        }
    }
    assert!(cases > 60, "{cases}");
}

#[test]
fn what_comes_too_late_is_refused() {
    let world = world("workers-ai");
    add_pngs(&world, 2);
    let image = uploaded(&world);
    let catalog = &world.app.services.catalog;
    let claimed = |path: &str| {
        let id = ask(&world, path, &[]).json()["id"].as_str().unwrap().parse().unwrap();
        let lease = Lease::begin(&*world.app.services.runtime, 60_000);
        let exhausted = JobFailure::new("exhausted", "");
        let claim = block_on(catalog.claim_job(id, &lease, 5, &exhausted, world.app.services.runtime.now()));
        let JobClaim::Claimed(job) = claim.unwrap() else { panic!("{path} is not claimed") };
        (job, lease)
    };
    let part = |after_ordinal, is_last: bool| AnalysisPart {
        answer: "{}".to_owned(),
        last_ordinal: Some(1),
        after_ordinal,
        completion: is_last.then(|| JobEvent::new(world.app.services.runtime.now(), JobState::Completed)),
        placeholders: Vec::new(),
    };
    let keep = |(job, lease): &(Box<Job>, Lease), part: &AnalysisPart| {
        let kept = block_on(catalog.keep_analysis(job, lease, part, world.app.services.runtime.now()));
        kept.map_err(|error| error.kind())
    };
    let refused = Err(DatabaseErrorKind::Constraint);
    let (session, describe) = (claimed("/sessions/s/analyze"), claimed(&format!("/images/{image}/describe")));
    assert_eq!(keep(&session, &part(Some(0), false)), refused, "the part before went with a frame");
    let (job, _) = &session;
    let stranger = (job.clone(), Lease::begin(&*world.app.services.runtime, 60_000));
    assert_eq!(keep(&stranger, &part(None, false)), refused, "another worker has it");
    assert_eq!(world.call("DELETE", &format!("/api/images/{image}"), None).status, 204);
    assert_eq!(keep(&describe, &part(None, true)), refused, "the image is gone");
    assert_eq!(keep(&session, &part(None, false)), Ok(()));
    assert_eq!(keep(&session, &part(Some(1), true)), refused, "it was given back");
    assert_eq!(world.rows("SELECT is_whole FROM stillstore_analyses"), [json!({"is_whole": 0})]);
    // While the frames of a session are going, nothing is kept of it.
    let session = claimed("/sessions/s/analyze");
    drop(world.rows("UPDATE stillstore_collections SET state = 'emptying' WHERE id = 's' RETURNING id"));
    assert_eq!(keep(&session, &part(None, true)), refused);
}
