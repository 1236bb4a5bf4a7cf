//! `POST /jobs`: a job that makes an image of another.

use serde::Deserialize;
#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::Code;
use crate::api::field::{EditPrompt, Parsed};
use crate::api::job_body::JobBody;
#[cfg(test)]
use crate::api::openapi::{
    ADDITION, DATABASE, FIELDS, IMAGE, JSON, OF_A_JOB, Operation, Schemas, answer, fields_body, headers, links,
    parameter,
};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::IdempotencyKey;
use crate::catalog::jobs::{Job, JobRequest, Tier};
use crate::generate::Size;
use crate::image::ImageId;

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "JobRequest"))]
struct Input {
    /// The image to edit.
    asset_id: Parsed<ImageId>,
    prompt: Parsed<EditPrompt>,
    tier: Option<Parsed<Tier>>,
    size: Option<Parsed<Size>>,
    /// A PNG of the same dimensions: only where it is transparent is the image edited.
    mask_id: Option<Parsed<ImageId>>,
}

/// What is asked for, whatever the image.
pub(super) struct Asked {
    pub prompt: EditPrompt,
    pub tier: Option<Parsed<Tier>>,
    pub size: Option<Parsed<Size>>,
    pub mask_id: Option<ImageId>,
}

impl From<Asked> for JobRequest {
    fn from(asked: Asked) -> Self {
        let EditPrompt(prompt) = asked.prompt;
        Self {
            prompt: Some(prompt.as_str().to_owned()),
            tier: Some(asked.tier.map_or_else(Tier::default, |Parsed(tier)| tier)),
            size: asked.size.map(|Parsed(size)| size.text().into_owned()),
            mask_id: asked.mask_id,
        }
    }
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let input: Input = request.fields().await?.read()?;
    let key = idempotency_key(exchange, &request)?;
    let original = exchange.stored_image(input.asset_id.0).await?;
    if let Some(Parsed(mask_id)) = &input.mask_id {
        exchange.stored_image(*mask_id).await.map_err(|_| Problem::field("mask_id", "must be an image of yours"))?;
    }
    let mask_id = input.mask_id.map(|Parsed(id)| id);
    let asked = Asked { prompt: input.prompt.0, tier: input.tier, size: input.size, mask_id };
    let jobs = exchange.services.jobs(exchange.library);
    let (job, is_new) = jobs.create_edit(&original, asked.into(), key.as_ref()).await?;
    made(exchange, &job, is_new, &request.origin).await
}

/// The answer with a job that was made, or that its key had already.
pub(super) async fn made(exchange: &Exchange<'_>, job: &Job, is_new: bool, origin: &str) -> Result<Response, Problem> {
    let outputs = exchange.outputs_of(std::slice::from_ref(job)).await?;
    let body = JobBody::new(exchange, job, &outputs, origin);
    let mut response = Response::json(if is_new { 202 } else { 200 }, &body);
    response.set_header("Location", format!("/jobs/{}", job.id));
    if !is_new {
        response.set_header("Idempotency-Replayed", "true");
    }
    Ok(response)
}

/// The key of a request that makes jobs: no other caller's, and none of a request that generates images.
pub(super) fn idempotency_key(exchange: &Exchange<'_>, request: &Request) -> Result<Option<IdempotencyKey>, Problem> {
    let key = super::generate_image::idempotency_key(request)?;
    Ok(key.map(|key| key.of_caller(exchange.caller.principal.owner()).of_jobs()))
}

#[cfg(test)]
pub(super) fn key_parameter() -> serde_json::Value {
    let key = json!({ "type": "string", "pattern": "^[!-~]{1,255}$" });
    parameter("header", "Idempotency-Key", &key, "Makes a retry safe for 24 hours.")
}

#[cfg(test)]
pub(super) fn made_answers(schemas: &mut Schemas) -> Vec<(u16, serde_json::Value)> {
    let mut made = answer("The job waits for a worker.", JSON, &schemas.answer::<JobBody>());
    made["headers"] = headers(&["Location"]);
    made["links"] = links(&OF_A_JOB, "$response.body#/id");
    let mut replayed = answer("The job that the Idempotency-Key has.", JSON, &schemas.answer::<JobBody>());
    replayed["headers"] = headers(&["Location"]);
    replayed["headers"]["Idempotency-Replayed"] = json!({ "schema": { "const": "true" } });
    vec![(202, made), (200, replayed)]
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let own = [Code::IdempotencyKeyReused, Code::GenerationLimitReached, Code::EditorNotConfigured];
    Operation {
        summary: "Makes a job that edits an image",
        parameters: vec![key_parameter()],
        body: Some(fields_body(&schemas.request::<Input>())),
        answers: made_answers(schemas),
        codes: [&FIELDS[..], &IMAGE, &own, &ADDITION, &DATABASE].concat(),
    }
}
