//! `GET /api/migrate-images`: how far the images are out of the database.

use serde::Serialize;

use super::migrate_fields::ACTIONS;
use super::migrate_images::source_problem;
use super::migration_stats::{MigrationStats, SourceStats};
use super::run_body::RunBody;
use super::{Exchange, Problem, Response};
use crate::catalog::Statistics;
use crate::migrate::{EMBEDDED, SourceFailure, SourceStatus};
use crate::telemetry::Event;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MigrationStatus"))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the fields that operators' tools read")]
pub(super) struct StatusBody<'app> {
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
    migration_ready: bool,
    migration_stats: MigrationStats,
    #[cfg_attr(test, schemars(extend("items" = {"type": "string", "enum": ACTIONS})))]
    available_actions: &'static [&'static str],
    sources: Vec<String>,
    /// The run that began last.
    run: Option<RunBody<'app>>,
    api_version: &'static str,
}

/// The answer to the action `stats`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "StatsAnswer"))]
#[serde(rename_all = "camelCase")]
pub(super) struct StatsBody {
    success: bool,
    #[cfg_attr(test, schemars(extend("const" = "stats")))]
    action: &'static str,
    dry_run: bool,
    result: MigrationStats,
}

impl Exchange<'_> {
    pub(super) async fn migration_status(&self) -> Result<Response, Problem> {
        let config = &self.app.config;
        let statistics = self.library.catalog.statistics().await?;
        let run = self.app.sources().latest_reachable().await?;
        let migration_stats = self.migration_stats(&statistics).await?;
        let sources = migration_stats.names().map(str::to_owned).collect();
        let r2_status = match self.r2_state().await {
            "enabled" => "connected",
            state => state,
        };
        let body = StatusBody {
            success: true,
            r2_configured: self.app.r2.is_some(),
            r2_status,
            r2_objects_count: migration_stats.migrated_images(),
            enable_r2_storage: config.r2_enabled,
            public_url: config.r2_public_url.as_deref(),
            batch_size: config.migration_batch_size,
            concurrency: config.migration_concurrency,
            migration_ready: r2_status == "connected",
            migration_stats,
            available_actions: &ACTIONS,
            sources,
            run: run.as_ref().map(RunBody::new),
            api_version: env!("CARGO_PKG_VERSION"),
        };
        Ok(Response::json(200, &body))
    }

    pub(super) async fn migration_statistics(&self) -> Result<Response, Problem> {
        let statistics = self.library.catalog.statistics().await?;
        let result = self.migration_stats(&statistics).await?;
        Ok(Response::json(200, &StatsBody { success: true, action: "stats", dry_run: false, result }))
    }

    async fn migration_stats(&self, statistics: &Statistics) -> Result<MigrationStats, Problem> {
        let sources = self.app.sources();
        let journal = sources.totals(EMBEDDED).await?;
        let mut stats = MigrationStats::new(SourceStats::embedded(statistics, journal, self.app.runtime.now()));
        for SourceStatus { name, journal, count } in sources.statuses(&self.app.runtime).await? {
            let count = match count {
                Ok(count) => Ok(count),
                Err(SourceFailure::Source(error)) => Err(source_problem(&sources, error).await?),
                Err(SourceFailure::Database(error)) => Err(error.into()),
            };
            if let Err(Problem { code, cause: Some(cause), .. }) = &count {
                let (source, outcome, cause) = (name.clone(), code.as_str(), cause.clone());
                self.library.recorder.record(&Event::Count { source, outcome, cause });
            }
            stats.add(SourceStats::of_table(name, journal, count, self.app.runtime.now()));
        }
        stats.fallback_images = statistics.fallback_images;
        Ok(stats)
    }
}
