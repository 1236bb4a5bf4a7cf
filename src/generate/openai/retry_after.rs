//! How long a provider asks to wait.

use std::time::SystemTime;

use crate::http::HttpResponse;
use crate::runtime::Timestamp;

/// Milliseconds to wait, from `retry-after-ms` (OpenAI's own) or `retry-after` (RFC 9110: seconds or a date).
///
/// The `x-ratelimit-reset-*` headers say when a budget is full again, not when the next request fits, and are not used.
pub fn retry_after_ms(response: &HttpResponse, now: Timestamp) -> Option<u64> {
    if let Some(milliseconds) = response.header("retry-after-ms").and_then(non_negative) {
        return Some(milliseconds);
    }
    let text = response.header("retry-after")?.trim();
    if let Some(milliseconds) = seconds(text) {
        return Some(milliseconds);
    }
    let date = httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let date = Timestamp::from_millis(i64::try_from(date.as_millis()).ok()?);
    Some(date.millis_since(now))
}

fn seconds(text: &str) -> Option<u64> {
    let (whole, _fraction) = text.split_once('.').unwrap_or((text, ""));
    let has_fraction = whole.len() != text.len();
    let seconds: u64 = whole.parse().ok()?;
    // A fraction is not in the standard but is sent; a little longer is never wrong.
    Some(seconds.saturating_add(u64::from(has_fraction)).saturating_mul(1000))
}

fn non_negative(text: &str) -> Option<u64> {
    text.trim().split('.').next()?.parse().ok()
}
