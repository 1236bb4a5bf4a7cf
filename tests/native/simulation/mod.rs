//! Whole lives of deployments in which migrations meet crashes, failures, users and each other.

mod ending;
mod gate;
mod ops;
mod regressions;
mod shop;
mod stage;
mod table_regressions;

use proptest::prelude::*;

use ops::{Case, case, case_with_table};
use stage::Stage;

/// Lives, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 200;

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES)
}

fn live(case: &Case) {
    let stage = Stage::of(case);
    stage.check();
    for step in &case.steps {
        stage.step(step);
    }
    stage.finish();
    stage.round_trip();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, max_shrink_iters: 4_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_left_behind(case in case()) {
        live(&case);
    }

    #[test]
    fn an_applications_table_keeps_its_pictures(case in case_with_table()) {
        live(&case);
    }
}
