//! What an OpenAI-compatible server's errors mean, what is waited for, and what is never said.

#![allow(clippy::unnecessary_wraps, reason = "answers are scripted as the seam gives them")]

use serde_json::{Value, json};
use stillstore::generate::{
    Background, Field, GenerateError, GenerateRequest, GeneratedImage, Output, OutputFormat, Problem, Size,
};
use stillstore::http::{HttpError, HttpResponse};

use crate::generate_fakes::{NOW_MS, Provider, SECRET_KEY, SECRET_PROMPT, ok_base64, request, response};
use crate::image_fixtures;

fn error(message: &str, kind: &str, code: &str, parameter: &str) -> Value {
    json!({"error": {"message": message, "type": kind, "code": code, "param": parameter}})
}

fn outcome(status: u16, body: &Value) -> GenerateError {
    Provider::new("gpt-image-1", [Ok(response(status, body.to_string()))]).run().expect_err("an error")
}

fn limited(headers: &[(&str, &str)]) -> Result<HttpResponse, HttpError> {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let body = error("slow down", "requests", "rate_limit_exceeded", "").to_string().into();
    Ok(HttpResponse { status: 429, headers, body })
}

const fn refused(status: u16, code: Option<&'static str>, parameter: Option<&'static str>) -> GenerateError {
    GenerateError::RequestRefused { status, problem: Problem { code, parameter } }
}

#[test]
fn moderation_is_told_by_code_or_by_words() {
    let message = "Your request was rejected by the safety system. safety_violations=[violence].";
    for (status, body) in [
        (400, error(message, "image_generation_user_error", "moderation_blocked", "")),
        (400, error("", "invalid_request_error", "content_policy_violation", "prompt")),
        (400, json!({"error": {"code": "contentFilter", "message": "filtered"}})),
        (400, json!({"error": {"code": "x", "innererror": {"code": "ResponsibleAIPolicyViolation"}}})),
        (
            400,
            json!({"error": {"code": null, "message": "Your request was rejected as a result of our safety system. "}}),
        ),
        (422, json!({"error": "this prompt is against our Content Policy"})),
        (403, error("", "", "moderation_blocked", "")),
    ] {
        assert_eq!(outcome(status, &body), GenerateError::Moderation, "{body}");
    }
}

#[test]
fn other_errors_are_told_by_code_parameter_and_status() {
    for (status, body, expected) in [
        (429, error("", "insufficient_quota", "insufficient_quota", ""), GenerateError::QuotaExhausted),
        (
            400,
            error("", "image_generation_user_error", "billing_hard_limit_reached", ""),
            GenerateError::QuotaExhausted,
        ),
        (402, json!({}), GenerateError::QuotaExhausted),
        (401, error("Incorrect API key", "", "invalid_api_key", ""), GenerateError::Unauthorized { status: 401 }),
        (400, error("", "authentication_error", "", ""), GenerateError::Unauthorized { status: 400 }),
        (
            403,
            error("may violate our content policy", "", "Forbidden", ""),
            GenerateError::Unauthorized { status: 403 },
        ),
        (404, error("", "invalid_request_error", "model_not_found", ""), GenerateError::ModelNotFound),
        (403, error("", "invalid_request_error", "model_not_found", ""), GenerateError::ModelNotFound),
        (404, error("", "", "", "model"), GenerateError::ModelNotFound),
        (404, json!({"detail": "Not Found"}), refused(404, None, None)),
        (400, error("", "invalid_request_error", "invalid_value", "prompt"), GenerateError::PromptRefused),
        (
            400,
            error("", "invalid_request_error", "unknown_parameter", "output_format"),
            refused(400, Some("unknown_parameter"), Some("output_format")),
        ),
        (400, error("", "invalid_request_error", "", ""), refused(400, Some("invalid_request_error"), None)),
        (408, json!({}), GenerateError::Timeout),
        (504, json!({}), GenerateError::Timeout),
        (500, error("", "server_error", "", ""), GenerateError::Unavailable { status: Some(500) }),
        (503, json!("overloaded"), GenerateError::Unavailable { status: Some(503) }),
        (301, json!({}), GenerateError::Unavailable { status: Some(301) }),
    ] {
        assert_eq!(outcome(status, &body), expected, "{status} {body}");
    }
}

