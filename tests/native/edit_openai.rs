//! What is sent to an OpenAI-compatible server for an edit, and what its answers make.

use std::rc::Rc;

use stillstore::bytes::Body;
use stillstore::catalog::jobs::Tier;
use stillstore::edit::openai::{OpenAiEditor, OpenAiEditorSettings};
use stillstore::edit::{EditRequest, Editor, Picture, TierSettings};
use stillstore::generate::{ApiKey, BaseUrl, Field, GenerateError, GeneratedImage, ModelName, Prompt, Quality, Size};
use stillstore::http::{HttpError, HttpResponse, Method};
use stillstore::image::Format;
use stillstore::multipart::{Boundary, Form, FormLimits};

use crate::generate_fakes::{
    JumpingClock, SECRET_KEY, SECRET_PROMPT, ScriptedHttp, TIMEOUT_MS, now, ok_base64, response, with_memory,
};
use crate::image_fixtures;

struct Server {
    http: Rc<ScriptedHttp>,
    editor: OpenAiEditor,
}

impl Server {
    fn new(model: &str, answers: impl IntoIterator<Item = Result<HttpResponse, HttpError>>) -> Self {
        let clock = JumpingClock::new();
        let http = Rc::new(ScriptedHttp::new(clock.clone(), answers));
        let tier = |model: &str, quality| TierSettings { model: ModelName::parse(model).unwrap(), quality };
        let settings = OpenAiEditorSettings {
            base_url: BaseUrl::parse("https://api.example.com/v1/").unwrap(),
            api_key: Some(ApiKey::parse(SECRET_KEY).unwrap()),
            standard: tier(model, Some(Quality::Medium)),
            premium: tier("gpt-image-2", Some(Quality::High)),
            timeout_ms: TIMEOUT_MS,
        };
        Self { editor: OpenAiEditor::new(settings, http.clone(), clock), http }
    }

    fn edit(&self, request: &EditRequest, mask: Option<Picture>) -> Result<GeneratedImage, GenerateError> {
        with_memory(|memory| now(self.editor.edit(request, picture("rotated.jpg"), mask, memory)))
    }

    /// The fields of the only request, in order: name, file name, content type, bytes.
    fn fields(&self) -> Vec<(String, Option<String>, Vec<u8>)> {
        let requests = self.http.requests.borrow();
        let [request] = &requests[..] else { panic!("{} requests", requests.len()) };
        let (_, content_type) = request.headers.iter().find(|(name, _)| *name == "content-type").unwrap();
        let boundary = Boundary::of_content_type(content_type).expect("a form");
        let mut form = Form::new(Body::from(request.body.clone()), &boundary, FormLimits::of_parts(20));
        now(async {
            let mut fields = Vec::new();
            while let Some(part) = form.next_part().await.expect("a whole form") {
                let bytes = part.body.collect(1_000_000).await.expect("a whole part").to_vec();
                fields.push((part.head.name, part.head.filename, bytes));
            }
            fields
        })
    }

    fn texts(&self) -> Vec<(String, String)> {
        let texts = self.fields().into_iter().filter(|(_, file, _)| file.is_none());
        texts.map(|(name, _, bytes)| (name, String::from_utf8(bytes).unwrap())).collect()
    }
}

fn picture(name: &str) -> Picture {
    let bytes = image_fixtures::bytes(name);
    Picture { format: Format::inspect(&bytes).unwrap().0, bytes: bytes.into() }
}

