//! `POST /api/images`: an image as the raw body, as a part of a form, or by the URL where it is.

mod default_image;
mod fields;
mod form;
mod intake;
mod outcome;
mod source_url;

#[cfg(test)]
use serde_json::{Map, Value, json};

use self::fields::{OnFailure, UploadFields};
use self::intake::{Arriving, TakenIn};
pub use self::outcome::add_problem;
use self::outcome::{Failure, upload_limit_bytes};
#[cfg(test)]
use crate::api::Code;
#[cfg(test)]
use crate::api::field::MAX_FILENAME_BYTES;
#[cfg(test)]
use crate::api::openapi::{
    ADDITION, DATABASE, JSON, OF_AN_IMAGE, Operation, Schemas, answer, association, component, headers, links, query,
};
use crate::api::representation::ImageBody;
use crate::api::{Exchange, Problem, Request, Response};
use crate::bytes::Body;
use crate::catalog::ImageRecord;
#[cfg(test)]
use crate::fetch::MAX_URL_BYTES;
#[cfg(test)]
use crate::image::{Format, Labels};
use crate::library::{AddError, NewImage, Source};

/// How the image is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Raw,
    InForm,
    ByUrl,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let mut fields = UploadFields::default();
    fields.take_in(request.query_pairs()?)?;
    match upload(exchange, &mut request, &mut fields).await {
        Ok(record) => {
            let body = ImageBody::new(exchange, &record, &request.origin);
            let mut response = Response::json(201, &body);
            response.set_header("Location", format!("/api/images/{}", record.description.id));
            Ok(response)
        }
        Err(failure) => default_image::answer(exchange, fields.on_failure, failure),
    }
}

async fn upload(
    exchange: &Exchange<'_>,
    request: &mut Request,
    fields: &mut UploadFields,
) -> Result<ImageRecord, Failure> {
    let sent = sent_as(request);
    let taken = match sent {
        Sent::Raw => {
            let body = request.body.take().unwrap_or_else(Body::empty);
            let limit_bytes = upload_limit_bytes(exchange, fields.visibility);
            Arriving { body, length_if_last: None }.take_in(exchange, limit_bytes).await?
        }
        Sent::InForm => form::read(exchange, request, fields).await?,
        Sent::ByUrl => source_url::read(exchange, request, fields).await?,
    };
    if fields.on_failure == OnFailure::DefaultImage && exchange.services.config.default_image_url.is_none() {
        return Err(Problem::field("onFailure", "can be default only where DEFAULT_IMAGE_URL is set").into());
    }
    let limit_bytes = upload_limit_bytes(exchange, fields.visibility);
    add(exchange, taken, fields).await.map_err(|error| match sent {
        Sent::InForm if form::is_of_wrong_length(&error) => form::not_the_last_part().into(),
        Sent::Raw | Sent::InForm => add_problem(error, limit_bytes).into(),
        Sent::ByUrl => source_url::add_failure(error, limit_bytes),
    })
}

fn sent_as(request: &Request) -> Sent {
    let content_type = request.header("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    match () {
        () if media_type.eq_ignore_ascii_case("multipart/form-data") => Sent::InForm,
        () if media_type.eq_ignore_ascii_case("application/json") => Sent::ByUrl,
        () => Sent::Raw,
    }
}

async fn add(exchange: &Exchange<'_>, taken: TakenIn<'_>, fields: &UploadFields) -> Result<ImageRecord, AddError> {
    let TakenIn { body, format, dimensions, share } = taken;
    let added = exchange
        .library
        .add(NewImage {
            id: None,
            owner_id: exchange.caller.principal.owner().cloned(),
            created_at: exchange.library.runtime.now(),
            body,
            format,
            dimensions,
            sha256: fields.sha256,
            source: Source::Uploaded { context: fields.context.clone(), filename: fields.filename.clone() },
            visibility: fields.visibility,
            associations: fields.associations.clone(),
            prompt_in_metadata: false,
            labels: fields.labels.clone(),
            idempotency: None,
        })
        .await;
    drop(share);
    added
}

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let mut created = answer("The image is stored.", JSON, &schemas.answer::<ImageBody>());
    created["headers"] = headers(&["Location"]);
    created["links"] = links(&OF_AN_IMAGE, "$response.body#/id");
    let instead = "The image was not stored, and the request asked for the default image then.";
    let default_image = answer(instead, JSON, &schemas.answer::<default_image::DefaultImageBody>());
    let own = [
        Code::InvalidField,
        Code::InvalidJson,
        Code::InvalidForm,
        Code::BodyInterrupted,
        Code::LengthRequired,
        Code::BodyTooLarge,
        Code::NotAnImage,
        Code::ChecksumMismatch,
        Code::ImageTruncated,
        Code::ImageMalformed,
        Code::RefusedAddress,
        Code::SourceGone,
        Code::SourceForbidden,
        Code::SourceTooLarge,
        Code::SourceFailed,
        Code::SourceTimeout,
        Code::StorageUnavailable,
    ];
    Operation {
        summary: "Stores an image; its bytes decide what it is, whatever the content type says",
        parameters: parameters(),
        body: Some(json!({ "required": true, "content": content() })),
        answers: vec![(200, default_image), (201, created)],
        codes: [&own[..], &ADDITION, &DATABASE].concat(),
    }
}

