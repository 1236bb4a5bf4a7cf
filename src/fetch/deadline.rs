//! Until when a link can be fetched, read off the link itself.

use base64_simd::STANDARD;
use serde::Deserialize;

use super::OutsideUrl;
use crate::runtime::Timestamp;

/// Hosts of Discord's attachments.
const DISCORD: [&str; 2] = ["cdn.discordapp.com", "media.discordapp.net"];

/// When the link expires, if it says so:
///
/// | Service | In the query |
/// |---|---|
/// | Discord | `ex`, hexadecimal seconds since 1970 |
/// | S3 and those like it, Google Cloud Storage | `X-Amz-Date` and `X-Amz-Expires`, `X-Goog-Date` and `X-Goog-Expires` |
/// | CloudFront, older links of S3 and Google | `Expires`, seconds since 1970, beside `Signature` |
/// | CloudFront with a policy of its own | `Policy`, beside `Signature` |
/// | Azure | `se`, ISO 8601, beside `sig` |
#[must_use]
pub fn deadline(url: &OutsideUrl) -> Option<Timestamp> {
    discord(url)
        .or_else(|| signed(url, "X-Amz-Date", "X-Amz-Expires"))
        .or_else(|| signed(url, "X-Goog-Date", "X-Goog-Expires"))
        .or_else(|| expires(url))
        .or_else(|| policy(url))
        .or_else(|| azure(url))
}

/// Whether the link is one of Discord's, which can be renewed.
#[must_use]
pub fn is_of_discord(url: &OutsideUrl) -> bool {
    DISCORD.contains(&url.authority().as_str())
}

fn discord(url: &OutsideUrl) -> Option<Timestamp> {
    let seconds = url.parameter("ex").filter(|_| is_of_discord(url))?;
    of_seconds(i64::from_str_radix(&seconds, 16).ok()?)
}

fn signed(url: &OutsideUrl, date: &str, lifetime: &str) -> Option<Timestamp> {
    let lifetime_seconds = url.parameter(lifetime)?.parse::<u32>().ok()?;
    let signed_at = basic_iso_8601(&url.parameter(date)?)?;
    Some(signed_at.plus_millis(i64::from(lifetime_seconds) * 1000))
}

fn expires(url: &OutsideUrl) -> Option<Timestamp> {
    url.parameter("Signature")?;
    of_seconds(url.parameter("Expires")?.parse().ok()?)
}

fn policy(url: &OutsideUrl) -> Option<Timestamp> {
    url.parameter("Signature")?;
    // CloudFront's own alphabet, of characters that a query may hold.
    let base64 = url.parameter("Policy")?.replace('-', "+").replace('_', "=").replace('~', "/");
    let policy: Policy = serde_json::from_slice(&STANDARD.decode_to_vec(base64).ok()?).ok()?;
    let ends = policy.statements.iter().map(|statement| statement.condition.less_than.seconds);
    of_seconds(ends.min()?)
}

/// A policy of `CloudFront`, as far as it says when it ends.
#[derive(Deserialize)]
struct Policy {
    #[serde(rename = "Statement")]
    statements: Vec<PolicyStatement>,
}

#[derive(Deserialize)]
struct PolicyStatement {
    #[serde(rename = "Condition")]
    condition: Condition,
}

#[derive(Deserialize)]
struct Condition {
    #[serde(rename = "DateLessThan")]
    less_than: EpochTime,
}

#[derive(Deserialize)]
struct EpochTime {
    #[serde(rename = "AWS:EpochTime")]
    seconds: i64,
}

fn azure(url: &OutsideUrl) -> Option<Timestamp> {
    url.parameter("sig")?;
    Timestamp::from_iso8601(&url.parameter("se")?)
}

/// `20261121T093015Z`.
fn basic_iso_8601(text: &str) -> Option<Timestamp> {
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    if text.len() != 16 || text.get(8..9) != Some("T") || !text.ends_with('Z') {
        return None;
    }
    let day = Timestamp::of_utc_date(part(0..4)?, part(4..6)?, part(6..8)?)?;
    day.at(part(9..11)?, part(11..13)?, part(13..15)?)
}

