//! `GET /sessions/{id}/analysis`: what was found on the frames of a session.

use serde::Serialize;

use super::image_description::AnalysisBody;
#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, SESSION, Schemas, answer};
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::jobs::JobSubject;
use crate::image::SessionId;

/// What was found on a session's frames.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SessionAnalysis"))]
#[serde(rename_all = "camelCase")]
struct Answer {
    session_id: SessionId,
    #[serde(flatten)]
    analysis: AnalysisBody,
}

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: SessionId) -> Result<Response, Problem> {
    exchange.session(&id).await?;
    let analysis = AnalysisBody::of(exchange, &JobSubject::Session(id.clone())).await?;
    Ok(Response::json(200, &Answer { session_id: id, analysis }))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "What was found on a session's frames",
        answers: vec![(200, answer("The latest analysis.", JSON, &schemas.answer::<Answer>()))],
        codes: [&SESSION[..], &[Code::AnalysisNotFound], &DATABASE].concat(),
        ..Operation::default()
    }
}
