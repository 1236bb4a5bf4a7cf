//! `POST /api/generate-image`.

use futures::FutureExt;
use serde_json::{Value, json};
use stillstore::api::Request;
use stillstore::generate::{Background, Field, GenerateError, OutputFormat};
use stillstore::library::MemoryBudget;
use stillstore::sql::Fault;
use stillstore::store::StoreCall;

use super::world::{PNG, TOKEN, World};
use crate::runtime::poll_until_stalled;

fn post(world: &World, body: &Value) -> super::world::Answer {
    world.post_json("/api/generate-image", body, &[])
}

#[test]
fn an_image_is_made_stored_and_readable_in_both_modes() {
    for (r2_enabled, storage) in [(true, "r2"), (false, "d1")] {
        let world = World::new(r2_enabled);
        let answer = post(
            &world,
            &json!({
                "prompt": "a lighthouse", "personaId": "p1", "sessionId": "s1", "participantId": "a1", "tableId": "t1",
                "size": "512x512", "quality": "hd", "style": "vivid"
            }),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        assert_eq!(body["success"], true);
        assert_eq!(body["storage"]["type"], storage);
        let key = body["image"]["key"].as_str().unwrap();
        assert!(key.starts_with("generated/2027/01/") && key.split('.').next_back() == Some("png"), "{key}");
        assert_eq!(body["storage"]["r2Key"], if r2_enabled { json!(key) } else { Value::Null });
        assert_eq!(body["generation"]["provider"], "placeholder");
        assert_eq!(body["generation"]["prompt"], "a lighthouse");
        assert_eq!((&body["generation"]["size"], &body["generation"]["quality"]), (&json!("512x512"), &json!("hd")));
        assert_eq!(body["generation"]["metadata"]["style"], "vivid");
        assert_eq!((&body["fallback"], &body["fallbackReason"]), (&json!(false), &Value::Null));
        assert_eq!((&body["image"]["personaId"], &body["image"]["tableId"]), (&json!("p1"), &json!("t1")));
        assert_eq!(body["originalUrl"], body["imageUrl"]);

        let path = body["imageUrl"].as_str().unwrap().strip_prefix("https://images.example").unwrap();
        assert_eq!(world.send("GET", path, &[], None).body, PNG);
        world.assert_invariants();
        world.assert_swept();
    }
}

#[test]
fn it_costs_one_put_and_two_database_calls() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        world.generate(&[]);
        let bucket_calls: Vec<_> = world.bucket.plan.calls().into_iter().map(|call| call.kind).collect();
        assert_eq!(bucket_calls, if r2_enabled { vec![StoreCall::Put] } else { vec![] });
        assert_eq!(world.database.plan.calls().len(), 2, "r2 {r2_enabled}");
        let world = World::new(r2_enabled);
        world.generate(&[("idempotency-key", "k")]);
        assert_eq!(world.database.plan.calls().len(), 3, "r2 {r2_enabled}");
    }
}

