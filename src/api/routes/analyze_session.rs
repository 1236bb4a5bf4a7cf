//! `POST /sessions/{id}/analyze`: a job that says what is on the frames of a session.

#[cfg(test)]
use super::create_job::key_parameter;
#[cfg(test)]
use super::create_job::made_answers;
use super::create_job::{idempotency_key, made};
#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, SESSION, Schemas};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::jobs::JobSubject;
use crate::image::SessionId;

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: SessionId) -> Result<Response, Problem> {
    let key = idempotency_key(exchange, &request)?;
    let owner_id = exchange.session(&id).await?.owner_id;
    let jobs = exchange.services.jobs(exchange.library);
    let (job, is_new) = jobs.create_look(JobSubject::Session(id), owner_id, key.as_ref()).await?;
    made(exchange, &job, is_new, &request.origin).await
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let own = [Code::InvalidField, Code::IdempotencyKeyReused, Code::SessionEmpty, Code::VisionNotConfigured];
    Operation {
        summary: "Makes a job that says what is on the frames of a session",
        parameters: vec![key_parameter()],
        answers: made_answers(schemas),
        codes: [&own[..], &SESSION, &DATABASE].concat(),
        ..Operation::default()
    }
}
