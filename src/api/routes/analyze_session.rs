//! `POST /sessions/{id}/analyze`: a job that says what is on the frames of a session.

use super::create_job::{idempotency_key, made};
#[cfg(test)]
use super::create_job::{key_parameter, made_answers};
use super::look_at_image::question;
#[cfg(test)]
use super::look_at_image::question_body;
#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, FIELDS, Operation, SESSION, Schemas};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::jobs::JobSubject;
use crate::image::SessionId;

pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: SessionId) -> Result<Response, Problem> {
    let question = question(&mut request).await?;
    let key = idempotency_key(exchange, &request)?;
    let owner_id = exchange.session(&id).await?.owner_id;
    let jobs = exchange.services.jobs(exchange.library);
    let (job, is_new) = jobs.create_look(JobSubject::Session(id), owner_id, question, key.as_ref()).await?;
    made(exchange, &job, is_new, &request.origin).await
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let own = [Code::IdempotencyKeyReused, Code::SessionEmpty, Code::GenerationLimitReached, Code::VisionNotConfigured];
    Operation {
        summary: "Makes a job that says what is on the frames of a session",
        parameters: vec![key_parameter()],
        body: Some(question_body(schemas)),
        answers: made_answers(schemas),
        codes: [&FIELDS[..], &own, &SESSION, &DATABASE].concat(),
    }
}
