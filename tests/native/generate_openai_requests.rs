//! What is sent to an OpenAI-compatible server: the parameters of each model family, and nothing else.

use serde_json::{Value, json};
use stillstore::generate::openai::OpenAiSettings;
use stillstore::generate::{BaseUrl, GenerateError, GenerateRequest, ModelName, Quality, Size, Style};
use stillstore::http::Method;

use crate::generate_fakes::{Provider, SECRET_KEY, TIMEOUT_MS, ok_base64, request};
use crate::image_fixtures;

fn picture() -> Vec<u8> {
    image_fixtures::bytes("rgb.png")
}

/// The body sent to `model`.
fn body(model: &str, size: Size, quality: Option<Quality>, style: Option<Style>) -> Value {
    let provider = Provider::new(model, [ok_base64(&picture())]);
    provider.generate(&GenerateRequest { size, quality, style, ..request("a \"cat\"") }).expect("made");
    serde_json::from_slice(&provider.request(0).body).expect("json")
}

#[test]
fn the_request_goes_to_the_images_endpoint_with_key_and_limits() {
    let provider = Provider::new("gpt-image-1", [ok_base64(&picture())]);
    provider.run().expect("made");
    let request = provider.request(0);
    assert_eq!((request.method, request.url.as_str()), (Method::Post, "https://api.example.com/v1/images/generations"));
    assert_eq!(
        request.headers,
        [
            ("content-type", "application/json".to_owned()),
            ("accept", "application/json".to_owned()),
            ("authorization", format!("Bearer {SECRET_KEY}")),
        ]
    );
    assert_eq!((request.limits.timeout_ms, request.max_redirects), (TIMEOUT_MS, 0));
    // 20 MiB in base64 and 64 KiB: 27,962,028 + 65,536.
    assert_eq!(request.limits.max_response_bytes, 28_027_564);
}

#[test]
fn without_a_key_none_is_sent() {
    let settings = OpenAiSettings {
        base_url: BaseUrl::parse("http://localhost:8080").expect("url"),
        api_key: None,
        model: ModelName::parse("flux").expect("model"),
        timeout_ms: 1000,
    };
    let provider = Provider::with_settings(settings, [ok_base64(&picture())]);
    provider.run().expect("made");
    assert!(provider.request(0).headers.iter().all(|(name, _)| *name != "authorization"));
    assert_eq!(provider.request(0).url, "http://localhost:8080/images/generations");
}

#[test]
fn gpt_image_takes_its_own_sizes_and_qualities() {
    for model in ["gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5", "chatgpt-image-latest", "openai/gpt-image-1"] {
        assert_eq!(
            body(model, Size::Landscape1792, Some(Quality::Hd), Some(Style::Vivid)),
            json!({"model": model, "prompt": "a \"cat\"", "n": 1, "size": "1536x1024", "quality": "high",
                   "output_format": "png"})
        );
    }
}

#[test]
fn gpt_image_2_takes_wide_sizes_as_they_are() {
    assert_eq!(
        body("gpt-image-2-2026-04-21", Size::Portrait1792, Some(Quality::Auto), None),
        json!({"model": "gpt-image-2-2026-04-21", "prompt": "a \"cat\"", "n": 1, "size": "1024x1792", "quality": "auto",
               "output_format": "png"})
    );
}

#[test]
fn dall_e_3_takes_style_and_is_asked_for_base64() {
    assert_eq!(
        body("dall-e-3", Size::Portrait1536, Some(Quality::High), Some(Style::Natural)),
        json!({"model": "dall-e-3", "prompt": "a \"cat\"", "n": 1, "size": "1024x1792", "quality": "hd",
               "style": "natural", "response_format": "b64_json"})
    );
}

#[test]
fn dall_e_2_takes_neither_quality_nor_style() {
    assert_eq!(
        body("dall-e-2", Size::Square256, Some(Quality::Hd), Some(Style::Vivid)),
        json!({"model": "dall-e-2", "prompt": "a \"cat\"", "n": 1, "size": "256x256", "response_format": "b64_json"})
    );
}

#[test]
fn unknown_models_get_what_everyone_takes() {
    assert_eq!(
        body("stable-diffusion-3.5", Size::Square512, Some(Quality::Hd), Some(Style::Vivid)),
        json!({"model": "stable-diffusion-3.5", "prompt": "a \"cat\"", "size": "512x512"})
    );
    assert_eq!(body("grok-2-image", Size::Auto, None, None), json!({"model": "grok-2-image", "prompt": "a \"cat\""}));
}

#[test]
fn every_size_becomes_one_that_the_family_has() {
    let families = [
        ("gpt-image-1", &["1024x1024", "1536x1024", "1024x1536", "auto"][..]),
        ("gpt-image-2", &["1024x1024", "1536x1024", "1024x1536", "1792x1024", "1024x1792", "auto"]),
        ("dall-e-3", &["1024x1024", "1792x1024", "1024x1792"]),
        ("dall-e-2", &["256x256", "512x512", "1024x1024"]),
    ];
    for (model, sizes) in families {
        for size in Size::ALL {
            let body = body(model, size, None, None);
            let sent = body["size"].as_str().expect("a size");
            assert!(sizes.contains(&sent), "{model} was asked for {sent}");
            assert!(!sizes.contains(&size.as_str()) || sent == size.as_str(), "{model} has {size:?} but got {sent}");
            let keeps_shape = orientation(sent) == orientation(size.as_str());
            assert!(keeps_shape || model == "dall-e-2" || size == Size::Auto, "{model} was asked for {sent}");
            assert_eq!(body.get("quality"), None);
        }
    }
}

fn orientation(size: &str) -> Option<std::cmp::Ordering> {
    let (width, height) = size.split_once('x')?;
    Some(width.parse::<u32>().ok()?.cmp(&height.parse().ok()?))
}

#[test]
fn every_quality_becomes_one_that_the_family_has() {
    for (model, qualities) in
        [("gpt-image-1", &["low", "medium", "high", "auto"][..]), ("dall-e-3", &["standard", "hd"]), ("dall-e-2", &[])]
    {
        for quality in Quality::ALL {
            let body = body(model, Size::Square1024, Some(quality), None);
            let sent = body.get("quality").and_then(Value::as_str);
            assert!(sent.is_none_or(|sent| qualities.contains(&sent)), "{model} was asked for {sent:?}");
            assert!(!qualities.contains(&quality.as_str()) || sent == Some(quality.as_str()));
        }
    }
}

#[test]
fn a_prompt_that_the_model_cannot_take_is_not_sent() {
    let provider = Provider::new("dall-e-2", []);
    let result = provider.generate(&request(&"\u{e9}".repeat(1001)));
    assert_eq!(result, Err(GenerateError::PromptTooLong { limit_characters: 1000 }));
    let provider = Provider::new("dall-e-2", [ok_base64(&picture())]);
    provider.generate(&request(&"\u{e9}".repeat(1000))).expect("made");
}
