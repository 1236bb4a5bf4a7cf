//! JSON bodies of requests. Handlers read them field by field, so that they can name the field that breaks a rule.
#![allow(dead_code, reason = "only the schemas are wanted")]

use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::api::auth::MAX_SIGNED_URL_SECONDS;
use crate::api::generate_input::{MAX_ASSOCIATION_BYTES, MAX_IMAGES};
use crate::api::migrate_command::{MAX_BATCH_SIZE, MAX_CONCURRENCY, MAX_IDS, MAX_SAMPLE};
use crate::api::migrate_fields::{ACTIONS, FIELDS, in_words};
use crate::generate::{Background, Output, OutputFormat, Prompt, Quality, Size, Style};
use crate::image::Visibility;
use crate::migrate::RunId;
use crate::migrate::item::ITEM_ID_MAX_BYTES;

/// Lengths count bytes of UTF-8; fields of other names are ignored; `null` means absent.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(super) struct GenerateRequest {
    /// Not blank, without control characters other than line feed and tab; counted in characters.
    #[schemars(length(min = 1, max = Prompt::MAX_CHARACTERS), regex(pattern = r"\S"))]
    prompt: String,
    #[schemars(length(min = 1, max = MAX_ASSOCIATION_BYTES), regex(pattern = r"\S"))]
    persona_id: String,
    #[schemars(length(min = 1, max = MAX_ASSOCIATION_BYTES), regex(pattern = r"\S"))]
    session_id: Option<String>,
    #[schemars(length(min = 1, max = MAX_ASSOCIATION_BYTES), regex(pattern = r"\S"))]
    participant_id: Option<String>,
    #[schemars(length(min = 1, max = MAX_ASSOCIATION_BYTES), regex(pattern = r"\S"))]
    table_id: Option<String>,
    size: Option<Size>,
    quality: Option<Quality>,
    style: Option<Style>,
    /// `transparent` is not for `outputFormat` `jpeg`.
    background: Option<Background>,
    output_format: Option<OutputFormat>,
    /// For `outputFormat` `jpeg` and `webp` only.
    #[schemars(range(min = 0, max = Output::MAX_COMPRESSION))]
    output_compression: Option<u8>,
    /// How many images.
    #[schemars(range(min = 1, max = MAX_IMAGES))]
    n: Option<u8>,
    visibility: Option<Visibility>,
}

/// Fields of other names are ignored; `null` means absent.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(super) struct SignRequest {
    #[schemars(range(min = 1, max = MAX_SIGNED_URL_SECONDS))]
    expires_in_seconds: Option<u64>,
}

/// `null` means absent. A field that is not for the action is refused, unless it is `null` or `false`.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields, transform = name_actions)]
pub(super) struct MigrateRequest {
    #[schemars(extend("enum" = ACTIONS))]
    action: String,
    /// `embedded` or a source of `MIGRATION_SOURCES`.
    source: Option<String>,
    #[schemars(range(min = 1, max = MAX_BATCH_SIZE))]
    batch_size: Option<u64>,
    #[schemars(range(min = 1, max = MAX_CONCURRENCY))]
    concurrency: Option<u64>,
    dry_run: Option<bool>,
    #[schemars(length(min = 1, max = MAX_IDS), inner(length(min = 1, max = ITEM_ID_MAX_BYTES)), extend("uniqueItems" = true))]
    image_ids: Option<Vec<String>>,
    background: Option<bool>,
    /// Required by `restore`, and by `cleanup` with `force`.
    run_id: Option<RunId>,
    check_integrity: Option<bool>,
    #[schemars(range(min = 1, max = MAX_SAMPLE))]
    sample_size: Option<u64>,
    #[schemars(rename = "deleteFromR2")]
    delete_from_r2: Option<bool>,
    force: Option<bool>,
    /// Repeats `runId` where `force` is set.
    confirm_run_id: Option<RunId>,
    fallback_only: Option<bool>,
}

/// Says of each field which actions it is for.
fn name_actions(schema: &mut Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (field, actions) in FIELDS {
        let Some(property) = properties.get_mut(field).and_then(Value::as_object_mut) else { continue };
        let rest = property.get("description").and_then(Value::as_str).map(|rest| [" ", rest].concat());
        let description = ["For ", &in_words(actions), ".", &rest.unwrap_or_default()].concat();
        property.insert("description".to_owned(), description.into());
    }
}
