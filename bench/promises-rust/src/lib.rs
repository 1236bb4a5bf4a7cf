//! What `promises` does to serve an image from R2, in Rust, by the `worker` crate and its examples: what the language and its glue cost by
//! themselves. No checks, no policy, no fallback.

use std::time::{Duration, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;
use worker::{Context, Date, Env, Error, Headers, Range, Request, Response, Result, console_log, event};

const SQL: &str = "SELECT id, status, storage, storage_key, content_type, size_bytes, sha256, visibility, filename, created_at_ms, version \
    FROM stillstore_images WHERE id = ?1";

#[derive(Deserialize)]
struct Row {
    storage_key: String,
    content_type: String,
    sha256: String,
    created_at_ms: u64,
}

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let started_ms = Date::now().as_millis();
    let response = answer(&request, &env).await?;
    log(json!({
        "event": "request",
        "method": request.method().to_string(),
        "route": "serve-image",
        "status": response.status_code(),
        "outcome": "ok",
        "duration_ms": Date::now().as_millis() - started_ms,
    }));
    Ok(response)
}

fn log(mut fields: Value) {
    fields["request_id"] = Uuid::new_v4().to_string().into();
    console_log!("{fields}");
}

async fn answer(request: &Request, env: &Env) -> Result<Response> {
    let path = request.path();
    let Some(id) = path.strip_prefix("/images/") else { return Response::ok("ok") };
    let row: Option<Row> = env.d1("DB")?.prepare(SQL).bind(&[id.into()])?.first(None).await?;
    let row = row.ok_or_else(|| Error::from("no such image"))?;
    let etag = format!("\"{}\"", row.sha256);
    let headers = Headers::new();
    headers.set("etag", &etag)?;
    headers.set("last-modified", &httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(row.created_at_ms)))?;
    headers.set("cache-control", "public, max-age=31536000, immutable")?;
    headers.set("x-request-id", &Uuid::new_v4().to_string())?;
    headers.set("x-content-type-options", "nosniff")?;
    headers.set("access-control-allow-origin", "*")?;
    if request.headers().get("if-none-match")?.as_deref() == Some(etag.as_str()) {
        return Ok(Response::empty()?.with_status(304).with_headers(headers));
    }
    headers.set("content-type", &row.content_type)?;
    headers.set("accept-ranges", "bytes")?;
    headers.set("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox")?;
    headers.set("cross-origin-resource-policy", "cross-origin")?;
    headers.set("cache-tag", id)?;

    let started_ms = Date::now().as_millis();
    let bucket = env.bucket("R2_IMAGES")?;
    let mut reading = bucket.get(&row.storage_key);
    let range = request.headers().get("range")?.as_deref().and_then(parse_range);
    if let Some((from, to)) = range {
        reading = reading.range(Range::OffsetWithLength { offset: from, length: to - from + 1 });
    }
    let object = reading.execute().await?.ok_or_else(|| Error::from("no such object"))?;
    log(json!({
        "event": "storage",
        "operation": "get",
        "backend": "r2",
        "bucket": "R2_IMAGES",
        "key": row.storage_key,
        "bytes": object.size(),
        "duration_ms": Date::now().as_millis() - started_ms,
        "outcome": "ok",
    }));
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
