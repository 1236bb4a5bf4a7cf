//! JS typed arrays as [`ForeignBytes`], JS strings as [`ForeignText`], and the way back.
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::any::Any;
use std::ops::Range;
use std::rc::Rc;

use js_sys::{JsString, Uint8Array};
use wasm_bindgen::prelude::*;

use crate::bytes::{Blob, Encoding, ForeignBytes, ForeignText, InvalidText, Text, TextEncoding};

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

#[wasm_bindgen(module = "/src/platform/js/streams.js")]
extern "C" {
    #[wasm_bindgen(catch, js_name = copyBytes)]
    fn copy_bytes(bytes: &Uint8Array, start: usize, target: &mut [u8]) -> Result<(), JsValue>;

    #[wasm_bindgen(js_name = join)]
    fn join_bytes(runs: &js_sys::Array) -> Uint8Array;
}

/// A JS typed array. Its buffer is never written to or detached once it is in here.
pub struct JsBytes {
    view: Uint8Array,
    size_bytes: usize,
}

impl JsBytes {
    /// Wraps `view` without copying.
    pub fn blob(view: Uint8Array) -> Blob {
        Blob::foreign(Rc::new(Self::new(view)))
    }

    fn new(view: Uint8Array) -> Self {
        let size_bytes = view.length() as usize;
        Self { view, size_bytes }
    }
}

impl ForeignBytes for JsBytes {
    fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    fn copy_to(&self, range: Range<usize>, target: &mut [u8]) {
        // It throws only for a range out of bounds, which the seam rules out.
        let _ = copy_bytes(&self.view, range.start, target);
    }

    fn view(&self, range: Range<usize>) -> Rc<dyn ForeignBytes> {
        // A typed array holds fewer than 2^32 bytes on a platform whose addresses have 32 bits.
        #[expect(clippy::cast_possible_truncation)]
        let view = self.view.subarray(range.start as u32, range.end as u32);
        Rc::new(Self { view, size_bytes: range.len() })
    }

    fn join(&self, others: &[&dyn ForeignBytes]) -> Option<Rc<dyn ForeignBytes>> {
        let others: Option<Vec<_>> = others.iter().map(|other| other.as_any().downcast_ref::<Self>()).collect();
        let runs: js_sys::Array = std::iter::once(self).chain(others?).map(|run| &run.view).collect();
        Some(Rc::new(Self::new(join_bytes(&runs))))
    }

    fn encode(&self, before: &str, encoding: TextEncoding, after: &str) -> Option<Rc<dyn ForeignText>> {
        // It fails only where a copy in here would fail, too: beyond 2^29 characters, the longest JS string.
        let text = match encoding {
            TextEncoding::Hex => encode_hex(before, &self.view, after),
            TextEncoding::Base64 { url_safe, padded, lines } => {
                let (line_chars, line_end) = lines.map_or((0, ""), |lines| (lines.chars.get(), lines.end()));
                encode_base64(before, &self.view, after, url_safe, padded, line_chars, line_end)
            }
        };
        Some(Rc::new(JsText::new(text.ok()?)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The bytes as a JS typed array: the very one when they are outside wasm memory, else a copy.
pub fn blob_to_js(blob: &Blob) -> Uint8Array {
    if let Some(foreign) = blob.as_foreign().and_then(|any| any.downcast_ref::<JsBytes>()) {
        return foreign.view.clone();
    }
    match blob.as_local() {
        Some(bytes) => bytes.into(),
        None => blob.to_vec().as_slice().into(),
    }
}

/// A JS string; its units are those of UTF-16.
pub struct JsText {
    text: JsString,
    length: u32,
}

impl JsText {
    /// Wraps `text` without copying.
    pub fn text(text: JsString) -> Text {
        Text::foreign(Rc::new(Self::new(text)))
    }

    fn new(text: JsString) -> Self {
        let length = text.length();
        Self { text, length }
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

    fn decode(&self, from: usize, encoding: Encoding) -> Result<Rc<dyn ForeignBytes>, InvalidText> {
        let encoding = match encoding {
            Encoding::Base64Any => "base64",
            Encoding::Hex => "hex",
            Encoding::Percent => "percent",
            Encoding::PercentBase64Any => "percent-base64",
        };
        let bytes = decode(&self.text, from, encoding).map_err(|_| InvalidText)?;
        Ok(Rc::new(JsBytes::new(bytes)))
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
