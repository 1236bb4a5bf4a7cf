//! `POST /api/images`: an image as the raw body.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

#[cfg(test)]
use serde_json::{Map, Value, json};

use crate::api::field::{Association, parameter};
#[cfg(test)]
use crate::api::openapi::{
    DATABASE, JSON, OF_AN_IMAGE, Operation, Schemas, answer, association, component, headers, links, query,
};
use crate::api::representation::ImageBody;
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::bytes::{Blob, Body};
use crate::catalog::Associations;
use crate::image::{Context, Format, HeaderWalk, Labels, Rejection, SNIFF_BYTES, Sha256Digest, Visibility};
use crate::library::{AddError, Measured, NewImage, Source};
use crate::store::{EMBEDDED_MAX_BYTES, StoreErrorKind};

/// Largest upload in bytes: 100 MB, the request body limit of the platform's smaller plans.
const MAX_UPLOAD_BYTES: u64 = 100 * 1000 * 1000;
/// Largest upload in bytes whose length is not promised: it is held in memory, since a store needs to know the length.
const MAX_UNPROMISED_BYTES: u64 = 8 * 1024 * 1024;
/// Longest file name in bytes, as most file systems have it.
const MAX_FILENAME_BYTES: usize = 255;
/// Prefix of query parameters that are free string pairs.
const LABEL_PREFIX: &str = "meta.";

/// What the query says about an upload.
#[derive(Debug, Default)]
struct UploadQuery {
    filename: Option<String>,
    context: Context,
    associations: Associations,
    visibility: Visibility,
    sha256: Option<Sha256Digest>,
    labels: Labels,
}

/// Takes the body in:
///
/// 1. read the query, and refuse a promised length over the limit before a byte is read;
/// 2. look at the first bytes: what they are decides, not what the client says;
/// 3. hold the body in memory where there is room, so that it can be looked at whole, hashed first and sent to a second store;
/// 4. refuse a held body that is no whole image; follow the header of any other while its bytes pass by;
/// 5. add it.
pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let query = parse_upload_query(&request)?;
    let mut body = request.body.take().unwrap_or_else(Body::empty);
    let limit_bytes = upload_limit_bytes(exchange, query.visibility);
    if body.promised_bytes().is_some_and(|promised| promised > limit_bytes) {
        return Err(too_large(limit_bytes));
    }

    let prefix = body.peek(SNIFF_BYTES).await?;
    let format = Format::sniff(&prefix).ok_or_else(|| Problem::plain(Code::NotAnImage))?;

    let (budget, runtime) = (&exchange.library.budget, &exchange.library.runtime);
    let share = match body.promised_bytes() {
        Some(promised_bytes) => budget.take_for_upload(promised_bytes, runtime.now()),
        None => budget.wait_for_upload(MAX_UNPROMISED_BYTES, runtime.as_ref()).await,
    };
    let (body, dimensions) = match (share.is_some(), body.promised_bytes()) {
        (true, Some(promised_bytes)) => inspected(body.collect(promised_bytes).await?)?,
        (true, None) => {
            let collected = body.collect(MAX_UNPROMISED_BYTES.min(limit_bytes)).await;
            inspected(collected.map_err(|_| Problem::plain(Code::LengthRequired))?)?
        }
        (false, Some(promised_bytes)) => measured_in_passing(body, format, promised_bytes, prefix),
        (false, None) => return Err(Problem::plain(Code::LengthRequired)),
    };

    let record = exchange
        .library
        .add(NewImage {
            id: None,
            created_at: exchange.library.runtime.now(),
            body,
            format,
            dimensions,
            sha256: query.sha256,
            source: Source::Uploaded { context: query.context, filename: query.filename },
            visibility: query.visibility,
            associations: query.associations,
            prompt_in_metadata: false,
            labels: query.labels,
            idempotency: None,
        })
        .await
        .map_err(|error| add_problem(error, limit_bytes))?;
    drop(share);

    let body = ImageBody::new(exchange, &record, &request.origin);
    let mut response = Response::json(201, &body);
    response.set_header("Location", format!("/api/images/{}", record.description.id));
    Ok(response)
}

/// The embedded store takes less than R2 does.
fn upload_limit_bytes(exchange: &Exchange<'_>, visibility: Visibility) -> u64 {
    if exchange.library.stores.target(visibility).is_embedded() { EMBEDDED_MAX_BYTES } else { MAX_UPLOAD_BYTES }
}

/// A body that is all there, which must be a whole image.
fn inspected(bytes: Blob) -> Result<(Body, Measured), Problem> {
    match Format::inspect_blob(&bytes) {
        Ok((_, dimensions)) => Ok((bytes.into(), Measured::Known(dimensions))),
        Err(Rejection::NotAnImage) => Err(Problem::plain(Code::NotAnImage)),
        Err(Rejection::Truncated) => Err(Problem::plain(Code::ImageTruncated)),
        Err(Rejection::Malformed) => Err(Problem::plain(Code::ImageMalformed)),
    }
}

/// A body that is still arriving, with the dimensions that its start tells or, if need be, what follows.
fn measured_in_passing(body: Body, format: Format, promised_bytes: u64, start: Vec<u8>) -> (Body, Measured) {
    let mut walk = HeaderWalk::new(format, promised_bytes);
    walk.pass(&start.into());
    walk.settle();
    if walk.is_done() {
        return (body, Measured::Known(walk.geometry()));
    }
    // The start comes once more when the body is read.
    let walk = Rc::new(RefCell::new(HeaderWalk::new(format, promised_bytes)));
    let watch = Rc::clone(&walk);
    (body.watched(move |run| watch.borrow_mut().pass(run)), Measured::Passing(walk))
}

