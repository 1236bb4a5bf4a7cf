//! What the bench's contender `limit` does for an image in R2, over the product's own adapters: one row, one object, no checks; and for one
//! embedded in a single chunk what `promises` does, one row with its bytes. It says what a Worker in Rust can reach.

use serde::Deserialize;

use super::super::environment::Environment;
use super::case::text;
use crate::api::Response;
use crate::image::ObjectKey;
use crate::platform::messages::IncomingRequest;
use crate::sql::{Database, QueryResult, Statement};
use crate::store::{ByteRange, ImageStore};

// An image in R2 has no write, and so no bytes here.
const SELECT: &str = "SELECT storage_key, content_type, sha256, \
    (SELECT data FROM stillstore_chunks WHERE write_id = embedded_write_id AND chunk_index = 0) AS data \
    FROM stillstore_images WHERE id = ?1";

#[derive(Deserialize)]
struct Row {
    storage_key: ObjectKey,
    content_type: String,
    sha256: String,
}

pub async fn answer(request: &IncomingRequest, id: &str, environment: &Environment) -> Response {
    serve(request, id, environment).await.unwrap_or_else(|(status, reason)| text(status, reason))
}

/// Fails with a status and the reason.
async fn serve(request: &IncomingRequest, id: &str, environment: &Environment) -> Result<Response, (u16, String)> {
    let unbound = || (500, "a binding is missing".to_owned());
    let database = environment.database.as_ref().ok_or_else(unbound)?;
    let images = environment.images.as_ref().ok_or_else(unbound)?;
    let unknown = || (404, "no such image".to_owned());
    let statement = Statement::new(SELECT).bind(id.to_owned()).with_bytes_column("data");
    let mut answers = database.batch(vec![statement]).await.map_err(failed)?;
    let found = answers.first().map(QueryResult::first_parsed::<Row>).transpose().map_err(failed)?.flatten();
    let row = found.ok_or_else(unknown)?;
    let etag = format!("\"{}\"", row.sha256);
    if header(request, "if-none-match") == Some(&*etag) {
        return Ok(Response { status: 304, headers: vec![("etag", etag.into())], body: None, afterwards: None });
    }
    let mut headers = vec![("etag", etag.into()), ("content-type", row.content_type.into())];
    if let Some(bytes) = answers.first_mut().and_then(|answer| answer.bytes.pop().flatten()) {
        return Ok(Response { status: 200, headers, body: Some(bytes.into()), afterwards: None });
    }
    let range = header(request, "range").map(parse_range).transpose()?;
    let object = images.get(&row.storage_key, range).await.map_err(failed)?.ok_or_else(unknown)?;
    if let Some(ByteRange { offset_bytes: from, length_bytes }) = range {
        let content_range = format!("bytes {from}-{}/{}", from + length_bytes - 1, object.size_bytes);
        headers.push(("content-range", content_range.into()));
    }
    let status = if range.is_some() { 206 } else { 200 };
    Ok(Response { status, headers, body: Some(object.body), afterwards: None })
}

fn header<'request>(request: &'request IncomingRequest, wanted: &str) -> Option<&'request str> {
    request.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| &**value)
}

fn failed(error: impl std::fmt::Display) -> (u16, String) {
    (500, error.to_string())
}

/// `bytes=from-to`, the one form that the bench sends.
fn parse_range(header: &str) -> Result<ByteRange, (u16, String)> {
    let parsed = header.strip_prefix("bytes=").and_then(|range| range.split_once('-')).and_then(|(from, to)| {
        let (from, to): (u64, u64) = (from.parse().ok()?, to.parse().ok()?);
        Some(ByteRange { offset_bytes: from, length_bytes: to.checked_sub(from)?.checked_add(1)? })
    });
    parsed.ok_or_else(|| (400, format!("Range must be bytes=from-to, not {header}")))
}