fn request(tier: Tier, size: &str) -> EditRequest {
    EditRequest { prompt: Prompt::parse(SECRET_PROMPT).unwrap(), tier, size: Size::parse(size).unwrap() }
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_form_goes_to_the_edits_endpoint_with_key_picture_and_mask() {
    let made = image_fixtures::bytes("rgb.png");
    let server = Server::new("gpt-image-1", [ok_base64(&made)]);
    let outcome = server.edit(&request(Tier::Premium, "auto"), Some(picture("palette-transparent.png"))).unwrap();
    assert_eq!((outcome.file.bytes(), outcome.model.as_deref()), (&made[..], Some("gpt-image-2")));
    let sent = server.http.requests.borrow()[0].clone();
    assert_eq!((sent.method, sent.url.as_str()), (Method::Post, "https://api.example.com/v1/images/edits"));
    assert!(sent.headers.contains(&("authorization", format!("Bearer {SECRET_KEY}"))));
    assert_eq!((sent.limits.timeout_ms, sent.max_redirects), (TIMEOUT_MS, 0));
    assert_eq!(
        server.texts(),
        owned(&[
            ("model", "gpt-image-2"),
            ("prompt", SECRET_PROMPT),
            ("n", "1"),
            ("size", "auto"),
            ("quality", "high"),
            ("output_format", "jpeg"),
        ])
    );
    let files: Vec<_> = server.fields().into_iter().filter(|(_, file, _)| file.is_some()).collect();
    assert_eq!(files[0], ("image".to_owned(), Some("image.jpg".to_owned()), image_fixtures::bytes("rotated.jpg")));
    assert_eq!(
        files[1],
        ("mask".to_owned(), Some("mask.png".to_owned()), image_fixtures::bytes("palette-transparent.png"))
    );
}

#[test]
fn each_family_is_asked_for_what_it_has() {
    for (model, size, expected) in [
        (
            "gpt-image-1",
            "1792x1024",
            vec![("n", "1"), ("size", "1536x1024"), ("quality", "medium"), ("output_format", "jpeg")],
        ),
        ("dall-e-2", "auto", vec![("n", "1"), ("response_format", "b64_json")]),
        ("dall-e-2", "512x512", vec![("n", "1"), ("size", "512x512"), ("response_format", "b64_json")]),
        ("flux-kontext", "auto", vec![]),
        ("flux-kontext", "1024x1024", vec![("size", "1024x1024")]),
    ] {
        let server = Server::new(model, [ok_base64(&image_fixtures::bytes("rgb.png"))]);
        server
            .edit(&EditRequest { prompt: Prompt::parse("a").unwrap(), ..request(Tier::Standard, size) }, None)
            .unwrap();
        let expected = [vec![("model", model), ("prompt", "a")], expected].concat();
        assert_eq!(server.texts(), owned(&expected), "{model} {size}");
    }
}

#[test]
fn what_no_model_takes_is_not_sent() {
    let server = Server::new("dall-e-3", []);
    assert!(matches!(server.edit(&request(Tier::Standard, "auto"), None), Err(GenerateError::Misconfigured(_))));
    let server = Server::new("gpt-image-1", []);
    let refused = server.edit(&request(Tier::Standard, "auto"), Some(picture("rotated.jpg")));
    assert_eq!(refused, Err(GenerateError::Unsupported { field: Field::Mask }));
    let long = EditRequest { prompt: Prompt::parse(&"a".repeat(1_001)).unwrap(), ..request(Tier::Standard, "auto") };
    let server = Server::new("dall-e-2", []);
    assert_eq!(server.edit(&long, None), Err(GenerateError::PromptTooLong { limit_characters: Some(1_000) }));
}

#[test]
fn failures_are_those_of_generations_and_nothing_is_sent_twice() {
    let limited = HttpResponse { headers: vec![("retry-after".to_owned(), "2".to_owned())], ..response(429, "{}") };
    for (answer, error) in [
        (Ok(limited), GenerateError::RateLimited { retry_after_ms: Some(2_000) }),
        (Ok(response(503, "")), GenerateError::Unavailable { status: Some(503) }),
        (Ok(response(400, r#"{"error": {"code": "moderation_blocked"}}"#)), GenerateError::Moderation),
        (Ok(response(200, r#"{"data": []}"#)), GenerateError::EmptyAnswer),
        (Err(HttpError::Timeout), GenerateError::Timeout),
    ] {
        let server = Server::new("gpt-image-1", [answer]);
        assert_eq!(server.edit(&request(Tier::Standard, "auto"), None), Err(error));
        assert_eq!(server.http.requests.borrow().len(), 1);
    }
}
