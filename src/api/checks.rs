//! What the latest look at the database and the bucket found: anyone may ask, so that not every question is a look.

use std::cell::Cell;

use crate::runtime::Timestamp;

/// How long a look counts, in milliseconds. An isolate makes at most 360 of them an hour for callers without the token, each one D1 read and
/// one R2 class B operation.
const FRESH_MS: u64 = 10_000;

/// What a look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub database_works: bool,
    /// `enabled` and answering, `disabled` by configuration, or `error`.
    pub r2: &'static str,
}

/// The latest look of this isolate.
#[derive(Debug, Default)]
pub struct Checks(Cell<Option<(Timestamp, Found)>>);

impl Checks {
    /// What the latest look found, while it counts.
    pub(super) fn fresh(&self, now: Timestamp) -> Option<Found> {
        let (looked_at, found) = self.0.get()?;
        (now.millis_since(looked_at) < FRESH_MS).then_some(found)
    }

    /// Those who ask while a look is under way make none of their own, once there was one before.
    pub(super) fn begin(&self, now: Timestamp) {
        self.0.set(self.0.get().map(|(_, found)| (now, found)));
    }

    /// Keeps what a look found that began at `now`.
    pub(super) fn keep(&self, now: Timestamp, found: Found) {
        self.0.set(Some((now, found)));
    }
}
