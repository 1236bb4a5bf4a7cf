//! How many bytes of uploads one isolate holds at once.

use std::cell::RefCell;

use crate::runtime::Timestamp;

/// An isolate has 128 MB for every request that it serves; half of it may be whole uploads in memory, the rest is for the
/// runtime, wasm (16 MB) and streams.
const CAPACITY_BYTES: u64 = 64 * 1024 * 1024;
/// A request that vanished (its client left, its isolate's turn was cancelled) never returns its share; after ten minutes it is
/// taken back.
const SHARE_LIFETIME_MS: u64 = 10 * 60 * 1000;

/// Shares of an isolate's memory.
#[derive(Debug, Default)]
pub struct MemoryBudget(RefCell<Shares>);

#[derive(Debug, Default)]
struct Shares {
    next: u64,
    held: Vec<(u64, Timestamp, u64)>,
}

/// A share, given back when dropped.
#[derive(Debug)]
pub struct Share<'budget> {
    budget: &'budget MemoryBudget,
    number: u64,
}

impl MemoryBudget {
    /// A share of `size_bytes`, unless that is more than what is free.
    pub fn take(&self, size_bytes: u64, now: Timestamp) -> Option<Share<'_>> {
        let mut shares = self.0.borrow_mut();
        shares.held.retain(|(_, since, _)| now.millis_since(*since) < SHARE_LIFETIME_MS);
        let held_bytes: u64 = shares.held.iter().map(|(_, _, bytes)| bytes).sum();
        if held_bytes.saturating_add(size_bytes) > CAPACITY_BYTES {
            return None;
        }
        let number = shares.next;
        shares.next += 1;
        shares.held.push((number, now, size_bytes));
        Some(Share { budget: self, number })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.0.borrow_mut().held.retain(|(number, _, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(0);
    const HALF: u64 = CAPACITY_BYTES / 2;

    #[test]
    fn shares_run_out_and_come_back() {
        let budget = MemoryBudget::default();
        let first = budget.take(HALF, NOW);
        let second = budget.take(HALF, NOW);
        assert!(first.is_some() && second.is_some());
        assert!(budget.take(1, NOW).is_none());
        drop(first);
        assert!(budget.take(HALF, NOW).is_some());
        assert!(budget.take(u64::MAX, NOW).is_none());
    }

    #[test]
    fn a_share_that_is_never_returned_is_taken_back() {
        let budget = MemoryBudget::default();
        std::mem::forget(budget.take(CAPACITY_BYTES, NOW));
        let almost = NOW.plus_millis(10 * 60 * 1000 - 1);
        assert!(budget.take(1, almost).is_none());
        assert!(budget.take(1, almost.plus_millis(1)).is_some());
    }
}
