//! What operations say of themselves, and what several of them have in common.

use serde_json::{Map, Value, json};

use crate::api::Code;

pub const JSON: &str = "application/json";

/// An operation, but for what all have.
#[derive(Default)]
pub struct Operation {
    pub summary: &'static str,
    pub parameters: Vec<Value>,
    pub body: Option<Value>,
    /// Answers that are no problems, by status.
    pub answers: Vec<(u16, Value)>,
    pub codes: Vec<Code>,
}

/// What asking the database can end in.
pub const DATABASE: [Code; 3] = [Code::DatabaseUnavailable, Code::DatabaseNotMigrated, Code::InternalError];
/// What reading a JSON body can end in.
pub const BODY: [Code; 5] =
    [Code::UnsupportedMediaType, Code::BodyTooLarge, Code::BodyInterrupted, Code::InvalidJson, Code::InvalidField];
/// What adding an image of a user's can end in.
pub const ADDITION: [Code; 2] = [Code::ImageLimitReached, Code::ByteLimitReached];
/// What finding an image can end in.
pub const IMAGE: [Code; 2] = [Code::ImageNotFound, Code::ImageDeleted];
/// What finding a run can end in.
pub const RUN: [Code; 2] = [Code::RunNotFound, Code::BucketNotBound];

/// What finding a shoot can end in.
pub const SHOOT: [Code; 1] = [Code::ShootNotFound];

/// What finding a session can end in.
pub const SESSION: [Code; 1] = [Code::SessionNotFound];

/// What finding a job can end in.
pub const JOB: [Code; 1] = [Code::JobNotFound];

/// What finding a batch can end in.
pub const BATCH: [Code; 1] = [Code::BatchNotFound];

/// Operations on an image.
pub const OF_AN_IMAGE: [&str; 4] = ["describe-image", "delete-image", "sign-image-url", "serve-image"];
/// Operations on a run.
pub const OF_A_RUN: [&str; 3] = ["describe-run", "run-items", "run-receipt"];

/// Operations on a shoot.
pub const OF_A_SHOOT: [&str; 2] = ["describe-shoot", "list-assets"];
/// Operations on a session.
pub const OF_A_SESSION: [&str; 2] = ["list-frames", "delete-frames"];

/// Operations on a batch.
pub const OF_A_BATCH: [&str; 2] = ["describe-batch", "cancel-batch"];

/// Operations on a job.
pub const OF_A_JOB: [&str; 2] = ["describe-job", "cancel-job"];

/// What reading a body of fields can end in.
pub const FIELDS: [Code; 6] = [
    Code::UnsupportedMediaType,
    Code::BodyTooLarge,
    Code::BodyInterrupted,
    Code::InvalidJson,
    Code::InvalidForm,
    Code::InvalidField,
];

/// A body of fields: JSON, or a form of either kind.
pub fn fields_body(schema: &Value) -> Value {
    let form = "application/x-www-form-urlencoded";
    let media_types = [JSON, form, "multipart/form-data"].map(|media| (media.to_owned(), json!({ "schema": schema })));
    json!({ "required": true, "content": media_types.into_iter().collect::<Map<_, _>>() })
}

pub fn json_body(schema: &Value) -> Value {
    json!({ "required": true, "content": { JSON: { "schema": schema } } })
}

pub fn answer(description: &str, media_type: &str, schema: &Value) -> Value {
    let mut content = Map::new();
    content.insert(media_type.to_owned(), json!({ "schema": schema }));
    json!({ "description": description, "content": content })
}

pub fn headers(names: &[&str]) -> Value {
    let header = |name: &&str| ((*name).to_owned(), json!({ "required": true, "schema": { "type": "string" } }));
    Value::Object(names.iter().map(header).collect())
}

/// Links to the operations on the resource whose id is at `expression` in the answer.
pub fn links(operations: &[&str], expression: &str) -> Value {
    let link = |operation: &&str| {
        ((*operation).to_owned(), json!({ "operationId": operation, "parameters": { "id": expression } }))
    };
    Value::Object(operations.iter().map(link).collect())
}
