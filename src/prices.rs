//! What Cloudflare's stores cost: list prices on 2026-11-21, in dollars, without the amounts that are free each month.

/// The price of something that is billed by the million.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PerMillion(pub f64);

/// R2 class A operations: writes and listings.
pub const R2_CLASS_A: PerMillion = PerMillion(4.50);
/// R2 class B operations: reads.
pub const R2_CLASS_B: PerMillion = PerMillion(0.36);
/// Rows that D1 reads.
pub const D1_ROWS_READ: PerMillion = PerMillion(0.001);
/// Rows that D1 writes, index entries counted.
pub const D1_ROWS_WRITTEN: PerMillion = PerMillion(1.00);

/// What R2 keeps, per GB and month.
pub const R2_GB_MONTH: f64 = 0.015;
/// What a D1 database takes, per GB and month.
pub const D1_GB_MONTH: f64 = 0.75;

/// What R2 keeps for nothing.
pub const R2_INCLUDED_BYTES: u64 = 10_000_000_000;
/// Class A operations a month for nothing.
pub const R2_CLASS_A_INCLUDED: u64 = 1_000_000;
/// Class B operations a month for nothing.
pub const R2_CLASS_B_INCLUDED: u64 = 10_000_000;
/// What D1 databases take for nothing on the paid plan, all of an account together.
pub const D1_INCLUDED_BYTES: u64 = 5_000_000_000;

impl PerMillion {
    /// The price of `count` of them.
    #[must_use]
    pub fn of(self, count: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "dollars for people")]
        let millions = count as f64 / 1_000_000.0;
        self.0 * millions
    }
}
