//! `GET /api/migrate-images/runs/{id}`: a run.

#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, RUN, Schemas, answer};
use crate::api::run_body::RunBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::migrate::RunId;

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: RunId) -> Result<Response, Problem> {
    let run = exchange.run(&id).await?;
    Ok(Response::json(200, &RunBody::new(&run)))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "A run",
        answers: vec![(200, answer("The run.", JSON, &schemas.answer::<RunBody>()))],
        codes: [&RUN[..], &DATABASE].concat(),
        ..Operation::default()
    }
}
