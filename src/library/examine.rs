//! Reading an object that is there once: what its bytes are.

use std::cell::RefCell;
use std::rc::Rc;

use super::Library;
use crate::bytes::{Body, BodyError};
use crate::catalog::Content;
use crate::image::{Format, Geometry, HeaderWalk, Rejection, SNIFF_BYTES, Sha256Digest};
use crate::store::{EMBEDDED_MAX_BYTES, StoredObject};

/// Length of the runs in which an object is read that is not held in memory.
const RUN_BYTES: usize = 256 * 1024;

/// What the bytes of an object are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    pub format: Format,
    pub content: Content,
}

/// Why bytes are not known to be an image.
#[derive(Debug)]
pub enum ExamineError {
    /// They are none, or not a whole one.
    Rejected(Rejection),
    /// They are an image of another format than the one that was expected.
    OtherFormat,
    /// They could not be read to their end.
    Unread(BodyError),
    /// The platform did not compute their digest.
    NoDigest,
}

impl From<BodyError> for ExamineError {
    fn from(error: BodyError) -> Self {
        Self::Unread(error)
    }
}

impl From<Rejection> for ExamineError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl Library {
    /// Reads `object` once. It is held in memory, and must then be a whole image, where there is room for it; of one that streams only the
    /// header is checked.
    ///
    /// # Errors
    /// [`ExamineError`].
    pub async fn examine(&self, object: StoredObject, expected: Option<Format>) -> Result<Examined, ExamineError> {
        let size_bytes = object.size_bytes;
        let share = (size_bytes <= EMBEDDED_MAX_BYTES)
            .then(|| self.budget.take_for_upload(size_bytes, self.runtime.now()))
            .flatten();
        let (format, geometry, sha256) = if share.is_some() {
            let blob = object.body.collect(size_bytes).await?;
            let (format, geometry) = Format::inspect_blob(&blob)?;
            require_format(format, expected)?;
            (format, geometry, self.runtime.sha256(&blob).await)
        } else {
            self.read_passing(size_bytes, object.body, expected).await?
        };
        let content = Content {
            size_bytes,
            sha256,
            dimensions: geometry.map(|geometry| geometry.dimensions),
            orientation: geometry.and_then(|geometry| geometry.orientation),
        };
        Ok(Examined { format, content })
    }

    async fn read_passing(
        &self,
        size_bytes: u64,
        mut body: Body,
        expected: Option<Format>,
    ) -> Result<(Format, Option<Geometry>, Sha256Digest), ExamineError> {
        let format = Format::sniff(&body.peek(SNIFF_BYTES).await?).ok_or(Rejection::NotAnImage)?;
        require_format(format, expected)?;
        let walk = Rc::new(RefCell::new(HeaderWalk::new(format, size_bytes)));
        let mut digest = self.runtime.passing_sha256();
        while let Some(run) = body.next(RUN_BYTES).await? {
            walk.borrow_mut().pass(&run);
            digest.pass(&run).await;
        }
        let sha256 = digest.finish().await.ok_or(ExamineError::NoDigest)?;
        let geometry = walk.borrow().geometry();
        Ok((format, geometry, sha256))
    }
}

fn require_format(format: Format, expected: Option<Format>) -> Result<(), ExamineError> {
    if expected.is_none_or(|expected| expected == format) { Ok(()) } else { Err(ExamineError::OtherFormat) }
}
