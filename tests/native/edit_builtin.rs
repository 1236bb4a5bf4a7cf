//! The editor that needs no model: what becomes of dull photographs, of turned ones, and of what cannot be worked on.

use std::path::PathBuf;
use std::rc::Rc;

use stillstore::catalog::jobs::Tier;
use stillstore::edit::builtin::{BuiltinEditor, BuiltinEditorSettings, default_model};
use stillstore::edit::{EditRequest, Editor, Picture, TierSettings};
use stillstore::generate::{Field, GenerateError, GeneratedImage, Prompt, Quality, Size};
use stillstore::image::{Dimensions, Format, Geometry};
use stillstore::variants::Refusal;

use crate::generate_fakes::{now, with_memory};
use crate::image_fixtures;
use crate::variant_codecs::CountedCodecs;

fn settings(max_pixels: u32) -> BuiltinEditorSettings {
    let tier = |quality| TierSettings { model: default_model(), quality: Some(quality) };
    BuiltinEditorSettings { standard: tier(Quality::Medium), premium: tier(Quality::High), max_pixels }
}

fn edit_with(
    codecs: CountedCodecs,
    request: (Tier, Size),
    bytes: Vec<u8>,
    format: Format,
    with_mask: bool,
) -> Result<GeneratedImage, GenerateError> {
    let editor = BuiltinEditor::new(settings(1_000_000), Rc::new(codecs));
    let (tier, size) = request;
    let request = EditRequest { prompt: Prompt::parse("clearer").unwrap(), tier, size };
    let picture = Picture { bytes: bytes.into(), format };
    let mask = with_mask.then(|| picture.clone());
    with_memory(|memory| now(editor.edit(&request, picture, mask, memory)))
}

fn edit(bytes: Vec<u8>, format: Format) -> Result<GeneratedImage, GenerateError> {
    edit_with(CountedCodecs::default(), (Tier::Standard, Size::Auto), bytes, format, false)
}

fn picture(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/images").join(name)).unwrap()
}

/// How bright the pixels of a JPEG are, row by row, and how many are in a row.
fn lumas(jpeg: &[u8]) -> (Vec<f64>, usize) {
    let mut decoder = jpeg_decoder::Decoder::new(jpeg);
    let samples = decoder.decode().unwrap();
    let info = decoder.info().unwrap();
    let channels = info.pixel_format.pixel_bytes();
    let luma = |pixel: &[u8]| match *pixel {
        [red, green, blue] => 0.299 * f64::from(red) + 0.587 * f64::from(green) + 0.114 * f64::from(blue),
        [grey, ..] => f64::from(grey),
        [] => 0.0,
    };
    (samples.chunks(channels).map(luma).collect(), info.width.into())
}

/// The levels between which 98 of 100 pixels are, and how far they are from their mean.
#[allow(clippy::cast_precision_loss)]
fn spread(lumas: &[f64]) -> (f64, f64) {
    let mut sorted = lumas.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mean = lumas.iter().sum::<f64>() / lumas.len() as f64;
    let variance = lumas.iter().map(|luma| (luma - mean).powi(2)).sum::<f64>() / lumas.len() as f64;
    (sorted[sorted.len() * 99 / 100] - sorted[sorted.len() / 100], variance.sqrt())
}

/// How much a pixel differs from its neighbour, on average, as a part of how much pixels differ at all.
#[allow(clippy::cast_precision_loss)]
fn acutance((lumas, width): &(Vec<f64>, usize)) -> f64 {
    let steps = lumas.chunks(*width).flat_map(|row| row.windows(2)).map(|two| (two[0] - two[1]).abs());
    steps.sum::<f64>() / lumas.len() as f64 / spread(lumas).1
}

