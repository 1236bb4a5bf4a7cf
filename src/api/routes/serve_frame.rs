//! `GET /sessions/{id}/frames/{number}`: the bytes of a frame.

use super::serve_image;
#[cfg(test)]
use crate::api::openapi::{Operation, Schemas};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::ServableImage;
use crate::image::FrameId;

pub async fn handle(exchange: &Exchange<'_>, request: Request, id: FrameId) -> Result<Response, Problem> {
    let owner = exchange.caller.owner_filter();
    let found = exchange.library.catalog.find_frame(&id, &owner).await?;
    let image = found.as_ref().and_then(ServableImage::of_record);
    let image = image.ok_or_else(|| Problem::plain(Code::FrameNotFound))?;
    serve_image::serve(exchange, &request, image, None).await
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let served = serve_image::operation(schemas);
    let codes = served.codes.into_iter().filter(|code| {
        !matches!(code, Code::ImageNotFound | Code::Busy | Code::SignatureInvalid | Code::SignatureExpired)
    });
    Operation {
        summary: "The bytes of a frame",
        parameters: served.parameters.into_iter().filter(|parameter| parameter["in"] == "header").collect(),
        codes: codes.chain([Code::FrameNotFound, Code::SessionNotFound]).collect(),
        ..served
    }
}
