//! Parameters of operations: path, query and header.

use serde_json::{Value, json};

use crate::api::generate_input::MAX_ASSOCIATION_BYTES;
use crate::api::upload::MAX_FILENAME_BYTES;
use crate::catalog::PageSize;
use crate::image::Labels;

fn parameter(place: &str, name: &str, schema: &Value, description: &str) -> Value {
    json!({ "in": place, "name": name, "schema": schema, "description": description })
}

fn query(name: &str, schema: &Value, description: &str) -> Value {
    parameter("query", name, schema, description)
}

fn header(name: &str, description: &str) -> Value {
    parameter("header", name, &json!({ "type": "string" }), description)
}

fn component(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The `{id}` of a path.
pub(super) fn id(schema: &str) -> Value {
    json!({ "in": "path", "name": "id", "required": true, "schema": component(schema) })
}

fn association(name: &str) -> Value {
    let schema = json!({ "type": "string", "minLength": 1, "maxLength": MAX_ASSOCIATION_BYTES, "pattern": r"\S" });
    query(name, &schema, "An id of the caller's own; its length counts bytes of UTF-8.")
}

/// Of `POST /api/images`.
pub(super) fn upload() -> Vec<Value> {
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
    ];
    parameters.push(labels);
    parameters.extend(["personaId", "sessionId", "participantId", "tableId"].map(association));
    parameters
}

/// Of `GET /api/images`.
pub(super) fn list() -> Vec<Value> {
    vec![
        query("personaId", &json!({ "type": "string" }), "Images of this persona only."),
        query("sessionId", &json!({ "type": "string" }), "Images of this session only."),
        query("status", &component("Status"), "`stored` when absent."),
        query("storage", &component("StorageKind"), "Images in this home only."),
        query(
            "limit",
            &json!({ "type": "integer", "minimum": 1, "maximum": PageSize::MAX.get() }),
            "Images in a page; 50 when absent.",
        ),
        query("cursor", &json!({ "type": "string", "minLength": 1 }), "`nextCursor` of the page before."),
    ]
}

/// Of `GET /api/migrate-images/runs/{id}/items`.
pub(super) fn items() -> Vec<Value> {
    vec![query("cursor", &json!({ "type": "string", "minLength": 1 }), "`nextCursor` of the page before.")]
}

/// Of `POST /api/generate-image`.
pub(super) fn idempotency_key() -> Value {
    let schema = json!({ "type": "string", "pattern": "^[!-~]{1,255}$" });
    parameter("header", "Idempotency-Key", &schema, "Makes a retry safe for 24 hours.")
}

/// Of `GET /images/{id}`: the signature, and the conditions of RFC 9110.
pub(super) fn serve() -> Vec<Value> {
    vec![
        query("expires", &json!({ "type": "string" }), "Of a signed URL: seconds since 1970."),
        query("signature", &json!({ "type": "string" }), "Of a signed URL."),
        header("If-Match", "Entity tags, one of which the image must have."),
        header("If-None-Match", "Entity tags, none of which the image may have."),
        header("If-Modified-Since", "An HTTP date."),
        header("If-Unmodified-Since", "An HTTP date."),
        header("If-Range", "An entity tag or HTTP date, without which `Range` does not count."),
        header("Range", "One range of bytes; several are answered with the whole image."),
    ]
}
