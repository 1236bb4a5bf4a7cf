//! Values as lines of NDJSON, and how long a text is once it stands in one.

use serde::Serialize;

/// `value` as a line, its line feed at the end. For types whose every value has a JSON form: no maps but those keyed by strings, no
/// `Serialize` that may refuse.
pub fn json_line(value: &impl Serialize) -> String {
    // Unwrap safety: serialising to a string fails only for such values.
    #[expect(clippy::expect_used, reason = "a line left out of a record would go unseen")]
    let mut line = serde_json::to_string(value).expect("the value has a JSON form");
    line.push('\n');
    line
}

/// The longest start of `text`, in whole characters, that takes at most `max_json_bytes` between the quotes of a JSON string.
pub fn prefix_within(text: &str, max_json_bytes: usize) -> &str {
    let mut json_bytes = 0;
    let end = text
        .char_indices()
        .find(|(_, character)| {
            json_bytes += json_bytes_of(*character);
            json_bytes > max_json_bytes
        })
        .map_or(text.len(), |(index, _)| index);
    text.get(..end).unwrap_or(text)
}

/// As `serde_json` writes it: short escapes where JSON has them, `\u00xx` for other control characters, all else as it is.
const fn json_bytes_of(character: char) -> usize {
    match character {
        '"' | '\\' | '\u{8}' | '\t' | '\n' | '\u{c}' | '\r' => 2,
        '\0'..='\u{1f}' => 6,
        other => other.len_utf8(),
    }
}
