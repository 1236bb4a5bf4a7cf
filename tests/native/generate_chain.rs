//! The chain: who is tried, who is not, and what is said of it.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;
use stillstore::generate::placeholder::Placeholder;
use stillstore::generate::{
    AllFailed, Background, Chain, Field, GenerateError, GenerateRequest, GeneratedImage, Generation, Generator,
    ImageFile, Output, OutputFormat, Problem, ProviderName, Quality, Style, Unconfigured,
};
use stillstore::image::FailedProvider;
use stillstore::image::{Dimensions, Format};
use stillstore::library::GenerationShare;

use crate::generate_fakes::{JumpingClock, SECRET_PROMPT, now, request, with_memory};
use crate::image_fixtures;

struct Scripted {
    name: &'static str,
    /// `None` never answers.
    answer: Option<Result<GeneratedImage, GenerateError>>,
    calls: Rc<Cell<u32>>,
}

#[async_trait(?Send)]
impl Generator for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    async fn generate(
        &self,
        _request: &GenerateRequest,
        _memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError> {
        self.calls.set(self.calls.get() + 1);
        match &self.answer {
            Some(answer) => answer.clone(),
            None => std::future::pending().await,
        }
    }
}

fn image() -> GeneratedImage {
    GeneratedImage {
        model: Some("model-1".to_owned()),
        revised_prompt: Some(format!("{SECRET_PROMPT}, in oil")),
        total_tokens: Some(1056),
        original_url: Some("https://cdn.example.com/a.png?signature=s3cr3t".to_owned()),
        ..GeneratedImage::new(ImageFile::inspect(image_fixtures::bytes("rgb.png")).expect("image"))
    }
}

fn scripted(name: &'static str, answer: Option<Result<GeneratedImage, GenerateError>>) -> Box<dyn Generator> {
    Box::new(Scripted { name, answer, calls: Rc::default() })
}

fn failing(name: &'static str, error: GenerateError) -> Box<dyn Generator> {
    scripted(name, Some(Err(error)))
}

fn making(name: &'static str) -> Box<dyn Generator> {
    scripted(name, Some(Ok(image())))
}

fn chain(providers: Vec<Box<dyn Generator>>) -> Chain {
    Chain::new(providers, 5000, JumpingClock::new())
}

fn generated(chain: &Chain, request: &GenerateRequest) -> Result<Generation, AllFailed> {
    with_memory(|memory| now(chain.generate(request, memory)))
}

fn failed(provider: &str, reason: &str) -> FailedProvider {
    FailedProvider { provider: provider.to_owned(), reason: reason.to_owned() }
}

/// Every kind of failure, its reason, and whether another provider is tried after it.
const FAILURES: [(GenerateError, &str, bool); 17] = [
    (GenerateError::Timeout, "provider-timeout", true),
    (GenerateError::Unavailable { status: Some(503) }, "provider-unavailable", true),
    (GenerateError::RateLimited { retry_after_ms: None }, "provider-rate-limited", true),
    (GenerateError::QuotaExhausted, "provider-quota-exhausted", true),
    (GenerateError::Unauthorized { status: 401 }, "provider-unauthorized", true),
    (GenerateError::ModelNotFound, "provider-model-not-found", true),
    (GenerateError::Moderation, "moderation-refused", false),
    (GenerateError::PromptRefused, "prompt-refused", false),
    (GenerateError::PromptTooLong { limit_characters: Some(1000) }, "prompt-too-long", true),
    (GenerateError::Unsupported { field: Field::Background }, "field-unsupported", true),
    (
        GenerateError::RequestRefused { status: 400, problem: Problem { code: None, parameter: Some("size") } },
        "provider-refused-request",
        true,
    ),
    (GenerateError::EmptyAnswer, "provider-empty-answer", true),
    (GenerateError::UnreadableAnswer, "provider-unreadable-answer", true),
    (GenerateError::NotAnImage, "provider-not-an-image", true),
    (GenerateError::Truncated, "provider-truncated-image", true),
    (GenerateError::TooLarge { limit_bytes: 9 }, "provider-image-too-large", true),
    (GenerateError::Misconfigured("OPENAI_API_KEY is missing"), "provider-misconfigured", true),
];

#[test]
fn the_first_provider_that_answers_makes_the_picture() {
    let calls = Rc::new(Cell::new(0));
    let second = Scripted { name: "second", answer: Some(Ok(image())), calls: calls.clone() };
    let generation = generated(&chain(vec![making("first"), Box::new(second)]), &request("a cat")).expect("made");
    assert_eq!((generation.provider, generation.is_fallback(), calls.get()), ("first", false, 0));
    assert_eq!(generation.image, image());
}

#[test]
fn another_is_tried_for_what_another_could_cure_and_for_nothing_else() {
    for (error, reason, another_is_tried) in FAILURES {
        assert_eq!((error.reason(), error.another_could_help()), (reason, another_is_tried));
        let result = generated(&chain(vec![failing("first", error), making("second")]), &request("a cat"));
        if another_is_tried {
            let generation = result.expect("made");
            assert_eq!((generation.provider, generation.is_fallback()), ("second", true), "{error:?}");
            assert_eq!(generation.failed_providers, [failed("first", reason)]);
        } else {
            let failure = result.expect_err("refused");
            assert_eq!((failure.error, failure.provider), (error, "first"));
            assert_eq!(failure.failed_providers, [failed("first", reason)]);
        }
    }
}

#[test]
fn reasons_are_kebab_case_and_tell_the_kinds_apart() {
    let mut reasons: Vec<_> = FAILURES.iter().map(|(error, ..)| error.reason()).collect();
    assert!(reasons.iter().all(|reason| reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), FAILURES.len());
}

