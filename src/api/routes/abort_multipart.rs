//! `DELETE /uploads/multipart/{id}`: gives an upload in parts up.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, Schemas};
use crate::api::routes::receive_upload::receive_problem;
use crate::api::{Exchange, Problem, Request, Response};
use crate::image::ImageId;
use crate::upload::abort_parts;

pub async fn handle(exchange: &Exchange<'_>, _: Request, id: ImageId) -> Result<Response, Problem> {
    abort_parts(exchange.library, id, &exchange.caller.owner_filter()).await.map_err(receive_problem)?;
    Ok(Response::empty(204))
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    Operation {
        summary: "Gives an upload in parts up",
        answers: vec![(204, json!({ "description": "Its parts are removed. Again is fine." }))],
        codes: [&[Code::UploadNotFound, Code::ImageNotFound, Code::UploadUsed][..], &DATABASE].concat(),
        ..Operation::default()
    }
}
