//! Which bytes a request's `Range` asks for: RFC 9110, section 14.

use crate::bytes::ByteRange;

/// What a `Range` field comes to for an object of a known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// Nothing that is honoured: the field is malformed, has another unit, or asks for several ranges.
    Whole,
    Part(ByteRange),
    /// A valid range of which the object has no byte.
    Unsatisfiable,
}

/// Reads a `Range` field.
///
/// Several ranges are answered with the whole object, whether or not one of them could be satisfied: section 14.2 lets a server
/// ignore the field, and nothing that reads images asks for several.
pub(super) fn requested_range(field: &str, size_bytes: u64) -> RequestedRange {
    let Some((first, last)) = single_range(field) else { return RequestedRange::Whole };
    match (first, last) {
        ("", "") => RequestedRange::Whole,
        ("", suffix) => last_bytes(saturating_number(suffix), size_bytes),
        (first, "") => bytes_between(saturating_number(first), u64::MAX, size_bytes),
        (first, last) if is_greater(first, last) => RequestedRange::Whole,
        (first, last) => bytes_between(saturating_number(first), saturating_number(last), size_bytes),
    }
}

/// The digits on both sides of the dash, when the field holds one range in bytes.
fn single_range(field: &str) -> Option<(&str, &str)> {
    let (unit, set) = field.split_once('=')?;
    let mut ranges = set.split(',').map(|range| range.trim_matches([' ', '\t'])).filter(|range| !range.is_empty());
    let (only, None) = (ranges.next()?, ranges.next()) else { return None };
    let (first, last) = only.split_once('-')?;
    let are_digits = [first, last].iter().all(|side| side.bytes().all(|byte| byte.is_ascii_digit()));
    (unit.eq_ignore_ascii_case("bytes") && are_digits).then_some((first, last))
}

fn last_bytes(suffix_bytes: u64, size_bytes: u64) -> RequestedRange {
    let length_bytes = suffix_bytes.min(size_bytes);
    match (suffix_bytes, length_bytes) {
        (0, _) => RequestedRange::Unsatisfiable,
        // Satisfiable by section 14.1.2, but `Content-Range` has no form for no bytes.
        (_, 0) => RequestedRange::Whole,
        _ => RequestedRange::Part(ByteRange { offset_bytes: size_bytes - length_bytes, length_bytes }),
    }
}

fn bytes_between(first: u64, last: u64, size_bytes: u64) -> RequestedRange {
    if first >= size_bytes {
        return RequestedRange::Unsatisfiable;
    }
    let last = last.min(size_bytes - 1);
    RequestedRange::Part(ByteRange { offset_bytes: first, length_bytes: last - first + 1 })
}

/// Digits too many for a `u64` are beyond the end of everything.
fn saturating_number(digits: &str) -> u64 {
    digits.parse().unwrap_or(u64::MAX)
}

/// Compares numbers of any length, which saturating would make equal.
fn is_greater(first: &str, last: &str) -> bool {
    let (first, last) = (first.trim_start_matches('0'), last.trim_start_matches('0'));
    (first.len(), first) > (last.len(), last)
}
