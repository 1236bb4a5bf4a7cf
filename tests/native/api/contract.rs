//! Every answer of every test is one that the document has for its operation.

use serde_json::Value;
use stillstore::api::{Method, Target};

use super::world::Answer;

const DOCUMENT: &str = include_str!("../../../src/api/openapi/openapi.json");

thread_local! {
    static PARSED: Value = serde_json::from_str(DOCUMENT).expect("the document");
}

/// Fails when the document does not have this status, media type or code for the operation, or a header that it requires.
pub fn assert_documented(method: &str, path: &str, answer: &Answer) {
    PARSED.with(|document| {
        let path = path.split('?').next().unwrap_or_default();
        let Some(operation) = operation(document, method, path) else {
            assert!([404, 405].contains(&answer.status), "{method} {path} is not in the document: {answer:?}");
            return;
        };
        let response = resolve(document, &operation["responses"][answer.status.to_string()]);
        assert!(response.is_object(), "{method} {path} may not answer {}: {answer:?}", answer.status);
        for (name, header) in response["headers"].as_object().into_iter().flatten() {
            let is_required = resolve(document, header)["required"] == true;
            assert!(!is_required || answer.header(name).is_some(), "{method} {path} wants {name}: {answer:?}");
        }
        if method == "HEAD" || answer.body.is_empty() {
            return;
        }
        let media_type = answer.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
        let schema = &response["content"][media_type]["schema"];
        assert!(!response["content"][media_type].is_null(), "{method} {path} may not answer {media_type}: {answer:?}");
        if media_type == "application/problem+json" {
            let codes = &schema["allOf"][1]["properties"]["code"]["enum"];
            let code = answer.json()["code"].clone();
            let is_listed = codes.as_array().is_some_and(|codes| codes.contains(&code));
            assert!(is_listed, "{method} {path} may not answer {code}");
        }
    });
}

fn operation<'document>(document: &'document Value, method: &str, path: &str) -> Option<&'document Value> {
    if method != "OPTIONS" {
        let target = Target::parse(Method::from(method), path).ok()?;
        return document["paths"].get(target.route.path)?.get(method.to_lowercase());
    }
    let segments: Vec<&str> = path.split('/').collect();
    let fits = |template: &str| {
        let parts: Vec<&str> = template.split('/').collect();
        parts.len() == segments.len()
            && parts.iter().zip(&segments).all(|(part, segment)| part.starts_with('{') || part == segment)
    };
    let (_, item) = document["paths"].as_object()?.iter().find(|(template, _)| fits(template))?;
    item.get(method.to_lowercase())
}

fn resolve<'document>(document: &'document Value, value: &'document Value) -> &'document Value {
    match value["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).unwrap_or(&Value::Null),
        None => value,
    }
}
