//! Time and randomness, behind one seam so that tests can hold both still.

use std::rc::Rc;

use async_trait::async_trait;
use futures::future::{Either, select};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::bytes::{Blob, Sha256Digest};

/// A moment, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `milliseconds` after the Unix epoch.
    #[must_use]
    pub const fn from_millis(milliseconds: i64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The moment `milliseconds` later; earlier when negative.
    #[must_use]
    pub const fn plus_millis(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// The moment in UTC as ISO 8601 with milliseconds: `2026-11-21T09:30:00.000Z`.
    #[must_use]
    pub fn to_iso8601(self) -> String {
        let (year, month, day) = self.utc_date();
        let millis_of_day = self.0.rem_euclid(MILLIS_PER_DAY);
        let (hour, minute) = (millis_of_day / 3_600_000, millis_of_day / 60_000 % 60);
        let (second, millis) = (millis_of_day / 1000 % 60, millis_of_day % 1000);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }

    /// The moment that `text` is for, in UTC: `2026-11-21`, `2026-11-21T09:30Z` or `2026-11-21T09:30:15Z`, perhaps with a part of a second.
    #[must_use]
    pub fn from_iso8601(text: &str) -> Option<Self> {
        let (date, time) = text.split_once('T').unwrap_or((text, "00:00Z"));
        let mut date = date.split('-').map(digits);
        let day = Self::of_utc_date(date.next()??, date.next()??, date.next()??)?;
        let time = time.strip_suffix('Z')?;
        let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let millis: String = fraction.chars().chain("000".chars()).take(3).collect();
        digits(fraction)?;
        let mut time = time.split(':').map(digits);
        let (hour, minute, second) = (time.next()??, time.next()??, time.next().unwrap_or(Some(0))?);
        let is_over = date.next().is_some() || time.next().is_some();
        Some(day.at(hour, minute, second)?.plus_millis(digits(&millis)?)).filter(|_| !is_over)
    }

    /// The moment at a time of the day that begins at this one; `None` when a day has no such time.
    #[must_use]
    pub fn at(self, hour: i64, minute: i64, second: i64) -> Option<Self> {
        let is_time = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
        is_time.then(|| self.plus_millis(((hour * 60 + minute) * 60 + second) * 1000))
    }

    /// The moment when a day in UTC begins, given as year, month (1 to 12) and day of the month; `None` when there is no such day.
    #[must_use]
    pub const fn of_utc_date(year: i64, month: i64, day: i64) -> Option<Self> {
        if year < 0 || year > 9999 || month < 1 || month > 12 || day < 1 || day > 31 {
            return None;
        }
        // Hinnant, as below, days_from_civil.
        let year_from_march = if month <= 2 { year - 1 } else { year };
        let era = year_from_march.div_euclid(400);
        let year_of_era = year_from_march.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let moment = Self((era * 146_097 + day_of_era - 719_468) * MILLIS_PER_DAY);
        // The 30th of February is a day of March by this count.
        let (_, same_month, same_day) = moment.utc_date();
        if same_month == month && same_day == day { Some(moment) } else { None }
    }

    /// The day in UTC as year, month (1 to 12) and day of the month (1 to 31).
    #[must_use]
    pub const fn utc_date(self) -> (i64, i64, i64) {
        // Days are counted from 1 March of the year 0, so that a leap day is the last of its year (Hinnant, "chrono-compatible
        // low-level date algorithms", civil_from_days).
        let days = self.0.div_euclid(MILLIS_PER_DAY) + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
        (year, month, day)
    }

    /// Milliseconds from `earlier` to this moment, zero when it is not earlier.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

/// A number in up to nine digits and nothing else.
fn digits(text: &str) -> Option<i64> {
    let is_number = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// What the surroundings provide: a clock, random bytes, timers and fast digests.
#[async_trait(?Send)]
pub trait Runtime: 'static {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// Sixteen bytes from a cryptographically secure source.
    fn random_bytes(&self) -> [u8; 16];

    /// Resolves after `duration_ms`.
    async fn sleep(&self, duration_ms: u64);

    /// The SHA-256 of `blob`, computed where its bytes are.
    async fn sha256(&self, blob: &Blob) -> Sha256Digest;

    /// The SHA-256 of bytes that pass by, computed where they are if there is a way.
    fn passing_sha256(&self) -> Box<dyn PassingSha256> {
        Box::new(LocalSha256::default())
    }
}

/// A digest of bytes that are shown to it run by run.
#[async_trait(?Send)]
pub trait PassingSha256 {
    /// Takes in the next bytes.
    async fn pass(&mut self, run: &Blob);

    /// The digest of all that passed; `None` when the platform failed to compute it.
    async fn finish(self: Box<Self>) -> Option<Sha256Digest>;
}

/// A digest that is computed in this memory, into which the runs are copied.
#[derive(Default)]
pub struct LocalSha256(Sha256);

#[async_trait(?Send)]
impl PassingSha256 for LocalSha256 {
    async fn pass(&mut self, run: &Blob) {
        match run.as_local() {
            Some(bytes) => self.0.update(bytes),
            None => self.0.update(run.to_vec()),
        }
    }

    async fn finish(self: Box<Self>) -> Option<Sha256Digest> {
        Some(Sha256Digest::from_bytes(self.0.finalize().into()))
    }
}

/// The deadline passed before the work was done. The work may still take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlineExceeded {
    /// How long was waited, in milliseconds.
    pub waited_ms: u64,
}

/// The output of `work`, unless `limit_ms` pass first; then the work is dropped where it stands.
///
/// # Errors
/// [`DeadlineExceeded`] when time ran out.
pub async fn within<T>(
    runtime: &Rc<dyn Runtime>,
    limit_ms: u64,
    work: impl Future<Output = T>,
) -> Result<T, DeadlineExceeded> {
    let work = std::pin::pin!(work);
    match select(work, runtime.sleep(limit_ms)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(((), _)) => Err(DeadlineExceeded { waited_ms: limit_ms }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_where_its_date_says() {
        for days in -719_000..800_000 {
            let moment = Timestamp::from_millis(days * MILLIS_PER_DAY);
            let (year, month, day) = moment.utc_date();
            if (0..=9999).contains(&year) {
                assert_eq!(Timestamp::of_utc_date(year, month, day), Some(moment));
            }
        }
        for (year, month, day) in [(2023, 2, 29), (2024, 2, 30), (2024, 4, 31), (2024, 0, 1), (2024, 13, 1), (-1, 1, 1)]
        {
            assert_eq!(Timestamp::of_utc_date(year, month, day), None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn moments_have_their_iso_8601_text() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_200_000, "2024-03-01T00:00:00.000Z"),
            (1_795_253_400_123, "2026-11-21T09:30:00.123Z"),
            (4_102_444_799_000, "2099-12-31T23:59:59.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(milliseconds).to_iso8601(), text);
            assert_eq!(Timestamp::from_iso8601(text), Some(Timestamp::from_millis(milliseconds)));
        }
    }

    #[test]
    fn a_text_is_a_moment_in_these_forms_only() {
        let parse = |text: &str| Timestamp::from_iso8601(text).map(Timestamp::to_iso8601);
        for (text, moment) in [
            ("2026-11-21", "2026-11-21T00:00:00.000Z"),
            ("2026-11-21T09:30Z", "2026-11-21T09:30:00.000Z"),
            ("2026-11-21T09:30:15Z", "2026-11-21T09:30:15.000Z"),
            ("2026-11-21T09:30:15.5Z", "2026-11-21T09:30:15.500Z"),
            ("2026-11-21T09:30:15.1234567Z", "2026-11-21T09:30:15.123Z"),
        ] {
            assert_eq!(parse(text).as_deref(), Some(moment));
        }
        for text in [
            "",
            "today",
            "2026-11",
            "2026-11-31",
            "2026-11-21-1",
            "2026-11-21T09:30",
            "2026-11-21T24:00Z",
            "2026-11-21T09:30:15:1Z",
            "2026-11-21T09:30+01:00",
            "+026-11-21",
            "2026-11-21T",
            "2026-11-21T9:30.Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
