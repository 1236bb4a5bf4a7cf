//! What a migration asks of the stores.

use serde::Serialize;

use crate::migrate::{EMBEDDED, Operations, Run};
use crate::prices;

/// What a migration asked of the stores, as they bill it, or a dry run's would.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Operations"))]
#[serde(rename_all = "camelCase")]
pub struct OperationsBody {
    #[serde(rename = "r2ClassA")]
    r2_class_a: u64,
    #[serde(rename = "r2ClassB")]
    r2_class_b: u64,
    d1_rows_read: u64,
    d1_rows_written: u64,
}

impl OperationsBody {
    /// Of a migration that has moved so many images, or would.
    pub fn new(run: &Run, images: u64) -> Self {
        if run.is_dry_run() { Self::of_moves(&run.source, images) } else { Self::of_run(run.progress.operations) }
    }

    /// What a run asked for so far.
    const fn of_run(operations: Operations) -> Self {
        let Operations { r2_class_a, r2_class_b, d1_rows_read, d1_rows_written, .. } = operations;
        Self { r2_class_a, r2_class_b, d1_rows_read, d1_rows_written }
    }

    /// What moving so many images would take: the most that one takes, which `tests/workerd/migrate-costs.test.ts` measures.
    fn of_moves(source: &str, images: u64) -> Self {
        let (read, written) =
            if source == EMBEDDED { Operations::D1_ROWS_PER_MOVE } else { Operations::D1_ROWS_PER_MOVED_ROW };
        Self {
            r2_class_a: images * Operations::R2_CLASS_A_PER_MOVE,
            r2_class_b: 0,
            d1_rows_read: images * read,
            d1_rows_written: images * written,
        }
    }

    /// In dollars at list prices, without what is free each month.
    pub fn cost_usd(&self) -> f64 {
        prices::R2_CLASS_A.of(self.r2_class_a)
            + prices::R2_CLASS_B.of(self.r2_class_b)
            + prices::D1_ROWS_READ.of(self.d1_rows_read)
            + prices::D1_ROWS_WRITTEN.of(self.d1_rows_written)
    }
}
