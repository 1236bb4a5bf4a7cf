//! What generations hold of an isolate's memory: little while they wait for a provider, and an answer only when there is room for it.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;

use async_trait::async_trait;
use futures::FutureExt;
use stillstore::bytes::{Blob, Body, BodyError, ByteSource};
use stillstore::generate::openai::{OpenAi, OpenAiSettings};
use stillstore::generate::workers_ai::{WorkersAi, WorkersAiSettings};
use stillstore::generate::{BaseUrl, GenerateError, GeneratedImage, Generator, ModelName};
use stillstore::http::{AiOutput, HttpAnswer, HttpClient, HttpError, HttpRequest};
use stillstore::image::Sha256Digest;
use stillstore::library::MemoryBudget;
use stillstore::runtime::{Runtime, Timestamp};

use crate::generate_fakes::{ScriptedAi, ok_base64, request};
use crate::image_fixtures;

/// A clock that stands still. A sleep is over when it is polled once more.
struct Polled;

#[async_trait(?Send)]
impl Runtime for Polled {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn random_bytes(&self) -> [u8; 16] {
        [7; 16]
    }

    async fn sleep(&self, _duration_ms: u64) {
        let mut is_over = false;
        std::future::poll_fn(|_| {
            if std::mem::replace(&mut is_over, true) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    async fn sha256(&self, blob: &Blob) -> Sha256Digest {
        Sha256Digest::of(&blob.to_vec())
    }
}

/// A body whose first byte is there, and whose rest comes when it is let go.
struct Held {
    bytes: Vec<u8>,
    is_let_go: Rc<Cell<bool>>,
    reads: Rc<Cell<u32>>,
}

#[async_trait(?Send)]
impl ByteSource for Held {
    async fn peek(&mut self, max_bytes: usize) -> Result<Vec<u8>, BodyError> {
        Ok(self.bytes.iter().copied().take(max_bytes).collect())
    }

    async fn next(&mut self, max_bytes: usize) -> Result<Option<Blob>, BodyError> {
        self.reads.set(self.reads.get() + 1);
        while !self.is_let_go.get() {
            Polled.sleep(1).await;
        }
        let rest = self.bytes.split_off(max_bytes.min(self.bytes.len()));
        let run = std::mem::replace(&mut self.bytes, rest);
        Ok((!run.is_empty()).then(|| run.into()))
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// A server with one picture, whose answer says how long it is or does not.
#[derive(Clone)]
struct Server {
    headers: Vec<(String, String)>,
    is_let_go: Rc<Cell<bool>>,
    reads: Rc<Cell<u32>>,
}

#[async_trait(?Send)]
impl HttpClient for Server {
    async fn send(&self, _request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let bytes = ok_base64(&image_fixtures::bytes("rgb.png"))?.body;
        let body = Held { bytes, is_let_go: Rc::clone(&self.is_let_go), reads: Rc::clone(&self.reads) };
        let body = Body::from_source(Box::new(body), None);
        Ok(HttpAnswer { status: 200, headers: self.headers.clone(), body, requests: 1 })
    }
}

impl Server {
    fn with_headers(headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { headers, is_let_go: Rc::default(), reads: Rc::default() }
    }

    async fn generate(&self, budget: &MemoryBudget) -> Result<GeneratedImage, GenerateError> {
        let settings = OpenAiSettings {
            base_url: BaseUrl::parse("https://api.example.com/v1/").expect("url"),
            api_key: None,
            model: ModelName::parse("gpt-image-1").expect("model"),
            timeout_ms: 1_000,
        };
        let memory = budget.take_for_generation(5, 1_000, &Polled).expect("a place");
        OpenAi::new(settings, Rc::new(self.clone()), Rc::new(Polled)).generate(&request("a cat"), &memory).await
    }
}

fn declared_bytes() -> String {
    ok_base64(&image_fixtures::bytes("rgb.png")).expect("an answer").body.len().to_string()
}

#[test]
fn an_answer_of_unknown_length_is_read_when_no_other_is() {
    let budget = MemoryBudget::default();
    let compressed = [("Content-Length", "100"), ("Content-Encoding", "gzip")];
    for headers in [&[][..], &compressed] {
        let (first, second) = (Server::with_headers(headers), Server::with_headers(headers));
        second.is_let_go.set(true);
        let (mut first_made, mut second_made) = (pin!(first.generate(&budget)), pin!(second.generate(&budget)));
        assert!(first_made.as_mut().now_or_never().is_none() && first.reads.get() == 1);
        assert!(second_made.as_mut().now_or_never().is_none());
        assert_eq!(second.reads.get(), 0, "not a byte of it is taken from the connection");
        first.is_let_go.set(true);
        assert!(first_made.as_mut().now_or_never().expect("made").is_ok());
        assert!(second_made.as_mut().now_or_never().expect("made").is_ok());
    }
}

#[test]
fn short_answers_are_read_side_by_side() {
    let budget = MemoryBudget::default();
    let servers: Vec<Server> =
        (0..20).map(|_| Server::with_headers(&[("content-length", &declared_bytes())])).collect();
    let mut made: Vec<_> = servers.iter().map(|server| Box::pin(server.generate(&budget))).collect();
    for (made, server) in made.iter_mut().zip(&servers) {
        assert!(made.now_or_never().is_none() && server.reads.get() == 1);
        server.is_let_go.set(true);
    }
    assert!(made.into_iter().all(|made| made.now_or_never().expect("made").is_ok()));
}

#[test]
fn an_answer_longer_than_it_says_is_not_taken() {
    let server = Server::with_headers(&[("content-length", "100")]);
    server.is_let_go.set(true);
    let made = server.generate(&MemoryBudget::default()).now_or_never().expect("an answer");
    assert_eq!(made, Err(GenerateError::TooLarge { limit_bytes: 100 }));
}

#[test]
fn a_models_answer_waits_for_room_too() {
    let budget = MemoryBudget::default();
    let holder = budget.take_for_generation(5, 1_000, &Polled).expect("a place");
    holder.hold_answer(MemoryBudget::MAX_ANSWER_BYTES).now_or_never().expect("room");
    let picture = Body::from(image_fixtures::bytes("rgb.png"));
    let binding = ScriptedAi::answering(Ok(AiOutput::Binary(picture)));
    let settings = WorkersAiSettings { model: ModelName::parse("@cf/a/b").expect("model"), timeout_ms: 1_000 };
    let provider = WorkersAi::new(settings, Rc::new(binding));
    let memory = budget.take_for_generation(5, 1_000, &Polled).expect("a place");
    let asked = request("a cat");
    let mut made = pin!(provider.generate(&asked, &memory));
    assert!(made.as_mut().now_or_never().is_none());
    drop(holder);
    assert!(made.as_mut().now_or_never().expect("made").is_ok());
}

#[test]
fn places_run_out_by_what_their_prompts_take() {
    for (prompt_bytes, places) in [(100, 126), (128_000, 10)] {
        let budget = MemoryBudget::default();
        let held = RefCell::new(Vec::new());
        while let Some(share) = budget.take_for_generation(prompt_bytes, 1_000, &Polled) {
            held.borrow_mut().push(share);
        }
        assert_eq!(held.borrow().len(), places, "{prompt_bytes}");
        held.borrow_mut().pop();
        assert!(budget.take_for_generation(prompt_bytes, 1_000, &Polled).is_some());
    }
}