#[test]
fn a_provider_that_never_answers_is_given_up() {
    let clock = JumpingClock::new();
    let chain = Chain::new(vec![scripted("stuck", None), making("second")], 5000, clock.clone());
    let generation = generated(&chain, &request("a cat")).expect("made");
    assert_eq!(generation.failed_providers, [failed("stuck", "provider-timeout")]);
    assert_eq!(*clock.slept_ms.borrow(), [5000]);
}

#[test]
fn when_all_fail_the_answer_is_what_a_caller_can_act_on() {
    let wait = GenerateError::RateLimited { retry_after_ms: Some(9000) };
    let busy = GenerateError::Unavailable { status: Some(503) };
    let unconfigured = GenerateError::Misconfigured("no key");
    let unsupported = GenerateError::Unsupported { field: Field::Background };
    for (errors, expected) in [
        (vec![unconfigured, wait, busy], (wait, "1")),
        (vec![busy, GenerateError::Timeout], (busy, "0")),
        (vec![unconfigured, GenerateError::NotAnImage, busy], (busy, "2")),
        (vec![wait, GenerateError::Moderation], (GenerateError::Moderation, "1")),
        // Some configured provider has it.
        (vec![unsupported, busy], (busy, "1")),
        (vec![unsupported, GenerateError::NotAnImage], (GenerateError::NotAnImage, "1")),
        (vec![unconfigured, unsupported], (unsupported, "1")),
        (vec![unsupported, GenerateError::Unsupported { field: Field::OutputFormat }], (unsupported, "0")),
        (vec![unconfigured, unconfigured], (unconfigured, "0")),
    ] {
        let names = ["0", "1", "2"];
        let providers = errors.iter().zip(names).map(|(error, name)| failing(name, *error)).collect();
        let failure = generated(&chain(providers), &request("a cat")).expect_err("none left");
        assert_eq!((failure.error, failure.provider), expected);
        assert_eq!(failure.failed_providers.len(), errors.len());
    }
}

#[test]
fn a_chain_of_none_is_a_matter_of_configuration() {
    let failure = generated(&chain(Vec::new()), &request("a cat")).expect_err("none");
    assert_eq!(failure.error.reason(), "provider-misconfigured");
}

#[test]
fn the_built_in_provider_stands_in_for_one_without_settings() {
    let unconfigured = Unconfigured { provider: ProviderName::OpenAi, problem: "OPENAI_API_KEY is missing" };
    let chain = chain(vec![Box::new(unconfigured), Box::new(Placeholder)]);
    assert_eq!(chain.names().collect::<Vec<_>>(), ["openai", "placeholder"]);
    let generation = generated(&chain, &request("a cat")).expect("made");
    assert_eq!((generation.provider, generation.is_fallback()), ("placeholder", true));
    assert_eq!(generation.failed_providers, [failed("openai", "provider-misconfigured")]);
    let file = &generation.image.file;
    assert_eq!((file.format(), file.geometry()), (Format::Png, Some(Dimensions { width: 1024, height: 1024 }.into())));
}

#[test]
fn the_record_says_what_was_asked_and_what_came() {
    let providers = vec![failing("openai", GenerateError::Timeout), making("workers-ai")];
    let output = Output::new(Some(Background::Opaque), Some(OutputFormat::Jpeg), Some(80)).expect("an output");
    let request =
        GenerateRequest { quality: Some(Quality::Hd), style: Some(Style::Vivid), output, ..request(SECRET_PROMPT) };
    let record = generated(&chain(providers), &request).expect("made").record(&request);
    assert_eq!(
        serde_json::to_value(record).expect("json"),
        serde_json::json!({
            "provider": "workers-ai",
            "model": "model-1",
            "prompt": SECRET_PROMPT,
            "size": "1024x1024",
            "quality": "hd",
            "style": "vivid",
            "background": "opaque",
            "output_format": "jpeg",
            "output_compression": 80,
            "revised_prompt": format!("{SECRET_PROMPT}, in oil"),
            "total_tokens": 1056,
            "failed_providers": [{"provider": "openai", "reason": "provider-timeout"}],
            "original_url": "https://cdn.example.com/a.png?signature=s3cr3t",
        })
    );
}

#[test]
fn what_may_be_logged_has_no_prompt_and_no_signed_url() {
    let request = request(SECRET_PROMPT);
    let generation = generated(&chain(vec![making("first")]), &request).expect("made");
    let failure = generated(&chain(vec![failing("first", GenerateError::Moderation)]), &request).expect_err("refused");
    let logged = format!("{request:?} {generation:?} {failure:?} {failure} {:?}", generation.image.file);
    for secret in ["Marguerite", "Lilas", "s3cr3t"] {
        assert!(!logged.contains(secret), "{logged}");
    }
}

#[test]
fn image_files_are_looked_at() {
    let whole = image_fixtures::bytes("rgb.png");
    let cut = whole[..whole.len() - 30].to_vec();
    assert_eq!(ImageFile::inspect(Vec::new()), Err(GenerateError::EmptyAnswer));
    assert_eq!(ImageFile::inspect(cut), Err(GenerateError::Truncated));
    assert_eq!(ImageFile::inspect(b"<html>busy</html>".to_vec()), Err(GenerateError::NotAnImage));
    let mut huge = whole.clone();
    huge.resize(20 * 1024 * 1024 + 1, 0);
    assert_eq!(ImageFile::inspect(huge), Err(GenerateError::TooLarge { limit_bytes: 20 * 1024 * 1024 }));
    assert_eq!(ImageFile::inspect(whole.clone()).expect("image").into_bytes(), whole);
}
