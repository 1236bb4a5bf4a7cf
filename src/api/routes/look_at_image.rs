//! `POST /images/{id}/describe`: a job that says what is on an image.

#[cfg(test)]
use super::create_job::key_parameter;
#[cfg(test)]
use super::create_job::made_answers;
use super::create_job::{idempotency_key, made};
#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, IMAGE, Operation, Schemas};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::jobs::JobSubject;
use crate::image::ImageId;

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: ImageId) -> Result<Response, Problem> {
    let key = idempotency_key(exchange, &request)?;
    let owner_id = exchange.stored_image(id).await?.description.owner_id;
    let jobs = exchange.services.jobs(exchange.library);
    let (job, is_new) = jobs.create_look(JobSubject::Image(id), owner_id, key.as_ref()).await?;
    made(exchange, &job, is_new, &request.origin).await
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Makes a job that says what is on an image",
        parameters: vec![key_parameter()],
        answers: made_answers(schemas),
        codes: [&[Code::InvalidField, Code::IdempotencyKeyReused, Code::VisionNotConfigured][..], &IMAGE, &DATABASE]
            .concat(),
        ..Operation::default()
    }
}
