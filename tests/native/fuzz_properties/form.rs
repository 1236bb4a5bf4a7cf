//! Forms of several parts.

use stillstore::bytes::Body;
use stillstore::multipart::{Boundary, Form, FormError, FormLimits};
use stillstore::store::conformance::ArrivingBytes;

use crate::runtime::block_on;

const DELIMITER: &[u8] = b"\r\n--b";
const MAX_PARTS: usize = 8;
const MAX_HEAD_BYTES: usize = 256;

/// A part as somebody sees it: what its headers say, and its bytes unless they broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub name: String,
    pub bytes: Option<Vec<u8>>,
}

/// How a form ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Closed,
    Refused,
    BrokenOff,
}

/// Reads a form with the boundary `b` in runs of `run_bytes`, and its parts in runs of `read_bytes`, or passes over them.
pub fn read_form(body: Body, run_bytes: usize, read_bytes: Option<usize>) -> (Vec<Seen>, End) {
    let boundary = Boundary::of_content_type("multipart/form-data; boundary=b").expect("a boundary");
    let limits = FormLimits { max_parts: MAX_PARTS, max_head_bytes: MAX_HEAD_BYTES, run_bytes };
    let mut form = Form::new(body, &boundary, limits);
    let mut seen = Vec::new();
    block_on(async {
        loop {
            let mut part = match form.next_part().await {
                Ok(Some(part)) => part,
                Ok(None) => return (seen, End::Closed),
                Err(FormError::Body(_)) => return (seen, End::BrokenOff),
                Err(_) => return (seen, End::Refused),
            };
            let mut bytes = Some(Vec::new());
            while let Some(read_bytes) = read_bytes {
                let peeked = part.body.peek(read_bytes).await;
                match part.body.next(read_bytes).await {
                    Ok(Some(run)) => {
                        assert_eq!(peeked.as_deref(), Ok(&*run.to_vec()));
                        bytes.get_or_insert_default().extend(run.to_vec());
                    }
                    Ok(None) => break,
                    Err(_) => {
                        bytes = None;
                        break;
                    }
                }
            }
            seen.push(Seen { name: part.head.name, bytes });
        }
    })
}

/// A form is what a slow reader finds in it, in whatever runs it is read; its parts have their names also when nobody reads their bytes.
///
/// The first two bytes of the input are the lengths of the runs, the rest is the form.
pub fn multipart_form(input: &[u8]) {
    let [run_bytes, read_bytes, form @ ..] = input else { return };
    let [run_bytes, read_bytes] = [*run_bytes, *read_bytes].map(|bytes| usize::from(bytes) + 1);
    let whole = read_form(form.to_vec().into(), 1 << 20, Some(1 << 20));
    assert_eq!(read_form(ArrivingBytes::new(form).into_body(None), run_bytes, Some(read_bytes)), whole);
    let (passed, _) = read_form(form.to_vec().into(), run_bytes, None);
    let names = |seen: &[Seen]| seen.iter().map(|part| part.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&passed), names(&whole.0));
    check_against_slow(form, &whole.0, whole.1);
}

/// Compares with splitting at each delimiter, up to the first part whose headers are not of the simplest form.
fn check_against_slow(form: &[u8], seen: &[Seen], end: End) {
    let with_line_break = [b"\r\n", form].concat();
    let pieces = split(&with_line_break);
    let Some((preamble, pieces)) = pieces.split_first() else { return };
    let mut expected = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        if preamble.len() > MAX_HEAD_BYTES || number > MAX_PARTS {
            break;
        }
        if piece.starts_with(b"--") {
            assert_eq!((seen, end), (&*expected, End::Closed), "{}", form.escape_ascii());
            return;
        }
        let Some((name, bytes)) = simple_part(piece) else { break };
        let is_whole = number + 1 < pieces.len();
        expected.push(Seen { name, bytes: is_whole.then_some(bytes) });
    }
    assert!(seen.starts_with(&expected[..expected.len().min(MAX_PARTS)]), "{} gave {seen:?}", form.escape_ascii());
    assert!(end != End::Closed || pieces.iter().any(|piece| piece.starts_with(b"--")), "{}", form.escape_ascii());
}

/// What is between delimiters. A delimiter does not begin with the line break of the empty line that ends a part's headers.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let find = |from: usize, wanted: &[u8]| {
        let found = bytes[from..].windows(wanted.len()).position(|window| window == wanted);
        found.map(|at| from + at)
    };
    let mut pieces = Vec::new();
    let (mut start, mut from) = (0, 0);
    while let Some(at) = find(from, DELIMITER) {
        pieces.push(&bytes[start..at]);
        start = at + DELIMITER.len();
        from = match find(start, b"\r\n\r\n") {
            Some(head_end) if find(start, DELIMITER).is_none_or(|next| next > head_end) => head_end + 4,
            _ => start,
        };
    }
    pieces.push(&bytes[start..]);
    pieces
}

/// The name and bytes of a part whose only header names it in lower-case letters.
fn simple_part(piece: &[u8]) -> Option<(String, Vec<u8>)> {
    let rest = piece.strip_prefix(b"\r\nContent-Disposition: form-data; name=\"")?;
    let name_bytes = rest.iter().position(|byte| *byte == b'"')?;
    let (name, after) = rest.split_at(name_bytes);
    let is_simple = name.len() < 100 && name.iter().all(u8::is_ascii_lowercase);
    let bytes = after.strip_prefix(b"\"\r\n\r\n")?;
    is_simple.then(|| (String::from_utf8_lossy(name).into_owned(), bytes.to_vec()))
}
