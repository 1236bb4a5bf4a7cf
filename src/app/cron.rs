//! The cron event.

use super::App;
use crate::migrate::{ActionParameters, BeginError, EMBEDDED, Engine, Parameters, PublicBase, Run};
use crate::telemetry::Event;
use crate::upload;

impl App {
    /// Clears what interrupted work left, takes up jobs and runs whose worker is gone, and goes on with counts of large tables.
    pub async fn tick(&self) {
        let library = self.services.library("cron");
        library.sweep().await;
        upload::sweep(&library).await;
        for cause in library.keep_collections(self.services.config.frame_retention_days).await {
            library.recorder.record(&Event::HandOn { run_id: "none".to_owned(), cause });
        }
        if let Err(error) = self.services.jobs(&library).take_up().await {
            library.recorder.record(&Event::HandOn { run_id: "none".to_owned(), cause: error.to_string() });
        }
        self.tell_operations().await;
        if let Err(error) = self.services.catalog.keep_day(self.services.runtime.now()).await {
            library.recorder.record(&Event::HandOn { run_id: "none".to_owned(), cause: error.to_string() });
        }
        self.tell_alerts(&library).await;
        if let Some(reader) = self.services.read_through_sweeper(&library)
            && let Err(error) = reader.sweep().await
        {
            library.recorder.record(&Event::HandOn { run_id: "none".to_owned(), cause: error.to_string() });
        }
        let Some(engine) = self.services.engine(&library) else { return };
        let taken_up = engine.take_up().await.map_err(|error| error.to_string());
        let moved = if self.services.config.migrate_fallback_images && self.services.config.r2_enabled {
            self.move_fallback_images(&engine).await
        } else {
            Ok(())
        };
        let counted = engine.sources.count_on(&self.services.runtime).await.map_err(|error| error.to_string());
        for cause in [taken_up.err(), moved.err(), counted.err()].into_iter().flatten() {
            library.recorder.record(&Event::HandOn { run_id: "none".to_owned(), cause });
        }
    }

    /// Has images moved that fell back to the database, unless the last time moved none of those that are left.
    async fn move_fallback_images(&self, engine: &Engine) -> Result<(), String> {
        let statistics = self.services.catalog.statistics().await.map_err(|error| error.to_string())?;
        let latest = engine.sources.latest_migration(EMBEDDED).await.map_err(|error| error.to_string())?;
        let of_fallback =
            |run: &Run| matches!(run.parameters.action, ActionParameters::Migrate { fallback_only: true, .. });
        let left = latest.filter(of_fallback).map_or(0, |run| run.progress.left_alone());
        if statistics.fallback_images <= left {
            return Ok(());
        }
        let config = &self.services.config;
        let parameters = Parameters {
            batch_size: config.migration_batch_size,
            concurrency: config.migration_concurrency,
            item_ids: None,
            public_base: PublicBase::Bucket(config.r2_public_url.clone().unwrap_or_default()),
            action: ActionParameters::Migrate { dry_run: false, fallback_only: true },
        };
        match engine.begin(EMBEDDED, parameters).await {
            Ok(run) => {
                engine.set_off(&run).await;
                Ok(())
            }
            // Whatever run has the source: the next event looks again.
            Err(BeginError::Busy(_)) => Ok(()),
            Err(BeginError::Source(error)) => Err(error.to_string()),
            Err(BeginError::Database(error)) => Err(error.to_string()),
        }
    }
}
