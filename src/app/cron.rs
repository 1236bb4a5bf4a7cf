//! The cron event.

use super::App;
use crate::migrate::{Action, BeginError, EMBEDDED, Engine, Parameters, PublicBase};
use crate::telemetry::Event;

impl App {
    /// Clears what interrupted work left, takes up runs whose worker is gone, and goes on with counts of large tables.
    pub async fn tick(&self) {
        let library = self.services.library("cron");
        library.sweep().await;
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

    /// Begins to move images that fell back to the database, unless the last time moved none of those that are left.
    async fn move_fallback_images(&self, engine: &Engine) -> Result<(), String> {
        let statistics = self.services.catalog.statistics().await.map_err(|error| error.to_string())?;
        let latest = engine.sources.latest_migration(EMBEDDED).await.map_err(|error| error.to_string())?;
        let left = latest.filter(|run| run.parameters.fallback_only).map_or(0, |run| run.progress.left_alone());
        if statistics.fallback_images <= left {
            return Ok(());
        }
        let config = &self.services.config;
        let public_base = PublicBase::Bucket(config.r2_public_url.clone().unwrap_or_default());
        let parameters = Parameters {
            fallback_only: true,
            ..Parameters::new(config.migration_batch_size, config.migration_concurrency, public_base)
        };
        match engine.begin(Action::Migrate, EMBEDDED, parameters).await {
            Ok(run) => {
                engine.work_on(&run.id).await;
                Ok(())
            }
            // Whatever run has the source: the next event looks again.
            Err(BeginError::Busy(_)) => Ok(()),
            Err(BeginError::Source(error)) => Err(error.to_string()),
            Err(BeginError::Database(error)) => Err(error.to_string()),
        }
    }
}
