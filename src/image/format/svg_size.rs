//! The size of an SVG as browsers give it to `<img>` (CSS Images, the default sizing algorithm).

use super::Dimensions;

/// What a side has that nothing is said about.
const DEFAULT_WIDTH: f64 = 300.0;
const DEFAULT_HEIGHT: f64 = 150.0;

/// CSS pixels in units that have a fixed length, with the default font size.
const UNITS: [(&str, f64); 9] = [
    ("", 1.0),
    ("px", 1.0),
    ("in", 96.0),
    ("cm", 96.0 / 2.54),
    ("mm", 96.0 / 25.4),
    ("q", 96.0 / 101.6),
    ("pt", 96.0 / 72.0),
    ("pc", 16.0),
    ("em", 16.0),
];

/// One side of the root element.
enum Side {
    /// Left out, relative to what is around it, or not understood.
    Open,
    Pixels(f64),
    /// Depends on a font, a window or a computation.
    Unknown,
}

/// The size of a root element with these attributes, in whole pixels; `None` when it depends on a font or a window, or has no area.
pub(super) fn natural(width: Option<&str>, height: Option<&str>, view_box: Option<&str>) -> Option<Dimensions> {
    let ratio = view_box.and_then(ratio);
    let (width, height) = match (side(width), side(height), ratio) {
        (Side::Pixels(width), Side::Pixels(height), _) => (width, height),
        (Side::Pixels(width), Side::Open, Some(ratio)) => (width, width / ratio),
        (Side::Pixels(width), Side::Open, None) => (width, DEFAULT_HEIGHT),
        (Side::Open, Side::Pixels(height), Some(ratio)) => (height * ratio, height),
        (Side::Open, Side::Pixels(height), None) => (DEFAULT_WIDTH, height),
        (Side::Open, Side::Open, Some(ratio)) if ratio < DEFAULT_WIDTH / DEFAULT_HEIGHT => {
            (DEFAULT_HEIGHT * ratio, DEFAULT_HEIGHT)
        }
        (Side::Open, Side::Open, Some(ratio)) => (DEFAULT_WIDTH, DEFAULT_WIDTH / ratio),
        (Side::Open, Side::Open, None) => (DEFAULT_WIDTH, DEFAULT_HEIGHT),
        (Side::Unknown, _, _) | (_, Side::Unknown, _) => return None,
    };
    Some(Dimensions { width: whole(width)?, height: whole(height)? })
}

fn side(attribute: Option<&str>) -> Side {
    let text = attribute.unwrap_or_default().trim_ascii();
    let (number, unit) = split_number(text);
    let Some(number) = number else {
        let is_computed = text.contains(['(', '&']);
        return if is_computed { Side::Unknown } else { Side::Open };
    };
    let unit = unit.to_ascii_lowercase();
    match UNITS.into_iter().find(|(name, _)| *name == unit || (unit == "rem" && *name == "em")) {
        Some((_, pixels)) => Side::Pixels(number * pixels),
        None if !unit.is_empty() && unit.bytes().all(|byte| byte.is_ascii_alphabetic()) => Side::Unknown,
        None => Side::Open,
    }
}

/// The width of a view box divided by its height.
fn ratio(view_box: &str) -> Option<f64> {
    let mut numbers = view_box.split([' ', '\t', '\n', '\r', ',']).filter(|number| !number.is_empty()).map(|text| {
        let (number, rest) = split_number(text);
        number.filter(|_| rest.is_empty())
    });
    let (_left, _top) = (numbers.next()??, numbers.next()??);
    let (width, height) = (numbers.next()??, numbers.next()??);
    (numbers.next().is_none() && width > 0.0 && height > 0.0).then_some(width / height)
}

/// The number that a text starts with, as CSS writes them, and what follows it.
fn split_number(text: &str) -> (Option<f64>, &str) {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let bytes = text.as_bytes();
    let after = |position: usize| text.get(position..).unwrap_or_default();
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    end += digits(after(end));
    let fraction = digits(after(end + 1));
    if bytes.get(end) == Some(&b'.') && fraction > 0 {
        end += 1 + fraction;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(after(end + 1 + sign));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    (text.get(..end).and_then(|number| number.parse().ok()), after(end))
}

/// The nearest whole number, as long as it is one that a picture can have.
fn whole(side: f64) -> Option<u32> {
    let rounded = (side + 0.5).floor();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range of u32")]
    let is_size = (1.0..=f64::from(u32::MAX)).contains(&rounded).then_some(rounded as u32);
    is_size
}
