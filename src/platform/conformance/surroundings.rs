//! Clock, randomness, timers, digests, variables.

use std::rc::Rc;

use super::super::environment::Environment;
use super::super::runtime::WorkerRuntime;
use super::case::{Case, cases, expect};
use crate::bytes::Blob;
use crate::image::Sha256Digest;
use crate::platform::foreign::JsBytes;
use crate::queue::{Message, RunQueue};
use crate::runtime::{Runtime, within};
use crate::store::conformance::Outcome;

pub(super) const CASES: &[Case] = cases![
    time_passes_while_sleeping,
    a_deadline_ends_a_wait,
    random_bytes_differ,
    digests_are_right_wherever_the_bytes_are,
    variables_are_found_by_name,
    messages_are_taken_by_the_queue,
];

async fn time_passes_while_sleeping(_: Rc<Environment>) -> Outcome {
    let before = WorkerRuntime.now();
    WorkerRuntime.sleep(20).await;
    let passed_ms = WorkerRuntime.now().millis_since(before);
    expect(passed_ms >= 20, format!("{passed_ms} ms passed"))
}

async fn a_deadline_ends_a_wait(_: Rc<Environment>) -> Outcome {
    let runtime: Rc<dyn Runtime> = Rc::new(WorkerRuntime);
    let late = within(&runtime, 10, WorkerRuntime.sleep(u64::MAX)).await;
    expect(late.is_err(), "the deadline comes first")?;
    let early = within(&runtime, u64::MAX, WorkerRuntime.sleep(10)).await;
    expect(early.is_ok(), "the work comes first")
}

async fn random_bytes_differ(_: Rc<Environment>) -> Outcome {
    expect(WorkerRuntime.random_bytes() != WorkerRuntime.random_bytes(), "two draws differ")
}

async fn digests_are_right_wherever_the_bytes_are(_: Rc<Environment>) -> Outcome {
    for size_bytes in [0, 1, 4_095, 4_096, 4_097, 1_000_000] {
        let bytes: Vec<u8> = (0..=250).cycle().take(size_bytes).collect();
        let expected = Sha256Digest::of(&bytes);
        let foreign = JsBytes::blob(js_sys::Uint8Array::from(bytes.as_slice()));
        expect(WorkerRuntime.sha256(&foreign).await == expected, format!("{size_bytes} bytes in JS"))?;
        let part = JsBytes::blob(js_sys::Uint8Array::from([&[1], bytes.as_slice(), &[2]].concat().as_slice()));
        expect(WorkerRuntime.sha256(&part.slice(1..1 + size_bytes)).await == expected, "a part of an array")?;
        expect(WorkerRuntime.sha256(&Blob::from(bytes)).await == expected, format!("{size_bytes} bytes in wasm"))?;
    }
    Ok(())
}

async fn variables_are_found_by_name(environment: Rc<Environment>) -> Outcome {
    expect(environment.lookup("CONFORMANCE_TEXT").as_deref() == Some("täxt"), "a text")?;
    expect(environment.lookup("CONFORMANCE_FLAG").as_deref() == Some("true"), "a boolean of wrangler.toml")?;
    expect(environment.lookup("CONFORMANCE_NUMBER").as_deref() == Some("12"), "a number of wrangler.toml")?;
    expect(environment.lookup("DB").is_none() && environment.lookup("NO_SUCH").is_none(), "nothing else")
}

async fn messages_are_taken_by_the_queue(environment: Rc<Environment>) -> Outcome {
    let queue = environment.runs.clone().ok_or("the binding MIGRATIONS is missing")?;
    queue.send(&Message::Run { run_id: "conformance".to_owned(), source: "embedded".to_owned() }).await
}
