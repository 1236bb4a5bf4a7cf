//! JS strings as [`ForeignText`], and the way back.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::any::Any;
use std::rc::Rc;

use js_sys::{JsString, Uint8Array};
use wasm_bindgen::prelude::*;

use super::bytes::JsBytes;
use crate::bytes::{Blob, Encoding, ForeignText, InvalidText, Text, TextEncoding};

#[wasm_bindgen(module = "/src/platform/js/text.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn decode(text: &JsString, from: usize, encoding: &str) -> Result<Uint8Array, JsValue>;

    #[wasm_bindgen(catch, js_name = encodeHex)]
    fn encode_hex(before: &str, bytes: &Uint8Array, after: &str) -> Result<JsString, JsValue>;

    #[wasm_bindgen(catch, js_name = encodeBase64)]
    fn encode_base64(
        before: &str,
        bytes: &Uint8Array,
        after: &str,
        url_safe: bool,
        padded: bool,
        line_chars: u32,
        line_end: &str,
    ) -> Result<JsString, JsValue>;
}

/// A JS string; its units are those of UTF-16.
pub struct JsText {
    text: JsString,
    length: u32,
}

impl JsText {
    /// Wraps `text` without copying.
    pub fn text(text: JsString) -> Text {
        let length = text.length();
        Text::foreign(Rc::new(Self { text, length }))
    }

    /// At most the length of the string.
    fn cut(&self, chars: usize) -> u32 {
        u32::try_from(chars).unwrap_or(u32::MAX).min(self.length)
    }
}

impl ForeignText for JsText {
    fn size_bytes(&self) -> usize {
        self.length as usize
    }

    fn prefix(&self, max_chars: usize) -> String {
        self.text.slice(0, self.cut(max_chars)).into()
    }

    fn suffix(&self, max_chars: usize) -> String {
        self.text.slice(self.length - self.cut(max_chars), self.length).into()
    }

    fn contains(&self, wanted: char, from: usize) -> bool {
        // A JS string has fewer than 2^30 units.
        let from = i32::try_from(from).unwrap_or(i32::MAX);
        self.text.includes(wanted.encode_utf8(&mut [0; 4]), from)
    }

    fn decode(&self, from: usize, encoding: Encoding) -> Result<Blob, InvalidText> {
        let encoding = match encoding {
            Encoding::Base64Any => "base64",
            Encoding::Hex => "hex",
            Encoding::Percent => "percent",
            Encoding::PercentBase64Any => "percent-base64",
        };
        decode(&self.text, from, encoding).map(JsBytes::blob).map_err(|_| InvalidText)
    }

    fn is_same(&self, other: &dyn ForeignText) -> bool {
        other.as_any().downcast_ref::<Self>().is_some_and(|other| self.text == other.text)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The text as a JS string: the very one when it is outside wasm memory, else a copy.
pub fn text_to_js(text: &Text) -> JsString {
    if let Some(foreign) = text.as_foreign().and_then(|any| any.downcast_ref::<JsText>()) {
        return foreign.text.clone();
    }
    match text.as_local() {
        Some(text) => text.into(),
        None => text.prefix(usize::MAX).into(),
    }
}

/// [`Text::encode`] of bytes outside wasm memory. `None` when JS is out of memory or the text would be longer than it allows.
pub fn encoded(before: &str, bytes: &Uint8Array, encoding: TextEncoding, after: &str) -> Option<Text> {
    let text = match encoding {
        TextEncoding::Hex => encode_hex(before, bytes, after),
        TextEncoding::Base64 { url_safe, padded, lines } => {
            let (line_chars, line_end) = lines.map_or((0, ""), |lines| (lines.chars.get(), lines.end()));
            encode_base64(before, bytes, after, url_safe, padded, line_chars, line_end)
        }
    };
    text.ok().map(JsText::text)
}
