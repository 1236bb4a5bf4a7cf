//! What users may have at most.

use crate::runtime::Timestamp;

pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What each user may have at most; `None` for as much as they like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UserLimits {
    /// Bytes of stored images together.
    pub bytes: Option<u64>,
    /// Images added in a day (UTC), whatever became of them later.
    pub images_a_day: Option<u64>,
    /// Those of them that a provider made.
    pub generations_a_day: Option<u64>,
}

/// A limit that a user has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReached {
    pub limit: Limit,
    /// Milliseconds until waiting helps; `None` where it does not.
    pub clears_in_ms: Option<u64>,
}

/// What may be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Bytes,
    ImagesADay,
    GenerationsADay,
}

impl UserLimits {
    /// Whether there is any limit.
    #[must_use]
    pub const fn is_any(&self) -> bool {
        self.bytes.is_some() || self.images_a_day.is_some() || self.generations_a_day.is_some()
    }
}

impl Limit {
    /// The limit, as it was reached at `now`.
    pub(super) const fn reached_at(self, now: Timestamp) -> LimitReached {
        let clears_in_ms = match self {
            Self::Bytes => None,
            Self::ImagesADay | Self::GenerationsADay => {
                Some((DAY_MS - now.as_millis().rem_euclid(DAY_MS)).unsigned_abs())
            }
        };
        LimitReached { limit: self, clears_in_ms }
    }
}