#[test]
fn a_prompt_that_the_server_finds_too_long_is_told_with_its_limit_if_there_is_one() {
    let too_long = "Invalid 'prompt': string too long. Expected a string with maximum length 32000, but got a string with \
                    length 50733 instead.";
    let of_dall_e = "Prompt must be length 1000 or less. Your prompt length is 1192. Please reduce your prompt length.";
    for (status, body, limit_characters) in [
        (400, error(too_long, "invalid_request_error", "string_above_max_length", "prompt"), Some(32_000)),
        (422, error("", "invalid_request_error", "string_above_max_length", "prompt"), None),
        (
            400,
            json!({"error": {"code": null, "type": "invalid_request_error", "param": null, "message": of_dall_e}}),
            Some(1000),
        ),
        (413, json!("too long"), None),
    ] {
        assert_eq!(outcome(status, &body), GenerateError::PromptTooLong { limit_characters }, "{body}");
    }
    let elsewhere = error("maximum length 64", "invalid_request_error", "string_above_max_length", "model");
    assert_eq!(outcome(400, &elsewhere), refused(400, Some("string_above_max_length"), Some("model")));
}

#[test]
fn a_refusal_of_what_the_caller_chose_names_the_field() {
    let transparent = "Transparent background is not supported for this model.";
    let asked =
        |size: &str, output| GenerateRequest { size: Size::parse(size).expect(size), output, ..request("a cat") };
    let lossy = Output::new(Some(Background::Opaque), Some(OutputFormat::Webp), Some(7)).expect("an output");
    let clear = Output::new(Some(Background::Transparent), None, None).expect("an output");
    for (body, request, field) in [
        (
            error(transparent, "image_generation_user_error", "invalid_value", "background"),
            asked("auto", clear),
            Field::Background,
        ),
        (json!({"error": {"message": transparent, "param": null}}), asked("auto", clear), Field::Background),
        (error("", "invalid_request_error", "invalid_value", "size"), asked("3840x2160", lossy), Field::Size),
        (
            error("", "invalid_request_error", "invalid_value", "output_format"),
            asked("auto", lossy),
            Field::OutputFormat,
        ),
        (
            error("", "invalid_request_error", "invalid_value", "output_compression"),
            asked("auto", lossy),
            Field::OutputCompression,
        ),
    ] {
        let answer = |body: &Value| Provider::new("gpt-image-2", [Ok(response(400, body.to_string()))]);
        assert_eq!(answer(&body).generate(&request), Err(GenerateError::Unsupported { field }), "{body}");
        // What the caller did not choose is our own mistake.
        let ours = answer(&body).run().expect_err("refused");
        assert_eq!(ours.reason(), "provider-refused-request", "{body}");
    }
}

#[test]
fn pages_for_people_are_told_by_status() {
    for (status, body) in
        [(502, "<html>Bad gateway</html>".to_owned()), (502, String::new()), (502, "[".repeat(100_000))]
    {
        let result = Provider::new("m", [Ok(response(status, body))]).run();
        assert_eq!(result, Err(GenerateError::Unavailable { status: Some(502) }));
    }
}

#[test]
fn broken_connections_are_failures_and_are_not_retried() {
    for (http, expected) in [
        (HttpError::Timeout, GenerateError::Timeout),
        (HttpError::Connect, GenerateError::Unavailable { status: None }),
        (HttpError::Interrupted, GenerateError::Unavailable { status: None }),
        (HttpError::ResponseTooLarge { limit_bytes: 5 }, GenerateError::TooLarge { limit_bytes: 5 }),
    ] {
        assert_eq!(Provider::new("m", [Err(http)]).run(), Err(expected));
    }
}

