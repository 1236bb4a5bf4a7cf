//! Leases: one worker at a time for a row of work, until a moment. For every table with the columns `lease_token`, NULL while nobody
//! has the row, and `lease_expires_at_ms`.

use crate::runtime::{Runtime, Timestamp};

/// A worker's right to a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    token: String,
    expires_at: Timestamp,
    duration_ms: i64,
}

/// What a row says of its worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub token: Option<String>,
    pub expires_at: Timestamp,
}

/// The condition that nobody has the row at the moment that a parameter holds.
macro_rules! lease_is_free {
    ($now:literal) => {
        concat!("(lease_token IS NULL OR lease_expires_at_ms <= ", $now, ")")
    };
}

/// The condition that the worker whose token a parameter holds has the row. One whose time is over has it still, until another takes it.
macro_rules! lease_is_held {
    ($token:literal) => {
        concat!("lease_token = ", $token)
    };
}

/// Gives the row back, in the `SET` of an update.
macro_rules! lease_given_back {
    () => {
        "lease_token = NULL, lease_expires_at_ms = 0"
    };
}

pub(crate) use {lease_given_back, lease_is_free, lease_is_held};

impl Lease {
    /// A lease to be claimed, that lasts `duration_ms` from now and from each renewal.
    #[must_use]
    pub fn begin(runtime: &dyn Runtime, duration_ms: i64) -> Self {
        let expires_at = runtime.now().plus_millis(duration_ms);
        Self { token: hex::encode(runtime.random_bytes()), expires_at, duration_ms }
    }

    /// Tells this worker from every other.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether another worker may have taken the row.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }

    /// When a renewal at `now` ends.
    #[must_use]
    pub fn renewed_at(&self, now: Timestamp) -> Timestamp {
        now.plus_millis(self.duration_ms)
    }

    /// The row says since `now` that the lease is renewed.
    pub fn renew(&mut self, now: Timestamp) {
        self.expires_at = self.renewed_at(now);
    }
}

impl Holder {
    /// Nobody.
    #[must_use]
    pub const fn nobody() -> Self {
        Self { token: None, expires_at: Timestamp::from_millis(0) }
    }

    /// Whether the row is free for the next worker.
    #[must_use]
    pub fn is_gone(&self, now: Timestamp) -> bool {
        self.token.is_none() || self.expires_at <= now
    }

    /// Whether it is the worker with this lease.
    #[must_use]
    pub fn has(&self, lease: &Lease) -> bool {
        self.token.as_deref() == Some(lease.token())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_free_from_the_moment_on_at_which_its_lease_is_over() {
        let at = Timestamp::from_millis;
        let lease = Lease { token: "t".to_owned(), expires_at: at(100), duration_ms: 30 };
        let holder = Holder { token: Some("t".to_owned()), expires_at: at(100) };
        for (now, is_over) in [(99, false), (100, true), (101, true)] {
            assert_eq!((lease.is_over(at(now)), holder.is_gone(at(now))), (is_over, is_over), "{now}");
        }
        assert!(holder.has(&lease) && !Holder::nobody().has(&lease) && Holder::nobody().is_gone(at(-1)));
        let mut renewed = lease;
        renewed.renew(at(90));
        assert_eq!(renewed.expires_at(), at(120));
    }
}
