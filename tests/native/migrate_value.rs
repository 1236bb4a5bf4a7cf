//! Values of an application's column: what they decode to, and that they can be written back as they were.

use std::num::NonZeroU32;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;
use stillstore::bytes::{Blob, LineLayout, Text, TextEncoding};
use stillstore::migrate::value::{Base64Form, Decoded, StoredText, ValueForm, ValueProblem, decode};
use stillstore::store::EMBEDDED_MAX_BYTES;

use crate::image_fixtures::bytes;

fn read(text: &str) -> Result<Decoded, ValueProblem> {
    decode(&StoredText { is_blob: false, text: text.into() })
}

fn read_bytes(text: &str) -> Result<Vec<u8>, ValueProblem> {
    read(text).map(|decoded| decoded.bytes.to_vec())
}

fn problem(text: &str) -> ValueProblem {
    read(text).expect_err("a problem")
}

/// Reads `text`, which is written back as it was from the form that comes back from the database.
fn assert_regular(text: &str, expected: &[u8]) -> ValueForm {
    let Decoded { bytes, form } = read(text).expect(text);
    assert_eq!(bytes.to_vec(), expected, "{text:?}");
    let stored = serde_json::to_string(&form).expect("form");
    let form: ValueForm = serde_json::from_str(&stored).expect("form");
    assert_eq!(form.encode(&bytes).expect("regular").as_local(), Some(text), "{stored}");
    form
}

fn assert_irregular(text: &str, expected: &[u8]) {
    let Decoded { bytes, form } = read(text).expect(text);
    assert_eq!(bytes.to_vec(), expected, "{text:?}");
    assert_eq!(form, ValueForm::Irregular, "{text:?}");
    assert!(form.encode(&bytes).is_none());
}

#[test]
fn common_shapes_are_written_back() {
    for text in [
        "Zm9v",
        "data:image/png;base64,Zm9v",
        "DATA:image/x-icon+test;Charset=a_b ; BASE64 ,Zm9v",
        "data:;base64,Zm9v\n",
        "data:image/png;name=\"a;b\";base64,Zm9v",
        " \r\n\tdata:;base64,Zm9v \r\n",
        "\nZm9v",
        "Zm\n9v",
        "Zm\r\n9v\r\n",
        "Z\nm\n9\nv",
        "Zm9\nv\n\n",
    ] {
        assert_regular(text, b"foo");
    }
    for text in ["Zm8=", "Zm8", "Zm\n8=\n", "Zm8\n=", "Zm\n8", "data:;base64,Zm8"] {
        assert_regular(text, b"fo");
    }
    assert_regular("-_8", b"\xfb\xff");
    assert_regular("data:;a=+;base64,-_8=", b"\xfb\xff");
    assert_regular("data:a-b_c;base64,+/8=", b"\xfb\xff");
}

#[test]
fn texts_that_no_program_writes_are_irregular() {
    for text in ["Zm 9v", "Zm\n9\nv", "Zm\r\n9\nv", "\n\nZ\n\nm9v", "Zm9\n\nv", "\u{c}Zm\t9v"] {
        assert_irregular(text, b"foo");
    }
    for text in ["Zh==", "Zv", "data:;base64,Zh", "Zv\n=="] {
        assert_irregular(text, b"f");
    }
    assert_irregular("Zm9=", b"fo");
    assert_irregular(&format!("{}Zm9v", " ".repeat(1025)), b"foo");
    assert_irregular(&format!("Zm9v{}", "\n".repeat(65)), b"foo");
    assert_irregular(&format!("{}\nAAAA", "A".repeat(1028)), &[0; 774]);
    assert_regular(&format!("{}Zm9v{}", " ".repeat(1024), "\n".repeat(64)), b"foo");
}

#[test]
fn percent_encoded_urls_decode() {
    assert_irregular("data:image/svg+xml,%3Csvg%3E a+b%zz", b"<svg> a+b%zz");
    assert_irregular("data:image/svg+xml;utf8,<svg fill='#fff'>\u{e4}", "<svg fill='#fff'>\u{e4}".as_bytes());
    assert_irregular("data:,base64", b"base64");
    assert_irregular("data:image/png;xbase64,Zm9v", b"Zm9v");
    assert_irregular("data:image/png;base64,%2B%2f8%3D", b"\xfb\xff");
    assert_irregular(" data:image/png;base64,-_8%3D%0A", b"\xfb\xff");
}

