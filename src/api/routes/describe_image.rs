//! `GET /api/images/{id}`: an image's record.

#[cfg(test)]
use crate::api::openapi::{DATABASE, IMAGE, JSON, Operation, Schemas, answer};
use crate::api::representation::ImageBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::image::ImageId;

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: ImageId) -> Result<Response, Problem> {
    let record = exchange.stored_image(id).await?;
    Ok(Response::json(200, &ImageBody::new(exchange, &record, &request.origin)))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "An image's record",
        answers: vec![(200, answer("The record.", JSON, &schemas.answer::<ImageBody>()))],
        codes: [&IMAGE[..], &DATABASE].concat(),
        ..Operation::default()
    }
}
