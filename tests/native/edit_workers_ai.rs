//! What the image-to-image models of Workers AI are asked, and what their answers make.

use std::rc::Rc;

use serde_json::{Value, json};
use stillstore::catalog::jobs::Tier;
use stillstore::edit::workers_ai::{WorkersAiEditor, WorkersAiEditorSettings, default_model};
use stillstore::edit::{EditRequest, Editor, Picture, TierSettings};
use stillstore::generate::{Field, GenerateError, GeneratedImage, Prompt, Quality, Size};
use stillstore::http::{AiError, AiOutput};
use stillstore::image::Format;

use crate::generate_fakes::{ScriptedAi, TIMEOUT_MS, base64, now, with_memory};
use crate::image_fixtures;

fn edit(
    answer: Result<AiOutput, AiError>,
    tier: Tier,
    with_mask: bool,
) -> (Result<GeneratedImage, GenerateError>, Rc<ScriptedAi>) {
    let binding = Rc::new(ScriptedAi::answering(answer));
    let settings = WorkersAiEditorSettings {
        standard: TierSettings { model: default_model(), quality: Some(Quality::Medium) },
        premium: TierSettings { model: default_model(), quality: Some(Quality::High) },
        timeout_ms: TIMEOUT_MS,
    };
    let editor = WorkersAiEditor::new(settings, binding.clone());
    let request = EditRequest { prompt: Prompt::parse("a \"lion\"").unwrap(), tier, size: Size::Auto };
    let picture = Picture { bytes: image_fixtures::bytes("rgb.png").into(), format: Format::Png };
    let mask = with_mask.then(|| picture.clone());
    (with_memory(|memory| now(editor.edit(&request, picture, mask, memory))), binding)
}

#[test]
fn the_picture_goes_as_base64_and_comes_back_as_bytes() {
    let made = image_fixtures::bytes("baseline.jpg");
    for (tier, steps) in [(Tier::Standard, None), (Tier::Premium, Some(20))] {
        let (outcome, binding) = edit(Ok(AiOutput::Binary(made.clone().into())), tier, false);
        assert_eq!(outcome.unwrap().file.bytes(), made);
        let calls = binding.calls.borrow();
        let (model, input, limits) = &calls[0];
        assert_eq!((model.as_str(), limits.timeout_ms), ("@cf/runwayml/stable-diffusion-v1-5-img2img", TIMEOUT_MS));
        let mut expected = json!({
            "prompt": "a \"lion\"", "image_b64": base64(&image_fixtures::bytes("rgb.png")), "strength": 0.5
        });
        if let Some(steps) = steps {
            expected["num_steps"] = json!(steps);
        }
        assert_eq!(serde_json::from_str::<Value>(input).unwrap(), expected);
    }
}

#[test]
fn failures_are_those_of_generations() {
    for (error, expected) in [
        (AiError::Failed { code: Some(3030) }, GenerateError::Moderation),
        (AiError::Failed { code: Some(3040) }, GenerateError::RateLimited { retry_after_ms: None }),
        (AiError::Timeout, GenerateError::Timeout),
    ] {
        assert_eq!(edit(Err(error), Tier::Standard, false).0, Err(expected));
    }
    let (outcome, binding) = edit(Err(AiError::Timeout), Tier::Standard, true);
    assert_eq!(outcome, Err(GenerateError::Unsupported { field: Field::Mask }));
    assert!(binding.calls.borrow().is_empty());
}
