//! `POST /images/{id}/describe`: a job that says what is on an image.

use serde::Deserialize;

use super::create_job::{idempotency_key, made};
#[cfg(test)]
use super::create_job::{key_parameter, made_answers};
#[cfg(test)]
use crate::api::Code;
use crate::api::field::{EditPrompt, Parsed};
#[cfg(test)]
use crate::api::openapi::{DATABASE, FIELDS, IMAGE, Operation, Schemas, fields_body};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::jobs::JobSubject;
use crate::generate::Prompt;
use crate::image::ImageId;

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "LookRequest"))]
struct Input {
    /// A question that the summary answers; for models.
    prompt: Option<Parsed<EditPrompt>>,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: ImageId) -> Result<Response, Problem> {
    let question = question(&mut request).await?;
    let key = idempotency_key(exchange, &request)?;
    let owner_id = exchange.stored_image(id).await?.description.owner_id;
    let jobs = exchange.services.jobs(exchange.library);
    let (job, is_new) = jobs.create_look(JobSubject::Image(id), owner_id, question, key.as_ref()).await?;
    made(exchange, &job, is_new, &request.origin).await
}

/// What the body asks about the pictures, if there is a body.
pub(super) async fn question(request: &mut Request) -> Result<Option<Prompt>, Problem> {
    let input: Input = request.optional_fields().await?.read()?;
    Ok(input.prompt.map(|Parsed(EditPrompt(prompt))| prompt))
}

#[cfg(test)]
pub(super) fn question_body(schemas: &mut Schemas) -> serde_json::Value {
    let mut body = fields_body(&schemas.request::<Input>());
    body["required"] = false.into();
    body
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Makes a job that says what is on an image",
        parameters: vec![key_parameter()],
        body: Some(question_body(schemas)),
        answers: made_answers(schemas),
        codes: [
            &FIELDS[..],
            &[Code::IdempotencyKeyReused, Code::GenerationLimitReached, Code::VisionNotConfigured],
            &IMAGE,
            &DATABASE,
        ]
        .concat(),
    }
}
