//! Names that callers choose, and the keys that are made of them.

use stillstore::catalog::PageCursor;
use stillstore::image::{Context, Format, ImageId, ImageKey, KeySecret, ObjectKey, ParsedKey, SafeName};
use stillstore::runtime::Timestamp;

/// A file name made safe is safe, stays as it is when made safe again, and stands in a key that is taken apart again. A text that is
/// a key, an id or a cursor is that key, id or cursor spelled in the only way.
pub fn object_key(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let name = SafeName::from_filename(&text);
    let safe = name.as_str();
    assert!((1..=64).contains(&safe.len()) && !safe.contains("..") && !safe.contains("--"), "{safe}");
    assert!(safe.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')), "{safe}");
    assert_eq!(SafeName::from_filename(&format!("{safe}.png")), name, "made safe twice");

    let context = Context::try_from(text.to_string()).unwrap_or_default();
    let random = std::array::from_fn(|index| input.get(index).copied().unwrap_or_default());
    let id = ImageId::from_random_bytes(random);
    let created_at = Timestamp::from_millis(i64::from_le_bytes(std::array::from_fn(|index| random[index])) >> 12);
    let format = Format::ALL[input.len() % Format::ALL.len()];
    let secret = Some(KeySecret::from_random_bytes(random)).filter(|_| input.len() % 2 == 1);
    for key in [
        ImageKey::Uploaded { context, id, secret, created_at, name, format },
        ImageKey::Generated { id, secret, created_at, format },
    ] {
        let path = key.object_key();
        assert!(path.as_str().len() <= 184);
        assert_eq!(ObjectKey::try_from(path.as_str().to_owned()), Ok(path.clone()));
        assert_eq!(ParsedKey::parse(&path), Some(ParsedKey::from(&key)), "{path}");
    }

    if let Ok(key) = ObjectKey::try_from(text.to_string()) {
        assert!(key.as_str() == text && text.len() <= 1024 && !text.contains('\0'));
        if let Some(parsed) = ParsedKey::parse(&key) {
            assert_eq!(parsed.object_key(), key);
        }
    }
    if let Ok(id) = text.parse::<ImageId>() {
        assert_eq!(id.to_string(), text);
    }
    if let Ok(cursor) = text.parse::<PageCursor>() {
        assert_eq!(cursor.to_string(), text);
    }
}
