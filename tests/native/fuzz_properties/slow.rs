//! Decoders that read one character at a time, to compare the fast ones with.

/// Base64 of either alphabet but not both, white space anywhere, padding whole or left out.
pub fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut characters: Vec<u8> = text.iter().copied().filter(|byte| !b"\t\n\x0C\r ".contains(byte)).collect();
    if characters.len().is_multiple_of(4) {
        let padding = characters.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
        characters.truncate(characters.len() - padding);
    }
    let url_safe = characters.iter().any(|byte| b"-_".contains(byte));
    let mut bits = Vec::new();
    for character in &characters {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' if !url_safe => 62,
            b'/' if !url_safe => 63,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits.extend((0..6).rev().map(|bit| value >> bit & 1));
    }
    let byte = |bits: &[u8]| bits.iter().fold(0, |byte, bit| byte << 1 | bit);
    (characters.len() % 4 != 1).then(|| bits.chunks_exact(8).map(byte).collect())
}

/// Two hexadecimal digits a byte.
pub fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    pairs.iter().map(|pair| hex_byte(*pair)).collect()
}

/// `%` and two digits are a byte; all else is itself.
pub fn percent(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = behind.first_chunk().filter(|_| *first == b'%').and_then(|pair| hex_byte(*pair));
        bytes.push(escaped.unwrap_or(*first));
        rest = behind.get(if escaped.is_some() { 2 } else { 0 }..).unwrap_or_default();
    }
    bytes
}

fn hex_byte(pair: [u8; 2]) -> Option<u8> {
    let [high, low] = pair.map(|digit| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    Some(high? * 16 + low?)
}
