//! `DELETE /api/images?key=...`.

use super::delete_image;
use super::list_images::object_key;
#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::openapi::{Operation, Schemas, component, query};
use crate::api::{Exchange, Problem, Request, Response};

/// The key that names the image to delete.
const KEY: &str = "key";

pub async fn handle(exchange: &Exchange<'_>, request: Request) -> Result<Response, Problem> {
    let (keys, others): (Vec<_>, Vec<_>) = request.query_pairs()?.into_iter().partition(|(name, _)| name == KEY);
    let (_, key) = keys.into_iter().next_back().ok_or_else(|| Problem::field(KEY, "is required"))?;
    let is_forced = delete_image::is_forced(others)?;
    let record = exchange.stored_image_with(&object_key(key)?).await?;
    delete_image::delete(exchange, record.description.id, is_forced).await
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    let mut key = query(KEY, &component("ObjectKey"), "The image's key.");
    key["required"] = true.into();
    Operation {
        summary: "Deletes the image with a key, which names no image afterwards",
        answers: vec![(204, delete_image::deleted())],
        parameters: vec![key, delete_image::force()],
        codes: [&delete_image::codes()[..], &[Code::ImageDeleted]].concat(),
        ..Operation::default()
    }
}
