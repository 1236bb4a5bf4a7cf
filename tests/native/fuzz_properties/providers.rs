//! What image providers answer.

use std::rc::Rc;

use serde_json::Value;
use stillstore::generate::workers_ai::{WorkersAi, WorkersAiSettings, default_model};
use stillstore::generate::{GenerateError, GeneratedImage, Generator, MAX_GENERATED_BYTES, Prompt};
use stillstore::http::{AiError, AiOutput, HttpResponse};
use stillstore::image::Format;

use super::slow;
use crate::api::world::PNG;
use crate::generate_fakes::{Provider, SECRET_KEY, SECRET_PROMPT, ScriptedAi, now, ok, request, with_memory};

const STATUSES: [u16; 12] = [200, 201, 302, 400, 401, 402, 404, 408, 422, 429, 500, 504];

/// An answer is an image that a slow reader finds in it too, whole, or an error that gives neither prompt nor key away. What an
/// answer sends us to is fetched once, over HTTPS or from the provider itself, without credentials.
///
/// The first line is an index of a status, then what `Retry-After` says; the rest is the body. `{prompt}` and `{key}` stand for ours,
/// `{png}` for a picture in base64, `{long}` for line ends that make any string a long one.
pub fn openai_answer(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let (head, body) = text.split_once('\n').unwrap_or(("0", &text));
    let (status, retry_after) = head.split_once(' ').unwrap_or((head, ""));
    let status = status.parse().ok().and_then(|index: usize| STATUSES.get(index)).copied().unwrap_or(200);
    let body = filled(body);
    let headers = vec![("retry-after".to_owned(), retry_after.to_owned())];
    let answer = HttpResponse { status, headers, body: body.clone().into_bytes() };
    let provider = Provider::new("gpt-image-1", [Ok(answer), ok(PNG), ok(PNG)]);
    let outcome = provider.generate(&request(SECRET_PROMPT));

    let requests = provider.http.requests.borrow();
    assert!(requests.len() <= 2, "{} requests", requests.len());
    let was_sent_on = (200..300).contains(&status);
    if let Some(fetch) = requests.get(1).filter(|_| was_sent_on) {
        assert!(fetch.url.to_ascii_lowercase().starts_with("https://"), "{}", fetch.url);
        assert!(fetch.headers.iter().all(|(name, _)| *name != "authorization") && fetch.body.is_empty());
    }
    let slept_ms: u64 = provider.clock.slept_ms.borrow().iter().sum();
    assert!(slept_ms <= 10_000 && (slept_ms == 0 || status == 429));
    match &outcome {
        Ok(image) if was_sent_on && requests.len() == 1 => {
            let sent = slow_json(&body);
            let first = &sent["data"][0];
            let encoded =
                [&first["b64_json"], &first["url"]].into_iter().filter_map(Value::as_str).find(|text| !text.is_empty());
            check_image(image, &slow_image(encoded.expect("an image")));
        }
        Ok(image) => check_image(image, PNG),
        Err(error) => check_error(error),
    }
}

/// The same for a model of Workers AI, which answers with JSON or, when the input begins with a NUL, with bytes.
pub fn workers_ai_answer(input: &[u8]) {
    let body = filled(&String::from_utf8_lossy(input));
    let binary = input.strip_prefix(b"\0");
    let answer = binary.map_or_else(
        || AiOutput::Json(body.clone().into_bytes().into()),
        |bytes| AiOutput::Binary(bytes.to_vec().into()),
    );
    let binding = Rc::new(ScriptedAi::answering(Ok(answer)));
    let settings = WorkersAiSettings { model: default_model(), timeout_ms: 30_000 };
    let provider = WorkersAi::new(settings, binding);
    match with_memory(|memory| now(provider.generate(&request(SECRET_PROMPT), memory))) {
        Ok(image) => {
            let expected = binary.map_or_else(
                || {
                    let sent = slow_json(&body);
                    let image = [&sent["image"], &sent["result"]["image"]].into_iter().find_map(Value::as_str);
                    slow_image(image.expect("an image"))
                },
                <[u8]>::to_vec,
            );
            check_image(&image, &expected);
        }
        Err(error) => check_error(&error),
    }
    let AiError::Failed { code } = AiError::from_message(&body) else { panic!("a message is a failure") };
    assert!(code.is_none_or(|code| body.contains(&code.to_string()) || body.contains('+') || body.contains('0')));
}

fn filled(template: &str) -> String {
    let png = base64_simd::STANDARD.encode_to_string(PNG);
    let long = "\\n".repeat(24_001);
    template
        .replace("{png}", &png)
        .replace("{long}", &long)
        .replace("{prompt}", SECRET_PROMPT)
        .replace("{key}", SECRET_KEY)
}

/// What is accepted is JSON, but for control characters and odd escapes in long strings: line ends within an image are forgiven, and
/// nobody looks into the others.
fn slow_json(body: &str) -> Value {
    if body.len() <= 48_000 {
        return serde_json::from_str(body).expect("what is accepted is JSON");
    }
    let characters: Vec<char> = body.chars().map(|character| character.max(' ')).collect();
    let (mut json, mut rest) = (String::new(), characters.as_slice());
    while let [first, after @ ..] = rest {
        let length = match after {
            ['"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't', ..] => 2,
            ['u', '0', '0', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => 6,
            _ => 1,
        };
        let (taken, left) = rest.split_at(if *first == '\\' { length } else { 1 });
        match taken {
            ['\\'] => json.push(' '),
            _ => json.extend(taken),
        }
        rest = left;
    }
    serde_json::from_str(&json).expect("JSON")
}

/// The bytes of bare base64 or of a `data:` URL.
fn slow_image(text: &str) -> Vec<u8> {
    let payload = text.strip_prefix("data:").map_or(Some(text), |url| Some(url.split_once(',')?.1));
    slow::base64(payload.expect("a comma").as_bytes()).expect("base64")
}

fn check_image(image: &GeneratedImage, expected: &[u8]) {
    assert_eq!(image.file.bytes(), expected);
    assert!(expected.len() as u64 <= MAX_GENERATED_BYTES);
    assert_eq!(Format::inspect(expected), Ok((image.file.format(), image.file.geometry())));
    assert!(image.revised_prompt.as_ref().is_none_or(|prompt| prompt.chars().count() <= Prompt::MAX_CHARACTERS));
    assert!(image.original_url.as_ref().is_none_or(|url| url.len() <= 2048));
}

fn check_error(error: &GenerateError) {
    for words in [error.to_string(), format!("{error:?}")] {
        assert!(!words.contains(SECRET_PROMPT) && !words.contains(SECRET_KEY), "{words}");
    }
}
