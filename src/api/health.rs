//! `GET /health`: real checks, each with a deadline.

use serde::Serialize;

use super::{Exchange, Problem, Response};
use crate::config::ConfigProblem;
use crate::runtime::within;
use crate::store::StorageKind;

/// How long a check may take, in milliseconds: load balancers give up after five seconds.
const CHECK_TIMEOUT_MS: u64 = 3_000;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Health"))]
pub(super) struct HealthBody<'app> {
    #[cfg_attr(test, schemars(extend("enum" = ["healthy", "degraded", "unhealthy"])))]
    status: &'static str,
    services: Services,
    /// Variables that cannot be used, and what is expected of them; never their values.
    configuration: &'app [ConfigProblem],
    version: &'static str,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct Services {
    #[cfg_attr(test, schemars(extend("enum" = ["healthy", "unhealthy"])))]
    database: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = ["enabled", "disabled", "error"])))]
    r2_storage: &'static str,
}

impl Exchange<'_> {
    /// 200 with `healthy` or `degraded` (images can be stored and read, something needs attention), 503 with `unhealthy`.
    pub(super) async fn health(&self) -> Result<Response, Problem> {
        let (database_works, r2_storage) = futures::join!(self.database_works(), self.r2_state());
        let status = match (database_works, r2_storage) {
            (false, _) => "unhealthy",
            (true, "error") => "degraded",
            (true, _) if !self.app.problems.is_empty() => "degraded",
            (true, _) => "healthy",
        };
        let body = HealthBody {
            status,
            services: Services { database: if database_works { "healthy" } else { "unhealthy" }, r2_storage },
            configuration: &self.app.problems,
            version: env!("CARGO_PKG_VERSION"),
        };
        Ok(Response::json(if status == "unhealthy" { 503 } else { 200 }, &body))
    }

    async fn database_works(&self) -> bool {
        let ping = self.library.catalog.ping();
        matches!(within(&self.app.runtime, CHECK_TIMEOUT_MS, ping).await, Ok(Ok(())))
    }

    /// `enabled` and answering, `disabled` by configuration, or `error`.
    pub(super) async fn r2_state(&self) -> &'static str {
        if !self.app.config.r2_enabled {
            return "disabled";
        }
        let Some(store) = self.library.stores.at(StorageKind::R2) else { return "error" };
        let probe = store.list("stillstore/", None, 1);
        match within(&self.app.runtime, CHECK_TIMEOUT_MS, probe).await {
            Ok(Ok(_)) => "enabled",
            _ => "error",
        }
    }
}
