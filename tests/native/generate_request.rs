//! What callers may ask for, and what they are told otherwise.

use proptest::prelude::*;
use stillstore::generate::{Background, Output, OutputFormat, Prompt, ProviderName, Quality, Size, Style};
use stillstore::image::Dimensions;

fn rule<T: std::fmt::Debug>(result: Result<T, stillstore::generate::InvalidParameter>) -> String {
    result.expect_err("refused").to_string()
}

#[test]
fn prompts_are_trimmed_and_keep_their_inner_lines() {
    assert_eq!(Prompt::parse(" \n a cat\n\tin a hat \r\n").expect("valid").as_str(), "a cat\n\tin a hat");
}

#[test]
fn empty_prompts_are_refused() {
    for text in ["", " ", "\n\t \u{3000}"] {
        assert_eq!(rule(Prompt::parse(text)), "must not be empty", "{text:?}");
    }
}

#[test]
fn prompts_are_counted_in_characters() {
    let longest = "\u{1f98a}".repeat(Prompt::MAX_CHARACTERS);
    assert_eq!(Prompt::parse(&longest).expect("valid").characters(), 32_000);
    for too_long in [format!("{longest}x"), "x".repeat(32_001), "x".repeat(1 << 20)] {
        assert_eq!(rule(Prompt::parse(&too_long)), "must be at most 32000 characters");
    }
}

#[test]
fn control_characters_are_refused() {
    for character in ['\0', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9f}'] {
        let rule = rule(Prompt::parse(&format!("a{character}b")));
        assert_eq!(rule, "must not contain control characters other than line feed and tab", "{character:?}");
    }
}

#[test]
fn every_value_is_its_own_text() {
    let fixed = ["256x256", "512x512", "1024x1024", "1792x1024", "1024x1792", "1536x1024", "1024x1536", "auto"];
    assert_eq!(Size::FIXED.map(|size| size.text().into_owned()), fixed);
    for size in Size::FIXED {
        assert_eq!(Size::parse(&size.text()), Ok(size));
    }
    for background in Background::ALL {
        assert_eq!(Background::parse(background.as_str()), Ok(background));
    }
    for format in OutputFormat::ALL {
        assert_eq!(OutputFormat::parse(format.as_str()), Ok(format));
    }
    for quality in Quality::ALL {
        assert_eq!(Quality::parse(quality.as_str()), Ok(quality));
    }
    for style in Style::ALL {
        assert_eq!(Style::parse(style.as_str()), Ok(style));
    }
}

#[test]
fn refusals_list_what_is_accepted() {
    assert_eq!(
        rule(Size::parse("1024X1024")),
        "must be one of 256x256, 512x512, 1024x1024, 1792x1024, 1024x1792, 1536x1024, 1024x1536, auto, \
         or another WIDTHxHEIGHT in pixels"
    );
    assert_eq!(rule(Background::parse("none")), "must be one of transparent, opaque, auto");
    assert_eq!(rule(OutputFormat::parse("jpg")), "must be one of png, jpeg, webp");
    assert_eq!(rule(Quality::parse("ultra")), "must be one of standard, hd, low, medium, high, auto");
    assert_eq!(rule(Style::parse("")), "must be one of vivid, natural");
}

#[test]
fn sizes_of_gpt_image_2_are_taken_as_they_are() {
    for (text, width, height) in [
        ("3840x2160", 3840, 2160),
        ("2160x3840", 2160, 3840),
        ("2880x2880", 2880, 2880),
        ("3840x1280", 3840, 1280),
        ("1536x864", 1536, 864),
        // The fewest pixels that there may be.
        ("1024x640", 1024, 640),
        ("1408x480", 1408, 480),
    ] {
        let size = Size::parse(text).expect(text);
        assert_eq!((size.dimensions(), &*size.text()), (Some(Dimensions { width, height }), text));
    }
}

