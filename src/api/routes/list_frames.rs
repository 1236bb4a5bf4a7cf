//! `GET /sessions/{id}/frames`: a page of a session's frames.

use serde::Serialize;

#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, SESSION, Schemas, answer, page_parameters};
use crate::api::page::PageQuery;
use crate::api::representation::ImageBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::ListFilter;
use crate::image::SessionId;

/// Age in milliseconds from which an upload that is under way counts as broken off: ten minutes, longer than 100 MB take at 2 Mbit/s.
const BROKEN_AFTER_MS: i64 = 10 * 60 * 1000;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "FramePage"))]
#[serde(rename_all = "camelCase")]
struct Answer<'page> {
    session_id: &'page SessionId,
    /// Within the last hour, an upload broke off or lost frames: those that it had acknowledged are here, others may be missing.
    interrupted: bool,
    frames: Vec<FrameBody<'page>>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Frame"))]
#[serde(rename_all = "camelCase")]
struct FrameBody<'record> {
    frame_number: u32,
    #[serde(flatten)]
    image: ImageBody<'record>,
}

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: SessionId) -> Result<Response, Problem> {
    let PageQuery { cursor, size } = PageQuery::read(&request, "nextCursor")?;
    exchange.session(&id).await?;
    let catalog = &exchange.library.catalog;
    let filter = ListFilter {
        owner: exchange.caller.owner_filter(),
        collection_id: Some(id.collection()),
        ..ListFilter::default()
    };
    let page = catalog.list(&filter, cursor, size).await?;
    let before = exchange.services.runtime.now().plus_millis(-BROKEN_AFTER_MS);
    let interrupted = catalog.unfinished_uploads(&id, before).await? > 0;
    let frames = page.records.iter().map(|record| FrameBody {
        frame_number: record.description.frame.as_ref().map_or(0, |place| place.ordinal),
        image: ImageBody::new(exchange, record, &request.origin),
    });
    let next_cursor = page.next.map(|cursor| cursor.to_string());
    let body = Answer { session_id: &id, interrupted, frames: frames.collect(), next_cursor };
    Ok(Response::json(200, &body))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Lists a session's frames",
        parameters: page_parameters("nextCursor"),
        answers: vec![(200, answer("A page, by number.", JSON, &schemas.answer::<Answer>()))],
        codes: [&[Code::InvalidField][..], &SESSION, &DATABASE].concat(),
        ..Operation::default()
    }
}
