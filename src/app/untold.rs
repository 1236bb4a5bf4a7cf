//! Operations of R2 that no image's row tells of: kept in memory, and added to the day's in bundles.

use super::App;

/// Operations in a bundle. An isolate that ends forgets fewer than as many.
pub const BUNDLE: u64 = 100;

impl App {
    /// Whether enough operations have come together to be added.
    #[must_use]
    pub fn has_a_bundle(&self) -> bool {
        let untold = self.services.counters.untold();
        untold.class_a.saturating_add(untold.class_b) >= BUNDLE
    }

    /// Adds those that have come together. If the database fails they are forgotten: added twice, they would be wrong too.
    pub async fn tell_operations(&self) {
        let untold = self.services.counters.take_untold();
        if untold.class_a > 0 || untold.class_b > 0 {
            drop(self.services.catalog.count_operations(untold, self.services.runtime.now()).await);
        }
    }
}
