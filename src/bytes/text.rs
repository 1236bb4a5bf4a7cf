//! Text that is all there, here or outside wasm memory, and its ways to bytes and back.

use std::any::Any;
use std::fmt;
use std::rc::Rc;

use super::Blob;
use super::encoding::{Encoding, InvalidText, LineLayout, TextEncoding};
use super::foreign::ForeignText;
use base64_simd::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD, forgiving_decode_inplace};
use percent_encoding::percent_decode;

/// A text. Cloning is cheap. What it says is looked at in parts only: [`Text::prefix`], [`Text::suffix`].
#[derive(Clone)]
pub struct Text(Repr);

#[derive(Clone)]
enum Repr {
    Owned(Rc<str>),
    Foreign(Rc<dyn ForeignText>),
}

impl Text {
    /// Wraps text that lives outside wasm memory.
    #[must_use]
    pub fn foreign(text: Rc<dyn ForeignText>) -> Self {
        Self(Repr::Foreign(text))
    }

    /// Length in bytes of UTF-8, or in units of UTF-16 when the text is outside wasm memory: equal for ASCII, and never more than the
    /// bytes of UTF-8.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match &self.0 {
            Repr::Owned(text) => text.len(),
            Repr::Foreign(text) => text.size_bytes(),
        }
    }

    /// Whether it is the empty text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size_bytes() == 0
    }

    /// A copy of the first `max_chars` characters, or units of UTF-16.
    #[must_use]
    pub fn prefix(&self, max_chars: usize) -> String {
        match &self.0 {
            Repr::Owned(text) => text.chars().take(max_chars).collect(),
            Repr::Foreign(text) => text.prefix(max_chars),
        }
    }

    /// A copy of the last `max_chars` characters, or units of UTF-16.
    #[must_use]
    pub fn suffix(&self, max_chars: usize) -> String {
        match &self.0 {
            Repr::Owned(text) => {
                let start = text.char_indices().rev().take(max_chars).last().map_or(text.len(), |(start, _)| start);
                text.get(start..).unwrap_or_default().to_owned()
            }
            Repr::Foreign(text) => text.suffix(max_chars),
        }
    }

    /// Whether `wanted` occurs from the unit `from` on, which is to be behind ASCII only (see [`Text::decode`]).
    #[must_use]
    pub fn contains(&self, wanted: char, from: usize) -> bool {
        match &self.0 {
            Repr::Owned(text) => text.get(from..).is_some_and(|text| text.contains(wanted)),
            Repr::Foreign(text) => from <= text.size_bytes() && text.contains(wanted, from),
        }
    }

    /// Whether both are the same text and at the same side of wasm memory's border; false is no proof that they differ.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Owned(text), Repr::Owned(other)) => text == other,
            (Repr::Foreign(text), Repr::Foreign(other)) => text.is_same(&**other),
            (Repr::Owned(_), Repr::Foreign(_)) | (Repr::Foreign(_), Repr::Owned(_)) => false,
        }
    }

    /// The text, when it is in wasm memory.
    #[must_use]
    pub fn as_local(&self) -> Option<&str> {
        match &self.0 {
            Repr::Owned(text) => Some(text),
            Repr::Foreign(_) => None,
        }
    }

    /// The adapter's own type, when the text is outside wasm memory.
    #[must_use]
    pub fn as_foreign(&self) -> Option<&dyn Any> {
        match &self.0 {
            Repr::Owned(_) => None,
            Repr::Foreign(text) => Some(text.as_any()),
        }
    }

    /// The bytes that the text encodes, from the unit `from` on (see [`Text::size_bytes`]): they stay where the text is. `from` is to
    /// be behind ASCII only; behind the end or inside a character it is an error.
    ///
    /// # Errors
    /// When the text is not in that encoding.
    pub fn decode(&self, from: usize, encoding: Encoding) -> Result<Blob, InvalidText> {
        match &self.0 {
            Repr::Owned(text) => decode(text.get(from..).ok_or(InvalidText)?.as_bytes(), encoding).map(Blob::from),
            Repr::Foreign(text) if from <= text.size_bytes() => text.decode(from, encoding).map(Blob::foreign),
            Repr::Foreign(_) => Err(InvalidText),
        }
    }

    /// The text `before`, then `blob` as `encoding` writes it, then `after`: made, and kept, where the bytes are.
    #[must_use]
    pub fn encode(before: &str, blob: &Blob, encoding: TextEncoding, after: &str) -> Self {
        if let Some(text) = blob.as_foreign_bytes().and_then(|bytes| bytes.encode(before, encoding, after)) {
            return Self::foreign(text);
        }
        match blob.as_local() {
            Some(bytes) => Self::encode_local(before, bytes, encoding, after),
            None => Self::encode_local(before, &blob.to_vec(), encoding, after),
        }
    }

    /// [`Text::encode`] of bytes in wasm memory.
    #[must_use]
    pub fn encode_local(before: &str, bytes: &[u8], encoding: TextEncoding, after: &str) -> Self {
        let mut text = before.to_owned();
        match encoding {
            TextEncoding::Hex => text.push_str(&hex::encode_upper(bytes)),
            TextEncoding::Base64 { url_safe, padded, lines } => {
                let alphabet = match (url_safe, padded) {
                    (false, true) => STANDARD,
                    (false, false) => STANDARD_NO_PAD,
                    (true, true) => URL_SAFE,
                    (true, false) => URL_SAFE_NO_PAD,
                };
                push_lines(&mut text, &alphabet.encode_to_string(bytes), lines);
            }
        }
        text.push_str(after);
        text.into()
    }
}

fn push_lines(text: &mut String, encoded: &str, lines: Option<LineLayout>) {
    let Some(lines) = lines else { return text.push_str(encoded) };
    let mut rest = encoded;
    while let Some((line, behind)) =
        rest.split_at_checked(lines.chars.get() as usize).filter(|(_, rest)| !rest.is_empty())
    {
        text.push_str(line);
        text.push_str(lines.end());
        rest = behind;
    }
    text.push_str(rest);
}

fn decode(text: &[u8], encoding: Encoding) -> Result<Vec<u8>, InvalidText> {
    match encoding {
        Encoding::Base64Any => decode_base64(text.to_vec()),
        Encoding::Hex => hex::decode(text).map_err(|_| InvalidText),
        Encoding::Percent => Ok(percent_decode(text).collect()),
        Encoding::PercentBase64Any => decode_base64(percent_decode(text).collect()),
    }
}

fn decode_base64(mut text: Vec<u8>) -> Result<Vec<u8>, InvalidText> {
    if text.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        for byte in &mut text {
            *byte = match *byte {
                b'+' | b'/' => return Err(InvalidText),
                b'-' => b'+',
                b'_' => b'/',
                other => other,
            };
        }
    }
    let size_bytes = forgiving_decode_inplace(&mut text).map_err(|_| InvalidText)?.len();
    text.truncate(size_bytes);
    Ok(text)
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Repr::Owned(text.into()))
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(Repr::Owned(text.into()))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Text({} bytes)", self.size_bytes())
    }
}
