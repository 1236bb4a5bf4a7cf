//! What callers may ask for, and what they are told otherwise.

use proptest::prelude::*;
use stillstore::generate::{Prompt, ProviderName, Quality, Size, Style};

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
    assert_eq!(Prompt::parse(&longest).expect("valid").characters(), 4000);
    assert_eq!(rule(Prompt::parse(&format!("{longest}x"))), "must be at most 4000 characters");
    assert_eq!(rule(Prompt::parse(&"x".repeat(4001))), "must be at most 4000 characters");
    assert_eq!(rule(Prompt::parse(&"x".repeat(1 << 20))), "must be at most 4000 characters");
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
    for size in Size::ALL {
        assert_eq!(Size::parse(size.as_str()), Ok(size));
        let text = size.dimensions().map_or("auto".to_owned(), |it| format!("{}x{}", it.width, it.height));
        assert_eq!(size.as_str(), text);
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
        "must be one of 256x256, 512x512, 1024x1024, 1792x1024, 1024x1792, 1536x1024, 1024x1536, auto"
    );
    assert_eq!(rule(Quality::parse("ultra")), "must be one of standard, hd, low, medium, high, auto");
    assert_eq!(rule(Style::parse("")), "must be one of vivid, natural");
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
