//! `/api/images`: list, describe, delete, sign.

use serde::Serialize;

use super::auth::{DEFAULT_SIGNED_URL_SECONDS, Gate, MAX_SIGNED_URL_SECONDS};
use super::representation::ImageBody;
use super::{Code, Exchange, Problem, Request, Response};
use crate::catalog::{Cursor, ImageRecord, ListError, ListFilter, OwnerFilter, PageSize, Status};
use crate::image::ImageId;
use crate::library::RemoveError;
use crate::store::StorageKind;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ImagePage"))]
#[serde(rename_all = "camelCase")]
pub(super) struct ListBody<'page> {
    images: Vec<ImageBody<'page>>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SignedUrl"))]
#[serde(rename_all = "camelCase")]
pub(super) struct SignedUrlBody {
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    url: String,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    expires_at: String,
}

struct ListQuery {
    filter: ListFilter,
    cursor: Option<Cursor>,
    size: PageSize,
}

impl Exchange<'_> {
    pub(super) async fn list_images(&self, request: &Request) -> Result<Response, Problem> {
        let query = parse_list_query(request)?;
        let page = self.library.catalog.list(&query.filter, query.cursor, query.size).await?;
        let body = ListBody {
            images: page.records.iter().map(|record| self.image_body(record, &request.origin)).collect(),
            next_cursor: page.next.map(|cursor| cursor.to_string()),
        };
        Ok(Response::json(200, &body))
    }

    pub(super) async fn describe_image(&self, request: &Request, id: ImageId) -> Result<Response, Problem> {
        let record = self.stored_record(id).await?;
        Ok(Response::json(200, &self.image_body(&record, &request.origin)))
    }

    pub(super) async fn delete_image(&self, id: ImageId) -> Result<Response, Problem> {
        match self.library.remove(id, &OwnerFilter::Any).await {
            Ok(()) => Ok(Response::empty(204)),
            Err(RemoveError::NotFound) => Err(Problem::plain(Code::ImageNotFound)),
            Err(RemoveError::Catalog(error)) => Err(error.into()),
            Err(RemoveError::Store(error)) => Err(unfinished_removal().because(&error)),
            Err(RemoveError::Cache(error)) => Err(unfinished_removal().because(&error)),
        }
    }

    pub(super) async fn sign_image_url(&self, mut request: Request, id: ImageId) -> Result<Response, Problem> {
        let fields = request.json_object().await?;
        let lifetime_seconds =
            fields.whole_number("expiresInSeconds", 1..=MAX_SIGNED_URL_SECONDS)?.unwrap_or(DEFAULT_SIGNED_URL_SECONDS);
        self.stored_record(id).await?;
        let (query, expires_at) = Gate::new(&self.app.config).sign(id, self.app.runtime.now(), lifetime_seconds);
        let url = format!("{}/images/{id}?{query}", request.origin);
        Ok(Response::json(200, &SignedUrlBody { url, expires_at: expires_at.to_iso8601() }))
    }

    async fn stored_record(&self, id: ImageId) -> Result<ImageRecord, Problem> {
        match self.library.catalog.find(id, &OwnerFilter::Any).await? {
            Some(record) if record.status == Status::Stored => Ok(record),
            Some(record) if record.status == Status::Pending => Err(Problem::plain(Code::ImageNotFound)),
            Some(_) => Err(Problem::plain(Code::ImageDeleted)),
            None => Err(Problem::plain(Code::ImageNotFound)),
        }
    }
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

fn unfinished_removal() -> Problem {
    Problem::new(
        Code::StorageUnavailable,
        "the image is marked as deleted; what is left of it will be removed when storage answers again",
    )
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