#[test]
fn a_short_rate_limit_is_waited_for_once() {
    let picture = image_fixtures::bytes("rgb.png");
    for (headers, waited_ms) in [
        ([("Retry-After", "2")], 2000),
        ([("retry-after", "1.5")], 2000),
        ([("retry-after", "0")], 0),
        ([("retry-after-ms", "1250")], 1250),
        ([("retry-after", "Fri, 15 Jan 2027 08:00:10 GMT")], 10_000),
        ([("retry-after", "Fri, 15 Jan 2027 07:00:00 GMT")], 0),
    ] {
        let provider = Provider::new("m", [limited(&headers), ok_base64(&picture)]);
        assert!(provider.run().is_ok(), "{headers:?}");
        assert_eq!(*provider.clock.slept_ms.borrow(), [waited_ms], "{headers:?}");
        assert_eq!(provider.request(0).body, provider.request(1).body);
        assert_eq!(provider.request(1).limits.timeout_ms, 60_000 - waited_ms);
    }
    assert_eq!(NOW_MS, 1_800_000_000_000, "the dates above are relative to 2027-01-15T08:00:00Z");
}

#[test]
fn the_second_rate_limit_is_the_callers() {
    let provider = Provider::new("m", [limited(&[("retry-after", "1")]), limited(&[("retry-after", "3")])]);
    assert_eq!(provider.run(), Err(GenerateError::RateLimited { retry_after_ms: Some(3000) }));
}

#[test]
fn long_and_unknown_rate_limits_are_not_waited_for() {
    for (headers, retry_after_ms) in [
        (&[("retry-after", "11")][..], Some(11_000)),
        (&[("retry-after", "18446744073709551615")], Some(u64::MAX)),
        (&[("retry-after", "soon")], None),
        (&[("retry-after", "-1")], None),
        (&[("x-ratelimit-reset-requests", "1s")], None),
        (&[], None),
    ] {
        let provider = Provider::new("m", [limited(headers)]);
        assert_eq!(provider.run(), Err(GenerateError::RateLimited { retry_after_ms }));
        assert!(provider.clock.slept_ms.borrow().is_empty());
    }
}

#[test]
fn a_wait_must_leave_half_of_the_time() {
    let provider = Provider::new("m", [limited(&[("retry-after", "9")])]);
    provider.http.takes_ms.set(43_000);
    assert_eq!(provider.run(), Err(GenerateError::RateLimited { retry_after_ms: Some(9000) }));
}

#[test]
fn no_time_left_is_a_timeout_and_sends_nothing() {
    let answer = Ok(response(200, r#"{"data":[{"url":"https://images.example.net/a.png"}]}"#));
    let provider = Provider::new("m", [answer]);
    provider.http.takes_ms.set(60_000);
    assert_eq!(provider.run(), Err(GenerateError::Timeout));
}

#[test]
fn nothing_that_may_be_logged_quotes_prompt_key_or_server() {
    let echo = format!("{SECRET_PROMPT} {SECRET_KEY}");
    let echoes = [
        json!({"error": {"message": echo, "type": echo, "code": echo, "param": echo}}),
        json!({"error": {"code": "swordfish", "type": "swordfish", "param": "swordfish", "message": "swordfish"}}),
        json!({"error": echo}),
        json!({"detail": echo}),
        json!(echo),
        json!({"data": [{"url": format!("http://{SECRET_KEY}.example.com/")}]}),
        json!({"data": [{"b64_json": SECRET_PROMPT}]}),
    ];
    for status in [200, 302, 400, 401, 403, 404, 422, 429, 500, 504] {
        for body in &echoes {
            let provider = Provider::new("gpt-image-1", [Ok(response(status, body.to_string()))]);
            let result: Result<GeneratedImage, GenerateError> =
                provider.generate(&request(&format!("swordfish {SECRET_PROMPT}")));
            let failure = result.expect_err("an error");
            let logged = format!("{failure} {failure:?} {} {:?}", failure.reason(), provider.request(0));
            for secret in ["Marguerite", "Lilas", "0123456789", "swordfish"] {
                assert!(!logged.contains(secret), "{status} {body}: {logged}");
            }
        }
    }
}
