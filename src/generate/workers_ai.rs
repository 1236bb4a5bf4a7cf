//! Models of Workers AI, through the platform's binding.

use std::rc::Rc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json_answer::{JsonAnswer, MAX_ANSWER_BYTES};
use super::{
    GenerateError, GenerateRequest, GeneratedImage, Generator, ImageFile, ModelName, Problem, Prompt, ProviderName,
    Quality, arriving,
};
use crate::http::{AiBinding, AiError, AiOutput, AnswerLimits};
use crate::image::Dimensions;
use crate::library::GenerationShare;

/// The model when none is set.
#[must_use]
pub fn default_model() -> ModelName {
    ModelName::built_in("@cf/black-forest-labs/flux-1-schnell")
}

/// The longest answer of a model that writes text.
const MAX_TEXT_ANSWER_BYTES: u64 = 1024 * 1024;
/// The longest prompt of models that document one.
const DOCUMENTED_PROMPT_CHARACTERS: usize = 2048;

/// Which model to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkersAiSettings {
    pub model: ModelName,
    /// Milliseconds for one picture.
    pub timeout_ms: u64,
}

/// Makes pictures with a model of Workers AI.
pub struct WorkersAi {
    settings: WorkersAiSettings,
    binding: Rc<dyn AiBinding>,
}

/// Models that take the same input, by the schemas in the models' documentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// flux-1-schnell: a prompt of 2,048 characters and 1 to 8 steps, 4 by default; always 1024x1024.
    Flux1,
    /// Stable Diffusion XL, Dreamshaper, Phoenix, Lucid Origin: width and height, 256 to 2,048 pixels in multiples of 8.
    Sized,
    /// flux-2: only as multipart forms, which the binding takes as a stream and not as JSON.
    Multipart,
    /// Another model: a prompt.
    Unknown,
}

#[derive(Serialize)]
struct Input<'request> {
    prompt: &'request str,
    #[serde(skip_serializing_if = "Option::is_none")]
    width: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    height: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    steps: Option<u8>,
}

/// `{"image": base64}`, bare or as the `result` of the REST API's envelope.
#[derive(Deserialize)]
struct Answer<'answer> {
    #[serde(borrow, default)]
    image: Option<&'answer RawValue>,
    #[serde(borrow, default)]
    result: Option<AnswerResult<'answer>>,
}

#[derive(Deserialize)]
struct AnswerResult<'answer> {
    #[serde(borrow, default)]
    image: Option<&'answer RawValue>,
}

impl Family {
    fn of(model: &ModelName) -> Self {
        const SIZED: [&str; 5] = [
            "stable-diffusion-xl-base-1.0",
            "stable-diffusion-xl-lightning",
            "dreamshaper-8-lcm",
            "phoenix-1.0",
            "lucid-origin",
        ];
        match model.base_name() {
            "flux-1-schnell" => Self::Flux1,
            name if name.starts_with("flux-2-") => Self::Multipart,
            name if SIZED.contains(&name) => Self::Sized,
            _ => Self::Unknown,
        }
    }

    fn input(self, request: &GenerateRequest) -> Result<Input<'_>, GenerateError> {
        const FLUX1_MOST_STEPS: u8 = 8;
        if let Some(field) = request.output.first_asked() {
            return Err(GenerateError::Unsupported { field });
        }
        let dimensions = request.size.dimensions().filter(|_| self == Self::Sized).map(within_longest_side);
        let steps = match self {
            Self::Flux1 if request.prompt.characters() > DOCUMENTED_PROMPT_CHARACTERS => {
                return Err(GenerateError::PromptTooLong { limit_characters: Some(DOCUMENTED_PROMPT_CHARACTERS) });
            }
            Self::Flux1 if matches!(request.quality, Some(Quality::Hd | Quality::High)) => Some(FLUX1_MOST_STEPS),
            Self::Multipart => {
                return Err(GenerateError::Misconfigured(
                    "WORKERS_AI_MODEL takes multipart forms, which are not supported",
                ));
            }
            Self::Flux1 | Self::Sized | Self::Unknown => None,
        };
        Ok(Input {
            prompt: request.prompt.as_str(),
            width: dimensions.map(|dimensions| dimensions.width),
            height: dimensions.map(|dimensions| dimensions.height),
            steps,
        })
    }
}

/// `dimensions`, or where a side is too long for the models, the nearest smaller ones of the same shape.
fn within_longest_side(dimensions: Dimensions) -> Dimensions {
    const LONGEST_SIDE: u32 = 2048;
    const STEP: u32 = 8;
    let Dimensions { width, height } = dimensions;
    let longer = width.max(height);
    if longer <= LONGEST_SIDE {
        return dimensions;
    }
    // Our sizes are at most three times as long as wide: no side becomes too short.
    let fit = |side: u32| side * LONGEST_SIDE / longer / STEP * STEP;
    Dimensions { width: fit(width), height: fit(height) }
}

