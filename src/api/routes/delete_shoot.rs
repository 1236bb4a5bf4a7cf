//! `DELETE /shoots/{id}`.

#[cfg(test)]
use crate::api::clearing::ClearingBody;
use crate::api::clearing::clear;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, SHOOT, Schemas, answer};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::{CollectionKind, Fate};
use crate::image::ShootId;

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: ShootId) -> Result<Response, Problem> {
    let cleared = clear(exchange, &id.collection(), CollectionKind::Shoot, Fate::Deleted).await?;
    let body = cleared.ok_or_else(|| Problem::plain(Code::ShootNotFound))?;
    Ok(Response::json(if body.is_over() { 200 } else { 202 }, &body))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let body = schemas.answer::<ClearingBody>();
    Operation {
        summary: "Deletes a shoot with its assets and what was made from them",
        answers: vec![
            (200, answer("It is deleted.", JSON, &body)),
            (202, answer("Some images are deleted, the others are being deleted.", JSON, &body)),
        ],
        codes: [&SHOOT[..], &DATABASE].concat(),
        ..Operation::default()
    }
}
