//! What an application's column holds of an image: read to bytes, and written back character by character.
//!
//! The text stays outside wasm memory; its start and end are looked at, and the rest is decoded and encoded where it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bytes::{Blob, Encoding, LineLayout, Text, TextEncoding};
use crate::store::EMBEDDED_MAX_BYTES;

/// The longest header of a `data:` URL, with what is in front of it. A media type with parameters has far fewer.
const MAX_HEADER_CHARS: usize = 1024;
/// The longest line looked for. MIME writes 76 characters, PEM 64.
const MAX_LINE_CHARS: usize = 1024;
/// The most white space behind the payload that a form remembers.
const MAX_AFTER_CHARS: usize = 64;

/// The value of a column, as text.
#[derive(Debug, Clone)]
pub struct StoredText {
    /// Whether `text` is a BLOB in hexadecimal digits.
    pub is_blob: bool,
    pub text: Text,
}

/// The bytes that a value stands for, and how it stood for them.
#[derive(Debug, Clone)]
pub struct Decoded {
    pub bytes: Blob,
    pub form: ValueForm,
}

/// How a value looked. It is stored, as JSON, to write the value back from the bytes.
///
/// It is judged by the value's length, start and end: whether [`ValueForm::encode`] really gives the value back is for a compare-and-swap
/// with it to prove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueForm {
    /// A BLOB of the bytes themselves.
    Blob,
    Base64(Base64Form),
    /// Anything else. The value cannot be had from the bytes.
    Irregular,
}

/// Base64 as a program writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Base64Form {
    /// White space, and the header of a `data:` URL up to its comma.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub before: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub url_safe: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unpadded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<LineLayout>,
    /// White space, such as a last line's end.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub after: String,
}

impl ValueForm {
    /// Whether the value is a BLOB, so that what [`ValueForm::encode`] gives goes through `unhex()`.
    #[must_use]
    pub const fn is_blob(&self) -> bool {
        matches!(self, Self::Blob)
    }

    /// The value that `bytes` came from, as text; a BLOB in hexadecimal digits. `None` when the form is irregular.
    #[must_use]
    pub fn encode(&self, bytes: &Blob) -> Option<Text> {
        match self {
            Self::Blob => Some(Text::encode("", bytes, TextEncoding::Hex, "")),
            Self::Base64(form) => Some(Text::encode(&form.before, bytes, form.encoding(), &form.after)),
            Self::Irregular => None,
        }
    }
}

impl Base64Form {
    const fn encoding(&self) -> TextEncoding {
        TextEncoding::Base64 { url_safe: self.url_safe, padded: !self.unpadded, lines: self.lines }
    }
}

/// Why a value is no image's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueProblem {
    /// NULL, or nothing but white space, or no bytes.
    Empty,
    /// Neither TEXT nor a BLOB but this type, as SQLite's `typeof()` calls it.
    NotText(String),
    /// Text, or the payload of a `data:` URL, that is not base64.
    NotBase64,
    /// More bytes than the embedded store takes, so that they could not be put back there.
    TooLarge { limit_bytes: u64 },
    /// A `data:` URL without a comma within 1,024 characters, or with a header that is not ASCII.
    BadDataUrl,
}

impl ValueProblem {
    /// A name for programs, which does not change.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotText(_) => "not-text",
            Self::NotBase64 => "not-base64",
            Self::TooLarge { .. } => "too-large",
            Self::BadDataUrl => "bad-data-url",
        }
    }
}

impl fmt::Display for ValueProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => formatter.write_str("the column holds no image"),
            Self::NotText(type_name) => write!(formatter, "the column holds {type_name}, not text or a BLOB"),
            Self::NotBase64 => formatter.write_str("the column's text is not base64"),
            Self::TooLarge { limit_bytes } => write!(formatter, "the image has more than {limit_bytes} bytes"),
            Self::BadDataUrl => formatter.write_str("the column's data: URL has no readable header"),
        }
    }
}

impl std::error::Error for ValueProblem {}

/// Reads a value: a BLOB, bare base64, or a `data:` URL, in base64 or percent-encoded, with white space around.
///
/// # Errors
/// [`ValueProblem`] when it holds no bytes, too many, or something else.
pub fn decode(stored: &StoredText) -> Result<Decoded, ValueProblem> {
    let text = &stored.text;
    if stored.is_blob {
        let not_hex = || ValueProblem::NotText("something other than hexadecimal digits".to_owned());
        let bytes = decode_within_limit(text, 0, Encoding::Hex, not_hex)?;
        return Ok(Decoded { bytes, form: ValueForm::Blob });
    }
    let start = text.prefix(MAX_HEADER_CHARS);
    let Start { before, payload } = Start::of(&start)?;
    let from = before.len();
    match payload {
        Payload::Percent => {
            let bytes = decode_within_limit(text, from, Encoding::Percent, || ValueProblem::BadDataUrl)?;
            Ok(Decoded { bytes, form: ValueForm::Irregular })
        }
        Payload::Base64 { in_url } => match decode_base64(text, from) {
            Err(ValueProblem::NotBase64) if in_url => {
                let bytes = decode_within_limit(text, from, Encoding::PercentBase64Any, || ValueProblem::NotBase64)?;
                Ok(Decoded { bytes, form: ValueForm::Irregular })
            }
            Err(problem) => Err(problem),
            Ok(bytes) => {
                let form = base64_form(text, before, &bytes).map_or(ValueForm::Irregular, ValueForm::Base64);
                Ok(Decoded { bytes, form })
            }
        },
    }
}

