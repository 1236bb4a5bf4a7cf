//! An image that an answer is about.

use crate::catalog::ImageRecord;

/// An image of the answer, and whether an earlier request made it.
pub struct Made {
    pub record: ImageRecord,
    pub replayed: bool,
}
