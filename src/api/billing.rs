//! What a month costs so far, what it will have cost, and what of it is free.

use serde::Serialize;

use crate::catalog::Usage;
use crate::prices::{
    D1_GB_MONTH, D1_INCLUDED_BYTES, PerMillion, R2_CLASS_A, R2_CLASS_A_INCLUDED, R2_CLASS_B, R2_CLASS_B_INCLUDED,
    R2_GB_MONTH, R2_INCLUDED_BYTES,
};
use crate::runtime::Timestamp;

/// How much of what is free each month is used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Share {
    #[cfg_attr(test, schemars(extend("enum" = ["r2-storage", "r2-class-a", "r2-class-b"])))]
    pub resource: &'static str,
    pub used: u64,
    /// Free each month.
    pub included: u64,
    /// Rounded down to a tenth; over 100 when it is not free any more.
    pub percent: f64,
}

/// Dollars of R2 and of D1's storage, by list prices, beyond what is free.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Dollars {
    pub so_far: f64,
    /// For the whole month, if it goes on as it has.
    pub projected: f64,
}

/// The shares of R2's free tier, in the order in which they are documented.
#[must_use]
pub fn shares(usage: &Usage) -> [Share; 3] {
    let share = |resource, used: u64, included: u64| {
        // In tenths, so that 79.99 is no 80.
        let tenths = u128::from(used) * 1000 / u128::from(included);
        Share { resource, used, included, percent: float(u64::try_from(tenths).unwrap_or(u64::MAX)) / 10.0 }
    };
    [
        share("r2-storage", usage.r2.bytes, R2_INCLUDED_BYTES),
        share("r2-class-a", usage.operations.class_a, R2_CLASS_A_INCLUDED),
        share("r2-class-b", usage.operations.class_b, R2_CLASS_B_INCLUDED),
    ]
}

/// Storage as it is now, for as much of the month as is over; operations as they were counted.
#[must_use]
pub fn dollars(usage: &Usage, now: Timestamp) -> Dollars {
    let over = part_of_month(now);
    let month_of_storage = storage(usage.r2.bytes, R2_INCLUDED_BYTES, R2_GB_MONTH)
        + storage(usage.database_bytes.unwrap_or(0), D1_INCLUDED_BYTES, D1_GB_MONTH);
    let operations = |factor: f64| {
        let beyond = |count: u64, included: u64, price: PerMillion| {
            price.0 * (float(count) * factor - float(included)).max(0.0) / 1_000_000.0
        };
        beyond(usage.operations.class_a, R2_CLASS_A_INCLUDED, R2_CLASS_A)
            + beyond(usage.operations.class_b, R2_CLASS_B_INCLUDED, R2_CLASS_B)
    };
    Dollars {
        so_far: cents(month_of_storage * over + operations(1.0)),
        projected: cents(month_of_storage + operations(1.0 / over)),
    }
}

fn storage(bytes: u64, included: u64, dollars_a_gb: f64) -> f64 {
    float(bytes.saturating_sub(included)) / 1e9 * dollars_a_gb
}

/// Above 0, because a moment of the month is over.
fn part_of_month(now: Timestamp) -> f64 {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    let (year, month, day) = now.utc_date();
    let of_day = now.as_millis().rem_euclid(DAY_MS) + 1;
    let passed = u64::try_from((day - 1) * DAY_MS + of_day).unwrap_or(1);
    float(passed) / float(days_of_month(year, month) * DAY_MS.unsigned_abs())
}

const fn days_of_month(year: i64, month: i64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// To a hundredth of a cent.
fn cents(dollars: f64) -> f64 {
    (dollars * 10_000.0).round() / 10_000.0
}

#[expect(clippy::cast_precision_loss, reason = "percents and dollars for people")]
const fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Home;
    use crate::telemetry::R2Operations;

    const GB: u64 = 1_000_000_000;
    /// 2026-11-16T00:00:00Z: half of November is over.
    const MID_NOVEMBER: Timestamp = Timestamp::from_millis(1_794_787_200_000);

    fn usage(r2_bytes: u64, class_a: u64, class_b: u64) -> Usage {
        Usage {
            r2: Home { images: 1, bytes: r2_bytes, ..Home::default() },
            d1: Home::default(),
            kinds: Vec::new(),
            contexts: Vec::new(),
            owners: Vec::new(),
            operations: R2Operations { class_a, class_b },
            days: Vec::new(),
            database_bytes: None,
        }
    }

    #[test]
    fn shares_are_rounded_down_to_a_tenth() {
        let percents = |usage: &Usage| shares(usage).map(|share| share.percent.to_string());
        assert_eq!(percents(&usage(0, 0, 0)), ["0", "0", "0"]);
        assert_eq!(percents(&usage(8 * GB - 1, 800_000, 10_000_000)), ["79.9", "80", "100"]);
        assert_eq!(percents(&usage(25 * GB, 1_500_000, 1)), ["250", "150", "0"]);
    }

    #[test]
    fn what_is_free_costs_nothing_and_the_rest_is_projected() {
        let free = dollars(&usage(10 * GB, 1_000_000, 10_000_000), MID_NOVEMBER);
        assert_eq!((free.so_far.to_string(), free.projected > 0.0), ("0".to_owned(), true));
        // 100 GB beyond the free ones at $0.015, and 1 M class A at $4.50; twice as many by the month's end.
        let costs = dollars(&usage(110 * GB, 2_000_000, 0), MID_NOVEMBER);
        assert_eq!(costs, Dollars { so_far: 0.75 + 4.5, projected: 1.5 + 13.5 });
    }

    #[test]
    fn months_have_their_days() {
        let days = |year| (1..=12).map(|month| days_of_month(year, month)).sum::<u64>();
        assert_eq!((days(2023), days(2024), days(1900), days(2000)), (365, 366, 365, 366));
    }
}
