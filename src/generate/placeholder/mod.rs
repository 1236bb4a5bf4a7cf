//! The built-in provider: a landscape that depends on the prompt's hash, the size, the style, which of several it is, and
//! on nothing else.
//!
//! Cost at 1024x1024 in wasm: 11 to 17 ms, 1.4 MiB of memory in all, files of 40 to 110 KB. Rows are painted and compressed one by one.

// Pictures are at most 3840 pixels wide, and their colours are clamped before they become bytes.
#![allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]

mod chance;
mod colour;
mod paint;
mod png;
mod scene;

use std::io;

use async_trait::async_trait;

use self::png::PngWriter;
use self::scene::compose;
use super::{GenerateError, GenerateRequest, GeneratedImage, Generator, ImageFile, ProviderName, Style};
use crate::image::{Dimensions, Sha256Digest};
use crate::library::GenerationShare;

/// Draws pictures itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Placeholder;

const DEFAULT_DIMENSIONS: Dimensions = Dimensions { width: 1024, height: 1024 };

#[async_trait(?Send)]
impl Generator for Placeholder {
    fn name(&self) -> &'static str {
        ProviderName::Placeholder.as_str()
    }

    async fn generate(
        &self,
        request: &GenerateRequest,
        memory: &GenerationShare<'_>,
    ) -> Result<GeneratedImage, GenerateError> {
        if let Some(field) = request.output.first_beside_opaque_png() {
            return Err(GenerateError::Unsupported { field });
        }
        // Writing to memory does not fail; were it to, the file would be cut short.
        let bytes = draw(request).map_err(|_| GenerateError::Truncated)?;
        memory.hold_answer(bytes.len() as u64).await;
        Ok(GeneratedImage::new(ImageFile::inspect(bytes)?))
    }
}

/// The picture for `request` as a PNG: a function of the prompt, the size, the style and the variation.
///
/// # Errors
/// Never in practice: the writer underneath writes to memory.
pub fn draw(request: &GenerateRequest) -> io::Result<Vec<u8>> {
    let prompt = request.prompt.as_str();
    let digest = match request.variation {
        0 => Sha256Digest::of(prompt.as_bytes()),
        // No prompt has the character that parts it from the number.
        variation => Sha256Digest::of(format!("{prompt}\0{variation}").as_bytes()),
    };
    let dimensions = request.size.dimensions().unwrap_or(DEFAULT_DIMENSIONS);
    let vividness = match request.style {
        Some(Style::Vivid) => 1.25,
        Some(Style::Natural) => 0.75,
        None => 1.0,
    };
    let scene = compose(digest, dimensions, vividness);
    let mut png = PngWriter::new(dimensions)?;
    let mut row = vec![[0; 3]; dimensions.width as usize];
    for y in 0..dimensions.height {
        scene.paint_row(&mut row, y as f32 + 0.5);
        png.row(&row)?;
    }
    png.finish()
}
