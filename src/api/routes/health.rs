//! `GET /health`: real checks, each with a deadline, at most one in ten seconds for those without a token.

use std::borrow::Cow;

use serde::Serialize;

use crate::api::checks::Found;
#[cfg(test)]
use crate::api::openapi::{JSON, Operation, Schemas, answer};
use crate::api::{Exchange, Principal, Problem, Request, Response};
use crate::config::ConfigProblem;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Health"))]
struct Answer<'app> {
    #[cfg_attr(test, schemars(extend("enum" = ["healthy", "degraded", "unhealthy"])))]
    status: &'static str,
    services: Services,
    /// Variables that cannot be used, and what is expected of them; never their values. What of a value is wrong is told to the operator only.
    configuration: Cow<'app, [ConfigProblem]>,
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
    let Found { database_works, r2: r2_storage } = exchange.look().await;
    let status = match (database_works, r2_storage) {
        (false, _) => "unhealthy",
        (true, "error") => "degraded",
        (true, _) if !exchange.services.problems.is_empty() => "degraded",
        (true, _) => "healthy",
    };
    let body = Answer {
        status,
        services: Services { database: if database_works { "healthy" } else { "unhealthy" }, r2_storage },
        configuration: problems_for(exchange),
        version: env!("CARGO_PKG_VERSION"),
    };
    Ok(Response::json(if status == "unhealthy" { 503 } else { 200 }, &body))
}

fn problems_for<'app>(exchange: &Exchange<'app>) -> Cow<'app, [ConfigProblem]> {
    let problems = &exchange.services.problems;
    if exchange.caller.principal == Principal::Operator {
        return problems.into();
    }
    problems.iter().map(|problem| ConfigProblem { given: None, ..problem.clone() }).collect()
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