#[test]
fn a_blob_is_its_bytes() {
    let stored = StoredText { is_blob: true, text: "89504E47".into() };
    let Decoded { bytes, form } = decode(&stored).expect("a BLOB");
    assert_eq!(bytes.to_vec(), b"\x89PNG");
    assert!(form.is_blob());
    assert_eq!(form.encode(&bytes).expect("regular").as_local(), Some("89504E47"));
    assert!(!ValueForm::Irregular.is_blob());
    let broken = StoredText { is_blob: true, text: "8".into() };
    assert_eq!(decode(&broken).expect_err("half a byte").reason(), "not-text");
}

#[test]
fn problems_have_names() {
    let too_large = ValueProblem::TooLarge { limit_bytes: EMBEDDED_MAX_BYTES };
    for text in ["", " \r\n\t", "data:;base64,", "data:,", "data:;base64, \n", "data:;base64,%20"] {
        assert_eq!(problem(text), ValueProblem::Empty, "{text:?}");
    }
    assert_eq!(problem(&" ".repeat(2000)), ValueProblem::Empty);
    for text in [
        "https://example.com/a.png",
        "Zm9vZ",
        "+_+_",
        "data;",
        "data:image/png;base64,Zm9vZ",
        "data:;base64,%zz",
        "[object Object]",
    ] {
        assert_eq!(problem(text), ValueProblem::NotBase64, "{text:?}");
    }
    let late_comma = format!("data:{},Zm9v", "a".repeat(1024));
    for text in ["data:", "data:image/png;base64", "data:\u{e4};base64,Zm9v", &late_comma] {
        assert_eq!(problem(text), ValueProblem::BadDataUrl, "{text:?}");
    }
    let blob = StoredText { is_blob: true, text: "".into() };
    assert_eq!(decode(&blob).expect_err("no bytes"), ValueProblem::Empty);

    let not_text = ValueProblem::NotText("integer".to_owned());
    let problems = [ValueProblem::Empty, not_text, ValueProblem::NotBase64, too_large, ValueProblem::BadDataUrl];
    let reasons = problems.each_ref().map(ValueProblem::reason);
    assert_eq!(reasons, ["empty", "not-text", "not-base64", "too-large", "bad-data-url"]);
    assert_eq!(problems[1].to_string(), "the column holds integer, not text or a BLOB");
    assert_eq!(problems[3].to_string(), "the image has more than 26214400 bytes");
}

#[test]
fn images_are_taken_up_to_the_limit_of_the_embedded_store() {
    let limit_bytes = usize::try_from(EMBEDDED_MAX_BYTES).expect("small");
    let base64 = |size_bytes: usize, lines| {
        let encoding = TextEncoding::Base64 { url_safe: false, padded: true, lines };
        Text::encode("data:;base64,", &vec![1; size_bytes].into(), encoding, "\n")
    };
    let too_large = ValueProblem::TooLarge { limit_bytes: EMBEDDED_MAX_BYTES };
    let sizes = |text| decode(&StoredText { is_blob: false, text }).map(|decoded| decoded.bytes.size_bytes());
    let mime = NonZeroU32::new(76).map(|chars| LineLayout { chars, crlf: true });
    assert_eq!(sizes(base64(limit_bytes, mime)), Ok(limit_bytes));
    assert_eq!(sizes(base64(limit_bytes + 1, None)), Err(too_large.clone()));
    assert_eq!(sizes("!".repeat(2 * limit_bytes + 1).into()), Err(too_large.clone()), "by its length alone");
    assert_eq!(sizes("!".repeat(2 * limit_bytes).into()), Err(ValueProblem::NotBase64));
    let blob = StoredText { is_blob: true, text: "0".repeat(2 * limit_bytes + 1).into() };
    assert_eq!(decode(&blob).expect_err("too large"), too_large);
    assert_eq!(sizes(format!("data:,{}", "a".repeat(limit_bytes + 1)).into()), Err(too_large));
}

