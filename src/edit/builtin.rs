//! The editor that needs no model and no key: levels that use the whole range, gentle sharpening, and the orientation applied.

use std::rc::Rc;

use async_trait::async_trait;

use super::{EditRequest, Editor, EditorName, Picture, TierSettings};
use crate::catalog::jobs::Tier;
use crate::generate::{Field, GenerateError, GeneratedImage, ImageFile, ModelName, Quality, Size, workers_ai};
use crate::image::Format;
use crate::library::GenerationShare;
use crate::store::EMBEDDED_MAX_BYTES;
use crate::variants::{Codecs, Refusal, enhancing};

/// Qualities of JPEG.
const SMALL: u8 = 75;
const USUAL: u8 = 85;
const FINE: u8 = 92;
/// The codecs cannot be asked now.
const UNAVAILABLE: GenerateError = GenerateError::Unavailable { status: None };

/// The word in records where others have the name of a model.
#[must_use]
pub fn default_model() -> ModelName {
    workers_ai::built_in_model("levels-and-edges")
}

/// What each tier means, and how large pictures may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltinEditorSettings {
    pub standard: TierSettings,
    pub premium: TierSettings,
    /// Pictures with more pixels are refused.
    pub max_pixels: u32,
}

/// Edits pictures with our own codecs. The prompt is kept with the picture, and not followed.
pub struct BuiltinEditor {
    settings: BuiltinEditorSettings,
    codecs: Rc<dyn Codecs>,
}

impl BuiltinEditor {
    /// An editor that has `codecs` do the work.
    #[must_use]
    pub fn new(settings: BuiltinEditorSettings, codecs: Rc<dyn Codecs>) -> Self {
        Self { settings, codecs }
    }
}

const fn jpeg_quality(quality: Option<Quality>) -> u8 {
    match quality {
        Some(Quality::Low) => SMALL,
        Some(Quality::Hd | Quality::High) => FINE,
        Some(Quality::Standard | Quality::Medium | Quality::Auto) | None => USUAL,
    }
}

#[async_trait(?Send)]
impl Editor for BuiltinEditor {
    fn name(&self) -> &'static str {
        EditorName::Builtin.as_str()
    }

    fn tier(&self, tier: Tier) -> &TierSettings {
        match tier {
            Tier::Standard => &self.settings.standard,
            Tier::Premium => &self.settings.premium,
        }
    }

    fn takes(&self, format: Format) -> bool {
        self.codecs.decodes(format)
    }

    fn max_bytes(&self) -> u64 {
        EMBEDDED_MAX_BYTES
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
        if request.size != Size::Auto {
            return Err(GenerateError::Unsupported { field: Field::Size });
        }
        let quality = jpeg_quality(self.tier(request.tier).quality);
        let (job, peak_bytes) = enhancing(original.bytes, quality, self.settings.max_pixels)?;
        memory.hold_codecs(peak_bytes).await;
        let made = self.codecs.transform(job).await;
        let made = made.map_err(|error| Refusal::of(&error).map_or(UNAVAILABLE, GenerateError::OriginalRefused))?;
        memory.hold_answer(made.bytes.size_bytes() as u64).await;
        let file = ImageFile::inspect(made.bytes.to_vec())?;
        Ok(GeneratedImage { model: Some(default_model().as_str().to_owned()), ..GeneratedImage::new(file) })
    }
}