#[cfg(test)]
fn content() -> Map<String, Value> {
    let types = Format::ALL.map(Format::content_type);
    let raw = types.into_iter().chain(["application/octet-stream"]).map(|media| (media.to_owned(), json!({})));
    let fields = |more: Value| {
        let mut properties: Map<String, Value> =
            field_schemas().into_iter().map(|(name, schema, _)| (name.to_owned(), schema)).collect();
        properties.extend(IDS.map(|id| (id.to_owned(), association(id)["schema"].clone())));
        properties.extend(more.as_object().cloned().unwrap_or_default());
        json!({
            "type": "object", "required": more.as_object().map(|more| more.keys().collect::<Vec<_>>()), "properties": properties,
            "patternProperties": { LABEL_NAME: label_value() }, "additionalProperties": false
        })
    };
    let form = fields(json!({ "file": { "type": "string", "contentMediaType": "application/octet-stream" } }));
    let by_url =
        fields(json!({ source_url::SOURCE_URL: { "type": "string", "format": "uri", "maxLength": MAX_URL_BYTES } }));
    let others = [("multipart/form-data", form), (JSON, by_url)];
    raw.chain(others.map(|(media, schema)| (media.to_owned(), json!({ "schema": schema })))).collect()
}

#[cfg(test)]
const IDS: [&str; 4] = ["personaId", "sessionId", "participantId", "tableId"];
#[cfg(test)]
const LABEL_NAME: &str = r"^meta\.[a-z0-9][a-z0-9_-]{0,63}$";

#[cfg(test)]
fn label_value() -> Value {
    json!({ "type": "string", "maxLength": Labels::MAX_VALUE_BYTES })
}

/// Name, schema and description of each field but the ids.
#[cfg(test)]
fn field_schemas() -> Vec<(&'static str, Value, &'static str)> {
    let filename = json!({ "type": "string", "minLength": 1, "maxLength": MAX_FILENAME_BYTES });
    let sha256 = json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" });
    let on_failure = json!({ "type": "string", "enum": ["error", "default"] });
    vec![
        ("filename", filename, "Without control characters; its length counts bytes of UTF-8."),
        ("context", component("Context"), "The first segment of the key; `uploads` when absent."),
        ("visibility", component("Visibility"), "`public` when absent."),
        ("sha256", sha256, "Bytes that differ are refused and not stored."),
        ("onFailure", on_failure, "`default` answers with `DEFAULT_IMAGE_URL` when the image cannot be stored."),
    ]
}

/// The parameters `meta.<name>`.
#[cfg(test)]
pub(super) fn labels_parameter(description: &str) -> Value {
    let labels = json!({
        "type": "object", "propertyNames": { "pattern": LABEL_NAME }, "additionalProperties": label_value(),
        "maxProperties": Labels::MAX_PAIRS
    });
    json!({
        "in": "query", "name": "meta", "style": "form", "explode": true, "schema": labels, "description": description
    })
}

#[cfg(test)]
fn parameters() -> Vec<Value> {
    let mut parameters: Vec<Value> =
        field_schemas().iter().map(|(name, schema, text)| query(name, schema, text)).collect();
    parameters.push(labels_parameter("Free string pairs, each a parameter `meta.<name>`."));
    parameters.extend(IDS.map(association));
    parameters
}
