//! Image-to-image models of Workers AI, through the platform's binding.

use std::rc::Rc;

use async_trait::async_trait;
use base64_simd::STANDARD;
use serde::Serialize;

use super::{EditRequest, Editor, EditorName, Picture, TierSettings};
use crate::catalog::jobs::Tier;
use crate::generate::{Field, GenerateError, GeneratedImage, ModelName, Quality, workers_ai};
use crate::http::AiBinding;
use crate::image::Format;
use crate::library::GenerationShare;

/// The longest picture that is sent: as base64 in JSON it is in memory about six times.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// How far the picture may move away from the original, 0 to 1. The models' own 1 leaves nothing of it.
const STRENGTH: f32 = 0.5;
/// The most steps that the models take, which is what they take by themselves, and half of it.
const MOST_STEPS: u8 = 20;
const FEWER_STEPS: u8 = 10;

/// The model when none is set.
#[must_use]
pub fn default_model() -> ModelName {
    workers_ai::built_in_model("@cf/runwayml/stable-diffusion-v1-5-img2img")
}

/// Which models to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkersAiEditorSettings {
    pub standard: TierSettings,
    pub premium: TierSettings,
    /// Milliseconds for one picture.
    pub timeout_ms: u64,
}

/// Edits pictures with models of Workers AI.
pub struct WorkersAiEditor {
    settings: WorkersAiEditorSettings,
    binding: Rc<dyn AiBinding>,
}

/// By the schema of the models that take `image_b64`.
#[derive(Serialize)]
struct Input<'request> {
    prompt: &'request str,
    image_b64: String,
    strength: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_steps: Option<u8>,
}

impl WorkersAiEditor {
    /// An editor that runs the models of `settings`.
    #[must_use]
    pub fn new(settings: WorkersAiEditorSettings, binding: Rc<dyn AiBinding>) -> Self {
        Self { settings, binding }
    }
}

/// The steps that a quality stands for.
const fn steps(quality: Option<Quality>) -> Option<u8> {
    match quality {
        Some(Quality::Low) => Some(FEWER_STEPS),
        Some(Quality::Hd | Quality::High) => Some(MOST_STEPS),
        Some(Quality::Standard | Quality::Medium | Quality::Auto) | None => None,
    }
}

#[async_trait(?Send)]
impl Editor for WorkersAiEditor {
    fn name(&self) -> &'static str {
        EditorName::WorkersAi.as_str()
    }

    fn tier(&self, tier: Tier) -> &TierSettings {
        match tier {
            Tier::Standard => &self.settings.standard,
            Tier::Premium => &self.settings.premium,
        }
    }

    fn takes(&self, format: Format) -> bool {
        matches!(format, Format::Jpeg | Format::Png)
    }

    fn max_bytes(&self) -> u64 {
        MAX_BYTES
    }

    async fn edit(
        &self,
        request: &EditRequest,
        original: Picture,
        mask: Option<Picture>,
        memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError> {
        if mask.is_some() {
            return Err(GenerateError::Unsupported { field: Field::Mask });
        }
        let TierSettings { model, quality } = self.tier(request.tier);
        let input = Input {
            prompt: request.prompt.as_str(),
            image_b64: STANDARD.encode_to_string(original.bytes.to_vec()),
            strength: STRENGTH,
            num_steps: steps(*quality),
        };
        drop(original);
        let input_json = serde_json::to_string(&input)
            .map_err(|_| GenerateError::Misconfigured("the request cannot be written as JSON"))?;
        drop(input);
        let timeout_ms = self.settings.timeout_ms;
        let file = workers_ai::picture(&*self.binding, model, input_json, &request.prompt, timeout_ms, memory).await?;
        Ok(GeneratedImage { model: Some(model.as_str().to_owned()), ..GeneratedImage::new(file) })
    }
}
