//! `DELETE /uploads/s3/{id}`: gives an upload in parts up, in the words of S3.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, Schemas};
use crate::api::part_token::PartToken;
use crate::api::routes::receive_upload::receive_problem;
#[cfg(test)]
use crate::api::routes::s3_post::{S3, signed_parameters};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::OwnerFilter;
use crate::image::ImageId;
use crate::upload::abort_parts;

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: ImageId) -> Result<Response, Problem> {
    PartToken::verify(&exchange.gate, &request, id, exchange.services.runtime.now())?;
    abort_parts(exchange.library, id, &OwnerFilter::Any).await.map_err(receive_problem)?;
    Ok(Response::empty(204))
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    Operation {
        summary: "Gives an upload in parts up, in the words of S3",
        parameters: signed_parameters(),
        answers: vec![(204, json!({ "description": "Its parts are removed. Again is fine." }))],
        codes: [&S3[..], &[Code::UploadUsed, Code::UploadExpired], &DATABASE].concat(),
        ..Operation::default()
    }
}
