//! Texts that stand for bytes.

use std::num::NonZeroU32;

use stillstore::bytes::{Blob, Encoding, LineLayout, Text, TextEncoding};
use stillstore::migrate::value::{Decoded, StoredText, ValueForm, ValueProblem, decode};
use stillstore::store::EMBEDDED_MAX_BYTES;

use super::slow;

/// Every decoder agrees with a slow one; what is encoded, in either alphabet, padded or not, in lines or not, decodes to what it was.
pub fn text_encoding(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let decoded = |encoding| Text::from(&*text).decode(0, encoding).ok().map(|blob| blob.to_vec());
    assert_eq!(decoded(Encoding::Base64Any), slow::base64(text.as_bytes()));
    assert_eq!(decoded(Encoding::Hex), slow::hex(text.as_bytes()));
    assert_eq!(decoded(Encoding::Percent), Some(slow::percent(text.as_bytes())));
    assert_eq!(decoded(Encoding::PercentBase64Any), slow::base64(&slow::percent(text.as_bytes())));

    let Some((flags, bytes)) = input.split_first() else { return };
    let chars = NonZeroU32::new(u32::from(flags >> 3));
    let lines = chars.map(|chars| LineLayout { chars, crlf: flags & 4 != 0 });
    let (url_safe, padded) = (flags & 1 != 0, flags & 2 != 0);
    let encoded = Text::encode_local("", bytes, TextEncoding::Base64 { url_safe, padded, lines }, "");
    assert_eq!(encoded.decode(0, Encoding::Base64Any).map(|blob| blob.to_vec()), Ok(bytes.to_vec()));
    let longest = chars.map_or(usize::MAX, |chars| chars.get() as usize);
    let encoded = encoded.as_local().unwrap_or_default();
    assert!(encoded.split(['\r', '\n']).all(|line| line.len() <= longest), "{encoded:?}");
    let digits = Text::encode_local("", bytes, TextEncoding::Hex, "");
    assert_eq!(digits.decode(0, Encoding::Hex).map(|blob| blob.to_vec()), Ok(bytes.to_vec()));
}

/// A column's value decodes to what a slow reader finds in it, to no more bytes than it has. What its form writes decodes to the
/// same bytes, and a form outlives its JSON.
pub fn column_value(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let expected = slow_value(&text);
    match decode(&StoredText { is_blob: false, text: (&*text).into() }) {
        Ok(Decoded { bytes, form }) => {
            let decoded = bytes.to_vec();
            assert!(!decoded.is_empty() && decoded.len() <= text.len());
            assert_eq!(Some(&decoded), expected.as_ref());
            check_form(&form, &bytes, &text);
        }
        Err(ValueProblem::Empty) => assert_eq!(expected, Some(Vec::new())),
        Err(ValueProblem::NotBase64 | ValueProblem::BadDataUrl) => assert_eq!(expected, None),
        Err(ValueProblem::TooLarge { limit_bytes }) => {
            assert_eq!(limit_bytes, EMBEDDED_MAX_BYTES);
            assert!(text.len() as u64 > EMBEDDED_MAX_BYTES);
        }
        Err(ValueProblem::NotText(kind)) => panic!("text is {kind}"),
    }
}

fn check_form(form: &ValueForm, bytes: &Blob, text: &str) {
    let stored = serde_json::to_string(form).expect("a form has a JSON form");
    assert_eq!(&serde_json::from_str::<ValueForm>(&stored).expect("a form is read back"), form);
    let Some(written) = form.encode(bytes) else { return assert_eq!(form, &ValueForm::Irregular) };
    let again =
        decode(&StoredText { is_blob: form.is_blob(), text: written.clone() }).expect("what was written is read");
    assert_eq!(again.bytes.to_vec(), bytes.to_vec(), "other bytes are written back");
    assert_eq!(written.size_bytes(), text.len(), "{form:?} makes {written:?} of {text:?}");
}

/// The bytes that a text stands for; `None` when it is no image's.
fn slow_value(text: &str) -> Option<Vec<u8>> {
    let start: String = text.chars().take(1024).collect();
    let header = start.trim_ascii_start();
    if !header.to_ascii_lowercase().starts_with("data:") {
        return slow::base64(text.as_bytes());
    }
    let (header, _) = header.split_once(',').filter(|(header, _)| header.is_ascii())?;
    let (_, payload) = text.split_once(',')?;
    let header = header.trim_ascii_end().to_ascii_lowercase();
    match header.strip_suffix("base64").map(|header| header.trim_end_matches(' ').ends_with(';')) {
        Some(true) => slow::base64(payload.as_bytes()).or_else(|| slow::base64(&slow::percent(payload.as_bytes()))),
        _ => Some(slow::percent(payload.as_bytes())),
    }
}