fn too_large(limit_bytes: u64) -> Problem {
    Problem::new(Code::BodyTooLarge, format!("an image may have at most {limit_bytes} bytes here"))
}

/// The problem that an image that was not added makes.
pub fn add_problem(error: AddError, limit_bytes: u64) -> Problem {
    let error = match error {
        AddError::Catalog(error) => return error.into(),
        AddError::Superseded => return Problem::plain(Code::StorageUnavailable).because(&"superseded by a deletion"),
        AddError::Store(error) => error,
    };
    let problem = match &error.kind {
        StoreErrorKind::Body(error) => Problem::from(error.clone()),
        StoreErrorKind::ChecksumMismatch => {
            Problem { field: Some("sha256".into()), ..Problem::plain(Code::ChecksumMismatch) }
        }
        StoreErrorKind::TooLarge { limit_bytes: limit } => too_large((*limit).min(limit_bytes)),
        StoreErrorKind::Unavailable | StoreErrorKind::KeyTaken | StoreErrorKind::Corrupt => {
            Problem::new(Code::StorageUnavailable, "no store took the image; nothing was stored")
        }
    };
    problem.because(&error)
}

fn parse_upload_query(request: &Request) -> Result<UploadQuery, Problem> {
    let mut query = UploadQuery::default();
    let mut labels = BTreeMap::new();
    for (name, value) in request.query_pairs()? {
        match name.as_str() {
            "filename" => query.filename = Some(filename(value)?),
            "context" => {
                query.context = Context::try_from(value).map_err(|rule| Problem::field("context", rule.to_string()))?;
            }
            "personaId" => query.associations.persona_id = Some(id("personaId", value)?),
            "sessionId" => query.associations.session_id = Some(id("sessionId", value)?),
            "participantId" => query.associations.participant_id = Some(id("participantId", value)?),
            "tableId" => query.associations.table_id = Some(id("tableId", value)?),
            "visibility" => query.visibility = parameter("visibility", value)?,
            "sha256" => {
                let digest = value.to_ascii_lowercase().parse();
                query.sha256 = Some(digest.map_err(|_| Problem::field("sha256", "must be 64 hexadecimal digits"))?);
            }
            _ => match name.strip_prefix(LABEL_PREFIX) {
                Some(label) => {
                    labels.insert(label.to_owned(), value);
                }
                None => {
                    return Err(Problem::field(
                        name,
                        "is not a parameter; the parameters are filename, context, personaId, sessionId, participantId, \
                         tableId, visibility, sha256 and meta.<name>",
                    ));
                }
            },
        }
    }
    query.labels = Labels::try_new(labels).map_err(|rule| Problem::field("meta", rule.to_string()))?;
    Ok(query)
}

fn filename(value: String) -> Result<String, Problem> {
    if value.is_empty() || value.len() > MAX_FILENAME_BYTES || value.chars().any(char::is_control) {
        return Err(Problem::field(
            "filename",
            format!("must be 1 to {MAX_FILENAME_BYTES} bytes without control characters"),
        ));
    }
    Ok(value)
}

fn id(name: &'static str, value: String) -> Result<String, Problem> {
    parameter(name, value).map(|Association(id)| id)
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let mut created = answer("The image is stored.", JSON, &schemas.answer::<ImageBody>());
    created["headers"] = headers(&["Location"]);
    created["links"] = links(&OF_AN_IMAGE, "$response.body#/id");
    let own = [
        Code::InvalidField,
        Code::BodyInterrupted,
        Code::LengthRequired,
        Code::BodyTooLarge,
        Code::NotAnImage,
        Code::ChecksumMismatch,
        Code::ImageTruncated,
        Code::ImageMalformed,
        Code::StorageUnavailable,
    ];
    let types = Format::ALL.map(Format::content_type);
    let content = types.into_iter().chain(["application/octet-stream"]).map(|media| (media.to_owned(), json!({})));
    Operation {
        summary: "Stores an image; its bytes decide what it is, whatever the content type says",
        parameters: parameters(),
        body: Some(json!({ "required": true, "content": content.collect::<Map<_, _>>() })),
        answers: vec![(201, created)],
        codes: [&own[..], &DATABASE].concat(),
    }
}

#[cfg(test)]
fn parameters() -> Vec<Value> {
    let filename = json!({ "type": "string", "minLength": 1, "maxLength": MAX_FILENAME_BYTES });
    let sha256 = json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" });
    let labels = json!({
        "type": "object",
        "propertyNames": { "pattern": r"^meta\.[a-z0-9][a-z0-9_-]{0,63}$" },
        "additionalProperties": { "type": "string", "maxLength": Labels::MAX_VALUE_BYTES },
        "maxProperties": Labels::MAX_PAIRS
    });
    let labels = json!({
        "in": "query", "name": "meta", "style": "form", "explode": true, "schema": labels,
        "description": "Free string pairs, each a parameter `meta.<name>`."
    });
    let mut parameters = vec![
        query("filename", &filename, "Without control characters; its length counts bytes of UTF-8."),
        query("context", &component("Context"), "The first segment of the key; `uploads` when absent."),
        query("visibility", &component("Visibility"), "`public` when absent."),
        query("sha256", &sha256, "Bytes that differ are refused and not stored."),
        labels,
    ];
    parameters.extend(["personaId", "sessionId", "participantId", "tableId"].map(association));
    parameters
}
