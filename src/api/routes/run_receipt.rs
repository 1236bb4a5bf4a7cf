//! `GET /api/migrate-images/runs/{id}/receipt`: the receipt of a run that has ended.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, RUN, Schemas, answer, headers};
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::migrate::RunId;
use crate::store::StorageKind;

const MEDIA_TYPE: &str = "application/x-ndjson";

pub async fn handle(exchange: &Exchange<'_>, _request: Request, id: RunId) -> Result<Response, Problem> {
    let run = exchange.run(&id).await?;
    let receipt = run.receipt.ok_or_else(|| Problem::plain(Code::ReceiptNotReady).about_run(&id))?;
    let store =
        exchange.library.stores.of_several(StorageKind::R2).ok_or_else(|| Problem::plain(Code::BucketNotBound))?;
    let object = store.get(&receipt.key, None).await;
    let object = object.map_err(|error| Problem::plain(Code::StorageUnavailable).because(&error))?;
    let object = object.ok_or_else(|| Problem::plain(Code::BytesMissing).about_run(&id))?;
    let mut response = Response::empty(200);
    response.set_header("Content-Type", MEDIA_TYPE);
    response.set_header("Content-Length", receipt.bytes.to_string());
    response.set_header("Cache-Control", "private, no-store");
    response.set_header("ETag", format!("\"{}\"", receipt.sha256));
    response.body = Some(object.body);
    Ok(response)
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    let mut receipt = answer("The receipt.", MEDIA_TYPE, &json!({ "type": "string" }));
    receipt["headers"] = headers(&["ETag"]);
    Operation {
        summary: "A run's receipt: a header, and a line for each item",
        answers: vec![(200, receipt)],
        codes: [&[Code::ReceiptNotReady, Code::BytesMissing, Code::StorageUnavailable][..], &RUN, &DATABASE].concat(),
        ..Operation::default()
    }
}
