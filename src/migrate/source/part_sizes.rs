//! Which objects are put in parts, and in which.

use std::rc::Rc;

use crate::store::{MultipartStore, PartNumber};

const MIB: u64 = 1024 * 1024;
const MOST_PARTS: u64 = PartNumber::MAX_OF_STORE.get() as u64;
/// What has the time of one put, 30 seconds, at 3.4 MB/s.
const BYTES_PER_CALL: u64 = 96 * MIB;

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
    /// What of a part has the time of one call.
    pub call_bytes: u64,
}

impl Default for PartSizes {
    fn default() -> Self {
        Self { above_bytes: 100 * 1000 * 1000, part_bytes: 64 * MIB, call_bytes: BYTES_PER_CALL }
    }
}

impl PartSizes {
    /// The longest object: R2 takes 4.995 TiB in parts.
    pub const MOST_BYTES: u64 = 4_995 * (1024 * 1024 * MIB) / 1_000;

    /// The size of the parts of an object, all but the last.
    #[must_use]
    pub fn part_bytes_of(self, size_bytes: u64) -> u64 {
        self.part_bytes.max(size_bytes.div_ceil(MOST_PARTS).next_multiple_of(MIB))
    }

    /// How many times the time of a call a part may take.
    #[must_use]
    pub const fn calls_of(self, part_bytes: u64) -> u64 {
        let calls = part_bytes.div_ceil(self.call_bytes);
        if calls == 0 { 1 } else { calls }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_object_has_as_many_parts_as_an_upload_takes() {
        const LEAST: u64 = 5 * MIB;
        const MOST: u64 = 5 * 1024 * MIB;
        for size_bytes in
            [100_000_001, 67_108_864_000, 671_088_640_000, 671_088_640_001, 5_000_000_000_000, PartSizes::MOST_BYTES]
        {
            let part_bytes = PartSizes::default().part_bytes_of(size_bytes);
            let parts = size_bytes.div_ceil(part_bytes);
            assert!(parts <= MOST_PARTS && (LEAST..=MOST).contains(&part_bytes), "{size_bytes}: {parts}");
        }
        assert_eq!(PartSizes::default().part_bytes_of(PartSizes::MOST_BYTES), 524 * MIB);
    }

    #[test]
    fn a_part_has_the_time_of_its_length() {
        let lengths_bytes = [0, 1, 64 * MIB, 96 * MIB, 96 * MIB + 1, 524 * MIB];
        assert_eq!(lengths_bytes.map(|bytes| PartSizes::default().calls_of(bytes)), [1, 1, 1, 1, 2, 6]);
    }
}
