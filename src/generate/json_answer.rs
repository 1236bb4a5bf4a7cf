//! JSON answers that hold images.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{GenerateError, ImageFile, MAX_GENERATED_BYTES};
use crate::library::MemoryBudget;

/// The longest JSON answer taken: an image of [`MAX_GENERATED_BYTES`] in base64, four characters for three bytes, and 64 KiB for the
/// rest. An image is unescaped and decoded where it lies: this is also what an answer takes of memory, and [`MAX_REST_BYTES`] more.
pub const MAX_ANSWER_BYTES: u64 = MAX_GENERATED_BYTES.div_ceil(3) * 4 + 64 * 1024;
const _: () = assert!(MAX_ANSWER_BYTES <= MemoryBudget::MAX_ANSWER_BYTES);

/// The most that may be beside the long strings of an answer that has any: it is copied.
const MAX_REST_BYTES: usize = 1024 * 1024;

/// The longest revised prompt that is kept, in characters. Only dall-e-3 is known to rewrite prompts, and this is what it takes itself.
pub const MAX_REVISED_PROMPT_CHARACTERS: usize = 4000;

/// The longest revised prompt that is read, still escaped: a character takes at most 12 bytes, as two escapes.
pub const MAX_REVISED_PROMPT_BYTES: usize = 12 * MAX_REVISED_PROMPT_CHARACTERS;

/// Strings of more bytes than any text but an image are taken out of an answer before its JSON is read: the JSON parser would look at
/// each byte of them twice.
const MAX_STRING_BYTES: usize = MAX_REVISED_PROMPT_BYTES;

/// What stands for a long string in the JSON that is read, followed by the string's index: an escape with which no base64, URL or prompt
/// starts.
const LONG_STRING: &str = r"\u0000";

/// An answer, whose long strings were found. JSON's rules for what is in a string hold for the others: a long one is an image, which has
/// to be base64, or is not looked at.
pub struct JsonAnswer {
    bytes: Vec<u8>,
    /// With [`LONG_STRING`] in place of each long one; not used when there is none.
    json: Vec<u8>,
    /// Whether more than [`MAX_REST_BYTES`] should be in `json`, which is then incomplete.
    is_too_noisy: bool,
    /// Their insides, still escaped, in `bytes`.
    long_strings: Vec<Range<usize>>,
}

/// An image in a [`JsonAnswer`]: bare base64 or a `data:` URL, still escaped.
pub enum EncodedImage {
    /// Where it is in the answer.
    Long(Range<usize>),
    /// The image itself.
    Short(Vec<u8>),
}

impl JsonAnswer {
    /// Looks for the strings of `bytes`, which may be no JSON at all.
    pub fn new(bytes: Vec<u8>) -> Self {
        let mut json = Vec::new();
        let mut is_too_noisy = false;
        let mut long_strings = Vec::new();
        let (mut kept, mut position) = (0, 0);
        while let Some(range) = next_string(&bytes, position) {
            position = range.end + 1;
            if range.len() > MAX_STRING_BYTES {
                is_too_noisy |= !extend_to_limit(&mut json, bytes.get(kept..range.start).unwrap_or_default());
                json.extend_from_slice(format!("{LONG_STRING}{}", long_strings.len()).as_bytes());
                kept = range.end;
                long_strings.push(range);
            }
        }
        if !long_strings.is_empty() {
            is_too_noisy |= !extend_to_limit(&mut json, bytes.get(kept..).unwrap_or_default());
        }
        Self { bytes, json, is_too_noisy, long_strings }
    }

    fn json(&self) -> &[u8] {
        if self.long_strings.is_empty() { &self.bytes } else { &self.json }
    }

    /// Reads the JSON.
    pub fn parse<'answer, T: Deserialize<'answer>>(&'answer self) -> Result<T, GenerateError> {
        if self.is_too_noisy {
            return Err(GenerateError::UnreadableAnswer);
        }
        let json = self.json();
        if json.trim_ascii().is_empty() {
            return Err(GenerateError::EmptyAnswer);
        }
        serde_json::from_slice(json)
            .map_err(|error| if error.is_eof() { GenerateError::Truncated } else { GenerateError::UnreadableAnswer })
    }

    /// The image that `value` is, which is borrowed from this answer. `None` when it is no string, or an empty one.
    pub fn image(&self, value: &RawValue) -> Option<EncodedImage> {
        let text = value.get().strip_prefix('"')?.strip_suffix('"')?;
        match self.long_string(text) {
            Some(range) => Some(EncodedImage::Long(range)),
            None => (!text.is_empty()).then(|| EncodedImage::Short(text.into())),
        }
    }

