//! How much a slice may take.

/// Bytes of images that a slice holds at once: an isolate has 128 MB for all its requests, and a text takes a third more than its
/// bytes beside them, so that 16 MiB are about 40 MB at worst.
pub const SLICE_BYTES: u64 = 16 * 1024 * 1024;

/// Time in milliseconds after which a slice begins nothing new: a pause takes effect within it and one put's deadline.
pub const SLICE_MS: u64 = 10_000;

/// How much a slice may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Items, at least 1.
    pub limit: u16,
    /// Items of up to so many bytes are read together with their rows.
    pub inline_max_bytes: u64,
}

impl Bounds {
    /// Bounds for items of at most `largest_bytes`, as far as the slice before could tell, so that all of a slice is read at once.
    #[must_use]
    pub fn for_items_of(largest_bytes: u64, batch_size: u16) -> Self {
        let fitting = SLICE_BYTES / largest_bytes.max(1);
        let limit = u16::try_from(fitting).unwrap_or(u16::MAX).clamp(1, batch_size.max(1));
        Self { limit, inline_max_bytes: SLICE_BYTES / u64::from(limit) }
    }
}
