//! Texts that stand for bytes: what decodes, what does not, and the way back.

use std::num::NonZeroU32;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use stillstore::bytes::{Blob, Encoding, InvalidText, LineLayout, Text, TextEncoding};

const ENCODINGS: [Encoding; 4] = [Encoding::Base64Any, Encoding::Hex, Encoding::Percent, Encoding::PercentBase64Any];

fn decode(text: &str, encoding: Encoding) -> Result<Vec<u8>, InvalidText> {
    Text::from(text).decode(0, encoding).map(|blob| blob.to_vec())
}

#[test]
fn base64_is_taken_in_every_common_shape() {
    for (text, bytes) in [
        ("", b"".as_slice()),
        ("Zm9v", b"foo"),
        ("Zm8=", b"fo"),
        ("Zm8", b"fo"),
        ("Zg==", b"f"),
        ("Zg", b"f"),
        ("Zh", b"f"),
        ("+/+/", b"\xfb\xff\xbf"),
        ("-_-_", b"\xfb\xff\xbf"),
        ("-_8=", b"\xfb\xff"),
        (" Z m\r\n8\t=\u{c}", b"fo"),
    ] {
        assert_eq!(decode(text, Encoding::Base64Any), Ok(bytes.to_vec()), "{text:?}");
    }
    for text in
        ["Z", "Zm9vZ", "=", "Zg=", "Zg===", "Zg==Zg==", "Zm9v=", "+_+_", "Zm9%", "Zm\u{b}9v", "Zm9v\u{a0}", "\u{e4}"]
    {
        assert_eq!(decode(text, Encoding::Base64Any), Err(InvalidText), "{text:?}");
    }
}

#[test]
fn hexadecimal_and_percent_encoded_texts_decode() {
    assert_eq!(decode("00fFA9", Encoding::Hex), Ok(vec![0, 0xff, 0xa9]));
    for text in ["0", "0g", "00 ", "\u{e4}"] {
        assert_eq!(decode(text, Encoding::Hex), Err(InvalidText), "{text:?}");
    }
    assert_eq!(decode("a+%41%c3%A4%4%zz%\u{e4}", Encoding::Percent), Ok("a+A\u{e4}%4%zz%\u{e4}".as_bytes().to_vec()));
    assert_eq!(decode("%2b%2F8%3D%0A", Encoding::PercentBase64Any), Ok(vec![0xfb, 0xff]));
    assert_eq!(decode("%2b_8", Encoding::PercentBase64Any), Err(InvalidText));
}

#[test]
fn decoding_begins_where_it_is_told_to() {
    let text = Text::from("data:,\u{e4}41");
    assert_eq!(text.decode(8, Encoding::Hex).map(|blob| blob.to_vec()), Ok(vec![0x41]));
    assert!(text.decode(7, Encoding::Percent).is_err(), "inside a character");
    assert!(text.decode(11, Encoding::Percent).is_err(), "behind the end");
    assert_eq!(text.decode(10, Encoding::Percent).map(|blob| blob.to_vec()), Ok(Vec::new()));
    assert!(text.contains(':', 4) && !text.contains(':', 5) && !text.contains(':', 99));
}

#[test]
fn bytes_become_text_line_by_line() {
    let encode = |size_bytes: usize, lines| {
        let encoding = TextEncoding::Base64 { url_safe: true, padded: true, lines };
        Text::encode("<", &vec![0xff; size_bytes].into(), encoding, ">").prefix(usize::MAX)
    };
    let lines = |chars, crlf| NonZeroU32::new(chars).map(|chars| LineLayout { chars, crlf });
    assert_eq!(encode(4, None), "<_____w==>");
    assert_eq!(encode(4, lines(3, false)), "<___\n__w\n==>");
    assert_eq!(encode(4, lines(4, true)), "<____\r\n_w==>");
    assert_eq!(encode(4, lines(8, true)), "<_____w==>");
    assert_eq!(encode(0, lines(1, true)), "<>");
    let hex = Text::encode("<", &vec![0xab, 1].into(), TextEncoding::Hex, ">");
    assert_eq!(hex.as_local(), Some("<AB01>"));
}

proptest! {
    #[test]
    fn decoding_undoes_encoding(
        bytes in vec(any::<u8>(), 0..400),
        (url_safe, padded) in any::<(bool, bool)>(),
        lines in option::of((1_u32..100, any::<bool>())),
    ) {
        let lines = lines.map(|(chars, crlf)| LineLayout { chars: NonZeroU32::new(chars).expect("positive"), crlf });
        let blob = Blob::from(bytes.clone());
        let text = Text::encode("12", &blob, TextEncoding::Base64 { url_safe, padded, lines }, "\n");
        prop_assert_eq!(text.decode(2, Encoding::Base64Any).expect("base64").to_vec(), bytes.clone());
        let hex = Text::encode("12", &blob, TextEncoding::Hex, "");
        prop_assert_eq!(hex.decode(2, Encoding::Hex).expect("hex").to_vec(), bytes);
    }

    #[test]
    fn any_text_decodes_or_is_refused(text in any::<String>(), from in 0_usize..100, max_chars in 0_usize..100) {
        let whole = Text::from(text.clone());
        for encoding in ENCODINGS {
            let _ = whole.decode(from, encoding);
        }
        let chars: Vec<char> = text.chars().collect();
        let taken = max_chars.min(chars.len());
        prop_assert_eq!(whole.prefix(max_chars), chars[..taken].iter().collect::<String>());
        prop_assert_eq!(whole.suffix(max_chars), chars[chars.len() - taken..].iter().collect::<String>());
    }
}
