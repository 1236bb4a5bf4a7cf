//! `DELETE /api/images/{id}`.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, Schemas};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::image::ImageId;
use crate::library::RemoveError;

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: ImageId) -> Result<Response, Problem> {
    match exchange.library.remove(id, &exchange.caller.owner_filter()).await {
        Ok(()) => Ok(Response::empty(204)),
        Err(RemoveError::NotFound) => Err(Problem::plain(Code::ImageNotFound)),
        Err(RemoveError::Catalog(error)) => Err(error.into()),
        Err(RemoveError::Store(error)) => Err(unfinished_removal().because(&error)),
        Err(RemoveError::Cache(error)) => Err(unfinished_removal().because(&error)),
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
        answers: vec![(204, json!({ "description": "The image cannot be read any more." }))],
        codes: [&[Code::ImageNotFound, Code::StorageUnavailable][..], &DATABASE].concat(),
        ..Operation::default()
    }
}
