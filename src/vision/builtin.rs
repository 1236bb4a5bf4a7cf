//! The provider that needs no model and no key: what our own codecs measure.

use std::rc::Rc;

use async_trait::async_trait;

use super::{Look, Picture, Seen, Vision, VisionName};
use crate::generate::GenerateError;
use crate::image::Format;
use crate::library::GenerationShare;
use crate::store::EMBEDDED_MAX_BYTES;
use crate::variants::{Codecs, Refusal, measuring};

/// Measures pictures.
pub struct BuiltinVision {
    codecs: Rc<dyn Codecs>,
    max_pixels: u32,
}

impl BuiltinVision {
    /// A provider that has `codecs` do the work, on pictures of at most `max_pixels`.
    #[must_use]
    pub fn new(codecs: Rc<dyn Codecs>, max_pixels: u32) -> Self {
        Self { codecs, max_pixels }
    }

    async fn measured(
        &self,
        picture: Picture,
        others_bytes: u64,
        memory: &GenerationShare<'_>,
    ) -> Result<Seen, GenerateError> {
        let refused =
            |refusal| Seen { error: Some(GenerateError::OriginalRefused(refusal).reason()), ..Seen::default() };
        let (job, peak_bytes) = match measuring(picture.bytes, self.max_pixels) {
            Ok(job) => job,
            Err(refusal) => return Ok(refused(refusal)),
        };
        memory.hold_codecs(peak_bytes + others_bytes).await;
        match self.codecs.measure(job).await {
            Ok(measures) => Ok(Seen { measures: Some(measures), ..Seen::default() }),
            Err(error) => Refusal::of(&error).map(refused).ok_or(GenerateError::Unavailable { status: None }),
        }
    }
}

#[async_trait(?Send)]
impl Vision for BuiltinVision {
    fn name(&self) -> &'static str {
        VisionName::Builtin.as_str()
    }

    fn model(&self) -> Option<&str> {
        None
    }

    fn takes(&self, format: Format) -> bool {
        self.codecs.decodes(format)
    }

    fn max_bytes(&self) -> u64 {
        EMBEDDED_MAX_BYTES
    }

    fn room_bytes(&self, size_bytes: u64) -> u64 {
        size_bytes
    }

    fn answers_questions(&self) -> bool {
        false
    }

    async fn look(
        &self,
        pictures: Vec<Picture>,
        _question: Option<&str>,
        memory: &GenerationShare<'_>,
    ) -> Result<Look, GenerateError> {
        let mut left_bytes: u64 = pictures.iter().map(|picture| picture.bytes.size_bytes() as u64).sum();
        let mut seen = Vec::with_capacity(pictures.len());
        for picture in pictures {
            left_bytes -= picture.bytes.size_bytes() as u64;
            seen.push(self.measured(picture, left_bytes, memory).await?);
        }
        Ok(Look { summary: None, pictures: seen })
    }
}
