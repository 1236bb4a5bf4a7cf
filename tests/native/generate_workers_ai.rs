//! Models of Workers AI: what they are asked, and what their answers mean.

use std::rc::Rc;

use serde_json::{Value, json};
use stillstore::generate::workers_ai::{WorkersAi, WorkersAiSettings};
use stillstore::generate::{
    Background, Field, GenerateError, GenerateRequest, GeneratedImage, Generator, ModelName, Output, OutputFormat,
    Problem, Quality, Size,
};
use stillstore::http::{AiError, AiOutput};
use stillstore::image::Format;

use crate::generate_fakes::{SECRET_PROMPT, ScriptedAi, base64, now, request, with_memory};
use crate::image_fixtures;

const FLUX_1: &str = "@cf/black-forest-labs/flux-1-schnell";
const SDXL: &str = "@cf/stabilityai/stable-diffusion-xl-base-1.0";

fn picture() -> Vec<u8> {
    image_fixtures::bytes("baseline.jpg")
}

fn run(
    model: &str,
    request: &GenerateRequest,
    answer: Result<AiOutput, AiError>,
) -> (Result<GeneratedImage, GenerateError>, Rc<ScriptedAi>) {
    let binding = Rc::new(ScriptedAi::answering(answer));
    let settings = WorkersAiSettings { model: ModelName::parse(model).expect("model"), timeout_ms: 30_000 };
    let provider = WorkersAi::new(settings, binding.clone());
    (with_memory(|memory| now(provider.generate(request, memory))), binding)
}

/// The input that `model` gets for `request`.
fn input(model: &str, request: &GenerateRequest) -> Value {
    let (result, binding) = run(model, request, Ok(AiOutput::Binary(picture().into())));
    result.expect("made");
    let calls = binding.calls.borrow();
    let (called, input_json, limits) = calls.first().expect("a call");
    assert_eq!((called.as_str(), limits.timeout_ms, limits.max_response_bytes), (model, 30_000, 28_027_564));
    serde_json::from_str(input_json).expect("json")
}

fn outcome(answer: Result<AiOutput, AiError>) -> Result<Vec<u8>, GenerateError> {
    run(FLUX_1, &request(SECRET_PROMPT), answer).0.map(|image| image.file.into_bytes())
}

#[test]
fn flux_1_takes_steps_and_no_size() {
    let standard = GenerateRequest { size: Size::Landscape1792, ..request("a cat") };
    assert_eq!(input(FLUX_1, &standard), json!({"prompt": "a cat"}));
    for quality in [Quality::Hd, Quality::High] {
        let best = GenerateRequest { quality: Some(quality), ..request("a cat") };
        assert_eq!(input(FLUX_1, &best), json!({"prompt": "a cat", "steps": 8}));
    }
}

#[test]
fn flux_1_takes_prompts_of_2048_characters() {
    let (result, binding) = run(FLUX_1, &request(&"x".repeat(2049)), Ok(AiOutput::Binary(picture().into())));
    assert_eq!(result, Err(GenerateError::PromptTooLong { limit_characters: Some(2048) }));
    assert!(binding.calls.borrow().is_empty());
    input(FLUX_1, &request(&"x".repeat(2048)));
}

#[test]
fn models_with_sizes_get_width_and_height() {
    for model in [SDXL, "@cf/bytedance/stable-diffusion-xl-lightning", "@cf/leonardo/lucid-origin"] {
        let wide = GenerateRequest { size: Size::Landscape1792, quality: Some(Quality::Hd), ..request("a cat") };
        assert_eq!(input(model, &wide), json!({"prompt": "a cat", "width": 1792, "height": 1024}));
        let auto = GenerateRequest { size: Size::Auto, ..request("a cat") };
        assert_eq!(input(model, &auto), json!({"prompt": "a cat"}));
    }
    for dimensions in Size::FIXED.iter().filter_map(|size| size.dimensions()) {
        for side in [dimensions.width, dimensions.height] {
            assert!((256..=2048).contains(&side) && side % 8 == 0, "{side} is no side that models take");
        }
    }
}

#[test]
fn sizes_that_are_too_long_for_the_models_keep_their_shape() {
    for (asked, width, height) in [
        ("3840x2160", 2048, 1152),
        ("2160x3840", 1152, 2048),
        ("3840x1280", 2048, 680),
        ("2880x2880", 2048, 2048),
        ("2048x1152", 2048, 1152),
        ("1408x480", 1408, 480),
    ] {
        let size = Size::parse(asked).expect(asked);
        let sent = input(SDXL, &GenerateRequest { size, ..request("a cat") });
        assert_eq!(sent, json!({"prompt": "a cat", "width": width, "height": height}), "{asked}");
        assert_eq!(input(FLUX_1, &GenerateRequest { size, ..request("a cat") }), json!({"prompt": "a cat"}));
    }
}

