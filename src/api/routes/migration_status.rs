//! `GET /api/migrate-images`: how far the images are out of the database.

use serde::Serialize;

use super::migrate_images::ACTIONS;
use crate::api::migration_stats::{MigrationStats, SourceStats};
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, Schemas, answer};
use crate::api::run_body::RunBody;
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::Statistics;
use crate::migrate::{EMBEDDED, SourceError, SourceFailure, SourceStatus, Sources};
use crate::telemetry::Event;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MigrationStatus"))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the fields that operators' tools read")]
struct Answer<'app> {
    success: bool,
    r2_configured: bool,
    #[cfg_attr(test, schemars(extend("enum" = ["connected", "disabled", "error"])))]
    r2_status: &'static str,
    /// As `migratedImages`: every image in R2 is an object there.
    r2_objects_count: u64,
    enable_r2_storage: bool,
    public_url: Option<&'app str>,
    batch_size: u16,
    concurrency: u16,
    /// Whether there is a bucket that answers, also where `r2Status` is `disabled`: runs put there all the same.
    migration_ready: bool,
    migration_stats: MigrationStats,
    #[cfg_attr(test, schemars(extend("items" = {"type": "string", "enum": ACTIONS})))]
    available_actions: &'static [&'static str],
    sources: Vec<String>,
    /// Those that a run can work on now.
    ready_sources: Vec<String>,
    /// The run that began last.
    run: Option<RunBody<'app>>,
    api_version: &'static str,
}

/// The answer to the action `stats`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "StatsAnswer"))]
#[serde(rename_all = "camelCase")]
pub struct StatsAnswer {
    success: bool,
    #[cfg_attr(test, schemars(extend("const" = "stats")))]
    action: &'static str,
    dry_run: bool,
    result: MigrationStats,
}

pub async fn handle(exchange: &Exchange<'_>, _request: Request) -> Result<Response, Problem> {
    let config = &exchange.services.config;
    let statistics = exchange.library.catalog.statistics().await?;
    let run = exchange.services.sources().latest_reachable().await?;
    let migration_stats = migration_stats(exchange, &statistics).await?;
    let sources = migration_stats.names().map(str::to_owned).collect();
    let bucket_answers = exchange.bucket_answers().await;
    let r2_status = match bucket_answers {
        _ if !config.r2_enabled => "disabled",
        true => "connected",
        false => "error",
    };
    let ready_sources = migration_stats.readable().filter(|_| bucket_answers).map(str::to_owned).collect();
    let body = Answer {
        success: true,
        r2_configured: exchange.services.r2.is_some(),
        r2_status,
        r2_objects_count: migration_stats.migrated_images(),
        enable_r2_storage: config.r2_enabled,
        public_url: config.r2_public_url.as_deref(),
        batch_size: config.migration_batch_size,
        concurrency: config.migration_concurrency,
        migration_ready: bucket_answers,
        migration_stats,
        available_actions: &ACTIONS,
        sources,
        ready_sources,
        run: run.as_ref().map(RunBody::new),
        api_version: env!("CARGO_PKG_VERSION"),
    };
    Ok(Response::json(200, &body))
}

/// Answers the action `stats`.
pub async fn answer_statistics(exchange: &Exchange<'_>) -> Result<Response, Problem> {
    let statistics = exchange.library.catalog.statistics().await?;
    let result = migration_stats(exchange, &statistics).await?;
    Ok(Response::json(200, &StatsAnswer { success: true, action: "stats", dry_run: false, result }))
}

async fn migration_stats(exchange: &Exchange<'_>, statistics: &Statistics) -> Result<MigrationStats, Problem> {
    let sources = exchange.services.sources();
    let journal = sources.totals(EMBEDDED).await?;
    let mut stats = MigrationStats::new(SourceStats::embedded(statistics, journal, exchange.services.runtime.now()));
    for SourceStatus { name, journal, count } in sources.statuses(&exchange.services.runtime).await? {
        let count = match count {
            Ok(count) => Ok(count),
            Err(SourceFailure::Source(error)) => Err(source_problem(&sources, error).await?),
            Err(SourceFailure::Database(error)) => Err(error.into()),
        };
        if let Err(Problem { code, cause: Some(cause), .. }) = &count {
            let (source, outcome, cause) = (name.clone(), code.as_str(), cause.clone());
            exchange.library.recorder.record(&Event::Count { source, outcome, cause });
        }
        stats.add(SourceStats::of_table(name, journal, count, exchange.services.runtime.now()));
    }
    stats.fallback_images = statistics.fallback_images;
    Ok(stats)
}

/// What to say of a source that cannot be used.
pub async fn source_problem(sources: &Sources, error: SourceError) -> Result<Problem, Problem> {
    let detail = error.to_string();
    Ok(match error {
        SourceError::Unknown { .. } => {
            Problem::field("source", ["must be one of ", &sources.source_names().await?.join(", ")].concat())
        }
        SourceError::Unusable { problem, .. } => {
            Problem { field: Some(problem.field.into()), ..Problem::new(Code::SourceUnusable, detail) }
        }
        SourceError::NotMigrated { binding } => {
            let command = ["; run `npx wrangler d1 migrations apply ", &binding, " --remote`"].concat();
            Problem::new(Code::DatabaseNotMigrated, detail + &command)
        }
    })
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "How far the images are out of the database",
        answers: vec![(200, answer("The state.", JSON, &schemas.answer::<Answer>()))],
        codes: DATABASE.to_vec(),
        ..Operation::default()
    }
}
