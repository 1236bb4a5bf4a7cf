//! What an OpenAI-compatible server may answer with 200.

use serde_json::{Value, json};
use stillstore::generate::GenerateError;
use stillstore::generate::openai::OpenAiSettings;
use stillstore::generate::{ApiKey, BaseUrl, ModelName};
use stillstore::http::{HttpError, HttpResponse, Method};
use stillstore::image::{Dimensions, Format};

use crate::generate_fakes::{Provider, TIMEOUT_MS, base64, ok, ok_base64, response};
use crate::image_fixtures;

fn picture() -> Vec<u8> {
    image_fixtures::bytes("rgb.png")
}

fn answering(answer: &Value) -> Provider {
    Provider::new("gpt-image-1", [ok(answer.to_string())])
}

fn outcome(body: impl Into<Vec<u8>>) -> Result<Vec<u8>, GenerateError> {
    Provider::new("gpt-image-1", [ok(body)]).run().map(|image| image.file.into_bytes())
}

#[test]
fn base64_answers_are_decoded_and_their_facts_kept() {
    let image = answering(&json!({
        "created": 1_713_833_628,
        "background": "opaque",
        "data": [{"b64_json": base64(&picture()), "revised_prompt": "a tabby"}],
        "size": "1024x1024",
        "usage": {"total_tokens": 1100, "input_tokens": 50, "output_tokens": 1050,
                  "input_tokens_details": {"text_tokens": 50, "image_tokens": 0}},
    }))
    .run()
    .expect("made");
    assert_eq!(image.file.bytes(), picture());
    assert_eq!(image.file.format(), Format::Png);
    assert_eq!(image.file.geometry(), Some(Dimensions { width: 40, height: 24 }.into()));
    assert_eq!(image.model.as_deref(), Some("gpt-image-1"));
    assert_eq!(image.revised_prompt.as_deref(), Some("a tabby"));
    assert_eq!((image.total_tokens, image.original_url), (Some(1100), None));
}

#[test]
fn the_format_is_the_bytes_own() {
    let jpeg = image_fixtures::bytes("baseline.jpg");
    let image = answering(&json!({"output_format": "png", "data": [{"b64_json": base64(&jpeg)}]})).run().expect("made");
    assert_eq!(image.file.format(), Format::Jpeg);
}

