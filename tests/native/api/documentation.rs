//! The documentation says what the code does.

use std::fs;

use serde_json::Value;

use stillstore::api::Code;

const API: &str = include_str!("../../../docs/API.md");
const OPENAPI: &str = include_str!("../../../src/api/openapi/openapi.json");
const README: &str = include_str!("../../../README.md");

#[test]
fn every_code_is_documented_and_nothing_else() {
    let expected: Vec<String> = Code::ALL
        .iter()
        .map(|code| format!("| `{}` | {} | {} | {} |", code.as_str(), code.status(), code.title(), code.remedy()))
        .collect();
    let documented: Vec<&str> = API
        .lines()
        .skip_while(|line| !line.starts_with("| Code |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert_eq!(documented, expected);
}

#[test]
fn codes_are_errors_and_kebab_case_and_unique() {
    for code in Code::ALL {
        assert!((400..600).contains(&code.status()), "{code:?}");
        assert!(code.as_str().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{code:?}");
        assert_eq!(Code::ALL.iter().filter(|other| other.as_str() == code.as_str()).count(), 1, "{code:?}");
    }
}

#[test]
fn every_variable_is_in_the_readme() {
    let files = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/config")).unwrap();
    let config: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let variables: Vec<&str> = config
        .split('"')
        .filter(|text| {
            text.len() > 3 && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte == b'2')
        })
        .filter(|text| text.contains('_'))
        .collect();
    assert!(variables.len() > 12);
    for variable in variables {
        assert!(README.contains(&format!("| `{variable}` |")), "{variable} is not in the README's table");
    }
}

/// The JSON examples of docs/API.md, in their order, and the schemas of what they show.
const EXAMPLES: [&str; 11] = [
    "GeneratedImage",
    "Image",
    "PresignedUpload",
    "MultipartUpload",
    "Job",
    "ImageDescription",
    "RunAnswer",
    "MigrationStats",
    "Run",
    "ReconcileSlice",
    "Problem",
];

#[test]
fn every_json_example_has_the_fields_of_what_it_shows() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    let examples: Vec<&str> = API.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(examples.len(), EXAMPLES.len());
    for (text, name) in examples.into_iter().zip(EXAMPLES) {
        let example: Value = serde_json::from_str(text).unwrap();
        if let Err(fault) = fits(&example, &document["components"]["schemas"][name], &document) {
            panic!("the example of {name}: {fault}");
        }
    }
}

/// Whether every field of `example` is one of `schema`, and every field that is always there is in the example. `{ }` stands for what is
/// shown elsewhere, a field `...` for the fields that are left out.
fn fits(example: &Value, schema: &Value, document: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        return fits(example, document.pointer(&reference[1..]).ok_or("a reference leads nowhere")?, document);
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        let outcomes: Vec<_> = forms.iter().map(|form| fits(example, form, document)).collect();
        return outcomes.iter().find(|outcome| outcome.is_ok()).or_else(|| outcomes.first()).cloned().unwrap_or(Ok(()));
    }
    if let Some(items) = example.as_array() {
        return items.iter().try_for_each(|item| fits(item, &schema["items"], document));
    }
    let Some(fields) = example.as_object().filter(|fields| !fields.is_empty()) else { return Ok(()) };
    let is_shortened = fields.contains_key("...");
    let required = schema["required"].as_array().filter(|_| !is_shortened).cloned().unwrap_or_default();
    if let Some(absent) = required.iter().filter_map(Value::as_str).find(|name| !fields.contains_key(*name)) {
        return Err(format!("{absent} is missing"));
    }
    for (name, value) in fields.iter().filter(|(name, _)| *name != "...") {
        match schema["properties"].get(name) {
            Some(property) => fits(value, property, document).map_err(|fault| format!("{name}: {fault}"))?,
            None if schema["properties"].is_object() => return Err(format!("there is no {name}")),
            None => {}
        }
    }
    Ok(())
}
