//! `PUT /uploads/s3/{id}`: a part of an upload, in the words of S3.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, Schemas, headers};
use crate::api::part_token::PartToken;
#[cfg(test)]
use crate::api::routes::confirm_upload::CLOSED;
#[cfg(test)]
use crate::api::routes::put_part::{PART_TYPE, PUT};
use crate::api::routes::receive_upload::receive_problem;
#[cfg(test)]
use crate::api::routes::s3_post::{S3, signed_parameters};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::bytes::Body;
use crate::catalog::OwnerFilter;
use crate::image::ImageId;
use crate::upload::put_part;

pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: ImageId) -> Result<Response, Problem> {
    let token = PartToken::verify(&exchange.gate, &request, id, exchange.services.runtime.now())?;
    let number = token.part_number.ok_or_else(|| Problem::plain(Code::UploadSignatureInvalid))?;
    let body = request.body.take().unwrap_or_else(Body::empty);
    let put = put_part(exchange.library, id, &OwnerFilter::Any, number, body).await.map_err(receive_problem)?;
    let mut response = Response::empty(200);
    response.set_header("ETag", format!("\"{}\"", put.part.etag));
    Ok(response)
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    Operation {
        summary: "Takes a part of an upload in the words of S3",
        parameters: signed_parameters(),
        body: Some(json!({ "required": true, "content": { PART_TYPE: {} } })),
        answers: vec![(200, json!({ "description": "The part is kept.", "headers": headers(&["ETag"]) }))],
        codes: [&S3[..], &PUT, &CLOSED, &DATABASE].concat(),
    }
}
