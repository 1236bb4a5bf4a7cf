//! Users as the first segment of assets' keys.

use super::{Context, InvalidUserId, UserId};

/// The first segment of assets' keys where no user owns them. A user of this name has another.
const OPERATOR_SEGMENT: &str = "operator";

/// The first segment of an asset's key.
pub(super) fn segment_of_owner(owner: Option<&UserId>) -> String {
    owner.map_or_else(|| OPERATOR_SEGMENT.to_owned(), segment_of_user)
}

/// Whose segment this is.
pub(super) fn owner_of_segment(segment: &str) -> Result<Option<UserId>, InvalidUserId> {
    if segment == OPERATOR_SEGMENT {
        return Ok(None);
    }
    user_of_segment(segment).map(Some).ok_or(InvalidUserId)
}

/// A user's id as the first segment of a key: letters, digits, `-`, `_`, and dots that are not its first, stand for themselves, other bytes
/// are `=` and two hexadecimal digits. The first byte of a name that keys of another kind begin with is written so too.
fn segment_of_user(user: &UserId) -> String {
    let text = user.as_str();
    let is_reserved = text == OPERATOR_SEGMENT || Context::is_reserved(text);
    let mut segment = String::with_capacity(text.len());
    for (place, byte) in text.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' || (byte == b'.' && place > 0);
        if is_plain && !(is_reserved && place == 0) {
            segment.push(char::from(byte));
        } else {
            segment.push('=');
            segment.push_str(&hex::encode([byte]));
        }
    }
    segment
}

/// The user whose segment this is.
fn user_of_segment(segment: &str) -> Option<UserId> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'=' {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.extend(hex::decode(digits).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    let user = UserId::try_from(String::from_utf8(bytes).ok()?).ok()?;
    (segment_of_user(&user) == segment).then_some(user)
}
