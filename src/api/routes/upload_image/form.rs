//! An upload as a form: fields, and the image as the part `file`.

use super::fields::{MAX_FIELD_BYTES, UploadFields};
use super::intake::{Arriving, TakenIn};
use super::outcome::{Failure, upload_limit_bytes};
use crate::api::{Code, Exchange, Problem, Request};
use crate::bytes::{Body, BodyError};
use crate::library::AddError;
use crate::multipart::{Boundary, Form, FormLimits, Part};
use crate::store::StoreErrorKind;

/// Parts of a form: every field that there is, each label, and the file, with room to spare.
const MAX_PARTS: usize = 64;
const FILE: &str = "file";

/// Reads fields until the file comes. One that is held in memory may be followed by more fields; a larger one, which streams, must be
/// the last part, since only then its length is known.
pub(super) async fn read<'app>(
    exchange: &Exchange<'app>,
    request: &mut Request,
    fields: &mut UploadFields,
) -> Result<TakenIn<'app>, Failure> {
    let boundary = Boundary::of_content_type(request.header("content-type").unwrap_or_default());
    let no_boundary = || Problem::new(Code::InvalidForm, "the Content-Type of a form must name its boundary");
    let body = request.body.take().unwrap_or_else(Body::empty);
    let mut form = Form::new(body, &boundary.ok_or_else(no_boundary)?, FormLimits::of_parts(MAX_PARTS));
    let mut file = None;
    while let Some(part) = form.next_part().await.map_err(Problem::from)? {
        if part.head.name != FILE {
            let name = part.head.name.clone();
            fields.take_in(vec![(name, text_of(part).await?)])?;
        } else if file.is_some() {
            return Err(Problem::field(FILE, "must be there once").into());
        } else {
            fields.name_after(part.head.filename.as_deref().unwrap_or_default());
            let limit_bytes = upload_limit_bytes(exchange, fields.visibility);
            let taken = Arriving { body: part.body, length_if_last: part.size_if_last_bytes }
                .take_in(exchange, limit_bytes)
                .await?;
            if !taken.is_held() {
                return Ok(taken);
            }
            file = Some(taken);
        }
    }
    file.ok_or_else(|| Problem::field(FILE, "is required: a part of the form with the image's bytes").into())
}

/// Whether a file that streamed was not as long as the last part of the form is.
pub(super) fn is_of_wrong_length(error: &AddError) -> bool {
    let AddError::Store(error) = error else { return false };
    matches!(error.kind, StoreErrorKind::Body(BodyError::TooShort { .. } | BodyError::TooLong { .. }))
}

pub(super) fn not_the_last_part() -> Problem {
    let rule = "a file of this size must be the last part of its form, which must end with a line break; or send it as the raw body";
    Problem::new(Code::LengthRequired, rule)
}

async fn text_of(part: Part) -> Result<String, Problem> {
    let name = part.head.name;
    let bytes = part.body.collect(MAX_FIELD_BYTES).await.map_err(|error| match error {
        BodyError::TooLong { limit_bytes } => Problem::field(&*name, format!("must have at most {limit_bytes} bytes")),
        error => error.into(),
    })?;
    String::from_utf8(bytes.to_vec()).map_err(|_| Problem::field(name, "must be UTF-8"))
}
