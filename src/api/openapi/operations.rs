//! What each operation takes, how it answers, and the codes that it can answer with.

use serde_json::{Map, Value, json};

use super::document::Schemas;
use super::parameters;
use super::requests::{GenerateRequest, MigrateRequest, SignRequest};
use crate::api::generate_answer::GenerateBody;
use crate::api::health::HealthBody;
use crate::api::images::{ListBody, SignedUrlBody};
use crate::api::index::IndexBody;
use crate::api::migrate_images::{Answer, ControlAnswer};
use crate::api::migration_status::{StatsBody, StatusBody};
use crate::api::representation::ImageBody;
use crate::api::run_body::RunBody;
use crate::api::runs::ItemsBody;
use crate::api::{Code, Route};
use crate::image::Format;

const JSON: &str = "application/json";

/// An operation, but for what all have.
pub(super) struct Operation {
    pub summary: &'static str,
    pub parameters: Vec<Value>,
    pub body: Option<Value>,
    /// Answers that are no problems, by status.
    pub answers: Vec<(u16, Value)>,
    pub codes: Vec<Code>,
}

/// What asking the database can end in.
const DATABASE: [Code; 3] = [Code::DatabaseUnavailable, Code::DatabaseNotMigrated, Code::InternalError];
/// What reading a JSON body can end in.
const BODY: [Code; 5] =
    [Code::UnsupportedMediaType, Code::BodyTooLarge, Code::BodyInterrupted, Code::InvalidJson, Code::InvalidField];
/// What finding an image can end in.
const IMAGE: [Code; 2] = [Code::ImageNotFound, Code::ImageDeleted];
/// What finding a run can end in.
const RUN: [Code; 2] = [Code::RunNotFound, Code::BucketNotBound];

fn codes(groups: &[&[Code]]) -> Vec<Code> {
    groups.concat()
}

fn json_body(schema: &Value) -> Value {
    json!({ "required": true, "content": { JSON: { "schema": schema } } })
}

fn answer(description: &str, media_type: &str, schema: &Value) -> Value {
    let mut content = Map::new();
    content.insert(media_type.to_owned(), json!({ "schema": schema }));
    json!({ "description": description, "content": content })
}

fn headers(names: &[&str]) -> Value {
    let header = |name: &&str| ((*name).to_owned(), json!({ "required": true, "schema": { "type": "string" } }));
    Value::Object(names.iter().map(header).collect())
}

/// Links to the operations on the resource whose id is at `expression` in the answer.
fn links(operations: &[&str], expression: &str) -> Value {
    let link = |operation: &&str| {
        ((*operation).to_owned(), json!({ "operationId": operation, "parameters": { "id": expression } }))
    };
    Value::Object(operations.iter().map(link).collect())
}

const OF_AN_IMAGE: [&str; 4] = ["describe-image", "delete-image", "sign-image-url", "serve-image"];
const OF_A_RUN: [&str; 3] = ["describe-run", "run-items", "run-receipt"];

/// The operation of a route.
pub(super) fn operation(route: &Route, schemas: &mut Schemas) -> Operation {
    match route {
        Route::GenerateImage => generate_image(schemas),
        Route::UploadImage => upload_image(schemas),
        Route::ListImages => list_images(schemas),
        Route::DescribeImage(_) => Operation {
            summary: "An image's record",
            answers: vec![(200, answer("The record.", JSON, &schemas.answer::<ImageBody>()))],
            codes: codes(&[&IMAGE, &DATABASE]),
            parameters: Vec::new(),
            body: None,
        },
        Route::DeleteImage(_) => Operation {
            summary: "Deletes an image; doing it twice is fine",
            answers: vec![(204, json!({ "description": "The image cannot be read any more." }))],
            codes: codes(&[&[Code::ImageNotFound, Code::StorageUnavailable], &DATABASE]),
            parameters: Vec::new(),
            body: None,
        },
        Route::SignImageUrl(_) => Operation {
            summary: "A URL that opens a private image for a time",
            answers: vec![(200, answer("The URL and its end.", JSON, &schemas.answer::<SignedUrlBody>()))],
            codes: codes(&[&BODY, &IMAGE, &DATABASE]),
            parameters: Vec::new(),
            body: Some(json_body(&schemas.request::<SignRequest>())),
        },
        Route::ServeImage(_) => serve_image(),
        Route::MigrationStatus => Operation {
            summary: "How far the images are out of the database",
            answers: vec![(200, answer("The state.", JSON, &schemas.answer::<StatusBody>()))],
            codes: DATABASE.to_vec(),
            parameters: Vec::new(),
            body: None,
        },
        Route::MigrateImages => migrate_images(schemas),
        Route::DescribeRun(_) => Operation {
            summary: "A run",
            answers: vec![(200, answer("The run.", JSON, &schemas.answer::<RunBody>()))],
            codes: codes(&[&RUN, &DATABASE]),
            parameters: Vec::new(),
            body: None,
        },
        Route::RunItems(_) => Operation {
            summary: "What a run did to each item, until its receipt is there",
            answers: vec![(200, answer("A page of items.", JSON, &schemas.answer::<ItemsBody>()))],
            codes: codes(&[&[Code::InvalidField], &RUN, &DATABASE]),
            parameters: parameters::items(),
            body: None,
        },
        Route::RunReceipt(_) => run_receipt(),
        Route::Health => {
            let schema = schemas.answer::<HealthBody>();
            Operation {
                summary: "Whether the services work",
                answers: vec![
                    (200, answer("`healthy` or `degraded`.", JSON, &schema)),
                    (503, answer("`unhealthy`.", JSON, &schema)),
                ],
                codes: Vec::new(),
                parameters: Vec::new(),
                body: None,
            }
        }
        Route::Metrics => Operation {
            summary: "Counters of the isolate that answers, in the Prometheus text format",
            answers: vec![(200, answer("The counters.", "text/plain", &json!({ "type": "string" })))],
            codes: Vec::new(),
            parameters: Vec::new(),
            body: None,
        },
        Route::OpenApi => Operation {
            summary: "This document",
            answers: vec![(200, answer("The document.", JSON, &json!({ "type": "object", "required": ["openapi"] })))],
            codes: Vec::new(),
            parameters: Vec::new(),
            body: None,
        },
        Route::Index => Operation {
            summary: "What answers here, and where to read on",
            answers: vec![(200, answer("Name, version and links.", JSON, &schemas.answer::<IndexBody>()))],
            codes: Vec::new(),
            parameters: Vec::new(),
            body: None,
        },
        Route::Docs => Operation {
            summary: "This API in words, for people",
            answers: vec![(200, answer("The text.", "text/markdown", &json!({ "type": "string" })))],
            codes: Vec::new(),
            parameters: Vec::new(),
            body: None,
        },
    }
}

