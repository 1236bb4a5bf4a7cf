//! What a model's looks at pictures count for, and what is left of a question.

use std::pin::pin;

use futures::future::join_all;
use serde_json::json;
use stillstore::api::Request;
use stillstore::app::Delivery;
use stillstore::sql::Fault;

use super::frames::{BOUNDARY, form};
use super::jobs::deliver_all;
use super::limits::{Deployment, problem};
use super::world::{Answer, PNG};
use crate::runtime::poll_until_stalled;

/// Longer than making a job has calls.
const MOST_CALLS: usize = 12;

fn deployment(provider: &str, limit: &str) -> Deployment {
    let vars =
        [("USER_MAX_GENERATIONS_PER_DAY", limit), ("EDIT_PROVIDER", "workers-ai"), ("VISION_PROVIDER", provider)];
    Deployment::new(true, &vars)
}

fn ask(deployment: &Deployment, path: &str) -> Answer {
    deployment.send("alice", "POST", path, Some(b"{}".to_vec())).expect("an answer")
}

fn image(deployment: &Deployment) -> String {
    let uploaded = deployment.send("alice", "POST", "/api/images", Some(PNG.to_vec())).expect("an answer");
    uploaded.json()["id"].as_str().unwrap().to_owned()
}

fn add_frames(deployment: &Deployment, numbers: std::ops::Range<usize>) {
    let names: Vec<_> = numbers.map(|number| format!("frame_{number:04}")).collect();
    let parts: Vec<_> = names.iter().map(|name| (name.as_str(), PNG.to_vec())).collect();
    let authorization = format!("Bearer {}", deployment.users.token_of("alice"));
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    let headers = [("authorization", authorization.as_str()), ("content-type", content_type.as_str())];
    let answer = deployment.world.send("POST", "/sessions/s/frames", &headers, Some(form(&parts).into()));
    assert_eq!(answer.status, 201, "{answer:?}");
}

fn generations(deployment: &Deployment) -> i64 {
    deployment.usage().2
}

fn deliver_to_the_end(deployment: &Deployment) {
    while !deployment.world.mailbox.messages.borrow().is_empty() {
        assert!(deliver_all(&deployment.world).iter().all(|delivery| *delivery == Delivery::Acknowledge));
    }
}

#[test]
fn requests_at_once_make_no_more_calls_than_a_user_may() {
    let deployment = deployment("workers-ai", "3");
    let path = format!("/images/{}/describe", image(&deployment));
    let authorization = format!("Bearer {}", deployment.users.token_of("alice"));
    let ask_at_once = || {
        let headers = vec![("authorization".to_owned(), authorization.clone())];
        deployment.world.app.handle(Request::new("POST", &format!("https://images.example{path}"), headers, None))
    };
    let mut all = pin!(join_all((0..8).map(|_| ask_at_once())));
    let answers = poll_until_stalled(all.as_mut()).unwrap();
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 3);
    assert_eq!(answers.iter().filter(|answer| answer.status == 429).count(), 5);
    assert_eq!(generations(&deployment), 3);
    deliver_to_the_end(&deployment);
    assert_eq!(*deployment.world.onlooker.calls.borrow(), [1, 1, 1]);
    let refused = ask(&deployment, &path);
    assert_eq!(problem(&refused), (429, "generation-limit-reached".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("57600"));
    assert_eq!(generations(&deployment), 3);
    let body = json!({ "prompt": "a fox", "personaId": "p" }).to_string().into_bytes();
    let generated = deployment.send("alice", "POST", "/api/generate-image", Some(body)).unwrap();
    assert_eq!(generated.status, 429, "they are of one limit");
    assert_eq!(deployment.world.call("POST", &path, None).status, 429, "the image is alice's, whoever asks");
}

#[test]
fn an_analysis_counts_a_call_for_each_slice() {
    let exact = deployment("workers-ai", "3");
    add_frames(&exact, 0..40);
    assert_eq!(ask(&exact, "/sessions/s/analyze").status, 202);
    assert_eq!(generations(&exact), 3);
    deliver_to_the_end(&exact);
    assert_eq!(*exact.world.onlooker.calls.borrow(), [16, 16, 8]);
    assert_eq!((generations(&exact), ask(&exact, "/sessions/s/analyze").status), (3, 429));
    let short = deployment("workers-ai", "2");
    add_frames(&short, 0..40);
    assert_eq!((ask(&short, "/sessions/s/analyze").status, generations(&short)), (429, 0));
    assert!(short.world.rows("SELECT id FROM stillstore_jobs").is_empty());
}

