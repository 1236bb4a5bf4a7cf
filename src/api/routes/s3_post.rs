//! `POST /uploads/s3/{id}`: in the words of S3, what an upload in parts is called, or that it is complete.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, Schemas, answer, query};
use crate::api::part_list::{fields_of, parts_in, xml};
use crate::api::part_token::PartToken;
#[cfg(test)]
use crate::api::routes::confirm_upload::CLOSED;
use crate::api::routes::receive_upload::receive_problem;
use crate::api::{Exchange, MAX_JSON_BYTES, Problem, Request, Response};
use crate::bytes::Body;
use crate::catalog::OwnerFilter;
use crate::image::ImageId;
use crate::upload::{complete_parts, list_parts};

pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: ImageId) -> Result<Response, Problem> {
    let token = PartToken::verify(&exchange.gate, &request, id, exchange.services.runtime.now())?;
    if token.upload_id.is_none() {
        let (upload, _) = list_parts(exchange.library, id, &OwnerFilter::Any).await.map_err(receive_problem)?;
        return Ok(xml("InitiateMultipartUploadResult", &fields_of(&upload)));
    }
    let body = request.body.take().unwrap_or_else(Body::empty).collect(MAX_JSON_BYTES).await?;
    let parts = parts_in(&body.to_vec())?;
    let completed = complete_parts(exchange.library, id, &OwnerFilter::Any, Some(parts)).await;
    let upload = completed.map_err(receive_problem)?;
    let location = format!("{}/images/{id}", request.origin);
    let fields = [vec![("Location", location)], fields_of(&upload)].concat();
    Ok(xml("CompleteMultipartUploadResult", &fields))
}

/// What requests in the words of S3 can end in, beside the codes of [`CLOSED`].
#[cfg(test)]
pub const S3: [Code; 5] = [
    // Of an id that is none.
    Code::ImageNotFound,
    Code::UploadSignatureInvalid,
    Code::UploadNotFound,
    Code::InvalidField,
    Code::StorageUnavailable,
];

/// The parameters of a URL that was signed.
#[cfg(test)]
pub fn signed_parameters() -> Vec<serde_json::Value> {
    let text = json!({ "type": "string" });
    ["uploadId", "partNumber", "expires", "signature"].map(|name| query(name, &text, "As signed.")).to_vec()
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    let own = [Code::PartsRefused, Code::BodyTooLarge, Code::BodyInterrupted];
    let text = json!({ "type": "string" });
    Operation {
        summary: "Says in the words of S3 what an upload in parts is called, or completes it",
        parameters: signed_parameters(),
        body: Some(json!({ "required": false, "content": { "application/xml": {} } })),
        answers: vec![(200, answer("As S3 answers.", "application/xml", &text))],
        codes: [&S3[..], &own, &CLOSED, &DATABASE].concat(),
    }
}
