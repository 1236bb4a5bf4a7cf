//! `GET /api/migrate-images`: how far the images are out of the database.

use serde::Serialize;

use super::migrate_images::ACTIONS;
use super::run_body::RunBody;
use super::{Exchange, Problem, Response};
use crate::catalog::Statistics;
use crate::migrate::{EMBEDDED, Run, SourceTotals, Totals};

/// A base64 text takes four characters for three bytes.
const BASE64_CHARS: u64 = 4;
const BASE64_BYTES: u64 = 3;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MigrationStatus"))]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the fields that operators' tools read")]
pub(super) struct StatusBody<'app> {
    success: bool,
    r2_configured: bool,
    #[cfg_attr(test, schemars(extend("enum" = ["connected", "disabled", "error"])))]
    r2_status: &'static str,
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

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
struct MigrationStats {
    total_images: u64,
    migrated_images: u64,
    base64_images: u64,
    /// Images in R2 whose original is still in the database.
    partially_migrated_images: u64,
    /// Items that the latest migration could not move.
    failed_images: u64,
    /// Embedded images that were meant for R2.
    fallback_images: u64,
    /// Percent, 100 when there is nothing to migrate.
    migration_progress: f64,
    /// Bytes of database that the embedded images take as base64.
    estimated_space_saved: u64,
    /// How far the tables are; the fields above are about the catalogue.
    sources: Vec<SourceStats>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct SourceStats {
    name: String,
    moved: u64,
    cleaned: u64,
    failed: u64,
}

impl Exchange<'_> {
    pub(super) async fn migration_status(&self) -> Result<Response, Problem> {
        let config = &self.app.config;
        let statistics = self.library.catalog.statistics().await?;
        let run = self.latest_run().await?;
        let migration_stats = self.migration_stats(&statistics).await?;
        let tables = migration_stats.sources.iter().map(|source| source.name.clone());
        let sources = std::iter::once(EMBEDDED.to_owned()).chain(tables).collect();
        let r2_status = match self.r2_state().await {
            "enabled" => "connected",
            state => state,
        };
        let body = StatusBody {
            success: true,
            r2_configured: self.app.r2.is_some(),
            r2_status,
            r2_objects_count: statistics.r2_images,
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

    async fn latest_run(&self) -> Result<Option<Run>, Problem> {
        match self.app.engine(&self.library) {
            Some(engine) => Ok(engine.latest().await?),
            None => Ok(None),
        }
    }

    async fn migration_stats(&self, statistics: &Statistics) -> Result<MigrationStats, Problem> {
        let (journal, sources) = match self.app.engine(&self.library) {
            Some(engine) => (engine.totals(EMBEDDED).await?, engine.source_totals().await?),
            None => (Totals::default(), Vec::new()),
        };
        Ok(migration_stats(statistics, journal, sources))
    }
}

fn migration_stats(statistics: &Statistics, journal: Totals, sources: Vec<SourceTotals>) -> MigrationStats {
    let total = statistics.r2_images + statistics.d1_images;
    // Counts stay far below 2^53, where a float stops being exact.
    #[allow(clippy::cast_precision_loss)]
    let migration_progress =
        if total == 0 { 100.0 } else { (statistics.r2_images as f64 / total as f64 * 1000.0).round() / 10.0 };
    MigrationStats {
        total_images: total,
        migrated_images: statistics.r2_images,
        base64_images: statistics.d1_images,
        partially_migrated_images: journal.moved,
        failed_images: journal.failed,
        fallback_images: statistics.fallback_images,
        migration_progress,
        estimated_space_saved: statistics.d1_bytes.div_ceil(BASE64_BYTES) * BASE64_CHARS,
        sources: sources.into_iter().map(SourceStats::from).collect(),
    }
}

impl From<SourceTotals> for SourceStats {
    fn from(SourceTotals { name, totals }: SourceTotals) -> Self {
        Self { name, moved: totals.moved, cleaned: totals.cleaned, failed: totals.failed }
    }
}
