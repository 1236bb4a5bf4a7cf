//! What the headers of a part say.

use percent_encoding::percent_decode_str;

use super::FormError;

const DISPOSITION: FormError =
    FormError::Malformed("each part of the form needs a header Content-Disposition: form-data with a name");
const HEADER_LINE: FormError =
    FormError::Malformed("the headers of a part must be lines of a name, a colon and a value in UTF-8");
const ENCODING: FormError = FormError::Malformed("a part must not have a Content-Transfer-Encoding other than binary");

/// The name of a part, and what it says of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartHead {
    pub name: String,
    /// As sent: it may be empty, a path, or anything else.
    pub filename: Option<String>,
    pub content_type: Option<String>,
    /// The length in bytes that a `Content-Length` promises.
    pub(super) promised_bytes: Option<u64>,
}

impl PartHead {
    /// Reads header lines, each of which ends with CR LF.
    pub(super) fn parse(lines: &[u8]) -> Result<Self, FormError> {
        let lines = str::from_utf8(lines).map_err(|_| HEADER_LINE)?;
        let (mut disposition, mut content_type, mut promised_bytes) = (None, None, None);
        for line in lines.split_terminator("\r\n") {
            let (name, value) = line.split_once(':').ok_or(HEADER_LINE)?;
            // A line that begins with a space goes on with the one before, which no client sends.
            if name.is_empty()
                || !name.bytes().all(|byte| byte.is_ascii_graphic())
                || value.contains(['\r', '\n', '\0'])
            {
                return Err(HEADER_LINE);
            }
            let value = value.trim_matches([' ', '\t']);
            match name.to_ascii_lowercase().as_str() {
                "content-disposition" if disposition.is_none() => disposition = Some(value),
                "content-disposition" => return Err(DISPOSITION),
                "content-type" => content_type = Some(value.to_owned()),
                "content-length" => promised_bytes = Some(value.parse().map_err(|_| HEADER_LINE)?),
                "content-transfer-encoding" if !is_identity(value) => return Err(ENCODING),
                _ => {}
            }
        }
        let is_form_data = |kind: &str| kind.trim().eq_ignore_ascii_case("form-data");
        let parameters = Parameters::after(disposition.ok_or(DISPOSITION)?, is_form_data).ok_or(DISPOSITION)?;
        let name = parameters.get("name").ok_or(DISPOSITION)?.to_owned();
        let extended = parameters.get("filename*").and_then(extended_value);
        let filename = extended.or_else(|| parameters.get("filename").map(str::to_owned));
        Ok(Self { name, filename, content_type, promised_bytes })
    }
}

/// Whether the encoding leaves the bytes as they are.
fn is_identity(encoding: &str) -> bool {
    ["binary", "8bit", "7bit"].iter().any(|identity| encoding.eq_ignore_ascii_case(identity))
}

/// A value as RFC 5987 writes it, in UTF-8: `UTF-8''caf%C3%A9.png`. Clients on urllib3 before version 2 send it.
fn extended_value(text: &str) -> Option<String> {
    let (charset, rest) = text.split_once('\'')?;
    let (_language, value) = rest.split_once('\'')?;
    let is_utf8 = charset.eq_ignore_ascii_case("utf-8");
    is_utf8.then(|| percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)).flatten()
}

pub(super) fn is_media_type(text: &str, media_type: &str) -> bool {
    text.trim().eq_ignore_ascii_case(media_type)
}

