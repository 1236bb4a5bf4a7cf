//! What a successful answer of the images API says: OpenAI's `ImagesResponse`.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::failure::failure_within_success;
use crate::generate::GenerateError;
use crate::generate::json_answer::{EncodedImage, JsonAnswer, MAX_REVISED_PROMPT_BYTES, MAX_REVISED_PROMPT_CHARACTERS};

/// Longer URLs are not followed; signed ones have about 500 bytes.
const MAX_URL_BYTES: usize = 8 * 1024;

/// The answer, without its image's bytes.
pub struct Answer {
    pub image: Source,
    /// Cut to [`MAX_REVISED_PROMPT_CHARACTERS`].
    pub revised_prompt: Option<String>,
    pub total_tokens: Option<u64>,
}

/// Where the image is.
pub enum Source {
    Encoded(EncodedImage),
    Url(String),
}

#[derive(Deserialize)]
struct ImagesResponse<'answer> {
    #[serde(borrow, default)]
    data: Option<First<Image<'answer>>>,
    #[serde(borrow, default)]
    usage: Option<&'answer RawValue>,
    #[serde(borrow, default)]
    error: Option<&'answer RawValue>,
}

#[derive(Deserialize)]
struct Image<'answer> {
    #[serde(borrow, default)]
    b64_json: Option<&'answer RawValue>,
    #[serde(borrow, default)]
    url: Option<&'answer RawValue>,
    #[serde(borrow, default)]
    revised_prompt: Option<&'answer RawValue>,
}

/// The first of a list, which may be empty. The others take no memory, however many there are.
struct First<T>(Option<T>);

#[derive(Deserialize)]
struct Usage {
    total_tokens: Option<u64>,
}

impl Answer {
    /// Reads `answer`.
    ///
    /// # Errors
    /// [`GenerateError`]: no image, another shape, or an error in place of an image.
    pub fn parse(answer: &JsonAnswer) -> Result<Self, GenerateError> {
        let response: ImagesResponse<'_> = answer.parse()?;
        let Some(First(Some(image))) = response.data else {
            let error = response.error.map(|error| failure_within_success(200, error.get()));
            return Err(error.unwrap_or(GenerateError::EmptyAnswer));
        };
        let encoded = image.b64_json.and_then(|value| answer.image(value));
        let source = encoded.map(Source::Encoded).or_else(|| source_of(image.url?, answer));
        // An odd prompt or token count is no reason to lose a picture that was paid for.
        let revised_prompt = image.revised_prompt.and_then(|value| answer.short_text(value, MAX_REVISED_PROMPT_BYTES));
        let usage = response.usage.and_then(|usage| serde_json::from_str::<Usage>(usage.get()).ok());
        Ok(Self {
            image: source.ok_or(GenerateError::EmptyAnswer)?,
            revised_prompt: revised_prompt.map(|prompt| prompt.chars().take(MAX_REVISED_PROMPT_CHARACTERS).collect()),
            total_tokens: usage.and_then(|usage| usage.total_tokens),
        })
    }
}

fn source_of(url: &RawValue, answer: &JsonAnswer) -> Option<Source> {
    let image = answer.image_at_data_url(url).map(Source::Encoded);
    image.or_else(|| answer.short_text(url, MAX_URL_BYTES).map(Source::Url))
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for First<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FirstVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for FirstVisitor<T> {
            type Value = First<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let first = list.next_element()?;
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(First(first))
            }
        }

        deserializer.deserialize_seq(FirstVisitor(PhantomData))
    }
}
