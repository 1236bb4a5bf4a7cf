//! What the bytes of an upload are.

use std::cell::RefCell;
use std::rc::Rc;

use crate::bytes::{Body, BodyError};
use crate::catalog::{CloseReason, Content, Upload};
use crate::image::{Format, Geometry, HeaderWalk, Rejection, SNIFF_BYTES, Sha256Digest};
use crate::library::Library;
use crate::store::{EMBEDDED_MAX_BYTES, StoredObject};

/// Length of the runs in which an object is read that is not held in memory.
const RUN_BYTES: usize = 256 * 1024;

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

impl From<BodyError> for InspectError {
    fn from(error: BodyError) -> Self {
        Self::Unread(error)
    }
}

impl From<CloseReason> for InspectError {
    fn from(reason: CloseReason) -> Self {
        Self::Wrong(reason)
    }
}

impl From<Rejection> for InspectError {
    fn from(rejection: Rejection) -> Self {
        Self::Wrong(match rejection {
            Rejection::NotAnImage => CloseReason::TypeDiffers,
            Rejection::Truncated => CloseReason::Truncated,
            Rejection::Malformed => CloseReason::Malformed,
        })
    }
}

/// Reads `object` once and compares it with what was promised. It is held in memory, and must then be a whole image, where there is room
/// for it; of one that streams only the header is checked.
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
    let share = (size_bytes <= EMBEDDED_MAX_BYTES)
        .then(|| library.budget.take_for_upload(size_bytes, library.runtime.now()))
        .flatten();
    let (geometry, sha256) = if share.is_some() {
        let blob = object.body.collect(size_bytes).await?;
        let (format, geometry) = Format::inspect_blob(&blob)?;
        require_format(upload, format)?;
        (geometry, library.runtime.sha256(&blob).await)
    } else {
        read_passing(library, upload, size_bytes, object.body).await?
    };
    if [upload.sha256, claimed.sha256].into_iter().flatten().any(|promised| promised != sha256) {
        return Err(CloseReason::ChecksumDiffers.into());
    }
    Ok(Content {
        size_bytes,
        sha256,
        dimensions: geometry.map(|geometry| geometry.dimensions),
        orientation: geometry.and_then(|geometry| geometry.orientation),
    })
}

async fn read_passing(
    library: &Library,
    upload: &Upload,
    size_bytes: u64,
    mut body: Body,
) -> Result<(Option<Geometry>, Sha256Digest), InspectError> {
    let format = Format::sniff(&body.peek(SNIFF_BYTES).await?).ok_or(Rejection::NotAnImage)?;
    require_format(upload, format)?;
    let walk = Rc::new(RefCell::new(HeaderWalk::new(format, size_bytes)));
    let mut digest = library.runtime.passing_sha256();
    while let Some(run) = body.next(RUN_BYTES).await? {
        walk.borrow_mut().pass(&run);
        digest.pass(&run).await;
    }
    let sha256 = digest.finish().await.ok_or(InspectError::NoDigest)?;
    let geometry = walk.borrow().geometry();
    Ok((geometry, sha256))
}

fn require_format(upload: &Upload, format: Format) -> Result<(), CloseReason> {
    if format == upload.format { Ok(()) } else { Err(CloseReason::TypeDiffers) }
}
