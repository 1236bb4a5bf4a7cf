//! Fakes at the seams of generation: a clock that jumps, a server and a model that say what they are told to.

#![allow(clippy::unnecessary_wraps, reason = "answers are scripted as the seam gives them")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use async_trait::async_trait;
use futures::FutureExt;
use stillstore::bytes::Blob;
use stillstore::generate::openai::{OpenAi, OpenAiSettings};
use stillstore::generate::{
    ApiKey, BaseUrl, GenerateError, GenerateRequest, GeneratedImage, Generator, ModelName, Prompt,
};
use stillstore::http::{
    AiBinding, AiError, AiOutput, AnswerLimits, HttpAnswer, HttpClient, HttpError, HttpRequest, HttpResponse,
};
use stillstore::image::Sha256Digest;
use stillstore::library::{GenerationShare, MemoryBudget};
use stillstore::runtime::{Runtime, Timestamp};

pub const SECRET_KEY: &str = "sk-0123456789abcdef";
pub const SECRET_PROMPT: &str = "Marguerite Duval of 12 rue des Lilas, laughing";
pub const NOW_MS: i64 = 1_800_000_000_000;
pub const TIMEOUT_MS: u64 = 60_000;

/// A clock that stands still but for sleeping, which takes no time.
pub struct JumpingClock {
    now_ms: Cell<i64>,
    pub slept_ms: RefCell<Vec<u64>>,
}

impl JumpingClock {
    pub fn new() -> Rc<Self> {
        Rc::new(Self { now_ms: Cell::new(NOW_MS), slept_ms: RefCell::default() })
    }

    pub fn advance(&self, milliseconds: i64) {
        self.now_ms.set(self.now_ms.get() + milliseconds);
    }
}

#[async_trait(?Send)]
impl Runtime for JumpingClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.get())
    }

    fn random_bytes(&self) -> [u8; 16] {
        [7; 16]
    }

    async fn sleep(&self, duration_ms: u64) {
        self.slept_ms.borrow_mut().push(duration_ms);
        self.advance(i64::try_from(duration_ms).expect("a short sleep"));
    }

    async fn sha256(&self, blob: &Blob) -> Sha256Digest {
        Sha256Digest::of(&blob.to_vec())
    }
}

/// A server that gives the answers it was told to, in order, each after some time, and remembers what it was asked.
pub struct ScriptedHttp {
    clock: Rc<JumpingClock>,
    answers: RefCell<VecDeque<Result<HttpResponse, HttpError>>>,
    pub requests: RefCell<Vec<HttpRequest>>,
    pub takes_ms: Cell<i64>,
}

impl ScriptedHttp {
    pub fn new(clock: Rc<JumpingClock>, answers: impl IntoIterator<Item = Result<HttpResponse, HttpError>>) -> Self {
        let answers = RefCell::new(answers.into_iter().collect());
        Self { clock, answers, requests: RefCell::default(), takes_ms: Cell::new(0) }
    }
}

#[async_trait(?Send)]
impl HttpClient for ScriptedHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        self.requests.borrow_mut().push(request);
        self.clock.advance(self.takes_ms.get());
        self.answers.borrow_mut().pop_front().expect("a request too many").map(HttpAnswer::from)
    }
}

/// The whole of an OpenAI-compatible provider with a scripted server behind it.
pub struct Provider {
    pub clock: Rc<JumpingClock>,
    pub http: Rc<ScriptedHttp>,
    pub generator: OpenAi,
}

impl Provider {
    pub fn new(model: &str, answers: impl IntoIterator<Item = Result<HttpResponse, HttpError>>) -> Self {
        let settings = OpenAiSettings {
            base_url: BaseUrl::parse("https://api.example.com/v1/").expect("url"),
            api_key: Some(ApiKey::parse(SECRET_KEY).expect("key")),
            model: ModelName::parse(model).expect("model"),
            timeout_ms: TIMEOUT_MS,
        };
        Self::with_settings(settings, answers)
    }

    pub fn with_settings(
        settings: OpenAiSettings,
        answers: impl IntoIterator<Item = Result<HttpResponse, HttpError>>,
    ) -> Self {
        let clock = JumpingClock::new();
        let http = Rc::new(ScriptedHttp::new(clock.clone(), answers));
        let generator = OpenAi::new(settings, http.clone(), clock.clone());
        Self { clock, http, generator }
    }

    pub fn generate(&self, request: &GenerateRequest) -> Result<GeneratedImage, GenerateError> {
        with_memory(|memory| now(self.generator.generate(request, memory)))
    }

    /// Asks for nothing special, and expects every scripted answer to be used.
    pub fn run(&self) -> Result<GeneratedImage, GenerateError> {
        let result = self.generate(&request(SECRET_PROMPT));
        assert!(self.http.answers.borrow().is_empty(), "an answer was not asked for");
        result
    }

    pub fn request(&self, index: usize) -> HttpRequest {
        self.http.requests.borrow().get(index).expect("a request").clone()
    }
}

/// A model that gives one answer and remembers what it was asked.
pub struct ScriptedAi {
    answer: Cell<Option<Result<AiOutput, AiError>>>,
    pub calls: RefCell<Vec<(String, String, AnswerLimits)>>,
}

impl ScriptedAi {
    pub fn answering(answer: Result<AiOutput, AiError>) -> Self {
        Self { answer: Cell::new(Some(answer)), calls: RefCell::default() }
    }
}

#[async_trait(?Send)]
impl AiBinding for ScriptedAi {
    async fn run(&self, model: &str, input_json: String, limits: AnswerLimits) -> Result<AiOutput, AiError> {
        self.calls.borrow_mut().push((model.to_owned(), input_json, limits));
        self.answer.take().expect("one call")
    }
}

/// Works with the memory of an isolate that does nothing else.
pub fn with_memory<T>(work: impl FnOnce(&GenerationShare<'_>) -> T) -> T {
    let (budget, clock) = (MemoryBudget::default(), JumpingClock::new());
    work(&budget.take_for_generation(0, 1_000, clock.as_ref()).expect("nothing is held"))
}

/// What a future that never waits comes to.
pub fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing to wait for")
}

pub fn request(prompt: &str) -> GenerateRequest {
    GenerateRequest::new(Prompt::parse(prompt).expect("prompt"))
}

pub fn response(status: u16, body: impl Into<Vec<u8>>) -> HttpResponse {
    HttpResponse { status, headers: Vec::new(), body: body.into() }
}

pub fn ok(body: impl Into<Vec<u8>>) -> Result<HttpResponse, HttpError> {
    Ok(response(200, body))
}

/// An answer with an image in base64.
pub fn ok_base64(image: &[u8]) -> Result<HttpResponse, HttpError> {
    ok(serde_json::json!({"created": 1, "data": [{"b64_json": base64(image)}]}).to_string())
}

pub fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}
