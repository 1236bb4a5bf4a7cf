//! `POST /uploads/{id}`: the bytes of a presigned upload in a form, as browsers and the known clients post it.

use std::collections::BTreeMap;

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, Schemas, headers};
#[cfg(test)]
use crate::api::routes::confirm_upload::CLOSED;
#[cfg(test)]
use crate::api::routes::receive_upload::RECEIVED;
use crate::api::routes::receive_upload::{receive_problem, received};
use crate::api::upload_token::UploadToken;
use crate::api::{Code, Exchange, Method, Problem, Request, Response};
use crate::bytes::Body;
use crate::image::ImageId;
use crate::multipart::{Boundary, Form, FormError, FormLimits, Part};
use crate::upload::receive;

/// The part that is the file; the fields come before it, and what follows is not read.
const FILE: &str = "file";
/// Parts that a form may have: the five fields of a token, the file, and a few that clients add.
const MAX_PARTS: usize = 16;
/// Longest value of a field in bytes: the longest is a key.
const MAX_FIELD_BYTES: u64 = 1024;

/// Reads the fields up to the file, and stores the file if they carry a token. The part's own content type is not read: the token has one,
/// and the bytes decide.
pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: ImageId) -> Result<Response, Problem> {
    let boundary = request.header("content-type").and_then(Boundary::of_content_type).ok_or_else(|| {
        Problem::new(Code::UnsupportedMediaType, "the Content-Type must be multipart/form-data with a boundary")
    })?;
    let body = request.body.take().unwrap_or_else(Body::empty);
    let mut form = Form::new(body, &boundary, FormLimits::of_parts(MAX_PARTS));
    let mut fields = BTreeMap::new();
    let file = loop {
        let part = form.next_part().await.map_err(form_problem)?;
        let part = part.ok_or_else(|| Problem::field(FILE, "is required, after the fields"))?;
        if part.head.name == FILE {
            break part;
        }
        let (name, value) = field(part).await?;
        fields.insert(name, value);
    };
    let value_of = |name: &str| fields.get(name).map(String::as_str);
    UploadToken::verify(&exchange.gate, Method::Post, id, exchange.services.runtime.now(), value_of)?;
    let outcome = receive(exchange.library, id, file.body, file.size_if_last_bytes).await;
    Ok(received(204, &outcome.map_err(receive_problem)?))
}

async fn field(part: Part) -> Result<(String, String), Problem> {
    let name = part.head.name;
    let value = part.body.collect(MAX_FIELD_BYTES).await?.to_vec();
    let value = String::from_utf8(value).map_err(|_| Problem::field(name.as_str(), "must be UTF-8"))?;
    Ok((name, value))
}

fn form_problem(error: FormError) -> Problem {
    match error {
        FormError::Body(error) => error.into(),
        error => Problem::field("body", error.to_string()),
    }
}

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    let text = json!({ "type": "string" });
    let names = ["key", "Content-Type", "max-bytes", "expires", "signature"];
    let mut properties: serde_json::Map<_, _> = names.map(|name| (name.to_owned(), text.clone())).into_iter().collect();
    properties.insert(FILE.to_owned(), json!({ "type": "string", "format": "binary" }));
    let required = [&names[..], &[FILE]].concat();
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    Operation {
        summary: "Takes the bytes of a presigned upload as a form with the fields that presign answered with",
        body: Some(json!({ "required": true, "content": { "multipart/form-data": { "schema": schema } } })),
        answers: vec![(204, json!({ "description": "The bytes are stored.", "headers": headers(&["ETag"]) }))],
        codes: [&RECEIVED[..], &CLOSED, &[Code::InvalidField], &DATABASE].concat(),
        ..Operation::default()
    }
}
