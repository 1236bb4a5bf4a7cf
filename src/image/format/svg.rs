//! SVG: an XML document in UTF-8 whose root element is `svg`.

use std::borrow::Cow;

use quick_xml::Error;
use quick_xml::errors::SyntaxError;
use quick_xml::events::{BytesStart, Event};

use super::reader::Reader;
use super::{Dimensions, Rejection, svg_size};

const NAMESPACE: &str = "http://www.w3.org/2000/svg";

/// How deep elements may nest: Chromium's limit for XML. It bounds the memory for open elements.
const MAX_DEPTH: usize = 5000;

/// Longer documents are believed by their header: parsing takes a copy in wasm memory.
const MAX_PARSED_BYTES: u64 = 8 * 1024 * 1024;

/// How much of the start is looked at for the root element's tag.
const HEADER_BYTES: u64 = 64 * 1024;

pub(super) fn matches(prefix: &[u8]) -> bool {
    root(prefix).is_some()
}

/// The dimensions of the root element, when its tag ends within the first [`HEADER_BYTES`].
pub(super) fn header(reader: &mut Reader) -> Result<Option<Dimensions>, Rejection> {
    let prefix = reader.take(reader.rest_bytes().min(HEADER_BYTES))?;
    let root = root(&prefix).ok_or(Rejection::NotAnImage)?;
    match quick_xml::Reader::from_reader(root).read_event() {
        Ok(Event::Start(tag) | Event::Empty(tag)) => root_dimensions(&tag),
        _ => Ok(None),
    }
}

/// The whole document is parsed, or a long one's header only.
pub(super) fn inspect(reader: &mut Reader) -> Result<Option<Dimensions>, Rejection> {
    if reader.size_bytes() > MAX_PARSED_BYTES {
        header(reader)
    } else {
        inspect_whole(&reader.take(reader.rest_bytes())?)
    }
}

/// One `svg` element, closed, with nothing but comments, processing instructions and white space around it.
fn inspect_whole(bytes: &[u8]) -> Result<Option<Dimensions>, Rejection> {
    // XML forbids the other control characters everywhere; UTF-16 and compressed files show here, too.
    if bytes.iter().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x7F)) {
        return Err(Rejection::Malformed);
    }
    let mut reader = quick_xml::Reader::from_reader(root(bytes).ok_or(Rejection::NotAnImage)?);
    let mut dimensions = None;
    let mut is_root_seen = false;
    let mut depth: usize = 0;
    loop {
        let event = reader.read_event().map_err(|error| rejection(&error))?;
        if let (0, Event::Start(tag) | Event::Empty(tag)) = (depth, &event) {
            if is_root_seen {
                return Err(Rejection::Malformed);
            }
            dimensions = root_dimensions(tag)?;
            is_root_seen = true;
        }
        match event {
            Event::Start(_) if depth == MAX_DEPTH => return Err(Rejection::Malformed),
            Event::Start(_) => depth += 1,
            // The reader refuses an end tag without its start tag.
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Text(text) if depth == 0 && !text.trim_ascii().is_empty() => return Err(Rejection::Malformed),
            Event::CData(_) | Event::GeneralRef(_) if depth == 0 => return Err(Rejection::Malformed),
            Event::Decl(_) | Event::DocType(_) => return Err(Rejection::Malformed),
            Event::Eof if depth > 0 => return Err(Rejection::Truncated),
            Event::Eof => return Ok(dimensions),
            Event::Empty(_)
            | Event::Text(_)
            | Event::CData(_)
            | Event::GeneralRef(_)
            | Event::Comment(_)
            | Event::PI(_) => {}
        }
    }
}

/// The reader's syntax errors are all constructs that the end of the bytes leaves open, but for one.
fn rejection(error: &Error) -> Rejection {
    match error {
        Error::Syntax(SyntaxError::InvalidBangMarkup) => Rejection::Malformed,
        Error::Syntax(_) => Rejection::Truncated,
        _ => Rejection::Malformed,
    }
}

/// The bytes from the root element on, when it is `svg`. A prolog may come first: byte order mark, XML declaration, processing
/// instructions, comments, document type, white space.
fn root(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    loop {
        rest = rest.trim_ascii_start();
        if let Some(instruction) = rest.strip_prefix(b"<?") {
            rest = after(instruction, b"?>")?;
        } else if let Some(comment) = rest.strip_prefix(b"<!--") {
            rest = after(comment, b"-->")?;
        } else if let Some(doctype) = rest.strip_prefix(b"<!DOCTYPE") {
            rest = after_doctype(doctype)?;
        } else {
            let name = name(rest.strip_prefix(b"<")?)?;
            return is_svg(name).then_some(rest);
        }
    }
}

/// Whether a name is `svg`, alone or behind a namespace prefix.
fn is_svg(name: &[u8]) -> bool {
    match name.strip_suffix(b"svg") {
        Some([]) => true,
        Some([prefix @ .., b':']) => {
            !prefix.is_empty()
                && prefix
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii() || matches!(byte, b'-' | b'_' | b'.'))
        }
        _ => false,
    }
}

/// The name at the start, when the character behind it is there to prove that it is whole.
fn name(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/' | b'['))?;
    bytes.get(..end)
}

fn after<'bytes>(bytes: &'bytes [u8], end: &[u8]) -> Option<&'bytes [u8]> {
    let position = bytes.windows(end.len()).position(|window| window == end)?;
    bytes.get(position + end.len()..)
}

/// What follows a document type for `svg`: its end is the first `>` outside quotes, comments and the internal subset.
fn after_doctype(doctype: &[u8]) -> Option<&[u8]> {
    let mut rest = doctype.trim_ascii_start();
    if rest.len() == doctype.len() || !is_svg(name(rest)?) {
        return None;
    }
    let mut is_in_subset = false;
    loop {
        if let Some(comment) = rest.strip_prefix(b"<!--") {
            rest = after(comment, b"-->")?;
            continue;
        }
        let (byte, following) = rest.split_first()?;
        rest = following;
        match byte {
            b'"' | b'\'' => rest = after(rest, &[*byte])?,
            b'[' => is_in_subset = true,
            b']' => is_in_subset = false,
            b'>' if !is_in_subset => return Some(rest),
            _ => {}
        }
    }
}

fn root_dimensions(tag: &BytesStart) -> Result<Option<Dimensions>, Rejection> {
    check_namespace(tag)?;
    Ok(svg_size::natural(
        attribute(tag, "width")?.as_deref(),
        attribute(tag, "height")?.as_deref(),
        attribute(tag, "viewBox")?.as_deref(),
    ))
}

/// The root must be in SVG's namespace. Hand-written files leave the declaration of the default one out.
fn check_namespace(tag: &BytesStart) -> Result<(), Rejection> {
    let tag_name = tag.name();
    let declaration = match tag_name.prefix() {
        Some(prefix) => attribute(tag, &format!("xmlns:{}", prefix.as_ref()))?.ok_or(Rejection::Malformed)?,
        None => attribute(tag, "xmlns")?.unwrap_or(NAMESPACE.into()),
    };
    // Drawing programs put the name into an entity of the document type.
    if declaration == NAMESPACE || declaration.starts_with('&') { Ok(()) } else { Err(Rejection::NotAnImage) }
}

fn attribute<'tag>(tag: &'tag BytesStart, name: &str) -> Result<Option<Cow<'tag, str>>, Rejection> {
    let found = tag.try_get_attribute(name).map_err(|_| Rejection::Malformed)?;
    Ok(found.map(|attribute| attribute.value))
}
