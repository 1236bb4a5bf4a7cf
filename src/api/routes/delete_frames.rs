//! `DELETE /sessions/{id}/frames`.

#[cfg(test)]
use crate::api::clearing::ClearingBody;
use crate::api::clearing::clear;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, SESSION, Schemas, answer};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::{CollectionKind, Fate};
use crate::image::SessionId;

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: SessionId) -> Result<Response, Problem> {
    let cleared = clear(exchange, &id.collection(), CollectionKind::Session, Fate::Emptied).await?;
    let body = cleared.ok_or_else(|| Problem::plain(Code::SessionNotFound))?;
    Ok(Response::json(if body.is_over() { 200 } else { 202 }, &body))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let body = schemas.answer::<ClearingBody>();
    Operation {
        summary: "Deletes a session's frames, none of which can be read any more",
        answers: vec![
            (200, answer("They are deleted.", JSON, &body)),
            (202, answer("Some are deleted, the others are being deleted.", JSON, &body)),
        ],
        codes: [&SESSION[..], &DATABASE].concat(),
        ..Operation::default()
    }
}
