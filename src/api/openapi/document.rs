//! The document, put together from the routes, the types and the codes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};

use super::operation::Operation;
use super::parameter;
use crate::api::problem::Document as ProblemDocument;
use crate::api::{Access, Code, Method, ROUTES, Route};

/// Every method that a request can have and that a document can name.
pub(super) const METHODS: [Method; 7] =
    [Method::Get, Method::Head, Method::Post, Method::Put, Method::Patch, Method::Delete, Method::Options];

const DESCRIPTION: &str = "Errors are problem documents (RFC 9457) with a stable `code`. A method that a path does not have \
is answered with 405 and `Allow`, a path that does not exist with 404, whoever asks. Every answer carries `X-Request-Id`, but \
those that caches keep for everyone.";

/// Collects the schemas that the operations name.
pub struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self { requests: settings().into_generator(), answers: settings().for_serialize().into_generator() }
    }

    /// The schema of a JSON body that callers send.
    pub fn request<T: JsonSchema>(&mut self) -> Value {
        self.requests.subschema_for::<T>().into()
    }

    /// The schema of a JSON body that callers get.
    pub fn answer<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().into()
    }

    fn into_components(mut self) -> Map<String, Value> {
        let mut components = self.requests.take_definitions(true);
        let answers = self.answers.take_definitions(true).into_iter();
        components.extend(answers.map(|(name, schema)| (name, without_nulls(schema))));
        components
    }
}

/// A field of an answer that may be absent is left out instead of being `null`, which the derived schema does not say.
fn without_nulls(mut schema: Value) -> Value {
    let required = schema["required"].clone();
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        for (name, property) in properties {
            if required.as_array().is_some_and(|names| names.contains(&json!(name))) {
                continue;
            }
            if let Some([kind, null]) = property["type"].as_array().map(Vec::as_slice)
                && null == "null"
            {
                property["type"] = kind.clone();
            } else if let Some([reference, null]) = property["anyOf"].as_array().map(Vec::as_slice)
                && null["type"] == "null"
            {
                *property = reference.clone();
            }
        }
    }
    schema
}

/// The document as the code has it now.
pub(super) fn document() -> Value {
    let mut schemas = Schemas::new();
    let mut problems = Problems { schema: schemas.answer::<ProblemDocument>(), responses: BTreeMap::new() };
    schemas.answer::<Code>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let item = paths.entry(route.path).or_default();
        for method in METHODS {
            let name = method.as_str().to_lowercase();
            if route.answers(method) {
                let described = (route.operation)(&mut schemas);
                item.insert(name, described.into_json(route, method, &mut problems));
            } else if method == Method::Options {
                item.insert(name, options(route));
            }
        }
    }
    let paths: Map<String, Value> =
        paths.into_iter().map(|(path, item)| (path.to_owned(), Value::Object(item))).collect();
    let request_id = json!({ "required": true, "schema": { "type": "string", "minLength": 1, "maxLength": 128 } });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Stillstore", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION,
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" }
        },
        "paths": paths,
        "components": {
            "headers": { "RequestId": request_id },
            "responses": problems.responses,
            "schemas": schemas.into_components(),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "API_TOKEN, or a user's JSON Web Token" } }
        },
        "security": [{ "token": [] }]
    })
}

