//! Parameters of operations: path, query and header.

use serde_json::{Value, json};

use crate::api::field::MAX_ASSOCIATION_BYTES;

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

/// The `{id}` of a path.
pub(super) fn id(schema: &str) -> Value {
    json!({ "in": "path", "name": "id", "required": true, "schema": component(schema) })
}

/// An id of the caller's own.
pub fn association(name: &str) -> Value {
    let schema = json!({ "type": "string", "minLength": 1, "maxLength": MAX_ASSOCIATION_BYTES, "pattern": r"\S" });
    query(name, &schema, "An id of the caller's own; its length counts bytes of UTF-8.")
}
