//! `POST /uploads/multipart`: begins an upload in parts, or answers with the URL of one of its requests.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
#[cfg(test)]
use serde_json::json;

use crate::api::field::{Filename, ImageType, Parsed, PartMethod, Whole};
#[cfg(test)]
use crate::api::openapi::{ADDITION, BODY, DATABASE, JSON, Operation, SHOOT, Schemas, answer, json_body};
use crate::api::part_token::PartToken;
use crate::api::routes::confirm_upload::closed_problem;
use crate::api::routes::presign_upload::{PutBody, grant_problem, nothing_signs, put_body};
use crate::api::{Code, Exchange, Method, Problem, Request, Response};
use crate::catalog::{Upload, UploadState};
use crate::config::MOST_MULTIPART_BYTES;
use crate::image::{ImageId, ObjectKey, Sha256Digest, ShootId, Visibility};
use crate::s3::ObjectRequest;
use crate::store::{LEAST_PART_BYTES, MultipartId, PartNumber};
use crate::upload::{GRANT_LIFETIME_MS, MOST_PART_BYTES, NewUpload, begin_parts};

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MultipartRequest"))]
struct Input {
    shoot_id: Parsed<ShootId>,
    filename: Parsed<Filename>,
    content_type: Parsed<ImageType>,
    #[cfg_attr(test, schemars(with = "u64", range(min = 1, max = MOST_MULTIPART_BYTES)))]
    file_size: Option<Whole<1, MOST_MULTIPART_BYTES>>,
    sha256: Option<Parsed<Sha256Digest>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "MultipartUpload"))]
struct Answer<'upload> {
    asset_id: ImageId,
    object_key: &'upload ObjectKey,
    upload_id: &'upload str,
    #[cfg_attr(test, schemars(extend("format" = "date-time")))]
    expires_at: String,
    /// Of every part but the last, all of which have the same size.
    min_part_size: u64,
    max_part_size: u64,
    max_parts: u16,
}

/// A request that is to be signed, in the words of `@uppy/aws-s3`'s `signRequest`. Fields of other names are ignored.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SignRequest"))]
#[serde(rename_all = "camelCase")]
struct ToSign {
    method: Parsed<PartMethod>,
    key: Parsed<ObjectKey>,
    /// Absent for a PUT of all bytes, and for the POST that asks for it.
    upload_id: Option<String>,
    #[cfg_attr(test, schemars(with = "Option<u16>", range(min = 1, max = 1000)))]
    part_number: Option<Whole<1, 1000>>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SignedRequest"))]
struct Signed<'upload> {
    #[cfg_attr(test, schemars(extend("format" = "uri")))]
    url: String,
    /// To be sent with it.
    headers: BTreeMap<&'upload str, String>,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let body = request.json_object().await?;
    if body.asks("method") {
        return sign(exchange, &request.origin, body.read()?).await;
    }
    let input: Input = body.read()?;
    let limit_bytes = exchange.services.config.uploads.multipart_max_bytes;
    let size_bytes = input.file_size.map(Whole::get).ok_or_else(|| Problem::field("file_size", "is required"))?;
    if size_bytes > limit_bytes {
        let detail = format!("an upload in parts may have at most {limit_bytes} bytes here");
        return Err(Problem { field: Some("file_size".into()), ..Problem::new(Code::BodyTooLarge, detail) });
    }
    let Parsed(ImageType(format)) = input.content_type;
    let Parsed(Filename(filename)) = input.filename;
    let new = NewUpload {
        shoot_id: input.shoot_id.0,
        owner_id: exchange.caller.principal.owner().cloned(),
        filename,
        format,
        size_bytes: Some(size_bytes),
        sha256: input.sha256.map(|Parsed(sha256)| sha256),
        limit_bytes,
    };
    let upload = begin_parts(exchange.library, new).await.map_err(grant_problem)?;
    let answer = Answer {
        asset_id: upload.asset_id,
        object_key: &upload.key,
        upload_id: upload.multipart_id.as_ref().map_or("", |id| id.as_str()),
        expires_at: upload.expires_at.to_iso8601(),
        min_part_size: LEAST_PART_BYTES,
        max_part_size: MOST_PART_BYTES,
        max_parts: PartNumber::MAX.get(),
    };
    Ok(Response::json(201, &answer))
}

