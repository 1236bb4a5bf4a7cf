//! What a token that was signed says.

use serde::Deserialize;

use crate::image::UserId;
use crate::runtime::Timestamp;

/// How far the clocks of whoever signs and of the Worker may be apart, in milliseconds.
const CLOCK_SKEW_MS: i64 = 60_000;

/// The claims that count; others are ignored. A claim that is there twice is refused.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    sub: Option<String>,
    /// Seconds since 1970, perhaps with a fraction.
    exp: Option<f64>,
    nbf: Option<f64>,
    aud: Option<Audience>,
    iss: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl Claims {
    /// The user whom they name at the moment `now`.
    ///
    /// # Errors
    /// The rule that they break.
    pub fn user(self, audience: Option<&str>, issuer: Option<&str>, now: Timestamp) -> Result<UserId, &'static str> {
        let expires_at = moment(self.exp.ok_or("the token has no exp")?);
        if now >= expires_at.plus_millis(CLOCK_SKEW_MS) {
            return Err("the token has expired");
        }
        if self.nbf.is_some_and(|seconds| now < moment(seconds).plus_millis(-CLOCK_SKEW_MS)) {
            return Err("the token is not valid yet");
        }
        if audience.is_some_and(|audience| !self.aud.is_some_and(|named| named.contains(audience))) {
            return Err("the token is for another audience");
        }
        if issuer.is_some_and(|issuer| self.iss.as_deref() != Some(issuer)) {
            return Err("the token is by another issuer");
        }
        let user = self.sub.and_then(|subject| UserId::try_from(subject).ok());
        user.ok_or("the token's sub must be 1 to 200 bytes without control characters")
    }
}

impl Audience {
    fn contains(&self, audience: &str) -> bool {
        match self {
            Self::One(named) => named == audience,
            Self::Several(named) => named.iter().any(|named| named == audience),
        }
    }
}

/// A `NumericDate` (RFC 7519, section 2); one out of range is the first or last moment there is.
#[expect(clippy::cast_possible_truncation, reason = "a cast from a float keeps to the bounds of its type")]
fn moment(seconds: f64) -> Timestamp {
    Timestamp::from_millis((seconds * 1000.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

    fn user(claims: &str) -> Result<String, &'static str> {
        let claims: Claims = serde_json::from_str(claims).map_err(|_| "unreadable")?;
        claims.user(Some("us"), Some("them"), NOW).map(|user| user.as_str().to_owned())
    }

    #[test]
    fn every_claim_that_is_configured_must_hold_within_a_minute() {
        let rest = r#""aud": "us", "iss": "them""#;
        for (claims, expected) in [
            (format!(r#"{{"sub": "u", "exp": 1800000001, {rest}}}"#), Ok("u")),
            (format!(r#"{{"sub": "u", "exp": 1799999940.001, {rest}}}"#), Ok("u")),
            (format!(r#"{{"sub": "u", "exp": 1799999940, {rest}}}"#), Err("the token has expired")),
            (format!(r#"{{"sub": "u", "exp": -1e300, {rest}}}"#), Err("the token has expired")),
            (format!(r#"{{"sub": "u", "exp": 1e300, {rest}}}"#), Ok("u")),
            (format!(r#"{{"sub": "u", {rest}}}"#), Err("the token has no exp")),
            (format!(r#"{{"sub": "u", "exp": "1800000001", {rest}}}"#), Err("unreadable")),
            (format!(r#"{{"sub": "u", "sub": "v", "exp": 1800000001, {rest}}}"#), Err("unreadable")),
            (format!(r#"{{"sub": "u", "exp": 1e300, "nbf": 1800000060, {rest}}}"#), Ok("u")),
            (format!(r#"{{"sub": "u", "exp": 1e300, "nbf": 1800000061, {rest}}}"#), Err("the token is not valid yet")),
            (r#"{"sub": "u", "exp": 1e300, "aud": ["x", "us"], "iss": "them"}"#.to_owned(), Ok("u")),
            (
                r#"{"sub": "u", "exp": 1e300, "aud": ["x"], "iss": "them"}"#.to_owned(),
                Err("the token is for another audience"),
            ),
            (
                r#"{"sub": "u", "exp": 1e300, "aud": "us2", "iss": "them"}"#.to_owned(),
                Err("the token is for another audience"),
            ),
            (r#"{"sub": "u", "exp": 1e300, "iss": "them"}"#.to_owned(), Err("the token is for another audience")),
            (
                r#"{"sub": "u", "exp": 1e300, "aud": "us", "iss": "Them"}"#.to_owned(),
                Err("the token is by another issuer"),
            ),
            (r#"{"sub": "u", "exp": 1e300, "aud": "us"}"#.to_owned(), Err("the token is by another issuer")),
            (
                format!(r#"{{"exp": 1e300, {rest}}}"#),
                Err("the token's sub must be 1 to 200 bytes without control characters"),
            ),
            (
                format!(r#"{{"sub": "", "exp": 1e300, {rest}}}"#),
                Err("the token's sub must be 1 to 200 bytes without control characters"),
            ),
            (format!(r#"{{"sub": 7, "exp": 1e300, {rest}}}"#), Err("unreadable")),
        ] {
            assert_eq!(user(&claims), expected.map(str::to_owned), "{claims}");
        }
    }
}
