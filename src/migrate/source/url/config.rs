//! A source of links, as `MIGRATION_SOURCES` has it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use crate::migrate::source::table::{InvalidSource, TableSource, fields};

const FIELDS: [&str; 15] = [
    "kind",
    "name",
    "binding",
    "table",
    "id",
    "url",
    "match",
    "key",
    "status",
    "migratedAt",
    "metadata",
    "context",
    "visibility",
    "filter",
    HOSTS,
];

const HOSTS: &str = "hosts";
/// The entry of [`HOSTS`] for those that have none.
const OTHERS: &str = "*";
/// D1 takes no longer pattern.
const MAX_PATTERN_BYTES: usize = 50;
const MAX_HOSTS: usize = 32;
const MAX_CONCURRENCY: u64 = 16;
const MAX_PER_SECOND: f64 = 100.0;
const MIN_PER_SECOND: f64 = 0.01;

/// A table whose rows hold a link to an image each.
#[derive(Debug, Clone)]
pub struct UrlSource {
    /// Its data column is its url column.
    pub table: TableSource,
    pub hosts: HostLimits,
    /// Whether its visibility is written down.
    pub states_visibility: bool,
}

/// How much is asked of each host.
#[derive(Debug, Clone, Default)]
pub struct HostLimits {
    named: BTreeMap<String, HostLimit>,
    others: HostLimit,
}

/// How much is asked of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimit {
    /// Requests at once.
    pub concurrency: usize,
    /// Milliseconds from the start of one request to that of the next.
    pub gap_ms: u64,
}

impl Default for HostLimit {
    /// Four at once, two a second.
    fn default() -> Self {
        Self { concurrency: 4, gap_ms: 500 }
    }
}

impl HostLimits {
    /// What is asked of `host`, which has its port where that is not the scheme's own.
    #[must_use]
    pub fn of(&self, host: &str) -> HostLimit {
        self.named.get(host).copied().unwrap_or(self.others)
    }

    /// The gaps of the hosts that have their own, and that of the others.
    #[must_use]
    pub fn gaps_ms(&self) -> (BTreeMap<&str, u64>, u64) {
        (self.named.iter().map(|(host, limit)| (host.as_str(), limit.gap_ms)).collect(), self.others.gap_ms)
    }
}

impl UrlSource {
    /// Reads an entry of `MIGRATION_SOURCES`.
    ///
    /// # Errors
    /// [`InvalidSource`]: the rule that it breaks.
    pub fn parse(entry: &Map<String, Json>) -> Result<Self, InvalidSource> {
        fields::require_known(entry, &FIELDS)?;
        let table = TableSource {
            context: fields::context(entry)?,
            matching: pattern(entry)?,
            ..TableSource::of_fields(entry)?
        };
        let states_visibility = fields::text(entry, "visibility")?.is_some();
        Ok(Self { table: table.checked()?, hosts: hosts(entry)?, states_visibility })
    }
}

fn pattern(entry: &Map<String, Json>) -> Result<Option<String>, String> {
    match fields::text(entry, "match")? {
        Some(text) if !(1..=MAX_PATTERN_BYTES).contains(&text.len()) || text.contains('\0') => {
            Err(format!("match must be a pattern of LIKE, 1 to {MAX_PATTERN_BYTES} bytes without NUL"))
        }
        pattern => Ok(pattern.map(str::to_owned)),
    }
}

fn hosts(entry: &Map<String, Json>) -> Result<HostLimits, InvalidSource> {
    let given = match entry.get(HOSTS) {
        None | Some(Json::Null) => return Ok(HostLimits::default()),
        Some(Json::Object(given)) if given.len() <= MAX_HOSTS => given,
        Some(_) => return Err(format!("hosts must be an object of at most {MAX_HOSTS} hosts").into()),
    };
    let others = given.get(OTHERS).map(|limits| limit(OTHERS, limits, HostLimit::default())).transpose()?;
    let others = others.unwrap_or_default();
    let named = given.iter().filter(|(host, _)| *host != OTHERS);
    let named = named.map(|(host, limits)| Ok((host.to_ascii_lowercase(), limit(host, limits, others)?)));
    Ok(HostLimits { named: named.collect::<Result<_, InvalidSource>>()?, others })
}

fn limit(host: &str, limits: &Json, default: HostLimit) -> Result<HostLimit, InvalidSource> {
    let refusal = || InvalidSource {
        rule: format!(
            "each host of hosts must have concurrency, 1 to {MAX_CONCURRENCY}, perSecond, {MIN_PER_SECOND} to \
             {MAX_PER_SECOND}, or both, and nothing else"
        ),
        given: Some(host.to_owned()),
    };
    let limits = limits.as_object().ok_or_else(refusal)?;
    let mut limit = default;
    for (name, value) in limits {
        match name.as_str() {
            "concurrency" => {
                let at_once = value.as_u64().filter(|at_once| (1..=MAX_CONCURRENCY).contains(at_once));
                limit.concurrency = at_once.and_then(|at_once| usize::try_from(at_once).ok()).ok_or_else(refusal)?;
            }
            "perSecond" => {
                let rate = value.as_f64().filter(|rate| (MIN_PER_SECOND..=MAX_PER_SECOND).contains(rate));
                limit.gap_ms = gap_ms(rate.ok_or_else(refusal)?);
            }
            _ => return Err(refusal()),
        }
    }
    Ok(limit)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 to 100,000")]
fn gap_ms(per_second: f64) -> u64 {
    (1000.0 / per_second).ceil() as u64
}
