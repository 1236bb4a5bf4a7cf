//! `PUT /uploads/{id}`: the bytes of a presigned upload that come by way of the Worker.

#[cfg(test)]
use serde_json::json;

#[cfg(test)]
use crate::api::openapi::{DATABASE, Operation, Schemas, headers, query};
#[cfg(test)]
use crate::api::routes::confirm_upload::CLOSED;
use crate::api::routes::confirm_upload::closed_problem;
use crate::api::upload_token::UploadToken;
use crate::api::{Code, Exchange, Method, Problem, Request, Response};
use crate::bytes::Body;
#[cfg(test)]
use crate::image::Format;
use crate::image::{EntityTag, ImageId, Sha256Digest};
use crate::store::{StoreError, StoreErrorKind};
use crate::upload::{ReceiveError, receive};

pub async fn handle(exchange: &Exchange<'_>, mut request: Request, id: ImageId) -> Result<Response, Problem> {
    let pairs = request.query_pairs()?;
    let value_of = |name: &str| pairs.iter().find(|(pair, _)| pair == name).map(|(_, value)| value.as_str());
    let token = UploadToken::verify(&exchange.gate, Method::Put, id, exchange.services.runtime.now(), value_of)?;
    if request.header("content-type") != Some(token.content_type()) {
        let detail = format!("the Content-Type must be {}", token.content_type());
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let body = request.body.take().unwrap_or_else(Body::empty);
    let sha256 = receive(exchange.library, id, body, None).await.map_err(receive_problem)?;
    Ok(received(200, &sha256))
}

/// The answer to bytes that were stored.
pub fn received(status: u16, sha256: &Sha256Digest) -> Response {
    let mut response = Response::empty(status);
    response.set_header("ETag", EntityTag::from(sha256).to_string());
    response
}

/// The problem of bytes that were not taken.
pub fn receive_problem(error: ReceiveError) -> Problem {
    match error {
        ReceiveError::Catalog(error) => error.into(),
        ReceiveError::Store(error) => store_problem(&error),
        ReceiveError::Body(error) => error.into(),
        ReceiveError::NotFound => Problem::plain(Code::UploadNotFound),
        ReceiveError::Confirmed => Problem::plain(Code::UploadUsed),
        ReceiveError::Closed(reason) => closed_problem(reason),
        ReceiveError::SizeDiffers { promised_bytes } => Problem::new(
            Code::UploadSizeDiffers,
            format!("the upload was presigned for exactly {promised_bytes} bytes"),
        ),
        ReceiveError::NoLength => Problem::plain(Code::LengthRequired),
    }
}

fn store_problem(error: &StoreError) -> Problem {
    let problem = match &error.kind {
        StoreErrorKind::Body(error) => Problem::from(error.clone()),
        StoreErrorKind::ChecksumMismatch => Problem::plain(Code::ChecksumMismatch),
        StoreErrorKind::KeyTaken => Problem::plain(Code::UploadUsed),
        StoreErrorKind::TooLarge { limit_bytes } => {
            Problem::new(Code::BodyTooLarge, format!("an upload may have at most {limit_bytes} bytes here"))
        }
        StoreErrorKind::NoSuchUpload => Problem::plain(Code::UploadNotFound),
        StoreErrorKind::PartsRefused => Problem::new(Code::PartsRefused, error.detail.as_str()),
        StoreErrorKind::Unavailable | StoreErrorKind::Corrupt => {
            Problem::new(Code::StorageUnavailable, "no store took the upload")
        }
    };
    problem.because(error)
}

/// What sending bytes can end in, beside the codes of [`CLOSED`].
#[cfg(test)]
pub const RECEIVED: [Code; 9] = [
    // Of an id that is none.
    Code::ImageNotFound,
    Code::UploadSignatureInvalid,
    Code::UploadNotFound,
    Code::UploadUsed,
    Code::LengthRequired,
    Code::BodyTooLarge,
    Code::BodyInterrupted,
    Code::UnsupportedMediaType,
    Code::StorageUnavailable,
];

#[cfg(test)]
pub fn operation(_: &mut Schemas) -> Operation {
    let text = json!({ "type": "string" });
    let parameters = ["key", "Content-Type", "max-bytes", "expires", "signature"];
    let content: serde_json::Map<_, _> =
        Format::ALL.map(|format| (format.content_type().to_owned(), json!({}))).into_iter().collect();
    Operation {
        summary: "Takes the bytes of a presigned upload; the URL is one that presign answered with",
        parameters: parameters.map(|name| query(name, &text, "As presigned.")).to_vec(),
        body: Some(json!({ "required": true, "content": content })),
        answers: vec![(200, json!({ "description": "The bytes are stored.", "headers": headers(&["ETag"]) }))],
        codes: [&RECEIVED[..], &CLOSED, &[Code::InvalidField], &DATABASE].concat(),
    }
}
