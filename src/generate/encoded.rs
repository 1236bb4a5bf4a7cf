//! Images inside JSON answers, as base64 text.

use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{GenerateError, ImageFile, MAX_GENERATED_BYTES};

/// The longest JSON answer taken: an image of [`MAX_GENERATED_BYTES`] in base64, four characters for three bytes, and 64 KiB for the
/// rest. It is unescaped and decoded where it lies: this is also what an answer takes of memory.
pub const MAX_ANSWER_BYTES: u64 = MAX_GENERATED_BYTES.div_ceil(3) * 4 + 64 * 1024;

/// Where in an answer an image is: the inside of a JSON string, still escaped; bare base64 or a `data:` URL.
pub struct EncodedImage(Range<usize>);

impl EncodedImage {
    /// The image that is `value` of the JSON text `answer`, from which it is borrowed. `None` when it is no text, or an empty one.
    pub fn find(value: &RawValue, answer: &[u8]) -> Option<Self> {
        let text = value.get().strip_prefix('"')?.strip_suffix('"').filter(|text| !text.is_empty())?;
        let start = text.as_ptr().addr().checked_sub(answer.as_ptr().addr())?;
        Some(Self(start..start + text.len()))
    }

    /// Decodes the image and looks at it; white space and missing padding are forgiven.
    pub fn decode(self, mut answer: Vec<u8>) -> Result<ImageFile, GenerateError> {
        let Range { start, end } = self.0;
        answer.truncate(end);
        answer.drain(..start.min(end));
        let size_bytes = unescape(&mut answer)?;
        answer.truncate(size_bytes);
        if answer.starts_with(b"data:") {
            let comma = answer.iter().position(|byte| *byte == b',').ok_or(GenerateError::UnreadableAnswer)?;
            answer.drain(..=comma);
        }
        let image = base64_simd::forgiving_decode_inplace(&mut answer).map_err(|_| GenerateError::UnreadableAnswer)?;
        let size_bytes = image.len();
        answer.truncate(size_bytes);
        ImageFile::inspect(answer)
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

/// The text that `value` is, unless it is none, is empty, or has more than `max_bytes` with its escapes.
pub fn short_text(value: &RawValue, max_bytes: usize) -> Option<String> {
    let json = value.get();
    (json.len() <= max_bytes)
        .then(|| serde_json::from_str(json).ok())
        .flatten()
        .filter(|text: &String| !text.is_empty())
}

/// Reads the JSON text `answer`.
pub fn parse<'answer, T: Deserialize<'answer>>(answer: &'answer [u8]) -> Result<T, GenerateError> {
    if answer.trim_ascii().is_empty() {
        return Err(GenerateError::EmptyAnswer);
    }
    serde_json::from_slice(answer)
        .map_err(|error| if error.is_eof() { GenerateError::Truncated } else { GenerateError::UnreadableAnswer })
}
