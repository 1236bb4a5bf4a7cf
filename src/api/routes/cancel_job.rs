//! `DELETE /jobs/{id}`: cancels a job.

use crate::api::job_body::JobBody;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JOB, JSON, Operation, Schemas, answer};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::jobs::JobState;
use crate::image::JobId;

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: JobId) -> Result<Response, Problem> {
    let cancelled = exchange.services.jobs(exchange.library).cancel(id, &exchange.caller.owner_filter()).await?;
    let job = cancelled.ok_or_else(|| Problem::plain(Code::JobNotFound))?;
    if job.state != JobState::Cancelled {
        return Err(Problem::new(Code::JobEnded, format!("the job is {}", job.state.as_str())));
    }
    Ok(Response::json(200, &JobBody::new(exchange, &job, &[], &request.origin)))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Cancels a job; doing it twice is fine",
        answers: vec![(200, answer("The job, which makes no image.", JSON, &schemas.answer::<JobBody>()))],
        codes: [&JOB[..], &[Code::JobEnded], &DATABASE].concat(),
        ..Operation::default()
    }
}
