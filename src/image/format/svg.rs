//! SVG: an XML document in UTF-8 whose root element is `svg`.

use std::borrow::Cow;

use quick_xml::errors::SyntaxError;
use quick_xml::events::{BytesStart, Event};
use quick_xml::{Error, Reader};

use super::{Dimensions, Rejection};

const NAMESPACE: &str = "http://www.w3.org/2000/svg";

/// How deep elements may nest: libxml2's default limit, so that deeper files are already refused by the common readers. It bounds
/// the memory for open elements.
const MAX_DEPTH: usize = 256;

pub(super) fn matches(prefix: &[u8]) -> bool {
    root(prefix).is_some()
}

pub(super) fn dimensions(prefix: &[u8]) -> Option<Dimensions> {
    match Reader::from_reader(root(prefix)?).read_event() {
        Ok(Event::Start(tag) | Event::Empty(tag)) => root_dimensions(&tag).ok()?,
        _ => None,
    }
}

/// One `svg` element, closed, with nothing but comments, processing instructions and white space around it.
pub(super) fn inspect(bytes: &[u8]) -> Result<Option<Dimensions>, Rejection> {
    // XML forbids the other control characters everywhere; UTF-16 and compressed files show here, too.
    if bytes.iter().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r' | 0x7F)) {
        return Err(Rejection::Malformed);
    }
    let mut reader = Reader::from_reader(root(bytes).ok_or(Rejection::NotAnImage)?);
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

/// `width` and `height` of the root in pixels; the size of its `viewBox` when they are left out or relative; `None` when they
/// are in other units.
fn root_dimensions(tag: &BytesStart) -> Result<Option<Dimensions>, Rejection> {
    check_namespace(tag)?;
    let (width, height) = (attribute(tag, "width")?, attribute(tag, "height")?);
    let is_open = |side: &Option<Cow<str>>| side.as_deref().is_none_or(|length| length.trim_ascii().ends_with('%'));
    if is_open(&width) && is_open(&height) {
        return Ok(attribute(tag, "viewBox")?.as_deref().and_then(view_box_dimensions));
    }
    Ok(both(width.as_deref().and_then(pixels), height.as_deref().and_then(pixels)))
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

/// The last two of the four numbers in a `viewBox`.
fn view_box_dimensions(value: &str) -> Option<Dimensions> {
    let mut numbers = value.split([' ', '\t', '\n', '\r', ',']).filter(|number| !number.is_empty()).skip(2);
    let (width, height) = (numbers.next()?, numbers.next()?);
    both(pixels(width), pixels(height)).filter(|_| numbers.next().is_none())
}

fn both(width: Option<u32>, height: Option<u32>) -> Option<Dimensions> {
    Some(Dimensions { width: width?, height: height? })
}

/// A plain positive number, perhaps with `px`, rounded up to whole pixels.
fn pixels(value: &str) -> Option<u32> {
    let text = value.trim_ascii();
    let number = text.strip_suffix("px").unwrap_or(text);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let are_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    let has_fraction = fraction.bytes().any(|digit| digit != b'0');
    whole.parse::<u32>().ok()?.checked_add(has_fraction.into()).filter(|pixels| *pixels > 0)
}
