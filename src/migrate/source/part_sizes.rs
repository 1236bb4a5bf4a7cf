//! Which objects are put in parts, and in which.

use std::rc::Rc;

use crate::store::{MultipartStore, PartNumber};

const MIB: u64 = 1024 * 1024;
/// A part takes the time of a put: at 3.4 MB/s, 30 seconds.
const MOST_PART_BYTES: u64 = 96 * MIB;
const MOST_PARTS: u64 = PartNumber::MAX.get() as u64;

/// How objects are put that are too long for one put.
#[derive(Clone)]
pub struct InPartsSettings {
    pub store: Rc<dyn MultipartStore>,
    pub sizes: PartSizes,
}

/// Which objects are put in parts, and in which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartSizes {
    /// Longer objects are put in parts.
    pub above_bytes: u64,
    /// Of a part, unless there would be too many.
    pub part_bytes: u64,
}

impl Default for PartSizes {
    fn default() -> Self {
        Self { above_bytes: 100 * 1000 * 1000, part_bytes: 64 * MIB }
    }
}

impl PartSizes {
    /// The longest object: its parts are put within the time of a put each.
    pub const MOST_BYTES: u64 = MOST_PART_BYTES * MOST_PARTS;

    /// The size of the parts of an object, all but the last.
    #[must_use]
    pub fn part_bytes_of(self, size_bytes: u64) -> u64 {
        self.part_bytes.max(size_bytes.div_ceil(MOST_PARTS).next_multiple_of(MIB))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_object_has_as_many_parts_as_an_upload_takes() {
        for size_bytes in [100_000_001, 67_108_864_000, 67_108_864_001, PartSizes::MOST_BYTES] {
            let part_bytes = PartSizes::default().part_bytes_of(size_bytes);
            let parts = size_bytes.div_ceil(part_bytes);
            assert!(parts <= MOST_PARTS && part_bytes <= MOST_PART_BYTES, "{size_bytes}: {parts}");
        }
    }
}
