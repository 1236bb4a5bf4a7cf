//! `POST /uploads/multipart/{id}`: makes an asset of the parts of an upload.

use serde::Deserialize;

#[cfg(test)]
use crate::api::Code;
use crate::api::field::Parsed;
#[cfg(test)]
use crate::api::openapi::{ADDITION, BODY, DATABASE, IMAGE, JSON, Operation, SHOOT, Schemas, answer, json_body};
#[cfg(test)]
use crate::api::routes::confirm_upload::CLOSED;
use crate::api::routes::confirm_upload::confirm_problem;
use crate::api::routes::receive_upload::receive_problem;
use crate::api::shoot_body::AssetBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::image::{ImageId, Sha256Digest};
use crate::upload::{Claims, complete_parts, confirm};

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "CompleteRequest"))]
struct Input {
    /// Of the whole file.
    sha256: Option<Parsed<Sha256Digest>>,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: ImageId) -> Result<Response, Problem> {
    let input: Input = request.json_object().await?.read()?;
    let owner = exchange.caller.owner_filter();
    let upload = complete_parts(exchange.library, id, &owner, None).await.map_err(receive_problem)?;
    let claims = Claims {
        asset_id: id,
        shoot_id: upload.shoot_id,
        key: upload.key,
        filename: None,
        format: None,
        size_bytes: None,
        sha256: input.sha256.map(|Parsed(sha256)| sha256),
    };
    let record = confirm(exchange.library, &claims, &owner).await.map_err(confirm_problem)?;
    exchange.announce_thumbnails(&record).await;
    Ok(Response::json(200, &AssetBody::new(exchange, claims.shoot_id, &record, &[], &request.origin)))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let own = [Code::UploadNotFound, Code::UploadNotReceived, Code::PartsRefused, Code::StorageUnavailable];
    Operation {
        summary: "Makes an asset of the parts of an upload",
        answers: vec![(200, answer("The asset.", JSON, &schemas.answer::<AssetBody>()))],
        codes: [&BODY[..], &SHOOT, &IMAGE, &own, &CLOSED, &ADDITION, &DATABASE].concat(),
        body: Some(json_body(&schemas.request::<Input>())),
        ..Operation::default()
    }
}
