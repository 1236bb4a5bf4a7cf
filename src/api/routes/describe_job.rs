//! `GET /jobs/{id}`: a job.

use crate::api::job_body::JobBody;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JOB, JSON, Operation, Schemas, answer};
use crate::api::{Exchange, Problem, Request, Response};
use crate::image::JobId;

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: JobId) -> Result<Response, Problem> {
    let job = exchange.job(id).await?;
    let outputs = exchange.outputs_of(std::slice::from_ref(&job)).await?;
    Ok(Response::json(200, &JobBody::new(exchange, &job, &outputs, &request.origin)))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "A job",
        answers: vec![(200, answer("The job.", JSON, &schemas.answer::<JobBody>()))],
        codes: [&JOB[..], &DATABASE].concat(),
        ..Operation::default()
    }
}
