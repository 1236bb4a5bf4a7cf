//! Messages of the queue.

use serde_json::{Value, json};
use stillstore::app::Delivery;

use super::migrate::{act, embedded_world};
use super::world::World;
use crate::runtime::block_on;

#[test]
fn a_message_about_a_run_that_is_gone_is_done_with() {
    let world = World::new(true);
    let body = r#"{"runId":"no-such-run","source":"embedded"}"#;
    assert_eq!(block_on(world.app.deliver(Some(body.to_owned()))), Delivery::Acknowledge);
    let line = only_line(&world);
    assert_eq!([&line["event"], &line["run_id"], &line["outcome"]], ["message", "no-such-run", "ok"]);
}

#[test]
fn what_is_no_message_is_told_without_its_words_and_done_with() {
    for body in [
        None,
        Some("null"),
        Some("{"),
        Some(r#"{"runId":7,"source":"private"}"#),
        Some("\"private\""),
        Some(r#"{"kind":"private","runId":"7","source":"private"}"#),
    ] {
        let world = World::new(true);
        assert_eq!(block_on(world.app.deliver(body.map(str::to_owned))), Delivery::Acknowledge, "{body:?}");
        let line = only_line(&world);
        assert_eq!([&line["event"], &line["outcome"]], ["message", "message-unreadable"], "{body:?}");
        assert_eq!(line["run_id"], json!(null));
        assert!(!world.log_text().contains("private"));
    }
}

#[test]
fn a_message_drives_its_run_on_whether_it_says_its_kind_or_not() {
    for kind in [json!({}), json!({"kind": "run"})] {
        let (world, _) = embedded_world(&[100]);
        let run = act(&world, &json!({"action": "migrate", "background": true}));
        let mut message = kind;
        message["runId"] = run["runId"].clone();
        message["source"] = json!("embedded");
        assert_eq!(block_on(world.app.deliver(Some(message.to_string()))), Delivery::Acknowledge);
        assert_eq!(act(&world, &json!({"action": "status"}))["state"], "completed", "{message}");
    }
}

#[test]
fn cron_takes_up_the_run_of_a_message_that_nobody_can_read() {
    let (world, _) = embedded_world(&[100]);
    let run = act(&world, &json!({"action": "migrate", "background": true}));
    let message = json!({"kind": "another", "runId": run["runId"], "source": "embedded"});
    assert_eq!(block_on(world.app.deliver(Some(message.to_string()))), Delivery::Acknowledge);
    assert_eq!(act(&world, &json!({"action": "status"}))["state"], "running");
    block_on(world.app.tick());
    assert_eq!(act(&world, &json!({"action": "status"}))["state"], "completed");
}

fn only_line(world: &World) -> Value {
    let lines = world.log();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines[0].clone()
}
