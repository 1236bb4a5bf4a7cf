//! Dates as HTTP writes them.

use std::time::{Duration, UNIX_EPOCH};

use crate::runtime::Timestamp;

/// 9999-12-31T23:59:59Z in seconds since 1970: the form has four digits for a year.
const LAST_SECOND: u64 = 253_402_300_799;

/// The moment in the preferred form (IMF-fixdate), its part of a second dropped: `Sun, 06 Nov 1994 08:49:37 GMT`.
///
/// A moment outside the years 1970 to 9999 counts as the nearest one within.
#[must_use]
pub fn format_http_date(moment: Timestamp) -> String {
    let seconds = u64::try_from(moment.as_millis() / 1000).unwrap_or(0).min(LAST_SECOND);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// The moment in any of the three forms that RFC 9110, section 5.6.7 has recipients accept; `None` when the text is none of them, or
/// a date before 1970, when nothing that HTTP serves was modified.
#[must_use]
pub fn parse_http_date(text: &str) -> Option<Timestamp> {
    let moment = httpdate::parse_http_date(text).ok()?;
    let seconds = moment.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let milliseconds = i64::try_from(seconds).ok()?.checked_mul(1000)?;
    Some(Timestamp::from_millis(milliseconds))
}
