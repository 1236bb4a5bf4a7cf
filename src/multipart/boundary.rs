//! The boundary of a form, from its `Content-Type`.

use super::head::{Parameters, is_media_type};

/// Between the parts of a form: 1 to 70 printable ASCII characters, the last of which is no space (RFC 2046, section 5.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    const MAX_BYTES: usize = 70;

    /// The boundary that a `Content-Type` names; `None` when it is not that of a form, or names none.
    #[must_use]
    pub fn of_content_type(content_type: &str) -> Option<Self> {
        let parameters =
            Parameters::after(content_type, |media_type| is_media_type(media_type, "multipart/form-data"))?;
        let boundary = parameters.get("boundary")?;
        let is_printable = boundary.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let is_valid = (1..=Self::MAX_BYTES).contains(&boundary.len()) && is_printable && !boundary.ends_with(' ');
        is_valid.then(|| Self(boundary.to_owned()))
    }

    /// What stands before the headers of each part and after the last part.
    pub(super) fn delimiter(&self) -> Vec<u8> {
        format!("\r\n--{}", self.0).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_is_that_of_a_form() {
        for (content_type, boundary) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data;charset=utf-8; BOUNDARY=\"a b:c\"", Some("a b:c")),
            (
                "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
                Some("----WebKitFormBoundary7MA4YWxkTrZu0gW"),
            ),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=\"a \"", None),
            ("multipart/form-data; boundary=\"a\u{e9}\"", None),
            ("multipart/form-data; boundary=\"a", None),
            ("multipart/mixed; boundary=abc", None),
            ("image/png", None),
            ("", None),
        ] {
            assert_eq!(
                Boundary::of_content_type(content_type),
                boundary.map(|it| Boundary(it.to_owned())),
                "{content_type}"
            );
        }
        for (length, is_valid) in [(70, true), (71, false)] {
            let content_type = format!("multipart/form-data; boundary={}", "a".repeat(length));
            assert_eq!(Boundary::of_content_type(&content_type).is_some(), is_valid);
        }
    }
}
