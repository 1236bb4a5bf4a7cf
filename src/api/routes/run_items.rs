//! `GET /api/migrate-images/runs/{id}/items`: what a run did to each item, as long as its receipt is not written; the receipt has it
//! afterwards.

use serde::Serialize;
#[cfg(test)]
use serde_json::json;
use serde_json::value::RawValue;

#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, RUN, Schemas, answer, query};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::migrate::RunId;

/// Slices in a page of items: 100 items of 300 bytes each are 30 KB.
const SLICES_PER_PAGE: u16 = 10;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ItemPage"))]
#[serde(rename_all = "camelCase")]
struct Answer {
    #[cfg_attr(test, schemars(with = "Vec<crate::migrate::line::Line>"))]
    items: Vec<Box<RawValue>>,
    /// Pass as `cursor` for the next page; absent on the last one so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: RunId) -> Result<Response, Problem> {
    let mut after = -1;
    for (name, value) in request.query_pairs()? {
        if name != "cursor" {
            return Err(Problem::field(name, "is not a parameter; the only one is cursor"));
        }
        after = value.parse().map_err(|_| Problem::field("cursor", "must be a nextCursor of an earlier page"))?;
    }
    exchange.run(&id).await?;
    let slices = exchange.engine()?.lines(&id, after, SLICES_PER_PAGE).await?;
    let next_cursor = slices.last().filter(|_| slices.len() == usize::from(SLICES_PER_PAGE));
    let next_cursor = next_cursor.map(|slice| slice.slice.to_string());
    let lines = slices.iter().flat_map(|slice| slice.lines.lines());
    let items = lines.map(serde_json::from_str).collect::<Result<_, _>>();
    let items = items.map_err(|error| Problem::plain(Code::InternalError).because(&error))?;
    Ok(Response::json(200, &Answer { items, next_cursor }))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let cursor = json!({ "type": "string", "minLength": 1 });
    Operation {
        summary: "What a run did to each item, until its receipt is there",
        answers: vec![(200, answer("A page of items.", JSON, &schemas.answer::<Answer>()))],
        codes: [&[Code::InvalidField][..], &RUN, &DATABASE].concat(),
        parameters: vec![query("cursor", &cursor, "`nextCursor` of the page before.")],
        ..Operation::default()
    }
}
