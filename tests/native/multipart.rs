//! Forms are read part by part, whatever is in them and however they arrive.

use std::any::Any;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use proptest::collection::vec;
use proptest::prelude::*;
use stillstore::bytes::{Blob, Body, BodyError, ForeignBytes};
use stillstore::multipart::{Boundary, Form, FormError, FormLimits};
use stillstore::store::conformance::{ArrivingBytes, gate};

use crate::fuzz_properties::{End, Seen, read_form};
use crate::runtime::{block_on, run_until_stalled};

const FILE: &str = "Content-Disposition: form-data; name=\"file\"\r\n";

/// A form with the boundary `b`, of headers and bytes.
fn form_of(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let part = |(head, bytes): &(&str, &[u8])| [b"--b\r\n", head.as_bytes(), b"\r\n", bytes, b"\r\n"].concat();
    let mut form: Vec<u8> = parts.iter().flat_map(part).collect();
    form.extend(b"--b--\r\n");
    form
}

fn form_in_runs(body: impl Into<Body>, limits: FormLimits) -> Form {
    let boundary = Boundary::of_content_type("multipart/form-data; boundary=b").expect("a boundary");
    Form::new(body.into(), &boundary, limits)
}

fn form(body: impl Into<Body>) -> Form {
    form_in_runs(body, FormLimits::of_parts(10))
}

/// Bytes that are almost delimiters now and then, and never one.
fn content() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..20),
        Just(b"\r\n--".to_vec()),
        Just(b"\r\n-".to_vec()),
        Just(b"--b".to_vec()),
        Just(b"\r\n\r\n".to_vec()),
        Just(b"\n--b".to_vec()),
    ];
    let joined = vec(piece, 0..8).prop_map(|pieces| pieces.concat());
    joined.prop_filter("no delimiter", |bytes| !bytes.windows(5).any(|five| five == b"\r\n--b"))
}

proptest! {
    #[test]
    fn parts_come_out_as_they_went_in(
        contents in vec(content(), 0..5),
        run_bytes in 1_usize..40,
        read_bytes in 1_usize..40,
    ) {
        let parts: Vec<_> = contents.iter().map(|bytes| (FILE, bytes.as_slice())).collect();
        let expected: Vec<_> =
            contents.iter().map(|bytes| Seen { name: "file".to_owned(), bytes: Some(bytes.clone()) }).collect();
        let body = ArrivingBytes::new(&form_of(&parts)).into_body(None);
        prop_assert_eq!(read_form(body, run_bytes, Some(read_bytes)), (expected, End::Closed));
    }

    #[test]
    fn a_form_that_breaks_off_keeps_its_whole_parts(contents in vec(content(), 1..4), cut in any::<prop::sample::Index>()) {
        let parts: Vec<_> = contents.iter().map(|bytes| (FILE, bytes.as_slice())).collect();
        let whole = form_of(&parts);
        // Without the last boundary's closing dashes.
        let cut = cut.index(whole.len() - 3);
        let (seen, end) = read_form(ArrivingBytes::new(&whole[..cut]).into_body(None), 16, Some(8));
        prop_assert_eq!(end, End::BrokenOff);
        for (part, expected) in seen.iter().zip(&contents) {
            prop_assert!(part.bytes.as_ref().is_none_or(|bytes| bytes == expected));
        }
        let broken = seen.iter().filter(|part| part.bytes.is_none()).count();
        prop_assert!(broken <= 1 && seen[..seen.len() - broken].iter().all(|part| part.bytes.is_some()));
    }
}

#[test]
fn the_length_of_a_part_is_promised_where_it_is_known() {
    let long = vec![7; 1000];
    for (head, read, promised, if_last) in [
        (FILE.to_owned(), 1 << 20, Some(1000), Some(1000)),
        (FILE.to_owned(), 100, None, Some(1000)),
        (format!("{FILE}Content-Length: 1000\r\n"), 100, Some(1000), Some(1000)),
    ] {
        let limits = FormLimits { run_bytes: read, ..FormLimits::of_parts(1) };
        let bytes = form_of(&[(&head, &long)]);
        let part = block_on(form_in_runs(bytes, limits).next_part()).expect("a form").expect("a part");
        assert_eq!((part.body.promised_bytes(), part.size_if_last_bytes), (promised, if_last), "{head}");
    }
    let unpromised = ArrivingBytes::new(&form_of(&[(FILE, &long)])).into_body(None);
    let part = block_on(form_in_runs(unpromised, FormLimits { run_bytes: 100, ..FormLimits::of_parts(1) }).next_part());
    assert_eq!(part.expect("a form").expect("a part").size_if_last_bytes, None);
}

#[test]
fn a_promise_of_a_part_is_held_against_it() {
    for (promised, error) in
        [(4, BodyError::TooShort { expected_bytes: 4, actual_bytes: 3 }), (2, BodyError::TooLong { limit_bytes: 2 })]
    {
        let head = format!("{FILE}Content-Length: {promised}\r\n");
        let limits = FormLimits { run_bytes: 4, ..FormLimits::of_parts(1) };
        let bytes = form_of(&[(&head, b"abc")]);
        let part = block_on(form_in_runs(bytes, limits).next_part()).expect("a form").expect("a part");
        assert_eq!(block_on(part.body.collect(10)).err(), Some(error));
    }
}

#[test]
fn a_promise_that_is_not_kept_fails_however_the_bytes_come() {
    for promised in [3, 300] {
        let bytes = form_of(&[(&format!("{FILE}Content-Length: {promised}\r\n"), &[7; 100])]);
        for run_bytes in [1, 50, 10_000] {
            let limits = FormLimits { run_bytes, ..FormLimits::of_parts(1) };
            let part = block_on(form_in_runs(bytes.clone(), limits).next_part()).unwrap().unwrap();
            assert!(block_on(part.body.collect(1_000)).is_err(), "{promised} in runs of {run_bytes}");
        }
    }
}

