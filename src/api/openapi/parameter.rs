//! Parameters of operations: path, query and header.

use serde_json::{Value, json};

use crate::api::PathIds;
use crate::api::field::MAX_ASSOCIATION_BYTES;
use crate::catalog::PageSize;
use crate::image::FrameNumber;
use crate::migrate::item::ITEM_ID_MAX_BYTES;
use crate::store::PartNumber;

pub fn parameter(place: &str, name: &str, schema: &Value, description: &str) -> Value {
    json!({ "in": place, "name": name, "schema": schema, "description": description })
}

pub fn query(name: &str, schema: &Value, description: &str) -> Value {
    parameter("query", name, schema, description)
}

pub fn header(name: &str, description: &str) -> Value {
    parameter("header", name, &json!({ "type": "string" }), description)
}

/// A reference to a schema.
pub fn component(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The `limit` and `cursor` of a listing; `next` names the field of its answers that holds a cursor.
pub fn page_parameters(next: &str) -> Vec<Value> {
    let limit = json!({ "type": "integer", "minimum": 1, "maximum": PageSize::MAX.get() });
    let cursor = json!({ "type": "string", "minLength": 1 });
    vec![
        query("limit", &limit, "Entries in a page; 50 when absent."),
        query("cursor", &cursor, &format!("`{next}` of the page before.")),
    ]
}

/// What stands in braces in a path.
pub(super) fn of_path(ids: PathIds) -> Vec<Value> {
    let in_path = |name: &str, schema: Value| json!({ "in": "path", "name": name, "required": true, "schema": schema });
    match ids {
        PathIds::Nothing => Vec::new(),
        PathIds::ImageId => vec![in_path("id", component("ImageId"))],
        PathIds::ImageName => {
            let mut id = in_path("id", json!({ "type": "string", "minLength": 1, "maxLength": ITEM_ID_MAX_BYTES }));
            id["description"] =
                "An image's id; with READ_THROUGH also the key of an object, whose slashes stand as they are, or a row's id."
                    .into();
            vec![id]
        }
        PathIds::RunId => vec![in_path("id", component("RunId"))],
        PathIds::ShootId => vec![in_path("id", component("ShootId"))],
        PathIds::BatchId => vec![in_path("id", component("BatchId"))],
        PathIds::JobId => vec![in_path("id", component("JobId"))],
        PathIds::SessionId => vec![in_path("id", component("SessionId"))],
        PathIds::PartId => {
            let number = json!({ "type": "integer", "minimum": 1, "maximum": PartNumber::MAX.get() });
            vec![in_path("id", component("ImageId")), in_path("number", number)]
        }
        PathIds::FrameId => {
            let number = json!({ "type": "integer", "minimum": 0, "maximum": FrameNumber::MAX.get() });
            vec![in_path("id", component("SessionId")), in_path("number", number)]
        }
    }
}

/// An id of the caller's own.
pub fn association(name: &str) -> Value {
    let schema = json!({ "type": "string", "minLength": 1, "maxLength": MAX_ASSOCIATION_BYTES, "pattern": r"\S" });
    query(name, &schema, "An id of the caller's own; its length counts bytes of UTF-8.")
}