fn of_seconds(seconds: i64) -> Option<Timestamp> {
    seconds.checked_mul(1000).filter(|milliseconds| *milliseconds >= 0).map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Option<String> {
        deadline(&OutsideUrl::parse(url).unwrap()).map(Timestamp::to_iso8601)
    }

    #[test]
    fn a_link_says_when_it_expires() {
        let policy = STANDARD
            .encode_to_string(
                r#"{"Statement":[{"Resource":"x","Condition":{"DateLessThan":{"AWS:EpochTime":1700000000}}}]}"#,
            )
            .replace('+', "-")
            .replace('=', "_")
            .replace('/', "~");
        for (url, expected) in [
            (
                "https://cdn.discordapp.com/attachments/1/2/a.png?ex=6553f100&is=65527f80&hm=ab",
                "2023-11-14T22:13:20.000Z",
            ),
            ("https://media.discordapp.net/a.png?width=100&ex=6553f100&is=1&hm=1", "2023-11-14T22:13:20.000Z"),
            (
                "https://b.s3.amazonaws.com/a?X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-Signature=1",
                "2013-05-25T00:00:00.000Z",
            ),
            (
                "https://storage.googleapis.com/b/a?X-Goog-Date=20240229T235959Z&X-Goog-Expires=1",
                "2024-03-01T00:00:00.000Z",
            ),
            (
                "https://b.s3.amazonaws.com/a?AWSAccessKeyId=1&Expires=1700000000&Signature=1",
                "2023-11-14T22:13:20.000Z",
            ),
            ("https://d.cloudfront.net/a?Expires=1700000000&Signature=1&Key-Pair-Id=1", "2023-11-14T22:13:20.000Z"),
            (
                &format!("https://d.cloudfront.net/a?Policy={policy}&Signature=1&Key-Pair-Id=1"),
                "2023-11-14T22:13:20.000Z",
            ),
            (
                "https://a.blob.core.windows.net/c/b?sv=2022&se=2026-11-21T09%3A30%3A15Z&sig=1",
                "2026-11-21T09:30:15.000Z",
            ),
            ("https://a.blob.core.windows.net/c/b?se=2026-11-21T09:30Z&sig=1", "2026-11-21T09:30:00.000Z"),
            ("https://a.blob.core.windows.net/c/b?se=2026-11-21&sig=1", "2026-11-21T00:00:00.000Z"),
            ("https://a.blob.core.windows.net/c/b?se=2026-11-21T09:30:15.1234567Z&sig=1", "2026-11-21T09:30:15.123Z"),
        ] {
            assert_eq!(of(url).as_deref(), Some(expected), "{url}");
        }
    }

    #[test]
    fn what_looks_like_a_deadline_and_is_none() {
        for url in [
            "https://example.com/a.png",
            "https://example.com/a.png?ex=6553f100",
            "https://example.com/a.png?Expires=1700000000",
            "https://example.com/a.png?se=2026-11-21",
            "https://cdn.discordapp.com/a.png?ex=soon",
            "https://cdn.discordapp.com/a.png?ex=-1",
            "https://cdn.discordapp.com/a.png?ex=7fffffffffffffff",
            "https://b.s3.amazonaws.com/a?X-Amz-Date=20130524T000000&X-Amz-Expires=86400",
            "https://b.s3.amazonaws.com/a?X-Amz-Date=20131324T000000Z&X-Amz-Expires=86400",
            "https://b.s3.amazonaws.com/a?X-Amz-Date=20130524T250000Z&X-Amz-Expires=86400",
            "https://b.s3.amazonaws.com/a?X-Amz-Date=20130524T000000Z&X-Amz-Expires=-1",
            "https://d.cloudfront.net/a?Policy=bm8_&Signature=1",
            "https://a.blob.core.windows.net/c/b?se=2026-11-21T09:30:15+01:00&sig=1",
            "https://a.blob.core.windows.net/c/b?se=&sig=1",
        ] {
            assert_eq!(of(url), None, "{url}");
        }
    }
}
