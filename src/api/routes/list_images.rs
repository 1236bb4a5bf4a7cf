//! `GET /api/images`: a page of images.

use serde::Serialize;
#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, JSON, Operation, Schemas, answer, component, query};
use crate::api::representation::ImageBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::{Cursor, ListError, ListFilter, PageSize, Status};
use crate::store::StorageKind;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ImagePage"))]
#[serde(rename_all = "camelCase")]
struct Answer<'page> {
    images: Vec<ImageBody<'page>>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

struct ListQuery {
    filter: ListFilter,
    cursor: Option<Cursor>,
    size: PageSize,
}

pub async fn handle(exchange: &Exchange<'_>, request: Request) -> Result<Response, Problem> {
    let mut query = parse_list_query(&request)?;
    query.filter.owner = exchange.caller.owner_filter();
    let page = exchange.library.catalog.list(&query.filter, query.cursor, query.size).await?;
    let body = Answer {
        images: page.records.iter().map(|record| ImageBody::new(exchange, record, &request.origin)).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    };
    Ok(Response::json(200, &body))
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        match error {
            ListError::Catalog(error) => error.into(),
            ListError::Cursor(_) => no_such_cursor(),
        }
    }
}

fn no_such_cursor() -> Problem {
    Problem::field("cursor", "must be a nextCursor of an earlier page")
}

fn parse_list_query(request: &Request) -> Result<ListQuery, Problem> {
    let mut query = ListQuery { filter: ListFilter::default(), cursor: None, size: PageSize::default() };
    for (name, value) in request.query_pairs()? {
        match name.as_str() {
            "personaId" => query.filter.persona_id = Some(value),
            "sessionId" => query.filter.session_id = Some(value),
            "status" => {
                query.filter.status = [Status::Pending, Status::Stored, Status::Deleting, Status::Deleted]
                    .into_iter()
                    .find(|status| status.as_str() == value)
                    .ok_or_else(|| Problem::field("status", "must be pending, stored, deleting or deleted"))?;
            }
            "storage" => {
                let storage = [StorageKind::R2, StorageKind::D1].into_iter().find(|kind| kind.as_str() == value);
                query.filter.storage = Some(storage.ok_or_else(|| Problem::field("storage", "must be r2 or d1"))?);
            }
            "limit" => {
                let size = value.parse::<u64>().ok().and_then(|limit| PageSize::try_from(limit).ok());
                query.size = size.ok_or_else(|| Problem::field("limit", "must be a whole number from 1 to 100"))?;
            }
            "cursor" => {
                query.cursor = Some(value.parse().map_err(|_| no_such_cursor())?);
            }
            _ => {
                return Err(Problem::field(
                    name,
                    "is not a filter; the filters are personaId, sessionId, status, storage, limit and cursor",
                ));
            }
        }
    }
    Ok(query)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": PageSize::MAX.get() });
    Operation {
        summary: "Lists images",
        parameters: vec![
            query("personaId", &json!({ "type": "string" }), "Images of this persona only."),
            query("sessionId", &json!({ "type": "string" }), "Images of this session only."),
            query("status", &component("Status"), "`stored` when absent."),
            query("storage", &component("StorageKind"), "Images in this home only."),
            query("limit", &limit, "Images in a page; 50 when absent."),
            query("cursor", &json!({ "type": "string", "minLength": 1 }), "`nextCursor` of the page before."),
        ],
        answers: vec![(200, answer("A page, newest first.", JSON, &schemas.answer::<Answer>()))],
        codes: [&[Code::InvalidField][..], &DATABASE].concat(),
        ..Operation::default()
    }
}
