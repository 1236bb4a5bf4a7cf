//! `GET /uploads/multipart/{id}`: which parts of an upload have arrived.

use serde::Serialize;

#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, Schemas, answer};
#[cfg(test)]
use crate::api::routes::confirm_upload::CLOSED;
use crate::api::routes::put_part::PartBody;
use crate::api::routes::receive_upload::receive_problem;
use crate::api::{Exchange, Problem, Request, Response};
use crate::image::{ImageId, ObjectKey};
use crate::upload::list_parts;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Parts"))]
struct Answer<'upload> {
    asset_id: ImageId,
    object_key: &'upload ObjectKey,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    expires_at: String,
    /// Those that came by way of the Worker, in order of their numbers.
    parts: Vec<PartBody<'upload>>,
}

pub async fn handle(exchange: &Exchange<'_>, _: Request, id: ImageId) -> Result<Response, Problem> {
    let listed = list_parts(exchange.library, id, &exchange.caller.owner_filter()).await;
    let (upload, parts) = listed.map_err(receive_problem)?;
    let answer = Answer {
        asset_id: id,
        object_key: &upload.key,
        expires_at: upload.expires_at.to_iso8601(),
        parts: parts.iter().map(PartBody::new).collect(),
    };
    Ok(Response::json(200, &answer))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Which parts of an upload have arrived",
        answers: vec![(200, answer("The parts.", JSON, &schemas.answer::<Answer>()))],
        codes: [&[Code::UploadNotFound, Code::ImageNotFound][..], &CLOSED, &DATABASE].concat(),
        ..Operation::default()
    }
}
