//! Any server that speaks OpenAI's images API: `POST /images/edits`, OpenAI's `CreateImageEditRequest`.

use std::rc::Rc;

use async_trait::async_trait;

use super::form::FormBody;
use super::{EditRequest, Editor, EditorName, Picture, TierSettings};
use crate::catalog::jobs::Tier;
use crate::generate::openai::{Family, Server};
use crate::generate::{ApiKey, BaseUrl, Field, GenerateError, GeneratedImage, Size};
use crate::http::HttpClient;
use crate::image::Format;
use crate::library::GenerationShare;
use crate::runtime::Runtime;

/// The longest picture that is sent, with its mask. OpenAI takes 50 MB; it is in memory twice while it is sent, and the isolate's part for
/// uploads is 41 MiB.
const MAX_BYTES: u64 = 16 * 1024 * 1024;
/// Parts of a form: seven texts and two files.
const MOST_PARTS: usize = 9;

/// How to reach a server, and what each tier asks it for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiEditorSettings {
    pub base_url: BaseUrl,
    /// Not needed by every server.
    pub api_key: Option<ApiKey>,
    pub standard: TierSettings,
    pub premium: TierSettings,
    /// Milliseconds for one picture.
    pub timeout_ms: u64,
}

/// Edits pictures on a server that speaks OpenAI's images API.
pub struct OpenAiEditor {
    settings: OpenAiEditorSettings,
    server: Server,
    runtime: Rc<dyn Runtime>,
}

impl OpenAiEditor {
    /// An editor on the server of `settings`.
    #[must_use]
    pub fn new(settings: OpenAiEditorSettings, http: Rc<dyn HttpClient>, runtime: Rc<dyn Runtime>) -> Self {
        let server = Server::new(settings.base_url.clone(), settings.api_key.clone(), http, Rc::clone(&runtime));
        Self { settings, server, runtime }
    }

    /// The form that asks for an edit. Takes the pictures, so that they are in memory once when it is sent.
    fn form(
        &self,
        family: Family,
        request: &EditRequest,
        original: &Picture,
        mask: Option<&Picture>,
    ) -> (String, Vec<u8>) {
        let tier = self.tier(request.tier);
        let pictures = [Some(original), mask].into_iter().flatten();
        let content_bytes: usize = pictures.map(|picture| picture.bytes.size_bytes()).sum();
        let mut form =
            FormBody::new(self.runtime.random_bytes(), content_bytes + request.prompt.as_str().len(), MOST_PARTS);
        form.text("model", tier.model.as_str());
        form.text("prompt", request.prompt.as_str());
        if family != Family::Unknown {
            form.text("n", "1");
        }
        // A model that has no choice of its own is not asked for one.
        if request.size != Size::Auto || family.is_gpt_image() {
            form.text("size", &family.size(request.size).unwrap_or_else(|| request.size.text()));
        }
        if let Some(quality) = tier.quality.and_then(|quality| family.quality(quality)) {
            form.text("quality", quality);
        }
        if family.is_gpt_image() {
            form.text("output_format", output_format(original.format));
        } else if family == Family::DallE2 {
            form.text("response_format", "b64_json");
        }
        form.picture("image", original);
        if let Some(mask) = mask {
            form.picture("mask", mask);
        }
        form.finish()
    }
}

/// The format of the answer: that of the original, which knows best whether it is a photograph.
const fn output_format(original: Format) -> &'static str {
    match original {
        Format::Jpeg => "jpeg",
        Format::Webp => "webp",
        _ => "png",
    }
}

#[async_trait(?Send)]
impl Editor for OpenAiEditor {
    fn name(&self) -> &'static str {
        EditorName::OpenAi.as_str()
    }

    fn tier(&self, tier: Tier) -> &TierSettings {
        match tier {
            Tier::Standard => &self.settings.standard,
            Tier::Premium => &self.settings.premium,
        }
    }

    fn takes(&self, format: Format) -> bool {
        matches!(format, Format::Jpeg | Format::Png | Format::Webp)
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
        let model = self.tier(request.tier).model.clone();
        let family = Family::of(&model);
        if family == Family::DallE3 {
            return Err(GenerateError::Misconfigured("dall-e-3 does not edit; name another model"));
        }
        if let Some(limit_characters) = family.max_prompt_characters()
            && request.prompt.characters() > limit_characters
        {
            return Err(GenerateError::PromptTooLong { limit_characters: Some(limit_characters) });
        }
        if mask.as_ref().is_some_and(|mask| mask.format != Format::Png) {
            return Err(GenerateError::Unsupported { field: Field::Mask });
        }
        let deadline = self.server.deadline(self.settings.timeout_ms);
        let (content_type, body) = self.form(family, request, &original, mask.as_ref());
        drop((original, mask));
        // Not retried here: the job is.
        let response = self.server.post("/images/edits", content_type, body, deadline, memory).await?;
        let picture = self.server.picture(response, deadline, memory).await?;
        Ok(GeneratedImage { model: Some(model.as_str().to_owned()), ..picture })
    }
}
