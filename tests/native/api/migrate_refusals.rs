//! What a migration must not do although it was asked: remove the last copy, clean up after no run, wake the queue for a look.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;
use stillstore::queue::{RunMessage, RunQueue};
use stillstore::sql::{Database, Statement};

use super::migrate::{act, embedded_world};
use crate::runtime::block_on;

#[derive(Default)]
struct Messages(RefCell<Vec<RunMessage>>);

struct Sender(Rc<Messages>);

#[async_trait(?Send)]
impl RunQueue for Sender {
    async fn send(&self, message: &RunMessage) -> Result<(), String> {
        self.0.0.borrow_mut().push(message.clone());
        Ok(())
    }
}

#[test]
fn a_copy_left_by_a_rollback_stays_when_the_original_does_not_read_back() {
    let (world, images) = embedded_world(&[100, 100]);
    act(&world, &json!({"action": "migrate"}));
    act(&world, &json!({"action": "rollback"}));
    let key = |id: &str| {
        let image = world.call("GET", &format!("/api/images/{id}"), None).json();
        image["key"].as_str().unwrap().to_owned()
    };
    let keys: Vec<_> = images.iter().map(|(id, _)| key(id)).collect();
    let spoil = "UPDATE stillstore_chunks SET data = 'AAAA' WHERE write_id = \
        (SELECT embedded_write_id FROM stillstore_images WHERE id = ?1)";
    block_on(world.sqlite.run(Statement::new(spoil).bind(images[0].0.as_str()))).expect("spoil");

    let again = act(&world, &json!({"action": "rollback", "deleteFromR2": true}));
    assert_eq!((&again["success"], &again["result"]["failed"]), (&json!(false), &json!(1)), "{again}");
    let left = world.bucket.inner.contents();
    assert!(left.contains_key(&keys[0]), "the last copy is kept");
    assert!(!left.contains_key(&keys[1]), "the other is removed: its original reads back");
}

#[test]
fn only_a_run_that_goes_on_is_handed_to_the_queue() {
    let (mut world, _) = embedded_world(&[100; 3]);
    let messages = Rc::new(Messages::default());
    world.app.runs = Some(Rc::new(Sender(Rc::clone(&messages))));
    let sent = || messages.0.borrow().len();
    let begun = act(&world, &json!({"action": "migrate", "background": true}));
    assert_eq!(sent(), 1);
    for action in ["status", "status", "pause"] {
        act(&world, &json!({"action": action, "runId": begun["runId"]}));
        assert_eq!(sent(), 1, "{action}");
    }
    act(&world, &json!({"action": "resume", "runId": begun["runId"]}));
    assert_eq!(sent(), 2);
}

#[test]
fn cleanup_names_a_run_that_is_there() {
    let (world, _) = embedded_world(&[100]);
    act(&world, &json!({"action": "migrate"}));
    let unknown = "0".repeat(32);
    for body in [
        json!({"action": "cleanup", "runId": unknown}),
        json!({"action": "cleanup", "force": true, "runId": unknown, "confirmRunId": unknown}),
    ] {
        let answer = world.post_json("/api/migrate-images", &body, &[]);
        assert_eq!((answer.status, answer.code().as_str()), (404, "run-not-found"), "{body}");
    }
}

#[test]
fn every_action_checks_every_field() {
    let (world, _) = embedded_world(&[100]);
    act(&world, &json!({"action": "migrate"}));
    let wrong = [
        ("source", json!(1)),
        ("batchSize", json!(0)),
        ("concurrency", json!(17)),
        ("dryRun", json!("yes")),
        ("imageIds", json!([])),
        ("background", json!(1)),
        ("runId", json!("x")),
        ("checkIntegrity", json!(0.5)),
        ("sampleSize", json!(1001)),
        ("deleteFromR2", json!("true")),
        ("force", json!(0)),
        ("confirmRunId", json!("x")),
        ("fallbackOnly", json!([])),
    ];
    for action in ["migrate", "validate", "rollback", "cleanup", "backup", "restore", "stats", "status", "pause"] {
        for (field, value) in &wrong {
            let answer = world.post_json("/api/migrate-images", &json!({"action": action, *field: value}), &[]);
            assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(*field)), "{action} {answer:?}");
        }
    }
    let answer = world.post_json("/api/migrate-images", &json!({"action": "status", "force": true}), &[]);
    assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some("force")), "{answer:?}");
}
