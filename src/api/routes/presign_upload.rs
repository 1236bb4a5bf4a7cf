//! `POST /uploads/presign`: where and how to send an asset of a shoot.

use std::collections::BTreeMap;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::api::field::{Filename, ImageType, Parsed, Whole};
#[cfg(test)]
use crate::api::openapi::{ADDITION, BODY, DATABASE, JSON, Operation, SHOOT, Schemas, answer, json_body};
use crate::api::upload_token::UploadToken;
use crate::api::{Code, Exchange, Method, Problem, Request, Response};
use crate::catalog::Upload;
use crate::image::{ImageId, ObjectKey, Sha256Digest, ShootId, Visibility};
use crate::upload::{GRANT_LIFETIME_MS, GrantError, NewUpload, grant, limit_bytes, put_request};

/// The largest `file_size` that has a meaning; the limit is `UPLOAD_MAX_BYTES`.
const MOST_BYTES: u64 = 5 * 1000 * 1000 * 1000;

/// A signed header that every client sends by itself: browsers ignore one that is given, and Node's `fetch` fails.
const SENT_ANYWAY: &str = "content-length";

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PresignRequest"))]
struct Input {
    shoot_id: Parsed<ShootId>,
    filename: Parsed<Filename>,
    content_type: Parsed<ImageType>,
    #[cfg_attr(test, schemars(with = "Option<u64>", range(min = 1, max = MOST_BYTES)))]
    file_size: Option<Whole<1, MOST_BYTES>>,
    sha256: Option<Parsed<Sha256Digest>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "PresignedUpload"))]
struct Answer<'upload> {
    asset_id: ImageId,
    object_key: &'upload ObjectKey,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    expires_at: String,
    upload: PutBody<'upload>,
    /// Where to post a form with `fields`, and then the file as `file`.
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    url: String,
    fields: BTreeMap<&'static str, String>,
}

/// A request that sends the bytes; it must have each of the headers.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PutBody<'upload> {
    method: &'static str,
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    pub url: String,
    pub headers: BTreeMap<&'upload str, String>,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let input: Input = request.json_object().await?.read()?;
    let limit_bytes = limit_bytes(exchange.library, exchange.services.config.uploads.max_bytes);
    let size_bytes = input.file_size.map(Whole::get);
    if size_bytes.is_some_and(|size_bytes| size_bytes > limit_bytes) {
        let detail = format!("an upload may have at most {limit_bytes} bytes here");
        return Err(Problem { field: Some("file_size".into()), ..Problem::new(Code::BodyTooLarge, detail) });
    }
    let Parsed(ImageType(format)) = input.content_type;
    let Parsed(Filename(filename)) = input.filename;
    let new = NewUpload {
        shoot_id: input.shoot_id.0,
        owner_id: exchange.caller.principal.owner().cloned(),
        filename,
        format,
        size_bytes,
        sha256: input.sha256.map(|Parsed(sha256)| sha256),
        limit_bytes,
    };
    let upload = grant(exchange.library, new).await.map_err(grant_problem)?;
    let url = format!("{}/uploads/{}", request.origin, upload.asset_id);
    let fields = UploadToken::issue(&exchange.gate, Method::Post, &upload).ok_or_else(nothing_signs)?;
    let answer = Answer {
        asset_id: upload.asset_id,
        object_key: &upload.key,
        expires_at: upload.expires_at.to_iso8601(),
        upload: put_body(exchange, &upload, &url)?,
        fields: fields.into_iter().collect(),
        url,
    };
    Ok(Response::json(200, &answer))
}

/// To the bucket where its S3 endpoint is configured and takes private images, else by way of the Worker.
pub fn put_body<'upload>(
    exchange: &Exchange<'_>,
    upload: &'upload Upload,
    url: &str,
) -> Result<PutBody<'upload>, Problem> {
    let takes_puts = exchange.library.stores.prefers_r2(Visibility::Private);
    let services = exchange.services;
    if let Some(bucket) = services.config.uploads.bucket.as_ref().filter(|_| takes_puts) {
        let request = put_request(upload);
        let url = bucket.presign(&request, upload.created_at, GRANT_LIFETIME_MS.unsigned_abs() / 1000);
        let headers = request.into_headers().into_iter().filter(|(name, _)| *name != SENT_ANYWAY);
        return Ok(PutBody { method: "PUT", url, headers: headers.collect() });
    }
    let pairs = UploadToken::issue(&exchange.gate, Method::Put, upload).ok_or_else(nothing_signs)?;
    let query: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))).collect();
    let headers = BTreeMap::from([("content-type", upload.format.content_type().to_owned())]);
    Ok(PutBody { method: "PUT", url: format!("{url}?{}", query.join("&")), headers })
}

/// The problem of an upload that was not granted.
pub fn grant_problem(error: GrantError) -> Problem {
    match error {
        GrantError::Catalog(error) => error.into(),
        GrantError::NoShoot => Problem::plain(Code::ShootNotFound),
        GrantError::Limit(limit) => limit.into(),
        GrantError::NoParts => Problem::plain(Code::MultipartUnavailable),
        GrantError::Store(error) => Problem::plain(Code::StorageUnavailable).because(&error),
    }
}

/// The problem of a deployment without a secret.
pub fn nothing_signs() -> Problem {
    Problem::new(Code::TokenNotConfigured, "neither SIGNING_KEY nor API_TOKEN is set, so no URL can be signed")
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    Operation {
        summary: "Where and how to send an asset of a shoot",
        answers: vec![(200, answer("Two ways to send the bytes.", JSON, &schemas.answer::<Answer>()))],
        codes: [&BODY[..], &SHOOT, &[Code::TokenNotConfigured], &ADDITION, &DATABASE].concat(),
        body: Some(json_body(&schemas.request::<Input>())),
        ..Operation::default()
    }
}