/// What every path says of its methods.
fn options(route: &Route) -> Value {
    let path = route.path;
    json!({
        "operationId": format!("options-{}", route.name),
        "summary": format!("The methods of {path}, and whether another origin may use them"),
        "parameters": parameter::of_path(route.ids()),
        "security": [],
        "responses": { "204": {
            "description": "No content.",
            "headers": {
                "X-Request-Id": { "$ref": "#/components/headers/RequestId" },
                "Allow": { "required": true, "schema": { "type": "string" } }
            }
        }, "404": { "description": "The id is none.", "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } } } }
    })
}

/// Answers that are problems, by the codes that they can have.
struct Problems {
    schema: Value,
    responses: BTreeMap<String, Value>,
}

impl Problems {
    /// A reference to the answer with one of `codes`, which have one status.
    fn response(&mut self, codes: &[Code]) -> Value {
        let names: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        let name = names.join(".");
        let titles: Vec<&str> = codes.iter().map(|code| code.title()).collect();
        let mut headers = Map::new();
        headers.insert("X-Request-Id".to_owned(), json!({ "$ref": "#/components/headers/RequestId" }));
        for code in codes {
            for (header, required) in problem_headers(*code) {
                let required = *required && codes.len() == 1;
                headers.insert((*header).to_owned(), json!({ "required": required, "schema": { "type": "string" } }));
            }
        }
        let schema = json!({ "allOf": [self.schema, { "properties": { "code": { "enum": names } } }] });
        let response = json!({
            "description": format!("{}.", titles.join(". ")),
            "headers": headers,
            "content": { "application/problem+json": { "schema": schema } }
        });
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        self.responses.insert(name, response);
        reference
    }
}

/// The headers of an answer with this code, and whether they are always there.
const fn problem_headers(code: Code) -> &'static [(&'static str, bool)] {
    match code {
        Code::Unauthorized => &[("WWW-Authenticate", true)],
        Code::RangeNotSatisfiable => &[("Content-Range", true)],
        Code::IdempotencyInProgress
        | Code::ProviderRateLimited
        | Code::ImageLimitReached
        | Code::GenerationLimitReached => &[("Retry-After", true)],
        Code::StorageUnavailable
        | Code::SourceUnavailable
        | Code::DatabaseUnavailable
        | Code::TokenKeysUnavailable
        | Code::ProviderTimeout
        | Code::ProviderUnavailable => &[("Retry-After", false)],
        _ => &[],
    }
}

impl Operation {
    fn into_json(self, route: &Route, method: Method, problems: &mut Problems) -> Value {
        let is_head = method == Method::Head;
        let mut codes = self.codes;
        if route.access.is_closed() {
            codes.extend([
                Code::Unauthorized,
                Code::OriginNotLocal,
                Code::TokenNotConfigured,
                Code::TokenKeysUnavailable,
                Code::ConfigurationInvalid,
            ]);
        }
        if route.access == Access::Operator {
            codes.push(Code::Forbidden);
        }
        let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
        for code in Code::ALL.iter().filter(|code| codes.contains(code)) {
            by_status.entry(code.status()).or_default().push(*code);
        }
        let mut responses = Map::new();
        for (status, mut response) in self.answers {
            if let Some(response) = response.as_object_mut() {
                let headers = response.entry("headers").or_insert_with(|| json!({}));
                if headers["X-Request-Id"].is_null() {
                    headers["X-Request-Id"] = json!({ "$ref": "#/components/headers/RequestId" });
                }
                if is_head {
                    response.remove("links");
                }
            }
            responses.insert(status.to_string(), response);
        }
        for (status, codes) in by_status {
            responses.insert(status.to_string(), problems.response(&codes));
        }
        let parameters = [parameter::of_path(route.ids()), self.parameters].concat();
        let id = if is_head { format!("head-{}", route.name) } else { route.name.to_owned() };
        let summary = if is_head { format!("The headers of: {}", self.summary) } else { self.summary.to_owned() };
        let mut json =
            json!({ "operationId": id, "summary": summary, "parameters": parameters, "responses": responses });
        if let Some(body) = self.body {
            json["requestBody"] = body;
        }
        match route.access {
            // The token opens private images, but nobody needs it.
            Access::Holder => json["security"] = json!([{}, { "token": [] }]),
            Access::Anyone => json["security"] = json!([]),
            Access::User | Access::Operator => {}
        }
        json
    }
}

/// The document as text: an operation or a component a line, so that a change can be read.
pub(super) fn text(document: &Value) -> String {
    fn write(text: &mut String, value: &Value, depth: usize) {
        match value {
            Value::Object(fields) if depth > 0 => {
                text.push('{');
                for (at, (name, value)) in fields.iter().enumerate() {
                    let _ = write!(text, "{}\n{}:", if at == 0 { "" } else { "," }, Value::from(name.as_str()));
                    write(text, value, depth - 1);
                }
                text.push_str("\n}");
            }
            value => {
                let _ = write!(text, "{value}");
            }
        }
    }
    let mut text = String::new();
    write(&mut text, document, 3);
    text.push('\n');
    text
}
