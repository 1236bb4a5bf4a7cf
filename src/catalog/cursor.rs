//! A place in a listing.

use std::fmt;
use std::str::FromStr;

use base64_simd::URL_SAFE_NO_PAD;

use crate::image::ImageId;
use crate::runtime::Timestamp;

/// The place after an image in a listing. Its text form is opaque to callers and safe in a URL as it is.
///
/// It names the last image seen rather than a count, so that images that come and go do not shift it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageCursor {
    pub(super) place: Place,
    pub(super) id: ImageId,
}

/// What a listing orders images by, before their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The time of creation.
    Created(Timestamp),
    /// The number within a collection.
    Ordinal(u32),
}

/// The text is not a cursor that a listing gave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidCursor;

impl PageCursor {
    /// The place after the image with this time of creation and id, newest first.
    #[must_use]
    pub const fn after(created_at: Timestamp, id: ImageId) -> Self {
        Self { place: Place::Created(created_at), id }
    }

    /// The place after the frame with this number and id, in a collection's order.
    #[must_use]
    pub const fn after_frame(ordinal: u32, id: ImageId) -> Self {
        Self { place: Place::Ordinal(ordinal), id }
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::Created(at) => format!("{}/{}", at.as_millis(), self.id),
            Place::Ordinal(ordinal) => format!("#{ordinal}/{}", self.id),
        };
        formatter.write_str(&URL_SAFE_NO_PAD.encode_to_string(place))
    }
}

impl FromStr for PageCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        /// Parameters are exact up to here (JS numbers); no image was created later.
        const MAX_MILLIS: u64 = 1 << 53;

        let place = URL_SAFE_NO_PAD.decode_to_vec(text).map_err(|_| InvalidCursor)?;
        let place = String::from_utf8(place).map_err(|_| InvalidCursor)?;
        let (place, id) = place.split_once('/').ok_or(InvalidCursor)?;
        let id = id.parse().map_err(|_| InvalidCursor)?;
        let cursor = if let Some(ordinal) = place.strip_prefix('#') {
            Self::after_frame(ordinal.parse().map_err(|_| InvalidCursor)?, id)
        } else {
            let millis: i64 = place.parse().map_err(|_| InvalidCursor)?;
            if millis.unsigned_abs() > MAX_MILLIS {
                return Err(InvalidCursor);
            }
            Self::after(Timestamp::from_millis(millis), id)
        };
        // Other spellings of the same number are refused too: one place has one text.
        if cursor.to_string() == text { Ok(cursor) } else { Err(InvalidCursor) }
    }
}

impl fmt::Display for InvalidCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a cursor is the `next` of an earlier page, unchanged")
    }
}
