use std::collections::BTreeSet;

use serde_json::Value;

use super::DOCUMENT;
use super::document::{METHODS, document, text};
use crate::api::routes::migrate_images::FIELDS;
use crate::api::{Code, Method, ROUTES, Route, Target};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/api/openapi/openapi.json");

fn committed() -> Value {
    serde_json::from_slice(DOCUMENT).unwrap()
}

#[test]
fn the_committed_document_is_what_the_types_say() {
    let expected = text(&document());
    if std::env::var_os("WRITE_OPENAPI").is_some() {
        std::fs::write(FILE, &expected).unwrap();
        return;
    }
    assert!(
        expected.as_bytes() == DOCUMENT,
        "src/api/openapi/openapi.json is not what the types say: \
         `WRITE_OPENAPI=1 cargo test --lib the_committed_document` writes it anew"
    );
}

#[test]
fn every_route_and_method_of_the_router_is_in_the_document() {
    let document = committed();
    for route in ROUTES {
        let path = route.sample_path();
        for method in METHODS {
            let operation = &document["paths"][route.path][method.as_str().to_lowercase()];
            let target = Target::parse(method, &path).ok();
            let is_answered = method == Method::Options || target.is_some();
            assert_eq!(operation.is_object(), is_answered, "{} {path}", method.as_str());
            if target.is_some_and(|target| target.route.name == route.name) {
                let name = operation["operationId"].as_str().unwrap();
                assert_eq!(name.trim_start_matches("head-"), route.name);
                let is_open = operation["security"].as_array().is_some();
                assert_eq!(is_open, !route.access.is_closed(), "{name}");
            }
        }
    }
}

#[test]
fn every_path_and_method_of_the_document_is_in_the_router() {
    let document = committed();
    let mut operation_ids = BTreeSet::new();
    for (template, item) in document["paths"].as_object().unwrap() {
        let route = ROUTES.iter().find(|route| route.path == template).unwrap();
        let path = route.sample_path();
        let mut methods: Vec<String> = item.as_object().unwrap().keys().map(|name| name.to_uppercase()).collect();
        let allowed = Route::allowed_methods(&path).unwrap_or_default();
        let mut allowed: Vec<&str> = allowed.split(", ").collect();
        methods.sort_unstable();
        allowed.sort_unstable();
        assert_eq!(methods, allowed, "{template}");
        for (method, operation) in item.as_object().unwrap() {
            if method != "options" {
                assert!(Target::parse(method.to_uppercase().as_str().into(), &path).is_ok(), "{method} {path}");
            }
            assert!(operation_ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
        }
    }
}

#[test]
fn every_code_is_in_the_document() {
    let document = committed();
    let answered: BTreeSet<&str> =
        document["components"]["responses"].as_object().unwrap().keys().flat_map(|codes| codes.split('.')).collect();
    // Answers that belong to no operation: the path or its method is not in the document.
    let elsewhere = [Code::RouteNotFound, Code::MethodNotAllowed];
    for code in Code::ALL {
        assert_eq!(answered.contains(code.as_str()), !elsewhere.contains(code), "{}", code.as_str());
    }
}

#[test]
fn the_fields_of_a_migration_are_those_that_are_read() {
    let document = committed();
    let fields = document["components"]["schemas"]["MigrateRequest"]["properties"].as_object().unwrap();
    let documented: BTreeSet<&str> = fields.keys().map(String::as_str).collect();
    assert_eq!(documented, BTreeSet::from(FIELDS.map(|(field, _)| field)));
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    fn walk<'value>(value: &'value Value, references: &mut Vec<&'value str>) {
        match value {
            Value::Object(fields) => {
                references.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| walk(value, references));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, references)),
            _ => {}
        }
    }
    let document = committed();
    let mut references = Vec::new();
    walk(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
    }
}