#[test]
fn a_megabyte_beside_an_image_is_not_an_answer() {
    let image = base64(&vec![7; 60_000]);
    let short_strings =
        |count: usize| format!(r#"{{"noise":[{}0],"data":[{{"b64_json":"{image}"}}]}}"#, r#""a","#.repeat(count));
    assert_eq!(outcome(short_strings(260_000)), Err(GenerateError::NotAnImage), "it is read, and there is none in it");
    for answer in [short_strings(270_000), format!("{}{}", short_strings(0), " ".repeat(1_100_000))] {
        assert_eq!(outcome(answer), Err(GenerateError::UnreadableAnswer));
    }
}

#[test]
fn an_escaped_backspace_is_no_white_space() {
    for backspace in ["\\b", "\\u0008"] {
        let body = format!(r#"{{"data": [{{"b64_json": "{}{backspace}"}}]}}"#, base64(&picture()));
        assert_eq!(outcome(body), Err(GenerateError::UnreadableAnswer), "{backspace}");
    }
}

#[test]
fn spellings_of_base64_are_forgiven() {
    let plain = base64(&picture());
    assert!(plain.contains('+') && plain.contains('/'), "the picture tests nothing");
    let lines = plain.as_bytes().chunks(76).map(|line| str::from_utf8(line).expect("text")).collect::<Vec<_>>();
    for text in [
        plain.replace('/', "\\/"),
        plain.replace('+', "\\u002B").replace('=', "\\u003d"),
        lines.join("\\r\\n"),
        plain.trim_end_matches('=').to_owned(),
        format!("data:image/png;base64,{plain}"),
        format!("data:image\\/png;base64,{}", plain.replace('/', "\\/")),
    ] {
        let body = format!(r#"{{"data":[{{"b64_json":"{text}"}}]}}"#);
        assert_eq!(outcome(body), Ok(picture()), "{text}");
    }
}

/// Longer than any text in an answer.
fn long_base64() -> String {
    format!("{}{}", base64(&picture()), "\t".repeat(48_000))
}

#[test]
fn long_images_are_found_wherever_they_are() {
    let long = json!(long_base64()).to_string();
    let url = json!(format!("data:image/png;base64,{}", long_base64())).to_string();
    let other = json!(format!("{}\"b\\", "A".repeat(48_001))).to_string();
    for answer in [
        format!(r#"{{"data":[{{"b64_json":{long}}}],"usage":{{"total_tokens":7}}}}"#),
        format!(r#"{{"usage":{{"total_tokens":7}},"data":[{{"b64_json":{long},"revised_prompt":"a \"cat\" \\"}}]}}"#),
        format!(r#"{{{other}:"","data":[{{"b64_json":"","url":{url}}}],"usage":{{"total_tokens":7}}}}"#),
        format!(
            r#"{{"other":{other},"data":[{{"b64_json":{long}}},{{"b64_json":{other}}}],"usage":{{"total_tokens":7}}}}"#
        ),
        format!(r#"{{"data":[{{"b64_json":{}}}],"usage":{{"total_tokens":7}}}}"#, long.replace('/', "\\/")),
        format!("{{\"data\":[{{\"b64_json\":\"{}\"}}],\"usage\":{{\"total_tokens\":7}}}}", long_base64()),
    ] {
        let image = Provider::new("gpt-image-1", [ok(answer)]).run().expect("made");
        assert_eq!((image.file.bytes(), image.total_tokens), (&picture()[..], Some(7)));
    }
}

#[test]
fn long_strings_that_are_no_image_are_none() {
    for (image, expected) in [
        (json!({"b64_json": "%".repeat(48_001)}), GenerateError::UnreadableAnswer),
        (json!({"b64_json": "\u{e9}".repeat(48_001)}), GenerateError::UnreadableAnswer),
        (json!({"url": format!("https://a.example/{}", "x".repeat(48_001))}), GenerateError::EmptyAnswer),
        (json!({"b64_json": "", "other": long_base64()}), GenerateError::EmptyAnswer),
        (json!({"url": format!("data:{}", "x".repeat(48_001))}), GenerateError::UnreadableAnswer),
    ] {
        assert_eq!(outcome(json!({"data": [image]}).to_string()), Err(expected));
    }
    let answer = json!({"data": [{"b64_json": long_base64(), "revised_prompt": "x".repeat(48_001)}]});
    assert_eq!(answering(&answer).run().expect("made").revised_prompt, None);
}

#[test]
fn cut_long_strings_are_truncated() {
    let whole = json!({"data": [{"b64_json": long_base64()}, {"b64_json": long_base64()}]}).to_string();
    for cut in [whole.len() / 4, whole.len() / 2, whole.len() - 10, whole.len() - 1] {
        assert_eq!(outcome(&whole[..cut]), Err(GenerateError::Truncated), "{cut}");
    }
}

#[test]
fn the_first_of_several_is_taken() {
    let other = base64(&image_fixtures::bytes("still.gif"));
    let answer = json!({"data": [{"b64_json": base64(&picture())}, {"b64_json": other}]});
    assert_eq!(outcome(answer.to_string()), Ok(picture()));
}

#[test]
fn odd_extras_do_not_lose_a_picture() {
    let image = answering(&json!({
        "data": [{"b64_json": base64(&picture()), "url": "", "revised_prompt": ["x"]}],
        "usage": {"total_tokens": "many"},
        "error": null,
    }))
    .run()
    .expect("made");
    assert_eq!((image.revised_prompt, image.total_tokens), (None, None));
    let long = answering(&json!({"data": [{"b64_json": base64(&picture()), "revised_prompt": "x".repeat(5000)}]}));
    assert_eq!(long.run().expect("made").revised_prompt.map(|prompt| prompt.len()), Some(4000));
}

#[test]
fn url_answers_are_fetched_without_credentials_within_limits() {
    let url = "https://images.example.net/a.png?sig=1";
    let answer = ok(json!({"data": [{"url": url}]}).to_string());
    let provider = Provider::new("dall-e-3", [answer, ok(picture())]);
    provider.http.takes_ms.set(25_000);
    let image = provider.run().expect("made");
    assert_eq!((image.file.bytes(), image.original_url.as_deref()), (&picture()[..], Some(url)));
    let fetch = provider.request(1);
    assert_eq!((fetch.method, fetch.url.as_str(), fetch.body), (Method::Get, url, Vec::new()));
    assert_eq!(fetch.headers, [("accept", "image/*".to_owned())]);
    assert_eq!((fetch.limits.max_response_bytes, fetch.max_redirects), (20 * 1024 * 1024, 3));
    assert_eq!(fetch.limits.timeout_ms, TIMEOUT_MS - 25_000, "one deadline for both requests");
}

#[test]
fn long_urls_are_followed_but_not_remembered_and_longer_ones_not_followed() {
    let answer =
        |length| ok(json!({"data": [{"url": format!("https://a.example/{}", "x".repeat(length))}]}).to_string());
    let image = Provider::new("m", [answer(4000), ok(picture())]).run().expect("made");
    assert_eq!(image.original_url, None);
    assert_eq!(Provider::new("m", [answer(9000)]).run(), Err(GenerateError::EmptyAnswer));
}

#[test]
fn a_url_may_hold_the_image_itself() {
    let answer = json!({"data": [{"url": format!("data:image/png;base64,{}", base64(&picture()))}]});
    let image = answering(&answer).run().expect("made");
    assert_eq!((image.file.bytes(), image.original_url), (&picture()[..], None));
}

#[test]
fn urls_that_lead_elsewhere_are_not_followed() {
    for url in ["http://images.example.net/a.png", "file:///etc/passwd", "//x/y", "/a.png", "ftp://a/b", "https://"] {
        assert_eq!(outcome(json!({"data": [{"url": url}]}).to_string()), Err(GenerateError::UnreadableAnswer), "{url}");
    }
}

#[test]
fn a_local_server_may_name_its_own_urls() {
    let settings = OpenAiSettings {
        base_url: BaseUrl::parse("http://localhost:8080/v1").expect("url"),
        api_key: Some(ApiKey::parse("local").expect("key")),
        model: ModelName::parse("flux").expect("model"),
        timeout_ms: 1000,
    };
    let answer = ok(r#"{"data":[{"url":"http://localhost:8080/generated-images/a.png"}]}"#);
    assert!(Provider::with_settings(settings, [answer, ok(picture())]).run().is_ok());
}

#[test]
fn failed_fetches_are_failures() {
    let fetched = |answer: Result<HttpResponse, HttpError>| {
        let url = ok(r#"{"data":[{"url":"https://images.example.net/a.png"}]}"#);
        Provider::new("dall-e-3", [url, answer]).run().expect_err("failed")
    };
    assert_eq!(fetched(Ok(response(403, "expired"))), GenerateError::Unavailable { status: Some(403) });
    assert_eq!(fetched(Ok(response(302, ""))), GenerateError::Unavailable { status: Some(302) });
    assert_eq!(fetched(Err(HttpError::Timeout)), GenerateError::Timeout);
    let limit_bytes = 20 * 1024 * 1024;
    assert_eq!(fetched(Err(HttpError::ResponseTooLarge { limit_bytes })), GenerateError::TooLarge { limit_bytes });
    assert_eq!(fetched(ok("<html>gone</html>")), GenerateError::NotAnImage);
    assert_eq!(fetched(ok(&picture()[..200])), GenerateError::Truncated);
    assert_eq!(fetched(ok("")), GenerateError::EmptyAnswer);
}

#[test]
fn answers_without_an_image_are_errors() {
    for body in [
        "",
        " ",
        "{}",
        r#"{"data":null}"#,
        r#"{"data":[]}"#,
        r#"{"data":[{}]}"#,
        r#"{"data":[{"b64_json":null}]}"#,
        r#"{"data":[{"b64_json":"","url":""}]}"#,
    ] {
        assert_eq!(outcome(body), Err(GenerateError::EmptyAnswer), "{body}");
    }
}

#[test]
fn answers_of_another_shape_are_errors() {
    for body in [
        "<!doctype html><title>Welcome</title>",
        "5",
        r#"{"data":{}}"#,
        r#"{"data":["x"]}"#,
        r#"{"data":[{"b64_json":"A"}]}"#,
        r#"{"data":[{"b64_json":"%%%%"}]}"#,
        r#"{"data":[{"b64_json":"\u00e9\u00e9"}]}"#,
        r#"{"data":[{"b64_json":"data:image/png"}]}"#,
    ] {
        assert_eq!(outcome(body), Err(GenerateError::UnreadableAnswer), "{body}");
    }
}

#[test]
fn cut_answers_and_cut_images_are_truncated() {
    let whole = json!({"data": [{"b64_json": base64(&picture())}]}).to_string();
    assert_eq!(outcome(&whole[..whole.len() / 2]), Err(GenerateError::Truncated));
    let cut = picture()[..picture().len() - 30].to_vec();
    assert_eq!(Provider::new("m", [ok_base64(&cut)]).run(), Err(GenerateError::Truncated));
}

#[test]
fn what_is_no_image_or_too_large_is_not_believed() {
    assert_eq!(Provider::new("m", [ok_base64(b"<html></html>")]).run(), Err(GenerateError::NotAnImage));
    let mut huge = picture();
    huge.resize(20 * 1024 * 1024 + 1, 0);
    let limit_bytes = 20 * 1024 * 1024;
    assert_eq!(Provider::new("m", [ok_base64(&huge)]).run(), Err(GenerateError::TooLarge { limit_bytes }));
}

#[test]
fn an_error_in_place_of_an_image_is_that_error() {
    let blocked = json!({"error": {"code": "moderation_blocked", "message": "no"}});
    assert_eq!(outcome(blocked.to_string()), Err(GenerateError::Moderation));
    let odd = json!({"data": [], "error": "odd"});
    assert!(matches!(outcome(odd.to_string()), Err(GenerateError::RequestRefused { status: 200, .. })));
}
