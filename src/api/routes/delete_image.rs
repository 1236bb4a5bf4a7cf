//! `DELETE /api/images/{id}`.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, Schemas, query};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::{MovedImages, SourceItem};
use crate::image::ImageId;
use crate::library::{PurgeState, RemoveError};
use crate::migrate::Sources;

/// Says `pending` while the cache in front may still answer for the image.
const CACHE_PURGE: &str = "Cache-Purge";

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: ImageId) -> Result<Response, Problem> {
    let is_forced = is_forced(request.query_pairs()?)?;
    delete(exchange, id, is_forced).await
}

/// Deletes an image. One that an application's row still shows goes only when that is forced.
pub(super) async fn delete(exchange: &Exchange<'_>, id: ImageId, is_forced: bool) -> Result<Response, Problem> {
    let purge = match remove(exchange, id, MovedImages::Stay).await {
        Err(RemoveError::Moved(item)) => {
            let sources = exchange.services.sources();
            if !is_forced {
                require_unshown(&sources, &item, id).await?;
            }
            sources.forget_move(&item, id).await?;
            remove(exchange, id, MovedImages::Go).await
        }
        removed => removed,
    }
    .map_err(removal_problem)?;
    let mut response = Response::empty(204);
    if purge == PurgeState::Pending {
        response.set_header(CACHE_PURGE, "pending");
    }
    Ok(response)
}

async fn remove(exchange: &Exchange<'_>, id: ImageId, moved: MovedImages) -> Result<PurgeState, RemoveError> {
    exchange.library.remove(id, &exchange.caller.owner_filter(), moved).await
}

/// The image would be missing in the application.
async fn require_unshown(sources: &Sources, item: &SourceItem, id: ImageId) -> Result<(), Problem> {
    let SourceItem { source, item: row } = item;
    let detail = match sources.shows(item, id).await? {
        Ok(false) => return Ok(()),
        Ok(true) => format!("the row {row} of the source {source} names the image"),
        Err(error) => format!("nobody can tell whether the row {row} of the source {source} names the image: {error}"),
    };
    Err(Problem::new(Code::ImageInUse, detail))
}

/// What the query says of `force`, which is all that it may say.
pub(super) fn is_forced(query: Vec<(String, String)>) -> Result<bool, Problem> {
    let mut is_forced = false;
    for (name, value) in query {
        is_forced = match (name.as_str(), value.as_str()) {
            ("force", "true") => true,
            ("force", "false") => false,
            ("force", _) => return Err(Problem::field("force", "must be true or false")),
            _ => return Err(Problem::field(name, "is not a parameter; the parameter is force")),
        };
    }
    Ok(is_forced)
}

fn removal_problem(error: RemoveError) -> Problem {
    match error {
        RemoveError::NotFound => Problem::plain(Code::ImageNotFound),
        RemoveError::Catalog(error) => error.into(),
        RemoveError::Store(error) => unfinished_removal().because(&error),
        RemoveError::Moved(SourceItem { source, item }) => {
            Problem::new(Code::ImageInUse, format!("the row {item} of the source {source} was moved meanwhile"))
        }
    }
}

fn unfinished_removal() -> Problem {
    Problem::new(
        Code::StorageUnavailable,
        "the image is marked as deleted; what is left of it will be removed when storage answers again",
    )
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    Operation {
        summary: "Deletes an image; doing it twice is fine",
        answers: vec![(204, deleted())],
        parameters: vec![force()],
        codes: codes(),
        ..Operation::default()
    }
}

#[cfg(test)]
pub(super) fn deleted() -> serde_json::Value {
    let headers = json!({ CACHE_PURGE: {
        "schema": { "const": "pending" },
        "description": "There while the cache in front may still answer for the image.",
    } });
    json!({ "description": "The image cannot be read any more.", "headers": headers })
}

#[cfg(test)]
pub(super) fn force() -> serde_json::Value {
    let text = "Deletes an image that was moved out of an application's table although its row still names it.";
    query("force", &json!({ "type": "boolean", "default": false }), text)
}

#[cfg(test)]
pub(super) fn codes() -> Vec<Code> {
    let own = [Code::InvalidField, Code::ImageNotFound, Code::ImageInUse, Code::StorageUnavailable];
    [&own[..], &DATABASE].concat()
}