#[test]
fn frames_that_come_later_count_too() {
    for (limit, calls, status) in [("3", vec![16, 16, 8], "completed"), ("2", vec![16, 16], "failed")] {
        let deployment = deployment("workers-ai", limit);
        add_frames(&deployment, 0..16);
        assert_eq!(ask(&deployment, "/sessions/s/analyze").status, 202);
        assert_eq!(generations(&deployment), 1);
        add_frames(&deployment, 16..40);
        deliver_to_the_end(&deployment);
        assert_eq!(*deployment.world.onlooker.calls.borrow(), calls);
        assert_eq!(generations(&deployment).to_string(), limit);
        let jobs = deployment.world.rows("SELECT state, error ->> 'code' AS code FROM stillstore_jobs");
        let code = (status == "failed").then_some("generation-limit-reached");
        assert_eq!(jobs, [json!({ "state": status, "code": code })]);
    }
}

#[test]
fn what_our_own_codecs_look_at_counts_for_nothing() {
    let deployment = deployment("builtin", "1");
    let path = format!("/images/{}/describe", image(&deployment));
    add_frames(&deployment, 0..20);
    for path in [path.as_str(), path.as_str(), "/sessions/s/analyze", "/sessions/s/analyze"] {
        assert_eq!(ask(&deployment, path).status, 202);
    }
    deliver_to_the_end(&deployment);
    assert_eq!(generations(&deployment), 0);
}

#[test]
fn whatever_fails_a_job_counts_once() {
    for fault in Fault::ALL {
        for nth in 1.. {
            let deployment = deployment("workers-ai", "9");
            let path = format!("/images/{}/describe", image(&deployment));
            let before = deployment.world.database.plan.calls().len();
            deployment.world.database.plan.fail_nth(None, nth, fault);
            deployment.send("alice", "POST", &path, Some(b"{}".to_vec()));
            let calls = deployment.world.database.plan.calls().len() - before;
            deployment.world.database.plan.heal();
            let jobs = deployment.world.rows("SELECT id FROM stillstore_jobs").len();
            assert_eq!(generations(&deployment), i64::try_from(jobs).unwrap(), "{fault:?} {nth}");
            if nth > calls {
                break;
            }
            assert!(nth < MOST_CALLS, "raise MOST_CALLS");
        }
    }
}

#[test]
fn a_question_leaves_with_the_last_frame() {
    let deployment = deployment("workers-ai", "9");
    add_frames(&deployment, 0..2);
    let body = json!({ "prompt": "who is there?" }).to_string().into_bytes();
    assert_eq!(deployment.send("alice", "POST", "/sessions/s/analyze", Some(body)).unwrap().status, 202);
    deliver_to_the_end(&deployment);
    let world = &deployment.world;
    let question = || world.rows("SELECT request ->> 'prompt' AS question FROM stillstore_jobs")[0]["question"].clone();
    let frames = world.rows("SELECT id FROM stillstore_images ORDER BY ordinal");
    let delete = |number: usize| {
        let path = format!("/api/images/{}", frames[number]["id"].as_str().unwrap());
        assert_eq!(world.call("DELETE", &path, None).status, 204);
    };
    delete(0);
    assert_eq!(question(), "who is there?");
    delete(1);
    assert!(question().is_null());
    // All of them at once.
    let deployment = self::deployment("workers-ai", "9");
    add_frames(&deployment, 0..3);
    let body = json!({ "prompt": "who is there?" }).to_string().into_bytes();
    assert_eq!(deployment.send("alice", "POST", "/sessions/s/analyze", Some(body)).unwrap().status, 202);
    assert_eq!(deployment.world.call("DELETE", "/sessions/s/frames", None).status, 200);
    let left = deployment.world.rows("SELECT request FROM stillstore_jobs");
    assert_eq!(left, [json!({ "request": "{}" })]);
}
