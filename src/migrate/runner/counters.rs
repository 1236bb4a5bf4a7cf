//! What the outcomes of a slice come to: changes of the counters, keys that need care.

use crate::migrate::runs::{InFlight, Stage, journal};
use crate::migrate::task::Outcome;
use crate::runtime::Timestamp;
use crate::sql::Statement;
use crate::store::StorageKind;

// Reads no row, as an UPDATE would; the row is always there.
const COUNT: &str = "INSERT INTO stillstore_counters (status, storage, fallback, images, bytes, puts, month, month_puts) \
    VALUES ('stored', ?3, ?4, ?1, ?2, ?5, ?6, ?5) ON CONFLICT (status, storage, fallback) \
    DO UPDATE SET images = images + excluded.images, bytes = bytes + excluded.bytes, puts = puts + excluded.puts, \
    month_puts = iif(excluded.month > month, 0, month_puts) + excluded.month_puts, month = max(month, excluded.month)";

/// A change of the image counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    images: i64,
    bytes: i64,
    puts: i64,
}

/// Keys of the outcomes that may be in the bucket although nothing will name them.
pub fn uncertain(outcomes: &[Outcome]) -> impl Iterator<Item = InFlight> {
    outcomes.iter().flat_map(|outcome| {
        let keys = outcome.remove.iter().chain(outcome.put.iter().filter(|_| outcome.uncertain));
        keys.map(|key| InFlight { item: outcome.line.id().clone(), key: key.clone() })
    })
}

/// The journal counters' change, one statement a stage.
pub fn stages(source: &str, outcomes: &[Outcome]) -> Vec<Statement> {
    let change = |stage: Stage| {
        let count = |stages: &mut dyn Iterator<Item = Option<Stage>>| {
            i64::try_from(stages.filter(|each| *each == Some(stage)).count()).unwrap_or(i64::MAX)
        };
        let reached = count(&mut outcomes.iter().map(|outcome| outcome.staged.1));
        let left = count(&mut outcomes.iter().map(|outcome| outcome.staged.0));
        (stage, reached - left)
    };
    let changes = [Stage::Moved, Stage::Cleaned, Stage::Restored].map(change);
    let changes = changes.into_iter().filter(|(_, items)| *items != 0);
    changes.map(|(stage, items)| journal::count_stage(source, stage, items)).collect()
}

/// The image counters' change, one statement a home. What came to R2 was put there.
pub fn totals(outcomes: &[Outcome], now: Timestamp) -> Vec<Statement> {
    let (year, month, _) = now.utc_date();
    let mut statements = Vec::new();
    for fallback in [false, true] {
        let mut sum = Totals::default();
        for counted in
            outcomes.iter().filter_map(|outcome| outcome.counted).filter(|counted| counted.fallback == fallback)
        {
            let sign = if counted.to == StorageKind::R2 { 1 } else { -1 };
            sum.images += sign;
            sum.puts += i64::from(counted.to == StorageKind::R2);
            sum.bytes += sign * i64::try_from(counted.size_bytes).unwrap_or(i64::MAX);
        }
        if sum == Totals::default() {
            continue;
        }
        for (storage, sign) in [(StorageKind::R2, 1), (StorageKind::D1, -1)] {
            let puts = if storage == StorageKind::R2 { sum.puts } else { 0 };
            statements.push(
                Statement::new(COUNT)
                    .bind(sign * sum.images)
                    .bind(sign * sum.bytes)
                    .bind(storage.as_str())
                    .bind(i64::from(fallback))
                    .bind(puts)
                    .bind(year * 100 + month),
            );
        }
    }
    statements
}