/// How a text begins.
struct Start<'text> {
    /// What is in front of the payload; ASCII.
    before: &'text str,
    payload: Payload,
}

enum Payload {
    Base64 { in_url: bool },
    Percent,
}

impl<'text> Start<'text> {
    fn of(start: &'text str) -> Result<Self, ValueProblem> {
        let content = start.trim_ascii_start();
        let (white_space, _) = start.split_at(start.len() - content.len());
        let is_url = content.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
        if !is_url {
            return Ok(Self { before: white_space, payload: Payload::Base64 { in_url: false } });
        }
        let (header, _) =
            content.split_once(',').filter(|(header, _)| header.is_ascii()).ok_or(ValueProblem::BadDataUrl)?;
        let payload = if is_base64(header) { Payload::Base64 { in_url: true } } else { Payload::Percent };
        let (before, _) = start.split_at(white_space.len() + header.len() + 1);
        Ok(Self { before, payload })
    }
}

/// Whether the header ends with `;base64` (WHATWG Fetch, `data:` URL processor).
fn is_base64(header: &str) -> bool {
    let header = header.trim_ascii_end();
    let (parameters, word) = header.split_at(header.len().saturating_sub("base64".len()));
    word.eq_ignore_ascii_case("base64") && parameters.trim_end_matches(' ').ends_with(';')
}

fn decode_base64(text: &Text, from: usize) -> Result<Blob, ValueProblem> {
    decode_within_limit(text, from, Encoding::Base64Any, || ValueProblem::NotBase64)
}

fn decode_within_limit(
    text: &Text,
    from: usize,
    encoding: Encoding,
    problem: impl FnOnce() -> ValueProblem,
) -> Result<Blob, ValueProblem> {
    let too_large = ValueProblem::TooLarge { limit_bytes: EMBEDDED_MAX_BYTES };
    // The most characters a byte: two digits; four for three bytes, and white space; a `%` and two digits; both of these.
    let chars_a_byte = match encoding {
        Encoding::Hex | Encoding::Base64Any => 2,
        Encoding::Percent => 3,
        Encoding::PercentBase64Any => 4,
    };
    if text.size_bytes().saturating_sub(from) as u64 > EMBEDDED_MAX_BYTES * chars_a_byte {
        return Err(too_large);
    }
    let bytes = text.decode(from, encoding).map_err(|_| problem())?;
    if bytes.is_empty() {
        Err(ValueProblem::Empty)
    } else if bytes.size_bytes() as u64 > EMBEDDED_MAX_BYTES {
        Err(too_large)
    } else {
        Ok(bytes)
    }
}

/// The form of a text that decoded as base64 behind `before`; `None` when it does not look like one.
fn base64_form(text: &Text, before: &str, bytes: &Blob) -> Option<Base64Form> {
    let behind_chars = text.size_bytes().checked_sub(before.len())?;
    // White space, and the last group, of up to four characters with a line's end between any two.
    let end = text.suffix(behind_chars.min(MAX_AFTER_CHARS + 4 * 3));
    let payload_end = end.trim_ascii_end();
    let after = end.get(payload_end.len()..)?;
    let payload_chars = behind_chars.checked_sub(after.len())?;

    let is_padded = payload_end.ends_with('=');
    let form = Base64Form {
        before: before.to_owned(),
        url_safe: text.contains('-', before.len()) || text.contains('_', before.len()),
        unpadded: !is_padded && !bytes.size_bytes().is_multiple_of(3),
        lines: lines(text.prefix(before.len() + MAX_LINE_CHARS).get(before.len()..)?, payload_chars)?,
        after: after.to_owned(),
    };
    (after.len() <= MAX_AFTER_CHARS
        && payload_chars == form.payload_chars(bytes.size_bytes())
        && form.ends_like(payload_end, bytes))
    .then_some(form)
}

/// How the payload that begins with `start` is broken into lines: `Some(None)` when it is a single one, `None` when its lines are empty.
#[expect(clippy::option_option, reason = "the outer one is for `?`")]
fn lines(start: &str, payload_chars: usize) -> Option<Option<LineLayout>> {
    let Some(at) = start.get(..payload_chars).unwrap_or(start).find('\n') else { return Some(None) };
    let line = start.get(..at)?;
    let without_end = line.strip_suffix('\r');
    let chars = u32::try_from(without_end.unwrap_or(line).len()).ok()?.try_into().ok()?;
    Some(Some(LineLayout { chars, crlf: without_end.is_some() }))
}

impl Base64Form {
    /// How long the payload of so many bytes, at least one, is with its line ends.
    fn payload_chars(&self, size_bytes: usize) -> usize {
        let chars = if self.unpadded { (size_bytes * 4).div_ceil(3) } else { size_bytes.div_ceil(3) * 4 };
        let line_ends =
            self.lines.map_or(0, |lines| chars.saturating_sub(1) / lines.chars.get() as usize * lines.end().len());
        chars + line_ends
    }

    /// Whether the last, incomplete group is written as here: its unused bits can be anything.
    fn ends_like(&self, payload_end: &str, bytes: &Blob) -> bool {
        let size_bytes = bytes.size_bytes();
        let group = bytes.slice(size_bytes - size_bytes % 3..size_bytes).to_vec();
        let expected = Text::encode_local("", &group, Self { lines: None, ..self.clone() }.encoding(), "");
        let written: String = payload_end.chars().filter(|char| !char.is_ascii_whitespace()).collect();
        expected.as_local().is_some_and(|expected| written.ends_with(expected))
    }
}
