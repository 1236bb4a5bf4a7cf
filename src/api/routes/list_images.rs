//! `GET /api/images`: a page of images, or the one with a key.

use serde::Serialize;
#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{DATABASE, IMAGE, JSON, Operation, Schemas, answer, component, query};
use crate::api::page::page_size;
use crate::api::representation::ImageBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::{ListError, ListFilter, PageCursor, PageSize, Status};
use crate::image::ObjectKey;
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

/// What the query asks for.
enum Asked {
    Page(ListQuery),
    /// `key`, which stands alone.
    Image(ObjectKey),
}

struct ListQuery {
    filter: ListFilter,
    cursor: Option<PageCursor>,
    size: PageSize,
}

pub async fn handle(exchange: &Exchange<'_>, request: Request) -> Result<Response, Problem> {
    let mut query = match parse_query(&request)? {
        Asked::Page(query) => query,
        Asked::Image(key) => {
            let record = exchange.stored_image_with(&key).await?;
            return Ok(Response::json(200, &ImageBody::new(exchange, &record, &request.origin)));
        }
    };
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

/// The key in `text`.
pub(super) fn object_key(text: String) -> Result<ObjectKey, Problem> {
    ObjectKey::try_from(text).map_err(|rule| Problem::field("key", format!("is no key: {rule}")))
}

fn parse_query(request: &Request) -> Result<Asked, Problem> {
    let pairs = request.query_pairs()?;
    if !pairs.iter().any(|(name, _)| name == "key") {
        return parse_list_query(pairs).map(Asked::Page);
    }
    let mut asked = None;
    for (name, value) in pairs {
        if name != "key" {
            return Err(Problem::field(name, "cannot be combined with key"));
        }
        asked = Some(object_key(value)?);
    }
    asked.map(Asked::Image).ok_or_else(|| Problem::field("key", "is required"))
}

fn parse_list_query(pairs: Vec<(String, String)>) -> Result<ListQuery, Problem> {
    let mut query = ListQuery { filter: ListFilter::default(), cursor: None, size: PageSize::default() };
    for (name, value) in pairs {
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
            "limit" => query.size = page_size(&value)?,
            "cursor" => {
                query.cursor = Some(value.parse().map_err(|_| no_such_cursor())?);
            }
            _ => {
                return Err(Problem::field(
                    name,
                    "is not a filter; the filters are personaId, sessionId, status, storage, limit and cursor, or key alone",
                ));
            }
        }
    }
    Ok(query)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": PageSize::MAX.get() });
    let either = json!({ "oneOf": [schemas.answer::<Answer>(), schemas.answer::<ImageBody>()] });
    Operation {
        summary: "Lists images, or describes the one with a key",
        parameters: vec![
            query("personaId", &json!({ "type": "string" }), "Images of this persona only."),
            query("sessionId", &json!({ "type": "string" }), "Images of this session only."),
            query("status", &component("Status"), "`stored` when absent."),
            query("storage", &component("StorageKind"), "Images in this home only."),
            query("limit", &limit, "Images in a page; 50 when absent."),
            query("key", &component("ObjectKey"), "Describes the image with this key; without any other parameter."),
            query("cursor", &json!({ "type": "string", "minLength": 1 }), "`nextCursor` of the page before."),
        ],
        answers: vec![(200, answer("A page, newest first, or the image with the key.", JSON, &either))],
        codes: [&[Code::InvalidField][..], &IMAGE, &DATABASE].concat(),
        ..Operation::default()
    }
}
