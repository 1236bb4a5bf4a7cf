//! `POST /uploads/confirm`: makes an asset of what was sent for a presigned upload.

use serde::Deserialize;

use crate::api::field::{Filename, ImageType, Parsed, Whole};
#[cfg(test)]
use crate::api::openapi::{ADDITION, BODY, DATABASE, IMAGE, JSON, Operation, SHOOT, Schemas, answer, json_body};
use crate::api::shoot_body::AssetBody;
use crate::api::{Code, Exchange, Problem, Request, Response};
use crate::catalog::CloseReason;
use crate::image::{ImageId, ObjectKey, Sha256Digest, ShootId};
use crate::upload::{Claims, ConfirmError, confirm};

/// The largest `file_size` that has a meaning.
const MOST_BYTES: u64 = 5 * 1000 * 1000 * 1000;

/// Fields of other names are ignored; `null` means absent.
#[derive(Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ConfirmRequest"))]
struct Input {
    asset_id: Parsed<ImageId>,
    shoot_id: Parsed<ShootId>,
    object_key: Parsed<ObjectKey>,
    filename: Option<Parsed<Filename>>,
    #[cfg_attr(test, schemars(with = "Option<u64>", range(min = 1, max = MOST_BYTES)))]
    file_size: Option<Whole<1, MOST_BYTES>>,
    content_type: Option<Parsed<ImageType>>,
    sha256: Option<Parsed<Sha256Digest>>,
}

pub async fn handle(exchange: &Exchange<'_>, mut request: Request) -> Result<Response, Problem> {
    let input: Input = request.json_object().await?.read()?;
    let claims = Claims {
        asset_id: input.asset_id.0,
        shoot_id: input.shoot_id.0,
        key: input.object_key.0,
        filename: input.filename.map(|Parsed(Filename(filename))| filename),
        format: input.content_type.map(|Parsed(ImageType(format))| format),
        size_bytes: input.file_size.map(Whole::get),
        sha256: input.sha256.map(|Parsed(sha256)| sha256),
    };
    let record = confirm(exchange.library, &claims, &exchange.caller.owner_filter()).await.map_err(confirm_problem)?;
    exchange.announce_thumbnails(&record).await;
    Ok(Response::json(200, &AssetBody::new(exchange, claims.shoot_id, &record, &[], &request.origin)))
}

/// The problem of an upload that is not confirmed.
pub fn confirm_problem(error: ConfirmError) -> Problem {
    match error {
        ConfirmError::Catalog(error) => error.into(),
        ConfirmError::Store(error) => {
            Problem::new(Code::StorageUnavailable, "the upload cannot be read now").because(&error)
        }
        ConfirmError::NotFound => Problem::plain(Code::UploadNotFound),
        ConfirmError::NotReceived => Problem::plain(Code::UploadNotReceived),
        ConfirmError::Closed(reason) => closed_problem(reason),
        ConfirmError::NotAsGranted(field) => Problem::field(field, "is not what the upload was presigned for"),
        ConfirmError::NoShoot => Problem::plain(Code::ShootNotFound),
        ConfirmError::Deleted => Problem::plain(Code::ImageDeleted),
        ConfirmError::Limit(limit) => limit.into(),
    }
}

/// The problem of an upload that became no image.
pub fn closed_problem(reason: CloseReason) -> Problem {
    Problem::plain(match reason {
        CloseReason::Expired => Code::UploadExpired,
        CloseReason::SizeDiffers => Code::UploadSizeDiffers,
        CloseReason::TypeDiffers => Code::UploadTypeDiffers,
        CloseReason::Truncated => Code::ImageTruncated,
        CloseReason::Malformed => Code::ImageMalformed,
        CloseReason::ChecksumDiffers => Code::ChecksumMismatch,
    })
}

/// The codes of [`closed_problem`].
#[cfg(test)]
pub const CLOSED: [Code; 6] = [
    Code::UploadExpired,
    Code::UploadSizeDiffers,
    Code::UploadTypeDiffers,
    Code::ImageTruncated,
    Code::ImageMalformed,
    Code::ChecksumMismatch,
];

#[cfg(test)]
pub fn operation(schemas: &mut Schemas) -> Operation {
    let own = [Code::UploadNotFound, Code::UploadNotReceived, Code::StorageUnavailable];
    Operation {
        summary: "Makes an asset of what was sent for a presigned upload",
        answers: vec![(200, answer("The asset.", JSON, &schemas.answer::<AssetBody>()))],
        codes: [&BODY[..], &SHOOT, &IMAGE, &own, &CLOSED, &ADDITION, &DATABASE].concat(),
        body: Some(json_body(&schemas.request::<Input>())),
        ..Operation::default()
    }
}