#[test]
fn a_size_outside_the_limits_is_refused_with_the_rule_that_it_breaks() {
    let side = "must have no side longer than 3840 pixels";
    let step = "must have sides divisible by 16";
    let ratio = "must have a ratio between 1:3 and 3:1";
    let pixels = "must have 655360 to 8294400 pixels in all";
    for (text, broken) in [
        ("3856x2160", side),
        ("16x4096", side),
        ("4294967295x4294967295", side),
        ("1920x1080", step),
        ("1000x1024", step),
        ("1024x1000", step),
        ("3072x1008", ratio),
        ("1008x3072", ratio),
        ("3840x2176", pixels),
        ("2896x2896", pixels),
        ("800x800", pixels),
        ("1008x640", pixels),
        ("16x16", pixels),
    ] {
        assert_eq!(rule(Size::parse(text)), broken, "{text}");
    }
    for text in [
        "",
        "x",
        "1024",
        "1024x",
        "x1024",
        "01024x1024",
        "1024x0",
        "+1024x1024",
        "1024 x1024",
        "1024x1024x1024",
        "1024.0x1024",
        "-1024x1024",
        "99999999999x1024",
        "\u{661}024x1024",
        "AUTO",
    ] {
        assert!(rule(Size::parse(text)).starts_with("must be one of 256x256, "), "{text:?}");
    }
}

#[test]
fn outputs_that_contradict_themselves_are_refused_by_field() {
    let refused = |background, format, compression| {
        let (field, rule) = Output::new(background, format, compression).expect_err("refused");
        (field.as_str(), rule.to_string())
    };
    let rule = "must not be transparent where outputFormat is jpeg; use png or webp".to_owned();
    assert_eq!(refused(Some(Background::Transparent), Some(OutputFormat::Jpeg), None), ("background", rule));
    for format in [None, Some(OutputFormat::Png)] {
        let rule = "is for outputFormat jpeg and webp only".to_owned();
        assert_eq!(refused(None, format, Some(50)), ("outputCompression", rule));
    }
    let rule = "must be a whole number from 0 to 100".to_owned();
    assert_eq!(refused(None, Some(OutputFormat::Webp), Some(101)), ("outputCompression", rule));
    for (background, format, compression) in [
        (None, None, None),
        (Some(Background::Transparent), None, None),
        (Some(Background::Transparent), Some(OutputFormat::Webp), Some(0)),
        (Some(Background::Opaque), Some(OutputFormat::Jpeg), Some(100)),
    ] {
        let output = Output::new(background, format, compression).expect("fine");
        assert_eq!((output.background(), output.format(), output.compression()), (background, format, compression));
    }
}

#[test]
fn provider_lists_keep_their_order() {
    use ProviderName::{OpenAi, Placeholder, WorkersAi};
    assert_eq!(ProviderName::parse_list("placeholder"), Ok(vec![Placeholder]));
    assert_eq!(ProviderName::parse_list(" openai , workers-ai,placeholder"), Ok(vec![OpenAi, WorkersAi, Placeholder]));
    let unknown = "each name of the list must be one of placeholder, openai, workers-ai";
    for text in ["", "openai,", "dall-e", "OpenAI"] {
        assert_eq!(rule(ProviderName::parse_list(text)), unknown, "{text:?}");
    }
    assert_eq!(rule(ProviderName::parse_list("openai,placeholder,openai")), "must not name openai twice");
}

proptest! {
    #[test]
    fn a_prompt_parses_to_itself(text in "\\PC{1,200}") {
        if let Ok(prompt) = Prompt::parse(&text) {
            prop_assert_eq!(prompt.as_str(), text.trim());
            prop_assert_eq!(Prompt::parse(prompt.as_str()), Ok(prompt.clone()));
            let debug = format!("{prompt:?}");
            prop_assert_eq!(debug, format!("Prompt({} characters)", text.trim().chars().count()));
        }
    }
}
