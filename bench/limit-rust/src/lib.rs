//! What `limit` does to serve an image from R2, in Rust, by the `worker` crate and its examples: what the language and its glue cost by
//! themselves. No checks, no policy, no log.

use serde::Deserialize;
use worker::{Context, Env, Error, Headers, Range, Request, Response, Result, event};

const SQL: &str =
    "SELECT storage, storage_key, content_type, sha256, embedded_write_id FROM stillstore_images WHERE id = ?1";

#[derive(Deserialize)]
struct Row {
    storage_key: String,
    content_type: String,
    sha256: String,
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let path = request.path();
    let Some(id) = path.strip_prefix("/images/") else { return Response::ok("ok") };
    let row: Option<Row> = env.d1("DB")?.prepare(SQL).bind(&[id.into()])?.first(None).await?;
    let row = row.ok_or_else(|| Error::from("no such image"))?;
    let etag = format!("\"{}\"", row.sha256);
    let headers = Headers::new();
    headers.set("etag", &etag)?;
    if request.headers().get("if-none-match")?.as_deref() == Some(etag.as_str()) {
        return Ok(Response::empty()?.with_status(304).with_headers(headers));
    }
    headers.set("content-type", &row.content_type)?;

    let bucket = env.bucket("R2_IMAGES")?;
    let mut reading = bucket.get(row.storage_key);
    let range = request.headers().get("range")?.as_deref().and_then(parse_range);
    if let Some((from, to)) = range {
        reading = reading.range(Range::OffsetWithLength { offset: from, length: to - from + 1 });
    }
    let object = reading.execute().await?.ok_or_else(|| Error::from("no such object"))?;
    let mut status = 200;
    if let Some((from, to)) = range {
        headers.set("content-range", &format!("bytes {from}-{to}/{}", object.size()))?;
        status = 206;
    }
    let body = object.body().ok_or_else(|| Error::from("no body"))?.response_body()?;
    Ok(Response::from_body(body)?.with_status(status).with_headers(headers))
}

/// `bytes=from-to`, which is all that is asked for.
fn parse_range(header: &str) -> Option<(u64, u64)> {
    let (from, to) = header.strip_prefix("bytes=")?.split_once('-')?;
    Some((from.parse().ok()?, to.parse().ok()?))
}
