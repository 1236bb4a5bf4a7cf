//! `GET /batches/{id}`: how far a batch is.

use crate::api::batch_body::BatchBody;
#[cfg(test)]
use crate::api::openapi::{BATCH, DATABASE, JSON, Operation, Schemas, answer};
use crate::api::{Exchange, Problem, Request, Response};
use crate::image::BatchId;

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: BatchId) -> Result<Response, Problem> {
    Ok(Response::json(200, &BatchBody::new(id, exchange.batch(id).await?)))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "How many jobs of a batch are in each state",
        answers: vec![(200, answer("The batch.", JSON, &schemas.answer::<BatchBody>()))],
        codes: [&BATCH[..], &DATABASE].concat(),
        ..Operation::default()
    }
}