fn generate_image(schemas: &mut Schemas) -> Operation {
    let mut generated = answer("The image is stored.", JSON, &schemas.answer::<GenerateBody>());
    generated["headers"]["Idempotency-Replayed"] = json!({ "schema": { "const": "true" } });
    generated["links"] = links(&OF_AN_IMAGE, "$response.body#/image/id");
    let own = [
        Code::IdempotencyInProgress,
        Code::IdempotencyKeyReused,
        Code::ImageDeleted,
        Code::PromptRefused,
        Code::ProviderRateLimited,
        Code::ProviderUnavailable,
        Code::ProviderRejected,
        Code::ProviderAnswerEmpty,
        Code::ProviderImageInvalid,
        Code::ProviderTimeout,
        Code::StorageUnavailable,
    ];
    Operation {
        summary: "Generates an image from a prompt and stores it",
        parameters: vec![parameters::idempotency_key()],
        body: Some(json_body(&schemas.request::<GenerateRequest>())),
        answers: vec![(200, generated)],
        codes: codes(&[&BODY, &own, &DATABASE]),
    }
}

fn upload_image(schemas: &mut Schemas) -> Operation {
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
        parameters: parameters::upload(),
        body: Some(json!({ "required": true, "content": content.collect::<Map<_, _>>() })),
        answers: vec![(201, created)],
        codes: codes(&[&own, &DATABASE]),
    }
}

fn list_images(schemas: &mut Schemas) -> Operation {
    let page = answer("A page, newest first.", JSON, &schemas.answer::<ListBody>());
    Operation {
        summary: "Lists images",
        parameters: parameters::list(),
        body: None,
        answers: vec![(200, page)],
        codes: codes(&[&[Code::InvalidField], &DATABASE]),
    }
}

fn serve_image() -> Operation {
    const VALIDATORS: [&str; 3] = ["ETag", "Last-Modified", "Cache-Control"];
    const WHOLE: [&str; 5] = ["ETag", "Last-Modified", "Cache-Control", "Accept-Ranges", "Content-Length"];
    const PART: [&str; 6] =
        ["ETag", "Last-Modified", "Cache-Control", "Accept-Ranges", "Content-Length", "Content-Range"];
    let bytes = |description: &str, names: &[&str]| {
        let content: Map<String, Value> =
            Format::ALL.into_iter().map(|format| (format.content_type().to_owned(), json!({}))).collect();
        json!({ "description": description, "headers": headers(names), "content": content })
    };
    let own = [
        Code::InvalidField,
        Code::SignatureInvalid,
        Code::SignatureExpired,
        Code::PreconditionFailed,
        Code::RangeNotSatisfiable,
        Code::BytesMissing,
        Code::StorageUnavailable,
    ];
    Operation {
        summary: "The bytes of an image; private ones want a signed URL or the token",
        parameters: parameters::serve(),
        body: None,
        answers: vec![
            (200, bytes("The image.", &WHOLE)),
            (206, bytes("The range.", &PART)),
            (304, json!({ "description": "What the caller has is right.", "headers": headers(&VALIDATORS) })),
        ],
        codes: codes(&[&IMAGE, &own, &DATABASE]),
    }
}

fn migrate_images(schemas: &mut Schemas) -> Operation {
    let run = schemas.answer::<Answer>();
    let all = json!({ "anyOf": [run.clone(), schemas.answer::<ControlAnswer>(), schemas.answer::<StatsBody>()] });
    let mut done = answer("The run ended or paused, or the action was done at once.", JSON, &all);
    let mut goes_on = answer("The run goes on by itself.", JSON, &run);
    done["links"] = links(&OF_A_RUN, "$response.body#/runId");
    goes_on["links"] = links(&OF_A_RUN, "$response.body#/runId");
    let own = [Code::RunInProgress, Code::RunEnded, Code::NotABackup, Code::SourceUnusable, Code::StorageUnavailable];
    Operation {
        summary: "Begins or steers a run, or counts",
        parameters: Vec::new(),
        body: Some(json_body(&schemas.request::<MigrateRequest>())),
        answers: vec![(200, done), (202, goes_on)],
        codes: codes(&[&BODY, &RUN, &own, &DATABASE]),
    }
}

fn run_receipt() -> Operation {
    let mut receipt = answer("The receipt.", "application/x-ndjson", &json!({ "type": "string" }));
    receipt["headers"] = headers(&["ETag"]);
    Operation {
        summary: "A run's receipt: a header, and a line for each item",
        parameters: Vec::new(),
        body: None,
        answers: vec![(200, receipt)],
        codes: codes(&[&[Code::ReceiptNotReady, Code::BytesMissing, Code::StorageUnavailable], &RUN, &DATABASE]),
    }
}