/// The parameters of a header's value: `; name=token; name="quoted"`.
pub(super) struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of `value`; `None` when what comes before them is not right, or they are not parameters.
    pub fn after(value: &str, is_right: impl FnOnce(&str) -> bool) -> Option<Self> {
        let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
        if !is_right(kind) {
            return None;
        }
        let mut parameters = Vec::new();
        while !rest.trim().is_empty() {
            let (name, after_name) = rest.split_once('=')?;
            let (value, after_value) = if let Some(quoted) = after_name.trim_start().strip_prefix('"') {
                unquoted(quoted)?
            } else {
                let (token, after) = after_name.split_at(after_name.find(';').unwrap_or(after_name.len()));
                (token.trim().to_owned(), after)
            };
            parameters.push((name.trim().to_ascii_lowercase(), value));
            rest = after_value.trim_start();
            if !rest.is_empty() {
                rest = rest.strip_prefix(';')?;
            }
        }
        Some(Self(parameters))
    }

    /// The first parameter called `name`, which is in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(candidate, _)| candidate == name).map(|(_, value)| value.as_str())
    }
}

/// What is quoted at the start of `text`, which has the opening quote before it, and what follows the closing one.
///
/// A backslash is one, unless a quote or another follows: browsers send the backslashes of a path as they are.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match (character, characters.peek()) {
            ('"', _) => return Some((value, &text[at + 1..])),
            ('\\', Some((_, escaped @ ('"' | '\\')))) => {
                value.push(*escaped);
                characters.next();
            }
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(lines: &str) -> Option<(String, Option<String>)> {
        PartHead::parse(lines.as_bytes()).ok().map(|head| (head.name, head.filename))
    }

    #[test]
    fn names_are_read_as_clients_write_them() {
        for (disposition, name, filename) in [
            ("form-data; name=\"file\"; filename=\"a b.png\"", "file", Some("a b.png")),
            ("Form-Data ;NAME = file ; FileName=a.png", "file", Some("a.png")),
            (r#"form-data; name="a\"b\\c"; filename="C:\pictures\x.png""#, "a\"b\\c", Some(r"C:\pictures\x.png")),
            ("form-data; name=\"a;b=c\"", "a;b=c", None),
            ("form-data; name=f; filename*=UTF-8''caf%C3%A9.png; filename=cafe.png", "f", Some("caf\u{e9}.png")),
            ("form-data; name=f; filename*=latin1''caf%E9.png; filename=cafe.png", "f", Some("cafe.png")),
            ("form-data; name=f; filename*=utf-8''%FF", "f", None),
            ("form-data; name=\"caf\u{e9}\";", "caf\u{e9}", None),
            ("form-data; name=\"\"; filename=\"\"", "", Some("")),
        ] {
            let expected = Some((name.to_owned(), filename.map(str::to_owned)));
            assert_eq!(parsed(&format!("Content-Disposition: {disposition}\r\n")), expected, "{disposition}");
        }
    }

    #[test]
    fn the_rest_is_refused() {
        for lines in [
            "",
            "Content-Type: image/png\r\n",
            "Content-Disposition: form-data\r\n",
            "Content-Disposition: attachment; name=a\r\n",
            "Content-Disposition: form-data; name=\"a\r\n",
            "Content-Disposition: form-data; name=\"a\" b\r\n",
            "Content-Disposition: form-data; name\r\n",
            "Content-Disposition: form-data;\r\n name=a\r\n",
            "Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b\r\n",
            "Content-Disposition: form-data; name=a\r\nContent-Transfer-Encoding: base64\r\n",
            "Content-Disposition: form-data; name=a\r\nContent-Length: many\r\n",
            "Content-Disposition: form-data; name=a\r\nno header\r\n",
        ] {
            assert_eq!(parsed(lines), None, "{lines}");
        }
        assert_eq!(PartHead::parse(b"Content-Disposition: form-data; name=\"\xff\"\r\n"), Err(HEADER_LINE));
    }

    #[test]
    fn other_headers_are_kept_or_passed_over() {
        let head = PartHead::parse(
            b"X-Made-Up: 1\r\ncontent-disposition: form-data; name=a\r\nContent-Type: image/png \r\ncontent-length: 12\r\n\
            Content-Transfer-Encoding: Binary\r\n",
        );
        let head = head.expect("a head");
        assert_eq!((head.content_type.as_deref(), head.promised_bytes), (Some("image/png"), Some(12)));
    }
}
