//! What models are asked about pictures, and what their answers make.

use std::rc::Rc;

use serde_json::{Value, json};
use stillstore::generate::{ApiKey, BaseUrl, GenerateError};
use stillstore::http::{AiError, AiOutput, HttpResponse};
use stillstore::image::Format;
use stillstore::vision::openai::{OpenAiVision, OpenAiVisionSettings, default_model};
use stillstore::vision::workers_ai::{self, WorkersAiVision};
use stillstore::vision::{Look, Picture, Vision};

use crate::generate_fakes::{JumpingClock, SECRET_KEY, ScriptedAi, ScriptedHttp, TIMEOUT_MS, base64, now, with_memory};
use crate::image_fixtures;

fn pictures() -> Vec<Picture> {
    let of = |name: &str, format| Picture { bytes: image_fixtures::bytes(name).into(), format };
    vec![of("baseline.jpg", Format::Jpeg), of("rgb.png", Format::Png)]
}

fn found() -> String {
    json!({
        "summary": "Two drawings.",
        "images": [{"index": 1, "text": "A disc.", "tags": ["disc", "gradient"]}, {"index": 2, "text": "Another."}]
    })
    .to_string()
}

fn openai(status: u16, body: &Value) -> (Result<Look, GenerateError>, Rc<ScriptedHttp>) {
    let clock = JumpingClock::new();
    let response = HttpResponse { status, headers: Vec::new(), body: body.to_string().into_bytes() };
    let http = Rc::new(ScriptedHttp::new(clock.clone(), [Ok(response)]));
    let settings = OpenAiVisionSettings {
        base_url: BaseUrl::parse("https://api.example.com/v1/").unwrap(),
        api_key: Some(ApiKey::parse(SECRET_KEY).unwrap()),
        model: default_model(),
        timeout_ms: TIMEOUT_MS,
    };
    let vision = OpenAiVision::new(settings, http.clone(), clock);
    (with_memory(|memory| now(vision.look(pictures(), None, memory))), http)
}

fn chat(message: &Value) -> Value {
    json!({"id": "c", "object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]})
}

fn assert_found(look: &Look) {
    assert_eq!(look.summary.as_deref(), Some("Two drawings."));
    let texts: Vec<_> = look.pictures.iter().map(|picture| picture.text.as_deref().unwrap_or_default()).collect();
    assert_eq!(texts, ["A disc.", "Another."]);
    assert_eq!(look.pictures[0].tags, ["disc", "gradient"]);
}

#[test]
fn a_server_gets_the_pictures_as_parts_and_its_json_is_read() {
    let (look, http) = openai(200, &chat(&json!({"role": "assistant", "content": found()})));
    assert_found(&look.unwrap());
    let requests = http.requests.borrow();
    assert_eq!(requests[0].url, "https://api.example.com/v1/chat/completions");
    let authorization = requests[0].headers.iter().find(|(name, _)| *name == "authorization").unwrap();
    assert_eq!(authorization.1, format!("Bearer {SECRET_KEY}"));
    let body: Value = serde_json::from_slice(&requests[0].body).unwrap();
    assert_eq!(body["model"], "gpt-4.1-mini");
    let content = &body["messages"][1]["content"];
    let url = format!("data:image/jpeg;base64,{}", base64(&image_fixtures::bytes("baseline.jpg")));
    assert_eq!(content[1], json!({"type": "image_url", "image_url": {"url": url}}));
}

#[test]
fn refusals_failures_and_other_shapes_are_told_apart() {
    for (status, body, expected) in [
        (200, chat(&json!({"content": null, "refusal": "no"})), GenerateError::Moderation),
        (200, chat(&json!({"content": null})), GenerateError::EmptyAnswer),
        (200, json!({"choices": []}), GenerateError::EmptyAnswer),
        (200, json!({"error": "x"}), GenerateError::UnreadableAnswer),
        (200, chat(&json!({"content": "a fox"})), GenerateError::UnreadableAnswer),
        (503, json!({}), GenerateError::Unavailable { status: Some(503) }),
    ] {
        assert_eq!(openai(status, &body).0, Err(expected), "{body}");
    }
    let filtered = json!({"choices": [{"message": {"content": "{}"}, "finish_reason": "content_filter"}]});
    assert_eq!(openai(200, &filtered).0, Err(GenerateError::Moderation));
}

#[test]
fn workers_ai_answers_with_text_an_object_or_a_completion() {
    let look = |answer: Result<AiOutput, AiError>| {
        let binding = Rc::new(ScriptedAi::answering(answer));
        let model = workers_ai::default_model();
        let vision = WorkersAiVision { model, binding: binding.clone(), timeout_ms: TIMEOUT_MS };
        (with_memory(|memory| now(vision.look(pictures(), None, memory))), binding)
    };
    let json_answer = |answer: Value| Ok(AiOutput::Json(answer.to_string().into_bytes().into()));
    let as_object: Value = serde_json::from_str(&found()).unwrap();
    for answer in [json!({"response": found()}), json!({"response": as_object}), chat(&json!({"content": found()}))] {
        let (found, binding) = look(json_answer(answer));
        assert_found(&found.unwrap());
        let calls = binding.calls.borrow();
        assert_eq!(
            (calls[0].0.as_str(), calls[0].2.timeout_ms),
            ("@cf/meta/llama-4-scout-17b-16e-instruct", TIMEOUT_MS)
        );
        let input: Value = serde_json::from_str(&calls[0].1).unwrap();
        assert_eq!((&input["model"], input["messages"][1]["content"].as_array().unwrap().len()), (&Value::Null, 4));
    }
    for (answer, expected) in [
        (Err(AiError::Failed { code: Some(3040) }), GenerateError::RateLimited { retry_after_ms: None }),
        (
            Err(AiError::Failed { code: Some(5006) }),
            GenerateError::RequestRefused { status: 400, problem: stillstore::generate::Problem::default() },
        ),
        (json_answer(json!({"result": 1})), GenerateError::UnreadableAnswer),
        (Ok(AiOutput::Binary(b"{}".to_vec().into())), GenerateError::UnreadableAnswer),
    ] {
        assert_eq!(look(answer).0, Err(expected));
    }
}
