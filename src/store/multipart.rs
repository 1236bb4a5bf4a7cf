//! Objects that are put in parts.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Media, ObjectHeaders, ObjectMetadata, StoreError};
use crate::bytes::Body;
use crate::image::ObjectKey;

/// The least bytes of a part that is not the last (R2's limit, 5 MiB).
pub const LEAST_PART_BYTES: u64 = 5 << 20;

/// A store's name for an upload in parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MultipartId(String);

/// The number of a part: 1 to 10,000, as R2 has it; what a client sends has up to 1,000, which is enough for the largest upload in the
/// smallest parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct PartNumber(u16);

/// The number is 0, or over [`PartNumber::MAX`], or the text is no number in its one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidPartNumber;

/// A part that a store holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadedPart {
    pub number: PartNumber,
    /// The store's name for these very bytes, without quotes.
    pub etag: String,
}

/// The object that parts are to make.
#[derive(Debug, Clone)]
pub struct MultipartObject {
    pub key: ObjectKey,
    pub media: Media,
    pub metadata: ObjectMetadata,
    /// As in [`super::ImageStore::put_described`], but for the MD5, which parts have none of.
    pub headers: ObjectHeaders,
}

/// What an [`super::ImageStore`] may be able to do besides: put one object in parts.
///
/// The contract, held by `conformance::MULTIPART_CASES` on every implementation:
/// - Parts come in any order. A part that is put again takes the place of the one before.
/// - All parts but the last have the same size, which is at least [`LEAST_PART_BYTES`]; the last has at most that.
/// - Nothing is visible under the key before `complete` succeeds; then the parts that it names are the object, in order of their numbers.
/// - A part whose body is shorter or longer than its promise is not put. A body has a promise.
/// - An upload that is not there, because it was completed or aborted or never was, is [`super::StoreErrorKind::NoSuchUpload`] to `put_part`
///   and `complete`. To `abort` it is `Ok`.
/// - Parts that do not fit the rules, or that the store does not hold, are [`super::StoreErrorKind::PartsRefused`] to `complete`. The upload
///   is then as it was.
#[async_trait(?Send)]
pub trait MultipartStore: 'static {
    /// Begins an upload.
    async fn create(&self, object: MultipartObject) -> Result<MultipartId, StoreError>;

    /// Puts a part.
    async fn put_part(
        &self,
        key: &ObjectKey,
        upload: &MultipartId,
        number: PartNumber,
        body: Body,
    ) -> Result<UploadedPart, StoreError>;

    /// Makes the object of these parts. An object that had the key is gone.
    async fn complete(&self, key: &ObjectKey, upload: &MultipartId, parts: &[UploadedPart]) -> Result<(), StoreError>;

    /// Gives an upload up with all its parts.
    async fn abort(&self, key: &ObjectKey, upload: &MultipartId) -> Result<(), StoreError>;
}

impl MultipartId {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for MultipartId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl PartNumber {
    /// The highest number in what a client sends.
    pub const MAX: Self = Self(1_000);
    /// The highest number that a store takes.
    pub const MAX_OF_STORE: Self = Self(10_000);

    /// The number of a part that no client sends.
    ///
    /// # Errors
    /// When it is 0, or over [`PartNumber::MAX_OF_STORE`].
    pub fn in_store(number: usize) -> Result<Self, InvalidPartNumber> {
        let number = u16::try_from(number).map_err(|_| InvalidPartNumber)?;
        if (1..=Self::MAX_OF_STORE.0).contains(&number) { Ok(Self(number)) } else { Err(InvalidPartNumber) }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u32> for PartNumber {
    type Error = InvalidPartNumber;

    fn try_from(number: u32) -> Result<Self, InvalidPartNumber> {
        let number = u16::try_from(number).map_err(|_| InvalidPartNumber)?;
        if (1..=Self::MAX.0).contains(&number) { Ok(Self(number)) } else { Err(InvalidPartNumber) }
    }
}

impl From<PartNumber> for u32 {
    fn from(number: PartNumber) -> Self {
        number.0.into()
    }
}

impl FromStr for PartNumber {
    type Err = InvalidPartNumber;

    /// The number without a sign and without leading zeros: a part has one path.
    fn from_str(text: &str) -> Result<Self, InvalidPartNumber> {
        let number: u32 = text.parse().map_err(|_| InvalidPartNumber)?;
        let number = Self::try_from(number)?;
        if number.to_string() == text { Ok(number) } else { Err(InvalidPartNumber) }
    }
}

impl fmt::Display for PartNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl fmt::Display for InvalidPartNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "must be a whole number from 1 to {}", PartNumber::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_number_has_one_spelling() {
        let number = |text: &str| text.parse::<PartNumber>().ok().map(PartNumber::get);
        assert_eq!([number("1"), number("42"), number("1000")], [Some(1), Some(42), Some(1_000)]);
        for text in ["", "0", "01", "+1", "-1", "1001", "1a", " 1"] {
            assert_eq!(number(text), None, "{text:?}");
        }
    }
}
