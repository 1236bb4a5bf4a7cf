//! What a run's worker decides, apart from what it does: plain data in, a decision out.

use crate::migrate::runs::Requested;
use crate::sql::DatabaseErrorKind;

/// How often a commit is tried before the run is left to its next worker.
pub const ATTEMPTS: usize = 3;

/// What a worker does once a slice is written down, or when it has just got the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next slice.
    GoOn,
    /// Stands still until it is resumed.
    Pause,
    /// Ends because it was asked to.
    Cancel,
    /// Ends because nothing is left.
    End,
    /// Leaves the rest to the next worker.
    HandOver,
}

/// How a run stands between two slices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub requested: Option<Requested>,
    /// Nothing is left to do.
    pub exhausted: bool,
    /// The worker has done its part.
    pub spent: bool,
}

/// A request comes before the end, which comes before the budget.
pub const fn next(standing: Standing) -> Next {
    match standing {
        Standing { requested: Some(Requested::Pause), .. } => Next::Pause,
        Standing { requested: Some(Requested::Cancel), .. } => Next::Cancel,
        Standing { exhausted: true, .. } => Next::End,
        Standing { spent: true, .. } => Next::HandOver,
        _ => Next::GoOn,
    }
}

/// What is done about a commit that did not answer with success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// It took effect; only its answer was lost.
    Happened,
    /// The run is somebody else's, or not running.
    LeaseLost,
    /// It did not take effect and may the next time.
    Retry,
    /// An item of it was changed meanwhile: one commit for each.
    ItemByItem,
    /// Its one item was changed meanwhile.
    Skip,
    /// The run is left to its next worker.
    GiveUp,
}

/// A commit that failed, and what the run's row says behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedCommit {
    pub error: DatabaseErrorKind,
    /// `None` when there is no such run any more.
    pub row: Option<Fence>,
    /// Slices that the run had before.
    pub slices_before: u64,
    /// Items whose rows it changes.
    pub items: usize,
    /// The first one is 1.
    pub attempt: usize,
}

/// What a run's row says of its worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    /// The worker has the lease and the run is running.
    pub holds: bool,
    pub slices: u64,
}

/// The row knows best: whose the run is, then whether the slice was counted, then whether another try makes sense.
pub const fn recovery(failed: FailedCommit) -> Recovery {
    let Some(fence) = failed.row else { return Recovery::GiveUp };
    if !fence.holds {
        return Recovery::LeaseLost;
    }
    if fence.slices == failed.slices_before + 1 {
        return Recovery::Happened;
    }
    match (failed.error, failed.items) {
        (DatabaseErrorKind::Unavailable, _) if failed.attempt < ATTEMPTS => Recovery::Retry,
        (DatabaseErrorKind::Constraint, 2..) => Recovery::ItemByItem,
        (DatabaseErrorKind::Constraint, 1) => Recovery::Skip,
        _ => Recovery::GiveUp,
    }
}

/// Whether a row names an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    Yes,
    /// Its item is there and may yet come to name it.
    NotYet,
    /// Its item is gone, or will never name it.
    Never,
}

/// What becomes of a key that was being put, or removed, when nobody knows the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// All is well; the key needs no more care.
    Forget,
    /// It stays written down.
    Keep,
    /// The object is removed.
    Remove,
}

/// While the run goes on it may put the object again, so that what a row may yet name stays.
pub const fn settlement(named: Named, run_goes_on: bool) -> Settlement {
    match (named, run_goes_on) {
        (Named::Yes, _) => Settlement::Forget,
        (Named::NotYet, true) => Settlement::Keep,
        (Named::NotYet, false) | (Named::Never, _) => Settlement::Remove,
    }
}

/// How many items a slice may have when an invocation has so many operations left: as many as surely fit, and at least one.
pub fn affordable(items: u16, operations_left: u64, operations_per_item: u64) -> u16 {
    let fitting = u16::try_from(operations_left / operations_per_item.max(1)).unwrap_or(u16::MAX);
    items.min(fitting).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: [Option<Requested>; 3] = [None, Some(Requested::Pause), Some(Requested::Cancel)];
    const ERRORS: [DatabaseErrorKind; 4] = [
        DatabaseErrorKind::Unavailable,
        DatabaseErrorKind::Constraint,
        DatabaseErrorKind::Schema,
        DatabaseErrorKind::Corrupt,
    ];

    #[test]
    fn a_request_comes_before_the_end_and_the_end_before_the_budget() {
        for requested in REQUESTS {
            for (exhausted, spent) in [(false, false), (false, true), (true, false), (true, true)] {
                let expected = match (requested, exhausted, spent) {
                    (Some(Requested::Pause), _, _) => Next::Pause,
                    (Some(Requested::Cancel), _, _) => Next::Cancel,
                    (None, true, _) => Next::End,
                    (None, false, true) => Next::HandOver,
                    (None, false, false) => Next::GoOn,
                };
                assert_eq!(next(Standing { requested, exhausted, spent }), expected);
            }
        }
    }

    #[test]
    fn a_failed_commit_is_judged_by_the_runs_row() {
        for error in ERRORS {
            for items in [0, 1, 2, 100] {
                for attempt in 1..=ATTEMPTS + 1 {
                    let failed = |row| FailedCommit { error, row, slices_before: 7, items, attempt };
                    assert_eq!(recovery(failed(None)), Recovery::GiveUp);
                    for slices in [7, 8, 9] {
                        let lost = Some(Fence { holds: false, slices });
                        assert_eq!(recovery(failed(lost)), Recovery::LeaseLost, "whatever the row counts");
                    }
                    let happened = Some(Fence { holds: true, slices: 8 });
                    assert_eq!(recovery(failed(happened)), Recovery::Happened, "whatever the error says");
                    let expected = match error {
                        DatabaseErrorKind::Unavailable if attempt < ATTEMPTS => Recovery::Retry,
                        DatabaseErrorKind::Constraint if items > 1 => Recovery::ItemByItem,
                        DatabaseErrorKind::Constraint if items == 1 => Recovery::Skip,
                        _ => Recovery::GiveUp,
                    };
                    for slices in [7, 9] {
                        let untouched = Some(Fence { holds: true, slices });
                        assert_eq!(recovery(failed(untouched)), expected, "{error:?} {items} {attempt}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_no_row_will_name_is_removed_and_what_one_may_name_waits_for_the_end() {
        for (named, run_goes_on, expected) in [
            (Named::Yes, true, Settlement::Forget),
            (Named::Yes, false, Settlement::Forget),
            (Named::NotYet, true, Settlement::Keep),
            (Named::NotYet, false, Settlement::Remove),
            (Named::Never, true, Settlement::Remove),
            (Named::Never, false, Settlement::Remove),
        ] {
            assert_eq!(settlement(named, run_goes_on), expected, "{named:?} {run_goes_on}");
        }
    }

    #[test]
    fn a_slice_takes_no_more_items_than_its_invocation_has_operations_for() {
        for (items, left, expected) in [(100, 1_100, 100), (100, 1_099, 99), (7, 1_000, 7), (100, 11, 1), (100, 0, 1)] {
            assert_eq!(affordable(items, left, 11), expected, "{items} {left}");
        }
    }
}
