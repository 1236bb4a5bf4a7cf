//! What the bytes of an upload are.

use crate::bytes::BodyError;
use crate::catalog::{CloseReason, Content, Upload};
use crate::image::{Rejection, Sha256Digest};
use crate::library::{ExamineError, Library};
use crate::store::StoredObject;

/// What a client says of the bytes that it has sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimed {
    pub size_bytes: Option<u64>,
    pub sha256: Option<Sha256Digest>,
}

/// Why bytes are not known to be an image.
pub(super) enum InspectError {
    /// They are not what was promised.
    Wrong(CloseReason),
    /// They could not be read to their end.
    Unread(BodyError),
    /// The platform did not compute their digest.
    NoDigest,
}

impl From<CloseReason> for InspectError {
    fn from(reason: CloseReason) -> Self {
        Self::Wrong(reason)
    }
}

impl From<ExamineError> for InspectError {
    fn from(error: ExamineError) -> Self {
        Self::Wrong(match error {
            ExamineError::Rejected(Rejection::NotAnImage) | ExamineError::OtherFormat => CloseReason::TypeDiffers,
            ExamineError::Rejected(Rejection::Truncated) => CloseReason::Truncated,
            ExamineError::Rejected(Rejection::Malformed) => CloseReason::Malformed,
            ExamineError::Unread(error) => return Self::Unread(error),
            ExamineError::NoDigest => return Self::NoDigest,
        })
    }
}

/// Reads `object` once and compares it with what was promised.
pub(super) async fn inspect(
    library: &Library,
    upload: &Upload,
    claimed: Claimed,
    object: StoredObject,
) -> Result<Content, InspectError> {
    let size_bytes = object.size_bytes;
    let promised = [upload.size_bytes, claimed.size_bytes];
    if size_bytes > upload.limit_bytes || promised.into_iter().flatten().any(|promised| promised != size_bytes) {
        return Err(CloseReason::SizeDiffers.into());
    }
    let content = library.examine(object, Some(upload.format)).await?.content;
    if [upload.sha256, claimed.sha256].into_iter().flatten().any(|promised| promised != content.sha256) {
        return Err(CloseReason::ChecksumDiffers.into());
    }
    Ok(content)
}
