//! `GET /uploads/s3/{id}`: which parts of an upload have arrived, in the words of S3.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, Schemas, answer};
use crate::api::part_list::{elements_of, fields_of, xml};
use crate::api::part_token::PartToken;
#[cfg(test)]
use crate::api::routes::confirm_upload::CLOSED;
use crate::api::routes::receive_upload::receive_problem;
#[cfg(test)]
use crate::api::routes::s3_post::{S3, signed_parameters};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::OwnerFilter;
use crate::image::ImageId;
use crate::upload::list_parts;

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: ImageId) -> Result<Response, Problem> {
    PartToken::verify(&exchange.gate, &request, id, exchange.services.runtime.now())?;
    let (upload, parts) = list_parts(exchange.library, id, &OwnerFilter::Any).await.map_err(receive_problem)?;
    let fields = [fields_of(&upload), vec![("IsTruncated", "false".to_owned())], elements_of(&parts)].concat();
    Ok(xml("ListPartsResult", &fields))
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    let text = json!({ "type": "string" });
    Operation {
        summary: "Which parts of an upload have arrived, in the words of S3",
        parameters: signed_parameters(),
        answers: vec![(200, answer("As S3 answers.", "application/xml", &text))],
        codes: [&S3[..], &CLOSED, &DATABASE].concat(),
        ..Operation::default()
    }
}
