//! The codecs of the Worker's module, without the module.

use std::cell::Cell;
use std::task::Poll;

use async_trait::async_trait;
use stillstore::image::{Fit, Format, VariantFormat};
use stillstore::variants::{CodecError, Codecs, Job, MadeVariant, MeasureJob, Measures};
use stillstore_codecs as codecs;

#[derive(Default)]
pub struct CountedCodecs {
    pub calls: Cell<usize>,
    /// Placeholders that were measured beside variants.
    pub placeholders: Cell<usize>,
    /// Breaks down at the next call.
    pub traps: Cell<bool>,
    /// Works elsewhere, and knows AVIF and HEIC, of which it makes variants of another picture.
    pub is_elsewhere: Cell<bool>,
    /// Never answers the next call.
    pub hangs: Cell<bool>,
    /// Others go on while a variant is made.
    pub yields: Cell<bool>,
}

#[async_trait(?Send)]
impl Codecs for CountedCodecs {
    fn decodes(&self, format: Format) -> bool {
        let is_known = matches!(format, Format::Jpeg | Format::Png | Format::Gif | Format::Webp);
        is_known || (self.is_elsewhere.get() && format != Format::Svg)
    }

    fn works_elsewhere(&self) -> bool {
        self.is_elsewhere.get()
    }

    async fn transform(&self, job: Job) -> Result<MadeVariant, CodecError> {
        self.calls.set(self.calls.get() + 1);
        self.placeholders.set(self.placeholders.get() + usize::from(job.with_placeholder));
        if self.traps.take() {
            return Err(CodecError::Trapped("unreachable".to_owned()));
        }
        if self.hangs.take() {
            return std::future::pending().await;
        }
        if self.yields.get() {
            let mut has_yielded = false;
            std::future::poll_fn(|context| {
                if std::mem::replace(&mut has_yielded, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
        let request = codecs::Request {
            width: job.width.unwrap_or(0),
            height: job.height.unwrap_or(0),
            fit: match job.fit {
                Fit::Contain => codecs::Fit::Contain,
                Fit::ScaleDown => codecs::Fit::ScaleDown,
                Fit::Cover => codecs::Fit::Cover,
                Fit::Crop => codecs::Fit::Crop,
            },
            orientation: job.orientation,
            target: match job.format {
                VariantFormat::Original | VariantFormat::Jpeg => codecs::Target::Jpeg,
                VariantFormat::Png => codecs::Target::Png,
                VariantFormat::Webp => codecs::Target::Webp,
                VariantFormat::JpegOrPng => codecs::Target::JpegOrPng,
                VariantFormat::JpegOrWebp => codecs::Target::JpegOrWebp,
            },
            quality: job.quality,
            max_pixels: job.max_pixels,
            coarseness: job.coarseness,
            enhances: job.enhances,
            with_placeholder: job.with_placeholder,
        };
        let bytes = match job.original {
            Format::Avif | Format::Heic => include_bytes!("../fixtures/images/rgb.png").to_vec(),
            _ => job.bytes.to_vec(),
        };
        let with_placeholder = request.with_placeholder && !self.is_elsewhere.get();
        let request = codecs::Request { with_placeholder, ..request };
        let output = codecs::transform(&bytes, &request).map_err(error)?;
        let format = match output.format {
            codecs::Format::Jpeg => Format::Jpeg,
            codecs::Format::Png => Format::Png,
            codecs::Format::Webp => Format::Webp,
        };
        let placeholder = output.placeholder.map(|placeholder| placeholder.to_bytes()).unwrap_or_default();
        Ok(MadeVariant {
            bytes: output.bytes.into(),
            format,
            is_of_animation: output.is_of_animation,
            placeholder: MadeVariant::placeholder_from_bytes(&placeholder),
        })
    }

    async fn measure(&self, job: MeasureJob) -> Result<Measures, CodecError> {
        self.calls.set(self.calls.get() + 1);
        if self.traps.take() {
            return Err(CodecError::Trapped("unreachable".to_owned()));
        }
        let measured = codecs::measure(&job.bytes.to_vec(), job.orientation, job.max_pixels, job.coarseness);
        let found = Measures::from_bytes(&measured.map_err(error)?.to_bytes()).unwrap();
        assert!(found.colours.len() <= 5 && (5..=25).contains(&found.thumbhash.len()), "{found:?}");
        Ok(found)
    }
}

fn error(refusal: codecs::Refusal) -> CodecError {
    match refusal {
        codecs::Refusal::Unsupported => CodecError::Unsupported,
        codecs::Refusal::Undecodable => CodecError::Undecodable,
        codecs::Refusal::TooManyPixels => CodecError::TooManyPixels,
    }
}
