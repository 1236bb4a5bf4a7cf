//! What a caller asks of a generator, checked.

use std::fmt;

use super::parameter::find;
use super::{InvalidParameter, Output, Size};

/// A description of the wanted picture: 1 to [`Prompt::MAX_CHARACTERS`] characters after trimming, without control characters except
/// line feed and tab.
#[derive(Clone, PartialEq, Eq)]
pub struct Prompt(String);

/// How much work to put into a picture. A provider that does not have the value uses the nearest one, or its own default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quality {
    Standard,
    Hd,
    Low,
    Medium,
    High,
    Auto,
}

/// The mood of a picture; ignored by providers that have no such thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Vivid,
    Natural,
}

/// A whole request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateRequest {
    pub prompt: Prompt,
    pub size: Size,
    pub quality: Option<Quality>,
    pub style: Option<Style>,
    pub output: Output,
    /// Which of several pictures of the same request this is, from 0 on. Only the built-in provider looks at it: the others never
    /// make the same picture twice.
    pub variation: u8,
}

impl Prompt {
    /// What the gpt-image models take. A provider that takes fewer says so itself.
    pub const MAX_CHARACTERS: usize = 32_000;

    /// The prompt in `text`, without white space at its ends.
    ///
    /// # Errors
    /// [`InvalidParameter`] when it is empty, too long, or has control characters.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        let prompt = text.trim();
        if prompt.is_empty() {
            return Err(InvalidParameter("must not be empty".to_owned()));
        }
        // A character is at most four bytes: texts that are certainly too long are not counted through.
        if prompt.len() > 4 * Self::MAX_CHARACTERS || prompt.chars().count() > Self::MAX_CHARACTERS {
            return Err(InvalidParameter(format!("must be at most {} characters", Self::MAX_CHARACTERS)));
        }
        if prompt.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\t')) {
            return Err(InvalidParameter(
                "must not contain control characters other than line feed and tab".to_owned(),
            ));
        }
        Ok(Self(prompt.to_owned()))
    }

    /// The prompt as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// How many characters it has.
    #[must_use]
    pub fn characters(&self) -> usize {
        self.0.chars().count()
    }
}

/// Prompts may hold personal text, and debug output ends in logs.
impl fmt::Debug for Prompt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Prompt({} characters)", self.characters())
    }
}

impl GenerateRequest {
    /// A request for a picture of `prompt`, and nothing else.
    #[must_use]
    pub fn new(prompt: Prompt) -> Self {
        Self { prompt, size: Size::default(), quality: None, style: None, output: Output::default(), variation: 0 }
    }
}

impl Quality {
    /// Every quality, in the order in which documentation lists them.
    pub const ALL: [Self; 6] = [Self::Standard, Self::Hd, Self::Low, Self::Medium, Self::High, Self::Auto];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Hd => "hd",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Auto => "auto",
        }
    }

    /// The quality with this text form.
    ///
    /// # Errors
    /// [`InvalidParameter`] with the list of all qualities.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        find(&Self::ALL, Self::as_str, text)
    }
}

impl Style {
    /// Every style, in the order in which documentation lists them.
    pub const ALL: [Self; 2] = [Self::Vivid, Self::Natural];

    /// The text form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Vivid => "vivid",
            Self::Natural => "natural",
        }
    }

    /// The style with this text form.
    ///
    /// # Errors
    /// [`InvalidParameter`] with the list of all styles.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        find(&Self::ALL, Self::as_str, text)
    }
}