    /// Where in the answer the long string is that `text`, a string's inside, stands for.
    fn long_string(&self, text: &str) -> Option<Range<usize>> {
        let index: usize = text.strip_prefix(LONG_STRING)?.parse().ok()?;
        self.long_strings.get(index).cloned()
    }

    /// The text that `value` is, which is borrowed from this answer, unless it is none, is empty, or has more than `max_bytes`, at most
    /// [`MAX_STRING_BYTES`], with its escapes.
    pub fn short_text(&self, value: &RawValue, max_bytes: usize) -> Option<String> {
        let json = value.get();
        if json.len() > max_bytes || self.long_string(json.trim_matches('"')).is_some() {
            return None;
        }
        serde_json::from_str(json).ok().filter(|text: &String| !text.is_empty())
    }

    /// [`JsonAnswer::image`] if it is a `data:` URL.
    pub fn image_at_data_url(&self, value: &RawValue) -> Option<EncodedImage> {
        self.image(value).filter(|image| {
            let text = match image {
                EncodedImage::Long(range) => self.bytes.get(range.clone()).unwrap_or_default(),
                EncodedImage::Short(text) => text,
            };
            text.starts_with(b"data:")
        })
    }

    /// Decodes `image`, which is this answer's, and looks at it; white space and missing padding are forgiven.
    pub fn decode(self, image: EncodedImage) -> Result<ImageFile, GenerateError> {
        let (mut bytes, range) = match image {
            EncodedImage::Long(range) => (self.bytes, range),
            EncodedImage::Short(text) => {
                let range = 0..text.len();
                (text, range)
            }
        };
        let text = bytes.get_mut(range.clone()).unwrap_or_default();
        let size_bytes = unescape(text)?;
        let text = text.get_mut(..size_bytes).unwrap_or_default();
        let data_start = if text.starts_with(b"data:") {
            memchr::memchr(b',', text).ok_or(GenerateError::UnreadableAnswer)? + 1
        } else {
            0
        };
        let data = text.get_mut(data_start..).unwrap_or_default();
        let size_bytes =
            base64_simd::forgiving_decode_inplace(data).map_err(|_| GenerateError::UnreadableAnswer)?.len();
        let start = range.start + data_start;
        bytes.truncate(start + size_bytes);
        bytes.drain(..start);
        ImageFile::inspect(bytes)
    }
}

/// Adds `bytes` to `json` unless that makes more than [`MAX_REST_BYTES`].
fn extend_to_limit(json: &mut Vec<u8>, bytes: &[u8]) -> bool {
    let fits = json.len() + bytes.len() <= MAX_REST_BYTES;
    if fits {
        json.extend_from_slice(bytes);
    }
    fits
}

/// The inside of the next string of `text` from `position` on.
fn next_string(text: &[u8], position: usize) -> Option<Range<usize>> {
    let start = position + memchr::memchr(b'"', text.get(position..)?)? + 1;
    let mut searched = start;
    loop {
        let found = searched + memchr::memchr2(b'"', b'\\', text.get(searched..)?)?;
        if text.get(found) == Some(&b'"') {
            return Some(start..found);
        }
        searched = found + 2;
    }
}

/// Replaces the escapes of the inside of a JSON string by what they stand for, in place, and gives the new length. Some servers escape
/// the `/` and the `+` of base64.
fn unescape(text: &mut [u8]) -> Result<usize, GenerateError> {
    let Some(first) = memchr::memchr(b'\\', text) else { return Ok(text.len()) };
    let (mut read, mut written) = (first, first);
    while let Some(byte) = text.get(read).copied() {
        let (plain, length) =
            if byte == b'\\' { unescape_one(text.get(read..).unwrap_or_default())? } else { (byte, 1) };
        if let Some(target) = text.get_mut(written) {
            *target = plain;
        }
        read += length;
        written += 1;
    }
    Ok(written)
}

/// The character that the escape at the start of `text` stands for, and the escape's length. Base64 and URLs have ASCII only.
fn unescape_one(text: &[u8]) -> Result<(u8, usize), GenerateError> {
    Ok(match text {
        [_, byte @ (b'/' | b'\\' | b'"'), ..] => (*byte, 2),
        [_, b'n' | b'r' | b't' | b'f', ..] => (b'\n', 2),
        [_, b'u', b'0', b'0', digits @ ..] => {
            let digits = digits.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
            let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
            (byte.filter(u8::is_ascii).ok_or(GenerateError::UnreadableAnswer)?, 6)
        }
        _ => return Err(GenerateError::UnreadableAnswer),
    })
}
