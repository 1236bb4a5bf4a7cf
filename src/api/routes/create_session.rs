//! `POST /sessions`: a session, which takes frames.

use serde::{Deserialize, Serialize};

use crate::api::field::Parsed;
#[cfg(test)]
use crate::api::openapi::{DATABASE, FIELDS, JSON, OF_A_SESSION, Operation, Schemas, answer, fields_body, links};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::{Collection, CollectionKind, CollectionState};
use crate::image::SessionId;

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SessionRequest"))]
#[serde(rename_all = "camelCase")]
struct Input {
    /// A new one when absent.
    session_id: Option<Parsed<SessionId>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Session"))]
#[serde(rename_all = "camelCase")]
struct Answer {
    session_id: SessionId,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    created_at: String,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let input: Input = request.fields().await?.read()?;
    let runtime = &exchange.services.runtime;
    let session_id = input.session_id.map_or_else(|| SessionId::from_random_bytes(runtime.random_bytes()), |id| id.0);
    let now = runtime.now();
    let session = Collection {
        id: session_id.collection(),
        kind: CollectionKind::Session,
        state: CollectionState::Open,
        owner_id: exchange.caller.principal.owner().cloned(),
        name: None,
        created_at: now,
        updated_at: now,
        leaving: 0,
    };
    let catalog = &exchange.library.catalog;
    let is_new = catalog.create_collection(&session).await?;
    let created_at = if is_new {
        now
    } else {
        let owner = exchange.caller.owner_filter();
        let found = catalog.find_collection(&session.id, CollectionKind::Session, &owner).await?;
        found.ok_or_else(|| Problem::plain(Code::SessionNotFound))?.created_at
    };
    let answer = Answer { session_id, created_at: created_at.to_iso8601() };
    Ok(Response::json(if is_new { 201 } else { 200 }, &answer))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let mut created = answer("The session.", JSON, &schemas.answer::<Answer>());
    created["links"] = links(&OF_A_SESSION, "$response.body#/sessionId");
    Operation {
        summary: "Makes a session, which takes frames",
        answers: vec![(201, created), (200, answer("It was there before.", JSON, &schemas.answer::<Answer>()))],
        codes: [&FIELDS[..], &[Code::SessionNotFound], &DATABASE].concat(),
        body: Some(fields_body(&schemas.request::<Input>())),
        ..Operation::default()
    }
}