#[test]
fn dull_photographs_get_contrast_and_edges() {
    for name in ["moon", "cat"] {
        let dull = picture(&format!("{name}-before.jpg"));
        let made = edit(dull.clone(), Format::Jpeg).unwrap();
        assert_eq!((made.file.format(), made.model.as_deref()), (Format::Jpeg, Some("levels-and-edges")));
        // Makes the pictures of docs/jobs.md anew.
        if std::env::var("WRITE_PICTURES").is_ok() {
            let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("docs/images/{name}-after.jpg"));
            std::fs::write(path, made.file.bytes()).unwrap();
        }
        let (before, after) = (lumas(&dull), lumas(made.file.bytes()));
        let ((range_before, deviation_before), (range, deviation)) = (spread(&before.0), spread(&after.0));
        assert!(range_before < 190.0 && range > 1.3 * range_before, "{name}: {range_before} to {range}");
        assert!(deviation > 1.25 * deviation_before, "{name}: {deviation_before} to {deviation}");
        assert!(acutance(&after) > 1.05 * acutance(&before), "{name}: {} to {}", acutance(&before), acutance(&after));
        // Processors with other instructions round otherwise while they encode.
        let (shown, _) = lumas(&picture(&format!("{name}-after.jpg")));
        let furthest = shown.iter().zip(&after.0).map(|(one, other)| (one - other).abs()).fold(0.0, f64::max);
        assert!(shown.len() == after.0.len() && furthest < 12.0, "the picture in docs/jobs.md: {furthest}");
        // What is enhanced already changes little.
        let again = edit(made.file.bytes().to_vec(), Format::Jpeg).unwrap();
        assert!((spread(&lumas(again.file.bytes()).0).0 - range).abs() < 15.0, "{name}");
    }
}

#[test]
fn every_format_that_is_decoded_is_upright_in_its_own_size() {
    for (name, format, made_format, (width, height)) in [
        ("rotated.jpg", Format::Jpeg, Format::Jpeg, (24, 40)),
        ("grayscale-restart.jpg", Format::Jpeg, Format::Jpeg, (40, 24)),
        ("cmyk.jpg", Format::Jpeg, Format::Jpeg, (40, 24)),
        ("rgb.png", Format::Png, Format::Png, (40, 24)),
        ("gray16.png", Format::Png, Format::Png, (9, 7)),
        ("palette-transparent.png", Format::Png, Format::Png, (40, 24)),
        ("still.gif", Format::Gif, Format::Png, (40, 24)),
        ("lossy.webp", Format::Webp, Format::Jpeg, (40, 24)),
    ] {
        let made = edit(image_fixtures::bytes(name), format).unwrap();
        let expected = Geometry { dimensions: Dimensions { width, height }, orientation: None };
        assert_eq!((made.file.format(), made.file.geometry()), (made_format, Some(expected)), "{name}");
    }
}

#[test]
fn a_premium_edit_has_more_detail() {
    let size = |tier| {
        let codecs = CountedCodecs::default();
        edit_with(codecs, (tier, Size::Auto), picture("cat-before.jpg"), Format::Jpeg, false)
            .unwrap()
            .file
            .bytes()
            .len()
    };
    assert!(size(Tier::Premium) > size(Tier::Standard));
}

#[test]
fn what_cannot_be_worked_on_is_refused() {
    let png = || image_fixtures::bytes("rgb.png");
    let ask = |size, mask| edit_with(CountedCodecs::default(), (Tier::Standard, size), png(), Format::Png, mask);
    assert_eq!(ask(Size::Auto, true), Err(GenerateError::Unsupported { field: Field::Mask }));
    let size = Size::parse("1024x1024").unwrap();
    assert_eq!(ask(size, false), Err(GenerateError::Unsupported { field: Field::Size }));
    let refused = |refusal| Err(GenerateError::OriginalRefused(refusal));
    assert_eq!(edit(png()[..200].to_vec(), Format::Png), refused(Refusal::Impossible));
    let codecs = CountedCodecs::default();
    codecs.traps.set(true);
    let trapped = edit_with(codecs, (Tier::Standard, Size::Auto), png(), Format::Png, false);
    assert_eq!(trapped, refused(Refusal::Impossible));
    let small = BuiltinEditor::new(settings(100), Rc::new(CountedCodecs::default()));
    let request = EditRequest { prompt: Prompt::parse("a").unwrap(), tier: Tier::Standard, size: Size::Auto };
    let picture = Picture { bytes: png().into(), format: Format::Png };
    let outcome = with_memory(|memory| now(small.edit(&request, picture, None, memory)));
    assert_eq!(outcome, refused(Refusal::TooLarge));
    assert!(!small.takes(Format::Svg) && small.takes(Format::Gif));
}