#[test]
fn the_object_carries_its_origin_and_no_prompt() {
    let vars = [("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN)];
    for (prompt_stored, vars) in
        [(false, vars.to_vec()), (true, [&vars[..], &[("STORE_PROMPT_METADATA", "true")]].concat())]
    {
        let world = World::with_vars(&vars);
        let body = post(&world, &json!({"prompt": "a secret garden", "personaId": "p1", "sessionId": "s1"})).json();
        let metadata = world.metadata(body["image"]["key"].as_str().unwrap());
        assert_eq!(metadata["persona-id"], "p1");
        assert_eq!(metadata["session-id"], "s1");
        assert_eq!(metadata["provider"], "placeholder");
        assert_eq!(metadata["image-id"], body["image"]["id"].as_str().unwrap());
        assert!(metadata["generated-at"].ends_with('Z') && metadata["prompt-sha256"].len() == 64);
        assert_eq!(metadata.contains_key("prompt"), prompt_stored);
        assert!(!world.log_text().contains("secret garden"), "prompts stay out of the log");
    }
}

#[test]
fn bad_fields_are_named_with_their_rule_and_nothing_is_made() {
    let world = World::new(true);
    let long = "x".repeat(32_001);
    for (field, body) in [
        ("prompt", json!({"personaId": "p1"})),
        ("prompt", json!({"prompt": null, "personaId": "p1"})),
        ("prompt", json!({"prompt": "  ", "personaId": "p1"})),
        ("prompt", json!({"prompt": 7, "personaId": "p1"})),
        ("prompt", json!({"prompt": long, "personaId": "p1"})),
        ("prompt", json!({"prompt": "a\u{0}b", "personaId": "p1"})),
        ("prompt", json!({"prompt": "a\u{1b}[31m", "personaId": "p1"})),
        ("personaId", json!({"prompt": "x"})),
        ("personaId", json!({"prompt": "x", "personaId": ["p"]})),
        ("personaId", json!({"prompt": "x", "personaId": " "})),
        ("personaId", json!({"prompt": "x", "personaId": "p".repeat(201)})),
        ("sessionId", json!({"prompt": "x", "personaId": "p", "sessionId": 1})),
        ("size", json!({"prompt": "x", "personaId": "p", "size": "1x1"})),
        ("size", json!({"prompt": "x", "personaId": "p", "size": 1024})),
        ("size", json!({"prompt": "x", "personaId": "p", "size": "1920x1080"})),
        ("size", json!({"prompt": "x", "personaId": "p", "size": "3840x2176"})),
        ("background", json!({"prompt": "x", "personaId": "p", "background": "green"})),
        ("background", json!({"prompt": "x", "personaId": "p", "background": "transparent", "outputFormat": "jpeg"})),
        ("outputFormat", json!({"prompt": "x", "personaId": "p", "outputFormat": "gif"})),
        ("outputFormat", json!({"prompt": "x", "personaId": "p", "outputFormat": 1})),
        ("outputCompression", json!({"prompt": "x", "personaId": "p", "outputCompression": 50})),
        ("outputCompression", json!({"prompt": "x", "personaId": "p", "outputFormat": "png", "outputCompression": 50})),
        (
            "outputCompression",
            json!({"prompt": "x", "personaId": "p", "outputFormat": "webp", "outputCompression": 101}),
        ),
        (
            "outputCompression",
            json!({"prompt": "x", "personaId": "p", "outputFormat": "webp", "outputCompression": -1}),
        ),
        (
            "outputCompression",
            json!({"prompt": "x", "personaId": "p", "outputFormat": "webp", "outputCompression": "50"}),
        ),
        ("n", json!({"prompt": "x", "personaId": "p", "n": 0})),
        ("n", json!({"prompt": "x", "personaId": "p", "n": 5})),
        ("n", json!({"prompt": "x", "personaId": "p", "n": 1.5})),
        ("n", json!({"prompt": "x", "personaId": "p", "n": "2"})),
        ("quality", json!({"prompt": "x", "personaId": "p", "quality": "best"})),
        ("style", json!({"prompt": "x", "personaId": "p", "style": "loud"})),
        ("visibility", json!({"prompt": "x", "personaId": "p", "visibility": "friends"})),
    ] {
        let answer = post(&world, &body);
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid-field"), "{body}");
        assert_eq!(answer.json()["field"], field, "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().starts_with(field), "{body}");
    }
    let answer = world.generate(&[("idempotency-key", "two words")]);
    assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some("Idempotency-Key")));
    assert_eq!(world.studio.calls.get(), 0);
    assert!(world.bucket.plan.calls().is_empty());
    assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
}

#[test]
fn bodies_that_are_not_json_objects_are_refused() {
    let world = World::new(true);
    let bearer = format!("Bearer {TOKEN}");
    let send = |content_type: &str, body: &[u8]| {
        let headers = [("authorization", bearer.as_str()), ("content-type", content_type)];
        let answer = world.send("POST", "/api/generate-image", &headers, Some(body.to_vec().into()));
        (answer.status, answer.code())
    };
    for (content_type, body, status, code) in [
        ("application/x-www-form-urlencoded", &b"{}"[..], 415, "unsupported-media-type"),
        ("text/plain", b"{}", 415, "unsupported-media-type"),
        ("application/json", b"", 400, "invalid-json"),
        ("application/json", b"[]", 400, "invalid-json"),
        ("application/json", b"{\"prompt\": ", 400, "invalid-json"),
        ("application/json", b"\xff\xfe", 400, "invalid-json"),
        ("application/json; charset=utf-8", b"{}", 400, "invalid-field"),
        ("Application/JSON", &vec![b' '; 393_217], 413, "body-too-large"),
    ] {
        assert_eq!(send(content_type, body), (status, code.to_owned()), "{content_type} {} bytes", body.len());
    }
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    assert_eq!(send("application/json", &deep[..199_000]).0, 400);
}

#[test]
fn the_longest_prompt_fits_however_it_is_written() {
    let world = World::new(true);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let fox = "\u{1f98a}";
    let id = "\\u0070".repeat(200);
    for written in [fox, r"\ud83e\udd8a"] {
        let body = |count: usize| {
            let prompt = written.repeat(count);
            format!(
                r#"{{"prompt": "{prompt}", "personaId": "{id}", "sessionId": "{id}", "participantId": "{id}", "tableId": "{id}"}}"#
            )
        };
        let send = |count| world.send("POST", "/api/generate-image", &headers, Some(body(count).into_bytes().into()));
        let answer = send(32_000);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json()["generation"]["prompt"], fox.repeat(32_000));
        let id = answer.json()["image"]["id"].as_str().unwrap().to_owned();
        let record = world.call("GET", &format!("/api/images/{id}"), None).json();
        assert_eq!(record["generation"]["prompt"], fox.repeat(32_000));
        let too_long = send(32_001);
        assert_eq!((too_long.status, too_long.json()["field"].as_str()), (400, Some("prompt")));
    }
}

