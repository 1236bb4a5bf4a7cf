//! `GET /api/images`: a page of images, or the one with a key.

use std::collections::BTreeMap;

use serde::Serialize;
#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use super::upload_image::labels_parameter;
#[cfg(test)]
use crate::api::Code;
use crate::api::field::{FromText, parameter};
#[cfg(test)]
use crate::api::openapi::{DATABASE, IMAGE, JSON, Operation, Schemas, answer, component, query};
use crate::api::page::page_size;
use crate::api::representation::ImageBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::catalog::{ListError, ListFilter, OwnerFilter, PageCursor, PageSize, Status};
use crate::image::{Context, Labels, ObjectKey, UserId};
use crate::runtime::Timestamp;
use crate::store::StorageKind;

/// Longest text that is looked for, in bytes.
const MAX_SEARCH_BYTES: usize = 100;
/// Prefix of parameters that name a label.
const LABEL_PREFIX: &str = "meta.";

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
    Page(Box<ListQuery>),
    /// `key`, which stands alone.
    Image(ObjectKey),
}

struct ListQuery {
    filter: ListFilter,
    /// Whose images the operator wants.
    owner: Option<UserId>,
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
    query.filter.owner = owner_filter(exchange, query.owner.take())?;
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

/// Whose images are listed: a user's own, the operator's choice otherwise.
fn owner_filter(exchange: &Exchange<'_>, asked: Option<UserId>) -> Result<OwnerFilter, Problem> {
    match (exchange.caller.owner_filter(), asked) {
        (OwnerFilter::Any, Some(owner)) => Ok(OwnerFilter::Only(owner)),
        (OwnerFilter::Only(user), Some(owner)) if user != owner => {
            Err(Problem::field("ownerId", "is for the operator; a user's listing has the user's own images"))
        }
        (own, _) => Ok(own),
    }
}

fn moment(name: &'static str, text: &str) -> Result<Timestamp, Problem> {
    let rule = "must be a day such as 2026-11-21, or a moment in UTC such as 2026-11-21T09:30:00Z";
    Timestamp::from_iso8601(text).ok_or_else(|| Problem::field(name, rule))
}

/// What a file name or a label is to contain.
struct SearchText(String);

impl FromText for SearchText {
    fn from_text(text: String) -> Result<Self, String> {
        if text.trim().is_empty() || text.len() > MAX_SEARCH_BYTES || text.chars().any(char::is_control) {
            return Err(format!("must be 1 to {MAX_SEARCH_BYTES} bytes, not blank, without control characters"));
        }
        Ok(Self(text))
    }
}

fn parse_query(request: &Request) -> Result<Asked, Problem> {
    let pairs = request.query_pairs()?;
    if !pairs.iter().any(|(name, _)| name == "key") {
        return parse_list_query(pairs).map(|query| Asked::Page(Box::new(query)));
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
    let mut query = ListQuery { filter: ListFilter::default(), owner: None, cursor: None, size: PageSize::default() };
    let mut labels = BTreeMap::new();
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
            "context" => {
                let context = Context::try_from(value).map_err(|rule| Problem::field("context", rule.to_string()))?;
                query.filter.looked_for.context = Some(context);
            }
            "ownerId" => {
                let owner = UserId::try_from(value).map_err(|rule| Problem::field("ownerId", rule.to_string()))?;
                query.owner = Some(owner);
            }
            "createdFrom" => query.filter.created_from = Some(moment("createdFrom", &value)?),
            "createdTo" => query.filter.created_to = Some(moment("createdTo", &value)?),
            "search" => query.filter.looked_for.text = Some(parameter("search", value).map(|SearchText(text)| text)?),
            "limit" => query.size = page_size(&value)?,
            "cursor" => {
                query.cursor = Some(value.parse().map_err(|_| no_such_cursor())?);
            }
            _ => match name.strip_prefix(LABEL_PREFIX) {
                Some(label) => {
                    labels.insert(label.to_owned(), value);
                }
                None => {
                    return Err(Problem::field(
                        name,
                        "is not a filter; the filters are context, personaId, sessionId, ownerId, storage, createdFrom, createdTo, search, \
                         meta.<name>, status, limit and cursor, or key alone",
                    ));
                }
            },
        }
    }
    query.filter.looked_for.labels =
        Labels::try_new(labels).map_err(|rule| Problem::field("meta", rule.to_string()))?;
    Ok(query)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": PageSize::MAX.get() });
    let moment = json!({ "type": "string", "examples": ["2026-11-21", "2026-11-21T09:30:00Z"] });
    let search = json!({ "type": "string", "minLength": 1, "maxLength": MAX_SEARCH_BYTES });
    let either = json!({ "oneOf": [schemas.answer::<Answer>(), schemas.answer::<ImageBody>()] });
    Operation {
        summary: "Lists images, or describes the one with a key",
        parameters: vec![
            query("personaId", &json!({ "type": "string" }), "Images of this persona only."),
            query("sessionId", &json!({ "type": "string" }), "Images of this session only."),
            query("context", &json!({ "type": "string" }), "Images of this context only."),
            query("ownerId", &json!({ "type": "string" }), "This user's images only; for the operator."),
            query("createdFrom", &moment, "Images created then or later: a day or a moment in UTC."),
            query("createdTo", &moment, "Images created before: a day or a moment in UTC."),
            query(
                "search",
                &search,
                "Images with this text in the file name or the value of a label; a-z in either case.",
            ),
            labels_parameter("Images with these labels only, each a parameter `meta.<name>`."),
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