impl WorkersAi {
    /// A generator that runs the model of `settings`.
    #[must_use]
    pub fn new(settings: WorkersAiSettings, binding: Rc<dyn AiBinding>) -> Self {
        Self { settings, binding }
    }
}

#[async_trait(?Send)]
impl Generator for WorkersAi {
    fn name(&self) -> &'static str {
        ProviderName::WorkersAi.as_str()
    }

    async fn generate(
        &self,
        request: &GenerateRequest,
        memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError> {
        let model = &self.settings.model;
        let input = Family::of(model).input(request)?;
        let input_json = serde_json::to_string(&input)
            .map_err(|_| GenerateError::Misconfigured("the request cannot be written as JSON"))?;
        let timeout_ms = self.settings.timeout_ms;
        let file = picture(&*self.binding, model, input_json, &request.prompt, timeout_ms, memory).await?;
        Ok(GeneratedImage { model: Some(model.as_str().to_owned()), ..GeneratedImage::new(file) })
    }
}

/// Runs `model` on an input that was made of `prompt`, and reads the picture that it answers with.
///
/// # Errors
/// [`GenerateError`].
pub async fn picture(
    binding: &dyn AiBinding,
    model: &ModelName,
    input_json: String,
    prompt: &Prompt,
    timeout_ms: u64,
    memory: &GenerationShare<'_>,
) -> Result<ImageFile, GenerateError> {
    let is_long = prompt.characters() > DOCUMENTED_PROMPT_CHARACTERS;
    let limits = AnswerLimits { timeout_ms, max_response_bytes: MAX_ANSWER_BYTES };
    let answer = binding.run(model.as_str(), input_json, limits).await;
    let answer = answer.map_err(|error| failure(error, is_long))?;
    let read = async |body| {
        arriving::read(body, MAX_ANSWER_BYTES, memory).await.map_err(|error| failure(error.into(), is_long))
    };
    match answer {
        AiOutput::Json(body) => decode(read(body).await?),
        AiOutput::Binary(body) => ImageFile::inspect(read(body).await?),
    }
}

/// Runs `model` on an input, and reads the JSON that it answers with.
///
/// # Errors
/// [`GenerateError`].
pub(crate) async fn json(
    binding: &dyn AiBinding,
    model: &ModelName,
    input_json: String,
    timeout_ms: u64,
    memory: &GenerationShare<'_>,
) -> Result<Vec<u8>, GenerateError> {
    let limits = AnswerLimits { timeout_ms, max_response_bytes: MAX_TEXT_ANSWER_BYTES };
    let answer = binding.run(model.as_str(), input_json, limits).await.map_err(|error| failure(error, false))?;
    match answer {
        AiOutput::Json(body) => {
            arriving::read(body, MAX_TEXT_ANSWER_BYTES, memory).await.map_err(|error| failure(error.into(), false))
        }
        AiOutput::Binary(_) => Err(GenerateError::UnreadableAnswer),
    }
}

/// A model's name in our own code.
pub(crate) fn built_in_model(name: &'static str) -> ModelName {
    ModelName::built_in(name)
}

fn decode(answer: Vec<u8>) -> Result<ImageFile, GenerateError> {
    let json = JsonAnswer::new(answer);
    let parsed: Answer<'_> = json.parse()?;
    let value = parsed.image.or(parsed.result.and_then(|result| result.image));
    let image = value.and_then(|value| json.image(value)).ok_or(GenerateError::EmptyAnswer)?;
    json.decode(image)
}

/// What an error means, by the codes in the documentation of Workers AI; 3030 is its filter of prompts. There is no code for a prompt that
/// is too long: an input that is refused is taken for one where it is longer than any model documents.
fn failure(error: AiError, is_long: bool) -> GenerateError {
    let refused = |status| GenerateError::RequestRefused { status, problem: Problem::default() };
    match error {
        AiError::Timeout => GenerateError::Timeout,
        AiError::Interrupted => GenerateError::Unavailable { status: None },
        AiError::ResponseTooLarge { limit_bytes } => GenerateError::TooLarge { limit_bytes },
        AiError::Failed { code } => match code {
            Some(3030) => GenerateError::Moderation,
            Some(3036) => GenerateError::QuotaExhausted,
            Some(3040) => GenerateError::RateLimited { retry_after_ms: None },
            Some(3007 | 3008) => GenerateError::Timeout,
            Some(5007 | 3042) => GenerateError::ModelNotFound,
            Some(3023 | 3041 | 5016 | 5018) => GenerateError::Unauthorized { status: 403 },
            Some(3003 | 5004 | 5006) if is_long => GenerateError::PromptTooLong { limit_characters: None },
            Some(3003 | 5004 | 5006) => refused(400),
            Some(5005 | 5019) => refused(405),
            // Nothing else of an input is long.
            Some(3006) => GenerateError::PromptTooLong { limit_characters: None },
            _ => GenerateError::Unavailable { status: None },
        },
    }
}
