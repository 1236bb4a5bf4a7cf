//! Any server that speaks OpenAI's chat API: `POST /chat/completions` with `image_url` parts.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;

use super::chat;
use super::{Look, Picture, Vision, VisionName};
use crate::generate::openai::Server;
use crate::generate::{ApiKey, BaseUrl, GenerateError, ModelName, workers_ai};
use crate::http::HttpClient;
use crate::image::Format;
use crate::library::GenerationShare;
use crate::runtime::Runtime;

/// The model when none is set.
#[must_use]
pub fn default_model() -> ModelName {
    workers_ai::built_in_model("gpt-4.1-mini")
}

/// How to reach a server, and which model to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiVisionSettings {
    pub base_url: BaseUrl,
    /// Not needed by every server.
    pub api_key: Option<ApiKey>,
    pub model: ModelName,
    /// Milliseconds for one call.
    pub timeout_ms: u64,
}

/// Has a model on a server that speaks OpenAI's chat API look at pictures.
pub struct OpenAiVision {
    settings: OpenAiVisionSettings,
    server: Server,
}

#[derive(Deserialize)]
pub(super) struct Completion {
    choices: Vec<Choice>,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    refusal: Option<String>,
}

impl OpenAiVision {
    /// A provider on the server of `settings`.
    #[must_use]
    pub fn new(settings: OpenAiVisionSettings, http: Rc<dyn HttpClient>, runtime: Rc<dyn Runtime>) -> Self {
        let server = Server::new(settings.base_url.clone(), settings.api_key.clone(), http, runtime);
        Self { settings, server }
    }
}

impl Completion {
    /// The model's text.
    pub fn text(self) -> Result<String, GenerateError> {
        let choice = self.choices.into_iter().next().ok_or(GenerateError::EmptyAnswer)?;
        if choice.message.refusal.is_some() || choice.finish_reason.as_deref() == Some("content_filter") {
            return Err(GenerateError::Moderation);
        }
        choice.message.content.ok_or(GenerateError::EmptyAnswer)
    }
}

/// `"model":"x",`
pub(super) fn model_member(model: &ModelName) -> String {
    format!("\"model\":{},", serde_json::Value::from(model.as_str()))
}

#[async_trait(?Send)]
impl Vision for OpenAiVision {
    fn name(&self) -> &'static str {
        VisionName::OpenAi.as_str()
    }

    fn model(&self) -> Option<&str> {
        Some(self.settings.model.as_str())
    }

    fn takes(&self, format: Format) -> bool {
        chat::takes(format)
    }

    fn max_bytes(&self) -> u64 {
        chat::MAX_BYTES
    }

    fn room_bytes(&self, size_bytes: u64) -> u64 {
        chat::room_bytes(size_bytes)
    }

    fn answers_questions(&self) -> bool {
        true
    }

    async fn look(
        &self,
        pictures: Vec<Picture>,
        question: Option<&str>,
        memory: &GenerationShare<'_>,
    ) -> Result<Look, GenerateError> {
        let body = chat::request(&model_member(&self.settings.model), &pictures, question);
        let count = pictures.len();
        drop(pictures);
        let deadline = self.server.deadline(self.settings.timeout_ms);
        // Not retried here: the job is.
        let json = "application/json".to_owned();
        let response = self.server.post("/chat/completions", json, body, deadline, memory).await?;
        let completion: Completion =
            serde_json::from_slice(&response.body).map_err(|_| GenerateError::UnreadableAnswer)?;
        chat::look(&completion.text()?, count)
    }
}