#[test]
fn how_the_file_is_to_be_made_is_asked_for_and_remembered() {
    let world = World::new(true);
    let fields = json!({
        "prompt": "a fox", "personaId": "p1", "size": "2048x1152", "background": "opaque", "outputFormat": "webp", "outputCompression": 40
    });
    let made = post(&world, &fields).json();
    let asked = world.studio.requests.borrow().first().unwrap().clone();
    assert_eq!(
        (asked.size.text(), asked.output.background(), asked.output.format(), asked.output.compression()),
        ("2048x1152".into(), Some(Background::Opaque), Some(OutputFormat::Webp), Some(40))
    );
    let metadata = &made["generation"]["metadata"];
    assert_eq!(made["generation"]["size"], "2048x1152");
    assert_eq!(
        (&metadata["background"], &metadata["outputFormat"], &metadata["outputCompression"]),
        (&json!("opaque"), &json!("webp"), &json!(40))
    );
    // The format is what came, whatever was asked for.
    assert_eq!(made["image"]["content_type"], "image/png");
    let record = &made["image"]["generation"];
    assert_eq!((&record["output_format"], &record["output_compression"]), (&json!("webp"), &json!(40)));
}

#[test]
fn a_field_that_no_provider_has_is_named_with_the_way_out() {
    let world = World::new(true);
    world.studio.errors.borrow_mut().push(GenerateError::Unsupported { field: Field::OutputFormat });
    let answer = world.generate(&[]);
    let document = answer.json();
    assert_eq!((answer.status, document["field"].as_str()), (400, Some("outputFormat")));
    assert!(document["detail"].as_str().unwrap().starts_with("outputFormat asks for what no configured provider has"));
}

#[test]
fn the_same_key_makes_one_image() {
    for r2_enabled in [true, false] {
        let world = World::new(r2_enabled);
        let key = [("idempotency-key", "visit-1")];
        let first = world.generate(&key);
        let second = world.generate(&key);
        assert_eq!((first.status, second.status, world.studio.calls.get()), (200, 200, 1));
        assert_eq!(first.header("idempotency-replayed"), None);
        assert_eq!(second.header("idempotency-replayed"), Some("true"));
        assert_eq!(first.json(), second.json());

        let other = world.post_json("/api/generate-image", &json!({"prompt": "b", "personaId": "p1"}), &key);
        assert_eq!((other.status, other.code().as_str()), (422, "idempotency-key-reused"));

        let id = first.json()["image"]["id"].as_str().unwrap().to_owned();
        world.call("DELETE", &format!("/api/images/{id}"), None);
        let gone = world.generate(&key);
        assert_eq!((gone.status, gone.code().as_str()), (410, "image-deleted"));
    }
}

#[test]
fn a_failed_generation_gives_its_key_back() {
    let world = World::new(true);
    let key = [("idempotency-key", "visit-1")];
    world.studio.errors.borrow_mut().push(GenerateError::Timeout);
    assert_eq!(world.generate(&key).code(), "provider-timeout");
    assert_eq!(world.generate(&key).status, 200);
}

#[test]
fn a_generation_without_memory_is_503_and_no_provider_is_asked() {
    let world = World::new(true);
    let budget = &world.app.services.budget;
    let runtime = world.app.services.runtime.as_ref();
    let others: Vec<_> = std::iter::from_fn(|| budget.take_for_generation(0, 1_000, runtime)).collect();
    let key = [("idempotency-key", "visit-1")];
    let refused = world.generate(&key);
    assert_eq!((refused.status, refused.code().as_str(), refused.header("retry-after")), (503, "busy", Some("5")));
    assert_eq!(world.studio.calls.get(), 0);
    drop(others);
    assert_eq!(world.generate(&key).status, 200, "the key was given back");
}

#[test]
fn an_image_keeps_its_memory_until_it_is_stored() {
    let world = World::new(true);
    world.runtime.end_sleeps_up_to(0);
    world.bucket.plan.fail_nth(None::<StoreCall>, 1, Fault::HangBefore);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let body = br#"{"prompt": "a lighthouse", "personaId": "p1"}"#.to_vec().into();
    let request = Request::new("POST", "https://images.example/api/generate-image", headers, Some(body));
    let mut storing = Box::pin(world.app.handle(request));
    assert!(poll_until_stalled(storing.as_mut()).is_none() && world.bucket.plan.has_failed());
    let services = &world.app.services;
    let another = services.budget.take_for_generation(0, 1_000, services.runtime.as_ref()).expect("a place");
    assert!(another.hold_answer(MemoryBudget::MAX_ANSWER_BYTES).now_or_never().is_none());
    drop(storing);
    assert!(another.hold_answer(MemoryBudget::MAX_ANSWER_BYTES).now_or_never().is_some());
}

