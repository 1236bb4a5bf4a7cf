//! `POST /shoots/{id}/jobs`: a job for each asset of a shoot.

use serde::{Deserialize, Serialize};

#[cfg(test)]
use super::create_job::key_parameter;
use super::create_job::{Asked, idempotency_key};
#[cfg(test)]
use crate::api::Code;
use crate::api::field::{EditPrompt, Parsed};
#[cfg(test)]
use crate::api::openapi::{
    DATABASE, FIELDS, JSON, OF_A_BATCH, Operation, SHOOT, Schemas, answer, fields_body, headers, links,
};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::jobs::{JobRequest, Tier};
use crate::generate::Size;
use crate::image::{BatchId, ShootId};

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "BatchRequest"))]
struct Input {
    prompt: Parsed<EditPrompt>,
    tier: Option<Parsed<Tier>>,
    size: Option<Parsed<Size>>,
}

/// A batch that was made.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "BatchMade"))]
struct Answer {
    id: BatchId,
    shoot_id: ShootId,
    /// Jobs of the batch.
    total: u64,
    /// Assets of a format or size that the editor does not take.
    skipped: u64,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: ShootId) -> Result<Response, Problem> {
    let input: Input = request.fields().await?.read()?;
    let key = idempotency_key(exchange, &request)?;
    exchange.shoot(id).await?;
    let owner = exchange.caller.owner_filter();
    let asked: JobRequest = Asked { prompt: input.prompt.0, tier: input.tier, size: input.size, mask_id: None }.into();
    let jobs = exchange.services.jobs(exchange.library);
    let made = jobs.create_batch(id, &owner, &asked, key.as_ref()).await?;
    let progress = exchange.batch(made.id).await?;
    let skipped = u64::try_from(made.skipped).unwrap_or(u64::MAX);
    let answer = Answer { id: made.id, shoot_id: id, total: progress.total(), skipped };
    let mut response = Response::json(202, &answer);
    response.set_header("Location", format!("/batches/{}", made.id));
    Ok(response)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let mut made = answer("The jobs wait for workers.", JSON, &schemas.answer::<Answer>());
    made["headers"] = headers(&["Location"]);
    made["links"] = links(&OF_A_BATCH, "$response.body#/id");
    let own = [
        Code::IdempotencyKeyReused,
        Code::ShootEmpty,
        Code::ShootTooLarge,
        Code::EditorNotConfigured,
        Code::BatchNotFound,
    ];
    Operation {
        summary: "Makes a job for each asset of a shoot",
        parameters: vec![key_parameter()],
        body: Some(fields_body(&schemas.request::<Input>())),
        answers: vec![(202, made)],
        codes: [&FIELDS[..], &SHOOT, &own, &DATABASE].concat(),
    }
}
