//! What the outcomes of a slice come to: changes of the counters, keys that need care.

use std::collections::BTreeMap;

use super::journal::{self, Stage};
use super::run::InFlight;
use super::slice::Outcome;
use crate::sql::Statement;
use crate::store::StorageKind;

/// A change of the image counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    images: i64,
    bytes: i64,
}

/// Keys of the outcomes that may be in the bucket although nothing will name them.
pub(super) fn uncertain(outcomes: &[Outcome]) -> impl Iterator<Item = InFlight> {
    outcomes.iter().filter_map(|outcome| {
        let key = outcome.remove.as_ref().or(outcome.put.as_ref().filter(|_| outcome.uncertain))?;
        Some(InFlight { item: outcome.line.id().clone(), key: key.clone() })
    })
}

/// The journal counters' change, one statement a stage.
pub(super) fn stages(source: &str, outcomes: &[Outcome]) -> Vec<Statement> {
    let mut changes = BTreeMap::<Stage, i64>::new();
    for (left, reached) in outcomes.iter().map(|outcome| outcome.staged) {
        for (stage, change) in left.map(|stage| (stage, -1)).into_iter().chain(reached.map(|stage| (stage, 1))) {
            *changes.entry(stage).or_default() += change;
        }
    }
    let changes = changes.into_iter().filter(|(_, items)| *items != 0);
    changes.map(|(stage, items)| journal::count_stage(source, stage, items)).collect()
}

/// The image counters' change, one statement a home.
pub(super) fn totals(outcomes: &[Outcome]) -> Vec<Statement> {
    let mut statements = Vec::new();
    for fallback in [false, true] {
        let mut sum = Totals::default();
        for counted in
            outcomes.iter().filter_map(|outcome| outcome.counted).filter(|counted| counted.fallback == fallback)
        {
            let sign = if counted.to == StorageKind::R2 { 1 } else { -1 };
            sum.images += sign;
            sum.bytes += sign * i64::try_from(counted.size_bytes).unwrap_or(i64::MAX);
        }
        if sum == Totals::default() {
            continue;
        }
        for (storage, sign) in [(StorageKind::R2, 1), (StorageKind::D1, -1)] {
            statements.push(
                Statement::new(
                    "UPDATE stillstore_counters SET images = images + ?1, bytes = bytes + ?2 \
                     WHERE status = 'stored' AND storage = ?3 AND fallback = ?4",
                )
                .bind(sign * sum.images)
                .bind(sign * sum.bytes)
                .bind(storage.as_str())
                .bind(i64::from(fallback)),
            );
        }
    }
    statements
}
