//! `GET /health`: real checks, each with a deadline.

use serde::Serialize;

use crate::api::exchange::CHECK_TIMEOUT_MS;
#[cfg(test)]
use crate::api::openapi::{JSON, Operation, Schemas, answer};
use crate::api::{Exchange, Problem, Request, Response};
use crate::config::ConfigProblem;
use crate::runtime::within;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Health"))]
struct Answer<'app> {
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

/// 200 with `healthy` or `degraded` (images can be stored and read, something needs attention), 503 with `unhealthy`.
pub async fn handle(exchange: &Exchange<'_>, _request: Request) -> Result<Response, Problem> {
    let (database_works, r2_storage) = futures::join!(database_works(exchange), exchange.r2_state());
    let status = match (database_works, r2_storage) {
        (false, _) => "unhealthy",
        (true, "error") => "degraded",
        (true, _) if !exchange.services.problems.is_empty() => "degraded",
        (true, _) => "healthy",
    };
    let body = Answer {
        status,
        services: Services { database: if database_works { "healthy" } else { "unhealthy" }, r2_storage },
        configuration: &exchange.services.problems,
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(Response::json(if status == "unhealthy" { 503 } else { 200 }, &body))
}

async fn database_works(exchange: &Exchange<'_>) -> bool {
    let ping = exchange.library.catalog.ping();
    matches!(within(&exchange.services.runtime, CHECK_TIMEOUT_MS, ping).await, Ok(Ok(())))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let schema = schemas.answer::<Answer>();
    Operation {
        summary: "Whether the services work",
        answers: vec![
            (200, answer("`healthy` or `degraded`.", JSON, &schema)),
            (503, answer("`unhealthy`.", JSON, &schema)),
        ],
        ..Operation::default()
    }
}
