//! What is sent to an OpenAI-compatible server: the parameters of each model family, and nothing else.

use serde_json::{Value, json};
use stillstore::generate::openai::OpenAiSettings;
use stillstore::generate::{
    Background, BaseUrl, Field, GenerateError, GenerateRequest, ModelName, Output, OutputFormat, Quality, Size, Style,
};
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
        for size in Size::FIXED {
            let body = body(model, size, None, None);
            let sent = body["size"].as_str().expect("a size");
            let asked = size.text();
            assert!(sizes.contains(&sent), "{model} was asked for {sent}");
            assert!(!sizes.contains(&&*asked) || sent == asked, "{model} has {size:?} but got {sent}");
            let keeps_shape = orientation(sent) == orientation(&asked);
            assert!(keeps_shape || model == "dall-e-2" || size == Size::Auto, "{model} was asked for {sent}");
            assert_eq!(body.get("quality"), None);
        }
    }
}

#[test]
fn other_sizes_go_to_gpt_image_2_as_they_are_and_elsewhere_as_the_nearest_shape() {
    for (asked, gpt_image_1, dall_e_3) in [
        ("3840x2160", "1536x1024", "1792x1024"),
        ("2160x3840", "1024x1536", "1024x1792"),
        ("2880x2880", "1024x1024", "1024x1024"),
        ("1280x1024", "1536x1024", "1024x1024"),
        ("1024x1280", "1024x1536", "1024x1024"),
        ("1152x1024", "1024x1024", "1024x1024"),
    ] {
        let size = Size::parse(asked).expect(asked);
        let sent = |model| body(model, size, None, None)["size"].as_str().expect("a size").to_owned();
        for model in ["gpt-image-2", "gpt-image-2-2026-04-21", "openai/gpt-image-2.5-flare", "another-model"] {
            assert_eq!(sent(model), asked, "{model}");
        }
        assert_eq!((sent("gpt-image-1"), sent("gpt-image-1.5")), (gpt_image_1.to_owned(), gpt_image_1.to_owned()));
        assert_eq!((sent("dall-e-3"), sent("dall-e-2")), (dall_e_3.to_owned(), "1024x1024".to_owned()));
    }
}

fn output(background: Option<Background>, format: Option<OutputFormat>, compression: Option<u8>) -> GenerateRequest {
    let output = Output::new(background, format, compression).expect("an output");
    GenerateRequest { output, ..request("a cat") }
}

#[test]
fn gpt_image_is_told_how_the_file_is_to_be_made() {
    for (request, expected) in [
        (output(None, None, None), json!({"output_format": "png"})),
        (output(Some(Background::Auto), None, None), json!({"output_format": "png"})),
        (
            output(Some(Background::Transparent), Some(OutputFormat::Webp), Some(0)),
            json!({"output_format": "webp", "output_compression": 0, "background": "transparent"}),
        ),
        (
            output(Some(Background::Opaque), Some(OutputFormat::Jpeg), Some(80)),
            json!({"output_format": "jpeg", "output_compression": 80, "background": "opaque"}),
        ),
    ] {
        for model in ["gpt-image-1.5", "gpt-image-2"] {
            let provider = Provider::new(model, [ok_base64(&picture())]);
            provider.generate(&request).expect("made");
            let sent: Value = serde_json::from_slice(&provider.request(0).body).expect("json");
            let mut all = json!({"model": model, "prompt": "a cat", "n": 1, "size": "1024x1024"});
            all.as_object_mut().expect("an object").extend(expected.as_object().expect("an object").clone());
            assert_eq!(sent, all);
        }
    }
}

#[test]
fn what_a_family_does_not_have_is_not_sent() {
    for model in ["dall-e-2", "dall-e-3", "another-model"] {
        for (request, field) in [
            (output(Some(Background::Opaque), None, None), Field::Background),
            (output(Some(Background::Transparent), None, None), Field::Background),
            (output(None, Some(OutputFormat::Png), None), Field::OutputFormat),
            (output(Some(Background::Opaque), Some(OutputFormat::Jpeg), Some(1)), Field::OutputFormat),
        ] {
            let result = Provider::new(model, []).generate(&request);
            assert_eq!(result, Err(GenerateError::Unsupported { field }), "{model} {request:?}");
        }
        let auto = output(Some(Background::Auto), None, None);
        Provider::new(model, [ok_base64(&picture())]).generate(&auto).expect("any provider chooses");
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
    for (model, limit) in [("dall-e-2", 1000), ("dall-e-3", 4000)] {
        let provider = Provider::new(model, []);
        let result = provider.generate(&request(&"\u{e9}".repeat(limit + 1)));
        assert_eq!(result, Err(GenerateError::PromptTooLong { limit_characters: Some(limit) }));
        let provider = Provider::new(model, [ok_base64(&picture())]);
        provider.generate(&request(&"\u{e9}".repeat(limit))).expect("made");
    }
    for model in ["gpt-image-1.5", "gpt-image-2"] {
        let provider = Provider::new(model, [ok_base64(&picture())]);
        provider.generate(&request(&"\u{1f98a}".repeat(32_000))).expect("made");
    }
}
