//! `GET /api/usage`: what is stored, what it costs, and how near it is to the end of what is free.

use serde::Serialize;

use crate::api::billing::{Dollars, Share, dollars, shares};
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, Schemas, answer};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::{Holding, Home, UsageDay};
use crate::migrate::Freeable;
use crate::runtime::Timestamp;

/// Contexts and owners in an answer.
const LONGEST: u16 = 20;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Usage"))]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// The month that operations and dollars are of, in UTC: `2026-11`.
    month: String,
    storage: Homes,
    kinds: Vec<Holding>,
    /// The largest 20; the name is empty for images without a context.
    contexts: Vec<Holding>,
    /// The largest 20; the name is empty for the operator's images.
    owners: Vec<Holding>,
    operations: Operations,
    free_tier: Vec<Share>,
    /// The entries of `freeTier` that have reached `USAGE_ALERT_PERCENT`.
    alerts: Vec<Share>,
    dollars: Dollars,
    /// What the whole database takes, with an application's own tables; `null` where it does not say.
    database_bytes: Option<u64>,
    /// What cleanups of migrations would free in databases, about; `null` while one of them does not answer.
    cleanup: Option<Freeable>,
    /// The last 90 days that there is something of, the oldest first.
    days: Vec<Day>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Homes {
    r2: HomeBody,
    d1: HomeBody,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct HomeBody {
    images: u64,
    bytes: u64,
}

/// Of R2, this month.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Operations {
    class_a: u64,
    class_b: u64,
}

/// What cron saw last on a day; `null` what it has not seen yet.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct Day {
    /// `2026-11-21`, in UTC.
    date: String,
    r2_images: Option<u64>,
    r2_bytes: Option<u64>,
    d1_images: Option<u64>,
    d1_bytes: Option<u64>,
    database_bytes: Option<u64>,
    class_a: Option<u64>,
    class_b: u64,
}

pub async fn handle(exchange: &Exchange<'_>, _request: Request) -> Result<Response, Problem> {
    let now = exchange.services.runtime.now();
    let usage = exchange.library.catalog.usage(LONGEST, now).await?;
    let free_tier = shares(&usage);
    let alert_percent = f64::from(exchange.services.config.usage_alert_percent);
    let body = Answer {
        month: now.to_iso8601()[..7].to_owned(),
        storage: Homes { r2: home(usage.r2), d1: home(usage.d1) },
        operations: Operations { class_a: usage.operations.class_a, class_b: usage.operations.class_b },
        alerts: free_tier.into_iter().filter(|share| share.percent >= alert_percent).collect(),
        free_tier: free_tier.into(),
        dollars: dollars(&usage, now),
        database_bytes: usage.database_bytes,
        cleanup: exchange.services.sources().freeable().await.ok(),
        days: days(&usage.days),
        kinds: usage.kinds,
        contexts: usage.contexts,
        owners: usage.owners,
    };
    Ok(Response::json(200, &body))
}

const fn home(Home { images, bytes, .. }: Home) -> HomeBody {
    HomeBody { images, bytes }
}

/// A day's puts are those since the day before, as far as cron has seen both.
fn days(days: &[UsageDay]) -> Vec<Day> {
    let mut earlier = None;
    let mut listed = Vec::with_capacity(days.len());
    for day in days {
        let puts = day.puts.zip(earlier).map(|(puts, before): (u64, u64)| puts.saturating_sub(before));
        earlier = day.puts.or(earlier);
        listed.push(Day {
            date: Timestamp::from_millis(day.day.saturating_mul(DAY_MS)).to_iso8601()[..10].to_owned(),
            r2_images: day.r2_images,
            r2_bytes: day.r2_bytes,
            d1_images: day.d1_images,
            d1_bytes: day.d1_bytes,
            database_bytes: day.database_bytes,
            class_a: puts.map(|puts| puts.saturating_add(day.class_a)),
            class_b: day.class_b,
        });
    }
    listed
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "What is stored, what it costs, and how much of the free tier is used",
        answers: vec![(200, answer("The usage.", JSON, &schemas.answer::<Answer>()))],
        codes: DATABASE.to_vec(),
        ..Operation::default()
    }
}