#[test]
fn a_key_in_work_is_409_with_a_time_to_wait() {
    let world = World::new(true);
    // The first request is killed while its put hangs; its claim stays.
    world.database.plan.fail_nth(None, 2, Fault::HangBefore);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "k")];
    let body = || Some(br#"{"prompt": "a lighthouse", "personaId": "p1"}"#.to_vec().into());
    assert!(world.send_until_crash("POST", "/api/generate-image", &headers, body()).is_none());
    let second = world.generate(&[("idempotency-key", "k")]);
    assert_eq!((second.status, second.code().as_str()), (409, "idempotency-in-progress"));
    assert!(second.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    world.runtime.advance(60 * 60 * 1000);
    assert_eq!(world.generate(&[("idempotency-key", "k")]).status, 200, "taken over when the lease has ended");
}

#[test]
fn a_later_provider_helps_out_and_says_why() {
    let vars = [
        ("ENABLE_R2_STORAGE", "true"),
        ("API_TOKEN", TOKEN),
        ("IMAGE_PROVIDER", "openai,placeholder"),
        ("OPENAI_API_KEY", "sk-test"),
    ];
    let world = World::with_vars(&vars);
    world.studio.errors.borrow_mut().push(GenerateError::Unavailable { status: Some(500) });
    let body = world.generate(&[]).json();
    assert_eq!((&body["fallback"], &body["generation"]["provider"]), (&json!(true), &json!("placeholder")));
    assert_eq!(body["fallbackReason"], "openai: provider-unavailable");
    assert_eq!(body["generation"]["fallbackReason"], "openai: provider-unavailable");

    world.studio.errors.borrow_mut().push(GenerateError::Moderation);
    let calls = world.studio.calls.get();
    let refused = world.generate(&[]);
    assert_eq!((refused.status, refused.code().as_str()), (422, "prompt-refused"));
    assert_eq!(world.studio.calls.get(), calls + 1, "a refusal is not tried elsewhere");
}

#[test]
fn each_failure_of_a_provider_has_its_code() {
    for (error, status, code) in [
        (GenerateError::Timeout, 504, "provider-timeout"),
        (GenerateError::Unavailable { status: None }, 502, "provider-unavailable"),
        (GenerateError::RateLimited { retry_after_ms: Some(7_500) }, 429, "provider-rate-limited"),
        (GenerateError::Unauthorized { status: 401 }, 502, "provider-rejected"),
        (GenerateError::QuotaExhausted, 502, "provider-rejected"),
        (GenerateError::EmptyAnswer, 502, "provider-answer-empty"),
        (GenerateError::NotAnImage, 502, "provider-image-invalid"),
        (GenerateError::Truncated, 502, "provider-image-invalid"),
        (GenerateError::PromptTooLong { limit_characters: Some(1000) }, 400, "invalid-field"),
        (GenerateError::PromptTooLong { limit_characters: None }, 400, "invalid-field"),
        (GenerateError::Unsupported { field: Field::Background }, 400, "invalid-field"),
        (GenerateError::Moderation, 422, "prompt-refused"),
    ] {
        let world = World::new(true);
        world.studio.errors.borrow_mut().push(error);
        let answer = world.generate(&[]);
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{error:?}");
        if code == "provider-rate-limited" {
            assert_eq!(answer.header("retry-after"), Some("8"));
        }
        assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
        assert!(world.bucket.inner.contents().is_empty());
    }
}

#[test]
fn r2_on_and_failing_falls_back_to_the_database() {
    for fault in Fault::ALL {
        let world = World::new(true);
        world.bucket.plan.fail_all(StoreCall::Put, fault);
        let answer = world.generate(&[]);
        let body = answer.json();
        assert_eq!((answer.status, &body["storage"]["type"]), (200, &json!("d1")), "{fault:?}");
        let reason = body["fallbackReason"].as_str().unwrap();
        assert!(["store-unavailable", "store-timeout"].contains(&reason), "{reason}");
        assert_eq!(body["storage"]["fallbackReason"], reason);
        assert_eq!(body["storage"]["r2Key"], Value::Null);
        assert!(world.log().iter().any(|line| line["event"] == "fallback" && line["reason"] == reason));
        assert!(
            String::from_utf8(world.call("GET", "/metrics", None).body).unwrap().contains("storage_fallbacks_total 1")
        );
        world.assert_invariants();
    }
}