/// The URL of one request about an upload. Bytes and lists of parts go to the bucket where its S3 endpoint is configured; what begins, ends or
/// gives up an upload goes to the Worker, whose row says what becomes of it.
async fn sign(exchange: &Exchange<'_>, origin: &str, to_sign: ToSign) -> Result<Response, Problem> {
    let Parsed(PartMethod(method)) = to_sign.method;
    let part_number: Option<PartNumber> =
        to_sign.part_number.and_then(Whole::small::<u32>).and_then(|number| number.try_into().ok());
    let found = exchange.library.catalog.find_upload_by_key(&to_sign.key.0, &exchange.caller.owner_filter()).await?;
    let upload = found.ok_or_else(|| Problem::plain(Code::UploadNotFound))?;
    let id = upload.multipart_id.as_ref().map(MultipartId::as_str);
    if to_sign.upload_id.as_deref().is_some_and(|asked| Some(asked) != id) {
        return Err(Problem::plain(Code::UploadNotFound));
    }
    if let UploadState::Closed(reason) = upload.state {
        return Err(closed_problem(reason));
    }
    match (method, &to_sign.upload_id, part_number) {
        (Method::Put, None, None) if id.is_none() => {
            let url = format!("{origin}/uploads/{}", upload.asset_id);
            let PutBody { url, headers, .. } = put_body(exchange, &upload, &url)?;
            return Ok(Response::json(200, &Signed { url, headers }));
        }
        (Method::Put, None, _) => return Err(Problem::field("uploadId", "is required: the upload is one in parts")),
        (Method::Put, Some(_), None) => return Err(Problem::field("partNumber", "is required for a part")),
        (Method::Post, None, None) if id.is_none() => {
            return Err(Problem::field("key", "is not that of an upload in parts"));
        }
        (Method::Get | Method::Delete, None, _) => return Err(Problem::field("uploadId", "is required")),
        (Method::Get | Method::Post | Method::Delete, _, Some(_)) => {
            return Err(Problem::field("partNumber", "is for a PUT only"));
        }
        _ => {}
    }
    let url = part_url(exchange, origin, method, &upload, to_sign.upload_id, part_number)?;
    Ok(Response::json(200, &Signed { url, headers: BTreeMap::new() }))
}

/// Lives for an hour, and no longer than the upload.
fn part_url(
    exchange: &Exchange<'_>,
    origin: &str,
    method: Method,
    upload: &Upload,
    upload_id: Option<String>,
    part_number: Option<PartNumber>,
) -> Result<String, Problem> {
    let now = exchange.services.runtime.now();
    let lifetime_ms = GRANT_LIFETIME_MS.min(upload.expires_at.as_millis() - now.as_millis());
    if lifetime_ms <= 0 {
        return Err(Problem::plain(Code::UploadExpired));
    }
    let takes_parts = exchange.library.stores.prefers_r2(Visibility::Private);
    let bucket = exchange.services.config.uploads.bucket.as_ref().filter(|_| takes_parts);
    let verb = match method {
        Method::Put => Some("PUT"),
        Method::Get => Some("GET"),
        _ => None,
    };
    if let (Some(bucket), Some(verb), Some(id)) = (bucket, verb, &upload_id) {
        let request = ObjectRequest::new(verb, upload.key.as_str()).with_query("uploadId", id);
        let request = match part_number {
            Some(number) => request.with_query("partNumber", number.to_string()),
            None => request,
        };
        return Ok(bucket.presign(&request, now, lifetime_ms.unsigned_abs() / 1000));
    }
    let token = PartToken { upload_id, part_number };
    let url = token.url(&exchange.gate, origin, method, upload, now.plus_millis(lifetime_ms));
    url.ok_or_else(nothing_signs)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let own = [
        Code::MultipartUnavailable,
        Code::StorageUnavailable,
        Code::UploadNotFound,
        Code::TokenNotConfigured,
        Code::UploadExpired,
    ];
    let body = json!({ "anyOf": [schemas.request::<Input>(), schemas.request::<ToSign>()] });
    Operation {
        summary: "Begins an upload in parts, or answers with the URL of one of its requests",
        answers: vec![
            (201, answer("The upload, which takes parts.", JSON, &schemas.answer::<Answer>())),
            (200, answer("Where to send the request.", JSON, &schemas.answer::<Signed>())),
        ],
        codes: [&BODY[..], &SHOOT, &own, &crate::api::routes::confirm_upload::CLOSED, &ADDITION, &DATABASE].concat(),
        body: Some(json_body(&body)),
        ..Operation::default()
    }
}
