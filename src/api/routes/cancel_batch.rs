//! `DELETE /batches/{id}`: cancels the jobs of a batch.

use crate::api::batch_body::BatchBody;
#[cfg(test)]
use crate::api::openapi::{BATCH, DATABASE, JSON, Operation, Schemas, answer};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::image::BatchId;

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: BatchId) -> Result<Response, Problem> {
    let catalog = &exchange.library.catalog;
    let now = exchange.services.runtime.now();
    let cancelled = catalog.cancel_batch(id, &exchange.caller.owner_filter(), now).await?;
    let progress = cancelled.ok_or_else(|| Problem::plain(Code::BatchNotFound))?;
    Ok(Response::json(200, &BatchBody::new(id, progress)))
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Cancels the jobs of a batch that have not ended; doing it twice is fine",
        answers: vec![(200, answer("The batch.", JSON, &schemas.answer::<BatchBody>()))],
        codes: [&BATCH[..], &DATABASE].concat(),
        ..Operation::default()
    }
}
