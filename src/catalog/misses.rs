//! How often the further databases are asked for nothing.

use std::cell::Cell;
use std::rc::Rc;

use crate::runtime::{Runtime, Timestamp};

/// Searches without a result in a window, in each isolate: more than readers who follow stale links make, and 3 queries a second for each
/// further database.
const MOST_MISSES: u32 = 30;
const WINDOW_MS: u64 = 10_000;

/// Counts searches in the further databases that found nothing, since anyone can make up an id that is looked for there.
pub(super) struct Misses {
    runtime: Rc<dyn Runtime>,
    /// When the window began, and the searches since.
    window: Cell<(Timestamp, u32)>,
}

impl Misses {
    pub fn new(runtime: Rc<dyn Runtime>) -> Self {
        let began_at = runtime.now();
        Self { runtime, window: Cell::new((began_at, 0)) }
    }

    /// Counts a search that is about to begin, if there may be one.
    pub fn take(&self) -> bool {
        let now = self.runtime.now();
        let (began_at, searches) = self.window.get();
        let (began_at, searches) =
            if now.millis_since(began_at) >= WINDOW_MS { (now, 0) } else { (began_at, searches) };
        let may = searches < MOST_MISSES;
        self.window.set((began_at, searches + u32::from(may)));
        may
    }

    /// The search has found something, and does not count.
    pub fn give_back(&self) {
        let (began_at, searches) = self.window.get();
        self.window.set((began_at, searches.saturating_sub(1)));
    }
}
