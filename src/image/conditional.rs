//! What a conditional or ranged read of an image is answered with: RFC 9110, sections 13 and 14.

use super::entity_tag::EntityTag;
use super::http_date::parse_http_date;
use super::range::{RequestedRange, requested_range};
use crate::bytes::ByteRange;
use crate::runtime::Timestamp;

/// The methods that read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadMethod {
    Get,
    Head,
}

/// A read with the fields that decide what is sent, as they arrived; several lines of one field joined by `, `.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadRequest<'headers> {
    pub method: ReadMethod,
    pub if_match: Option<&'headers str>,
    pub if_unmodified_since: Option<&'headers str>,
    pub if_none_match: Option<&'headers str>,
    pub if_modified_since: Option<&'headers str>,
    pub if_range: Option<&'headers str>,
    pub range: Option<&'headers str>,
}

/// The image that the request is about.
#[derive(Debug, Clone, Copy)]
pub struct Representation<'image> {
    pub entity_tag: &'image EntityTag,
    /// Compared in whole seconds, as `Last-Modified` tells it.
    pub last_modified: Timestamp,
    pub size_bytes: u64,
}

/// How a read is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServeDecision {
    /// 200 with all bytes.
    Full,
    /// 206 with these bytes.
    Partial(ByteRange),
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 416.
    RangeNotSatisfiable,
}

impl ReadRequest<'_> {
    /// A request without conditions.
    #[must_use]
    pub const fn unconditional(method: ReadMethod) -> Self {
        Self {
            method,
            if_match: None,
            if_unmodified_since: None,
            if_none_match: None,
            if_modified_since: None,
            if_range: None,
            range: None,
        }
    }

    /// Whether it asks for all bytes, whatever they are.
    #[must_use]
    pub fn is_plain_get(&self) -> bool {
        *self == Self::unconditional(ReadMethod::Get)
    }

    /// Evaluates the conditions in the order of section 13.2.2. Dates that cannot be read are ignored; a malformed list of entity
    /// tags counts up to where it breaks.
    #[must_use]
    pub fn decide(&self, image: &Representation) -> ServeDecision {
        let is_unchanged_since = |date: Timestamp| whole_seconds(image.last_modified) <= whole_seconds(date);

        // Steps 1 and 2.
        let is_expected = match (self.if_match, self.if_unmodified_since.and_then(parse_http_date)) {
            (Some(list), _) => image.entity_tag.is_matched_strongly(list),
            (None, Some(date)) => is_unchanged_since(date),
            (None, None) => true,
        };
        if !is_expected {
            return ServeDecision::PreconditionFailed;
        }

        // Steps 3 and 4.
        let is_known = match (self.if_none_match, self.if_modified_since.and_then(parse_http_date)) {
            (Some(list), _) => image.entity_tag.is_matched_weakly(list),
            (None, Some(date)) => is_unchanged_since(date),
            (None, None) => false,
        };
        if is_known {
            return ServeDecision::NotModified;
        }

        // Steps 5 and 6.
        match self.range {
            Some(range) if self.method == ReadMethod::Get && self.allows_range(image) => {
                match requested_range(range, image.size_bytes) {
                    RequestedRange::Whole => ServeDecision::Full,
                    RequestedRange::Part(part) => ServeDecision::Partial(part),
                    RequestedRange::Unsatisfiable => ServeDecision::RangeNotSatisfiable,
                }
            }
            _ => ServeDecision::Full,
        }
    }

    /// `If-Range`: absent, this very entity tag, or exactly the date of the last modification. The date is a strong validator here,
    /// since the bytes of an image never change.
    fn allows_range(&self, image: &Representation) -> bool {
        self.if_range.is_none_or(|validator| {
            image.entity_tag.is_strongly(validator).unwrap_or_else(|| {
                parse_http_date(validator).is_some_and(|date| whole_seconds(date) == whole_seconds(image.last_modified))
            })
        })
    }
}

impl ServeDecision {
    /// The `Content-Range` of the answer: the part sent of so many bytes, or the size of which no part could be sent. `None` for
    /// the other answers.
    #[must_use]
    pub fn content_range(&self, size_bytes: u64) -> Option<String> {
        match self {
            Self::Partial(ByteRange { offset_bytes, length_bytes }) => {
                let last = offset_bytes.saturating_add(length_bytes.saturating_sub(1));
                Some(format!("bytes {offset_bytes}-{last}/{size_bytes}"))
            }
            Self::RangeNotSatisfiable => Some(format!("bytes */{size_bytes}")),
            Self::Full | Self::NotModified | Self::PreconditionFailed => None,
        }
    }
}

const fn whole_seconds(moment: Timestamp) -> i64 {
    moment.as_millis().div_euclid(1000)
}
