//! Lists of parts in S3's XML.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::Event;

use super::{Code, Problem, Response};
use crate::catalog::{KeptPart, Upload};
use crate::store::{PartNumber, UploadedPart};

/// The longest name that a store has for a part's bytes, quotes left out.
const MAX_ETAG_BYTES: usize = 256;

/// An answer in XML: `element` with `fields`, which may hold elements.
pub(super) fn xml(element: &str, fields: &[(&str, String)]) -> Response {
    let fields: Vec<_> = fields.iter().map(|(name, value)| format!("<{name}>{value}</{name}>")).collect();
    let fields = fields.concat();
    let document = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{element}>{fields}</{element}>");
    let mut response = Response::empty(200);
    response.set_header("Content-Type", "application/xml");
    response.set_header("Content-Length", document.len().to_string());
    response.set_header("Cache-Control", "no-store");
    response.body = Some(document.into_bytes().into());
    response
}

/// The fields of an answer that say which upload it is about.
pub(super) fn fields_of(upload: &Upload) -> Vec<(&'static str, String)> {
    let id = upload.multipart_id.as_ref().map(|id| escape(id.as_str()).into_owned()).unwrap_or_default();
    vec![("Key", escape(upload.key.as_str()).into_owned()), ("UploadId", id)]
}

/// Parts as elements of a listing.
pub(super) fn elements_of(parts: &[KeptPart]) -> Vec<(&'static str, String)> {
    let element = |KeptPart { part, size_bytes }: &KeptPart| {
        let etag = escape(&part.etag).into_owned();
        format!("<PartNumber>{}</PartNumber><ETag>&quot;{etag}&quot;</ETag><Size>{size_bytes}</Size>", part.number)
    };
    parts.iter().map(|part| ("Part", element(part))).collect()
}

/// The parts that a `CompleteMultipartUpload` names.
///
/// # Errors
/// 400 where it is none, and where a part has no number or no `ETag`.
pub(super) fn parts_in(document: &[u8]) -> Result<Vec<UploadedPart>, Problem> {
    let invalid = |rule: &str| Problem::field("body", format!("must be a CompleteMultipartUpload of S3's: {rule}"));
    let text = std::str::from_utf8(document).map_err(|_| invalid("UTF-8"))?;
    let mut reader = Reader::from_str(text);
    let mut parts: Vec<UploadedPart> = Vec::new();
    let (mut number, mut etag, mut value) = (String::new(), String::new(), String::new());
    let mut depth: u32 = 0;
    loop {
        match reader.read_event().map_err(|_| invalid("XML"))? {
            Event::Start(tag) => {
                depth += 1;
                value.clear();
                if tag.local_name().as_ref() == "Part" {
                    number.clear();
                    etag.clear();
                }
            }
            // A reference is a quote of an ETag's.
            Event::Text(run) => value.push_str(&run),
            Event::End(tag) => {
                // The reader refuses an end tag without its start tag.
                depth -= 1;
                match tag.local_name().as_ref() {
                    "PartNumber" => number = std::mem::take(&mut value),
                    "ETag" => etag = std::mem::take(&mut value),
                    "Part" => {
                        let number: PartNumber = number
                            .trim()
                            .parse()
                            .map_err(|_| invalid("a PartNumber is a whole number from 1 to 1000"))?;
                        let etag = etag.trim().trim_matches('"').to_owned();
                        if etag.is_empty() || etag.len() > MAX_ETAG_BYTES {
                            return Err(invalid("each Part has an ETag"));
                        }
                        if parts.len() >= usize::from(PartNumber::MAX.get()) {
                            return Err(Problem::new(Code::PartsRefused, "an upload has at most 1,000 parts"));
                        }
                        parts.push(UploadedPart { number, etag });
                    }
                    _ => {}
                }
            }
            Event::Eof if depth > 0 => return Err(invalid("an element has no end")),
            Event::Eof if parts.is_empty() => return Err(invalid("it names no Part")),
            Event::Eof => return Ok(parts),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_with_and_without_quotes_and_name_spaces() {
        let document =
            br#"<?xml version="1.0"?><CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Part><PartNumber>2</PartNumber><ETag>"abc"</ETag><ChecksumCRC32>AA==</ChecksumCRC32></Part>
            <Part><ETag>&quot;def&quot;</ETag><PartNumber>10</PartNumber></Part>
            <s:Part><s:PartNumber>3</s:PartNumber><s:ETag>ghi</s:ETag></s:Part></CompleteMultipartUpload>"#;
        let parts = parts_in(document).unwrap();
        let read: Vec<_> = parts.iter().map(|part| (part.number.get(), part.etag.as_str())).collect();
        assert_eq!(read, [(2, "abc"), (10, "def"), (3, "ghi")]);
    }

    #[test]
    fn what_names_no_parts_is_refused() {
        let part = "<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part>";
        for document in [
            String::new(),
            "{}".to_owned(),
            "<CompleteMultipartUpload/>".to_owned(),
            format!("<A>{part}"),
            "<A><Part><PartNumber>1</PartNumber></Part></A>".to_owned(),
            "<A><Part><PartNumber>0</PartNumber><ETag>a</ETag></Part></A>".to_owned(),
            "<A><Part><PartNumber>1001</PartNumber><ETag>a</ETag></Part></A>".to_owned(),
            "<A><Part></A></Part>".to_owned(),
            part.repeat(1_001),
        ] {
            assert!(parts_in(document.as_bytes()).is_err(), "{document:.100}");
        }
    }
}