#[test]
fn the_stored_form_is_pinned() {
    let form = |text| serde_json::to_value(read(text).expect(text).form).expect("form");
    assert_eq!(form("Zm9v"), json!({"base64": {}}));
    assert_eq!(form("data:image/png;base64,Zm9v"), json!({"base64": {"before": "data:image/png;base64,"}}));
    assert_eq!(
        form(" -_-_\r\n-_8\r\n"),
        json!({"base64": {
            "before": " ",
            "url_safe": true,
            "unpadded": true,
            "lines": {"chars": 4, "crlf": true},
            "after": "\r\n",
        }})
    );
    assert_eq!(form("Zm9v\nZm9v"), json!({"base64": {"lines": {"chars": 4}}}));
    assert_eq!(form("data:,Zm9v"), json!("irregular"));
    assert_eq!(serde_json::to_value(ValueForm::Blob).expect("form"), json!("blob"));
    assert!(serde_json::from_str::<ValueForm>(r#"{"base64":{"lines":{"chars":0}}}"#).is_err(), "no endless text");
}

#[test]
fn images_come_out_of_their_urls() {
    for name in ["rgb.png", "baseline.jpg", "lossy.webp", "plain.svg"] {
        let image = bytes(name);
        let encoding = TextEncoding::Base64 { url_safe: false, padded: true, lines: None };
        let text = Text::encode("data:image/png;base64,", &image.clone().into(), encoding, "");
        assert_regular(text.as_local().expect("local"), &image);
        let escaped: String = hex::encode(&image)
            .as_bytes()
            .chunks(2)
            .map(|pair| ["%", std::str::from_utf8(pair).expect("digits")].concat())
            .collect();
        assert_eq!(read_bytes(&format!("data:image/png,{escaped}")), Ok(image));
    }
}

const BEFORE: [&str; 8] = [
    "",
    "\n",
    "data:,",
    "data:;base64,",
    "data:image/png;base64,",
    "  Data:image/svg+xml;charset=utf-8;BASE64,",
    "data:image/x-icon;a=\"_,",
    "data:a;base64 ,",
];
const AFTER: [&str; 5] = ["", "\n", "\r\n", " ", "\n\n\t"];

fn forms() -> impl Strategy<Value = Base64Form> {
    let lines = option::of((1_u32..100, any::<bool>()));
    (select(BEFORE.as_slice()), any::<(bool, bool)>(), lines, select(AFTER.as_slice())).prop_map(
        |(before, (url_safe, unpadded), lines, after)| Base64Form {
            before: before.to_owned(),
            url_safe,
            unpadded,
            lines: lines.map(|(chars, crlf)| LineLayout { chars: NonZeroU32::new(chars).expect("positive"), crlf }),
            after: after.to_owned(),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_form_is_found_and_written_back(content in vec(any::<u8>(), 1..400), form in forms()) {
        let text = ValueForm::Base64(form.clone()).encode(&Blob::from(content.clone())).expect("regular");
        let text = text.as_local().expect("local");
        if form.before.ends_with("\"_,") || form.before == "data:," {
            prop_assert_eq!(&read(text).expect("percent-encoded").form, &ValueForm::Irregular);
        } else {
            assert_regular(text, &content);
        }
    }

    #[test]
    fn every_blob_is_written_back(content in vec(any::<u8>(), 1..400)) {
        let text = ValueForm::Blob.encode(&content.clone().into()).expect("regular");
        let Decoded { bytes, form } = decode(&StoredText { is_blob: true, text: text.clone() }).expect("hexadecimal");
        prop_assert_eq!(bytes.to_vec(), content);
        let again = form.encode(&bytes).expect("regular");
        prop_assert_eq!(again.as_local(), text.as_local());
    }

    #[test]
    fn any_value_is_read_or_refused(
        before in select(BEFORE.as_slice()),
        junk in prop_oneof!["[A-Za-z0-9+/=_%\\-\r\n ]{0,40}", any::<String>()],
        is_blob in any::<bool>(),
    ) {
        let text = format!("{before}{junk}");
        if let Ok(Decoded { bytes, form }) = decode(&StoredText { is_blob, text: text.into() }) {
            prop_assert!(!bytes.is_empty());
            prop_assert_eq!(form.encode(&bytes).is_none(), form == ValueForm::Irregular);
        }
    }
}
