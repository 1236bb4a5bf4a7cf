//! Models of Workers AI that chat about pictures, through the platform's binding.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::Value;

use super::chat;
use super::openai::Completion;
use super::{Look, Picture, Vision, VisionName};
use crate::generate::{GenerateError, ModelName, workers_ai};
use crate::http::AiBinding;
use crate::image::Format;
use crate::library::GenerationShare;

/// The model when none is set: it takes several pictures, as `image_url` parts.
#[must_use]
pub fn default_model() -> ModelName {
    workers_ai::built_in_model("@cf/meta/llama-4-scout-17b-16e-instruct")
}

/// Has a model of Workers AI look at pictures.
pub struct WorkersAiVision {
    pub model: ModelName,
    pub binding: Rc<dyn AiBinding>,
    /// Milliseconds for one call.
    pub timeout_ms: u64,
}

/// `response` is a text, or the object that was asked for; newer models answer as OpenAI's do.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Completion(Completion),
    Response { response: Value },
}

#[async_trait(?Send)]
impl Vision for WorkersAiVision {
    fn name(&self) -> &'static str {
        VisionName::WorkersAi.as_str()
    }

    fn model(&self) -> Option<&str> {
        Some(self.model.as_str())
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
        let input = chat::request("", &pictures, question);
        let input = String::from_utf8(input).map_err(|_| GenerateError::UnreadableAnswer)?;
        let count = pictures.len();
        drop(pictures);
        let answer = workers_ai::json(&*self.binding, &self.model, input, self.timeout_ms, memory).await?;
        let text = match serde_json::from_slice(&answer).map_err(|_| GenerateError::UnreadableAnswer)? {
            Answer::Completion(completion) => completion.text()?,
            Answer::Response { response: Value::String(text) } => text,
            Answer::Response { response } => response.to_string(),
        };
        chat::look(&text, count)
    }
}