#[test]
fn what_no_model_has_is_refused_before_one_is_called() {
    let transparent = Output::new(Some(Background::Transparent), None, None).expect("an output");
    let jpeg = Output::new(None, Some(OutputFormat::Jpeg), Some(50)).expect("an output");
    for (output, field) in [(transparent, Field::Background), (jpeg, Field::OutputFormat)] {
        for model in [FLUX_1, SDXL, "@cf/someone/something-new"] {
            let asked = GenerateRequest { output, ..request("a cat") };
            let (result, binding) = run(model, &asked, Ok(AiOutput::Binary(picture().into())));
            assert_eq!(result, Err(GenerateError::Unsupported { field }));
            assert!(binding.calls.borrow().is_empty());
        }
    }
}

#[test]
fn an_input_that_is_refused_with_a_long_prompt_is_too_long() {
    let refused = |characters: usize, code| {
        let error = AiError::Failed { code: Some(code) };
        run(SDXL, &request(&"x".repeat(characters)), Err(error)).0.expect_err("refused")
    };
    for code in [3003, 5004, 5006] {
        assert_eq!(refused(2049, code), GenerateError::PromptTooLong { limit_characters: None });
        assert_eq!(refused(2048, code).reason(), "provider-refused-request");
    }
}

#[test]
fn unknown_models_get_the_prompt() {
    assert_eq!(input("@cf/someone/something-new", &request("a cat")), json!({"prompt": "a cat"}));
}

#[test]
fn models_that_take_forms_are_refused_before_they_are_called() {
    let (result, binding) =
        run("@cf/black-forest-labs/flux-2-dev", &request("a cat"), Ok(AiOutput::Binary(picture().into())));
    assert_eq!(result.expect_err("refused").reason(), "provider-misconfigured");
    assert!(binding.calls.borrow().is_empty());
}

#[test]
fn json_and_binary_answers_are_images() {
    let encoded = base64(&picture());
    for answer in [
        AiOutput::Binary(picture().into()),
        AiOutput::Json(json!({"image": encoded}).to_string().into_bytes().into()),
        AiOutput::Json(
            json!({"result": {"image": encoded}, "success": true, "errors": []}).to_string().into_bytes().into(),
        ),
    ] {
        let (result, _) = run(FLUX_1, &request("a cat"), Ok(answer));
        let image = result.expect("made");
        assert_eq!((image.file.bytes(), image.file.format()), (&picture()[..], Format::Jpeg));
        assert_eq!(image.model.as_deref(), Some(FLUX_1));
    }
}

#[test]
fn bad_answers_are_told_apart() {
    let json = |body: &str| outcome(Ok(AiOutput::Json(body.as_bytes().to_vec().into()))).expect_err("bad");
    for body in ["", "{}", r#"{"image":""}"#, r#"{"image":null}"#, r#"{"image":5}"#, r#"{"result":{}}"#] {
        assert_eq!(json(body), GenerateError::EmptyAnswer, "{body}");
    }
    assert_eq!(json(r#"{"image":"AAAA"#), GenerateError::Truncated);
    assert_eq!(json("busy"), GenerateError::UnreadableAnswer);
    assert_eq!(json(r#"{"image":"https://example.com/"}"#), GenerateError::UnreadableAnswer);
    assert_eq!(json(r#"{"image":"AAAA"}"#), GenerateError::NotAnImage);
    let binary = |bytes: &[u8]| outcome(Ok(AiOutput::Binary(bytes.to_vec().into()))).expect_err("bad");
    assert_eq!(binary(b""), GenerateError::EmptyAnswer);
    assert_eq!(binary(b"not an image"), GenerateError::NotAnImage);
    assert_eq!(binary(&picture()[..picture().len() / 2]), GenerateError::Truncated);
}

#[test]
fn errors_are_told_by_code() {
    let refused = |status| GenerateError::RequestRefused { status, problem: Problem::default() };
    let unavailable = GenerateError::Unavailable { status: None };
    for (error, expected) in [
        (AiError::Timeout, GenerateError::Timeout),
        (AiError::Interrupted, unavailable),
        (AiError::ResponseTooLarge { limit_bytes: 7 }, GenerateError::TooLarge { limit_bytes: 7 }),
        (AiError::Failed { code: None }, unavailable),
        (AiError::Failed { code: Some(9999) }, unavailable),
        (AiError::Failed { code: Some(3030) }, GenerateError::Moderation),
        (AiError::Failed { code: Some(3036) }, GenerateError::QuotaExhausted),
        (AiError::Failed { code: Some(3040) }, GenerateError::RateLimited { retry_after_ms: None }),
        (AiError::Failed { code: Some(3007) }, GenerateError::Timeout),
        (AiError::Failed { code: Some(5007) }, GenerateError::ModelNotFound),
        (AiError::Failed { code: Some(5018) }, GenerateError::Unauthorized { status: 403 }),
        (AiError::Failed { code: Some(5006) }, refused(400)),
        (AiError::Failed { code: Some(5019) }, refused(405)),
        (AiError::Failed { code: Some(3006) }, GenerateError::PromptTooLong { limit_characters: None }),
    ] {
        assert_eq!(outcome(Err(error)), Err(expected), "{error:?}");
    }
}