#[test]
fn limits_are_kept_while_reading() {
    let two = form_of(&[(FILE, b"a"), (FILE, b"b")]);
    let mut parts = form_in_runs(two, FormLimits::of_parts(1));
    assert!(block_on(parts.next_part()).is_ok_and(|part| part.is_some()));
    assert_eq!(block_on(parts.next_part()).err(), Some(FormError::TooManyParts { limit: 1 }));

    let long = format!("{FILE}X: {}\r\n", "x".repeat(FormLimits::MAX_HEAD_BYTES));
    let error = block_on(form(form_of(&[(&long, b"")])).next_part()).err();
    assert_eq!(error, Some(FormError::HeadTooLong { limit_bytes: FormLimits::MAX_HEAD_BYTES }));

    let preamble = [&b"x".repeat(FormLimits::MAX_HEAD_BYTES), b"\r\n".as_slice(), &form_of(&[(FILE, b"")])].concat();
    assert!(matches!(block_on(form(preamble).next_part()), Err(FormError::Malformed(_))));
}

#[test]
fn what_is_no_form_is_refused() {
    for body in [
        &b"--bc\r\n"[..],
        b"--b\r\nno header\r\n\r\n\r\n--b--",
        b"--b\r\nContent-Disposition: form-data; name=a\r\n--b--",
        b"--b\r\n\r\nno header\r\n--b--",
        b"--b-x",
    ] {
        assert!(
            matches!(block_on(form(body.to_vec()).next_part()), Err(FormError::Malformed(_))),
            "{}",
            body.escape_ascii()
        );
    }
    for body in [&b""[..], b"--", b"--b", b"--b-", b"no boundary"] {
        assert!(
            matches!(block_on(form(body.to_vec()).next_part()), Err(FormError::Body(_))),
            "{}",
            body.escape_ascii()
        );
    }
}

#[test]
fn only_the_current_part_can_be_read() {
    let mut parts = form(form_of(&[(FILE, b"first"), (FILE, b"second")]));
    let mut first = block_on(parts.next_part()).expect("a form").expect("a part");
    assert_eq!(block_on(first.body.peek(3)), Ok(b"fir".to_vec()));
    let second = block_on(parts.next_part()).expect("a form").expect("a part");
    assert!(matches!(block_on(first.body.next(3)), Err(BodyError::Interrupted(_))));
    assert_eq!(block_on(second.body.collect(10)).map(|blob| blob.to_vec()), Ok(b"second".to_vec()));
    assert!(matches!(block_on(parts.next_part()), Ok(None)));
    assert!(matches!(block_on(parts.next_part()), Ok(None)));
}

#[test]
fn a_read_that_is_dropped_ends_the_form() {
    let bytes = form_of(&[(FILE, b"first"), (FILE, b"second")]);
    let (closed, _reached, _open) = gate();
    let arriving = ArrivingBytes::new(&bytes).held_at(20, closed).into_body(None);
    let mut parts = form_in_runs(arriving, FormLimits { run_bytes: 60, ..FormLimits::of_parts(2) });
    let part = block_on(parts.next_part()).expect("a form").expect("a part");
    assert!(run_until_stalled(part.body.collect(100)).is_none());
    assert!(matches!(block_on(parts.next_part()), Err(FormError::Body(BodyError::Interrupted(_)))));
}

/// Bytes elsewhere that count what is copied of them at once.
struct Elsewhere {
    bytes: Rc<Vec<u8>>,
    range: Range<usize>,
    largest_copy: Rc<Cell<usize>>,
}

impl ForeignBytes for Elsewhere {
    fn size_bytes(&self) -> usize {
        self.range.len()
    }

    fn copy_to(&self, range: Range<usize>, target: &mut [u8]) {
        self.largest_copy.set(self.largest_copy.get().max(range.len()));
        let start = self.range.start;
        target.copy_from_slice(&self.bytes[start + range.start..start + range.end]);
    }

    fn view(&self, range: Range<usize>) -> Rc<dyn ForeignBytes> {
        let range = self.range.start + range.start..self.range.start + range.end;
        Rc::new(Self { bytes: Rc::clone(&self.bytes), range, largest_copy: Rc::clone(&self.largest_copy) })
    }

    fn join(&self, others: &[&dyn ForeignBytes]) -> Option<Rc<dyn ForeignBytes>> {
        let others: Option<Vec<&Self>> = others.iter().map(|other| other.as_any().downcast_ref()).collect();
        let runs = std::iter::once(self).chain(others?);
        let bytes: Vec<u8> = runs.flat_map(|run| run.bytes[run.range.clone()].to_vec()).collect();
        let range = 0..bytes.len();
        Some(Rc::new(Self { bytes: Rc::new(bytes), range, largest_copy: Rc::clone(&self.largest_copy) }))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[test]
fn the_bytes_of_a_part_stay_where_they_are() {
    let largest_copy = Rc::new(Cell::new(0));
    let bytes = form_of(&[(FILE, &vec![7; 100_000])]);
    let range = 0..bytes.len();
    let elsewhere = Elsewhere { bytes: Rc::new(bytes), range, largest_copy: Rc::clone(&largest_copy) };
    let body = Blob::foreign(Rc::new(elsewhere));
    let limits = FormLimits { run_bytes: 1000, ..FormLimits::of_parts(1) };
    let part = block_on(form_in_runs(body, limits).next_part()).expect("a form").expect("a part");
    let held = block_on(part.body.collect(200_000)).expect("a whole part");
    assert_eq!((held.size_bytes(), held.as_foreign().is_some(), largest_copy.get()), (100_000, true, 1000));
}
