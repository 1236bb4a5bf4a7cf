//! What a migration must not do although it was asked: remove the last copy, clean up after no run, wake the queue for a look.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::{Value, json};
use stillstore::queue::{Message, RunQueue};
use stillstore::sql::{Database, Statement};

use super::migrate::{act, embedded_world};
use crate::runtime::block_on;

#[derive(Default)]
struct Messages(RefCell<Vec<Message>>);

struct Sender(Rc<Messages>);

#[async_trait(?Send)]
impl RunQueue for Sender {
    async fn send_all(&self, messages: &[Message], _delay_s: u32) -> Result<(), String> {
        self.0.0.borrow_mut().extend_from_slice(messages);
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
    world.app.services.runs = Some(Rc::new(Sender(Rc::clone(&messages))));
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
fn a_confirmation_without_force_is_refused_since_it_would_confirm_nothing() {
    let (world, _) = embedded_world(&[100]);
    let moved = act(&world, &json!({"action": "migrate"}));
    for body in [
        json!({"action": "cleanup", "confirmRunId": moved["runId"]}),
        json!({"action": "cleanup", "runId": moved["runId"], "confirmRunId": moved["runId"], "force": false}),
    ] {
        let answer = world.post_json("/api/migrate-images", &body, &[]);
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some("confirmRunId")), "{body}");
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
}

/// The actions, and the fields with a value that asks for something and the actions that each is for.
const ACTIONS: [&str; 11] =
    ["migrate", "validate", "rollback", "cleanup", "backup", "restore", "stats", "status", "pause", "resume", "cancel"];

fn asking() -> Vec<(&'static str, Value, &'static [&'static str])> {
    let runs = &ACTIONS[..6];
    vec![
        (
            "source",
            json!("embedded"),
            &["migrate", "validate", "rollback", "cleanup", "backup", "restore", "status", "pause", "resume", "cancel"],
        ),
        ("dryRun", json!(true), &["migrate", "rollback", "cleanup", "restore"]),
        ("imageIds", json!(["a"]), runs),
        ("background", json!(true), runs),
        ("fallbackOnly", json!(true), &["migrate"]),
        ("checkIntegrity", json!(true), &["validate"]),
        ("sampleSize", json!(7), &["validate"]),
        ("deleteFromR2", json!(true), &["rollback"]),
        ("runId", json!("0".repeat(32)), &["status", "pause", "resume", "cancel", "cleanup", "restore"]),
        ("force", json!(true), &["cleanup"]),
        ("confirmRunId", json!("0".repeat(32)), &["cleanup"]),
    ]
}

#[test]
fn a_field_of_another_action_is_refused_and_says_whose_it_is() {
    let (world, _) = embedded_world(&[100]);
    for action in ACTIONS {
        for (field, value, actions) in asking() {
            if actions.contains(&action) {
                continue;
            }
            let answer = world.post_json("/api/migrate-images", &json!({"action": action, field: value}), &[]);
            assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some(field)), "{action} {answer:?}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            let ending = format!(", not for {action}");
            assert!(detail.starts_with(&format!("{field} is for ")) && detail.ends_with(&ending), "{detail}");
            assert!(actions.iter().all(|action| detail.contains(action)), "{detail}");
        }
    }
    assert!(world.rows("SELECT id FROM stillstore_runs").is_empty(), "no run has begun");
}

#[test]
fn what_asks_for_nothing_is_welcome_with_every_action() {
    for action in ACTIONS {
        let (world, _) = embedded_world(&[100]);
        let backup = act(&world, &json!({"action": "backup"}));
        let begun = act(&world, &json!({"action": "migrate", "background": true}));
        let mut body = json!({"action": action, "batchSize": 5, "concurrency": 3});
        for (field, value, _) in asking() {
            body[field] = if value == true { json!(false) } else { Value::Null };
        }
        if action == "restore" {
            body["runId"] = backup["runId"].clone();
        }
        if ["migrate", "rollback", "cleanup", "restore"].contains(&action) {
            act(&world, &json!({"action": "cancel", "runId": begun["runId"]}));
        }
        let answer = act(&world, &body);
        assert_eq!((&answer["action"], &answer["dryRun"]), (&json!(action), &json!(false)), "{answer}");
    }
}

#[test]
fn images_that_fell_back_are_the_catalogues_own() {
    let world = crate::migrate_table::world();
    crate::migrate_table::insert(&world.sqlite, "a", "no picture");
    let body = |source: Value| json!({"action": "migrate", "source": source, "fallbackOnly": true, "dryRun": true});
    assert_eq!(act(&world, &body(Value::Null))["source"], "embedded", "also where a table would be the default");
    let answer = world.post_json("/api/migrate-images", &body(json!("images")), &[]);
    assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some("fallbackOnly")), "{answer:?}");
}

#[test]
fn a_source_without_a_run_id_means_its_latest_run() {
    let world = crate::migrate_table::world();
    let embedded = act(&world, &json!({"action": "migrate", "source": "embedded"}));
    world.runtime.advance(1);
    let images = act(&world, &json!({"action": "migrate", "source": "images", "background": true}));
    let of = |source: &str, run: &Value| json!({"action": "status", "source": source, "runId": run});
    assert_eq!(act(&world, &json!({"action": "status"}))["runId"], images["runId"]);
    assert_eq!(act(&world, &of("embedded", &Value::Null))["runId"], embedded["runId"]);
    assert_eq!(act(&world, &of("embedded", &embedded["runId"]))["runId"], embedded["runId"]);
    assert_eq!(act(&world, &json!({"action": "pause", "source": "images"}))["runId"], images["runId"]);
    let answer = world.post_json("/api/migrate-images", &of("images", &embedded["runId"]), &[]);
    assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some("source")), "{answer:?}");
    let answer = world.post_json("/api/migrate-images", &of("elsewhere", &Value::Null), &[]);
    assert_eq!(answer.code(), "run-not-found");
}
