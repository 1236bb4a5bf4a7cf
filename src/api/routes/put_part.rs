//! `PUT /uploads/multipart/{id}/{number}`: a part of an upload.

use serde::Serialize;
#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, Schemas, answer};
#[cfg(test)]
use crate::api::routes::confirm_upload::CLOSED;
use crate::api::routes::receive_upload::receive_problem;
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::bytes::Body;
use crate::catalog::KeptPart;
use crate::upload::{PartId, put_part};

/// The type of a piece of a file.
pub const PART_TYPE: &str = "application/octet-stream";

/// A part that was put.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Part"))]
pub struct PartBody<'part> {
    part_number: u16,
    etag: &'part str,
    size: u64,
}

impl<'part> PartBody<'part> {
    pub fn new(kept: &'part KeptPart) -> Self {
        Self { part_number: kept.part.number.get(), etag: &kept.part.etag, size: kept.size_bytes }
    }
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: PartId) -> Result<Response, Problem> {
    if request.header("content-type") != Some(PART_TYPE) {
        return Err(Problem::new(Code::UnsupportedMediaType, format!("the Content-Type must be {PART_TYPE}")));
    }
    let body = request.body.take().unwrap_or_else(Body::empty);
    let put = put_part(exchange.library, id.asset_id, &exchange.caller.owner_filter(), id.number, body).await;
    Ok(Response::json(200, &PartBody::new(&put.map_err(receive_problem)?)))
}

/// What sending a part can end in, beside the codes of [`CLOSED`].
#[cfg(test)]
pub const PUT: [Code; 7] = [
    Code::UploadNotFound,
    Code::UploadUsed,
    Code::PartsRefused,
    Code::LengthRequired,
    Code::BodyTooLarge,
    Code::BodyInterrupted,
    Code::StorageUnavailable,
];

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let own = [Code::UnsupportedMediaType];
    Operation {
        summary: "Takes a part of an upload",
        answers: vec![(200, answer("The part, which is kept.", JSON, &schemas.answer::<PartBody>()))],
        codes: [&PUT[..], &own, &CLOSED, &[Code::ImageNotFound], &DATABASE].concat(),
        body: Some(json!({ "required": true, "content": { PART_TYPE: {} } })),
        ..Operation::default()
    }
}
