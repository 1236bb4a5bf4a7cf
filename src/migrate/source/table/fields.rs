//! Reading the fields of an entry of `MIGRATION_SOURCES`, one rule a field.

use serde_json::{Map, Value as Json};

use super::identifier::{Identifier, RULE};
use crate::image::{Context, Visibility};
use crate::migrate::source::{EMBEDDED, OWN_BINDING};
use crate::sql::Value;

/// Most columns that go onto the object, and most conditions. With 512 bytes a value, 8 columns leave half of an object's 8,192 bytes
/// of metadata to Stillstore's own.
const MAX_COLUMNS: usize = 8;

const NAME_RULE: &str = "must be 1 to 32 characters of a-z, 0-9 and -";

/// Why a list of sources cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidSource {
    /// Which entry breaks which rule, in words that follow the variable's name and hold nothing of its value.
    pub rule: String,
    /// The name in the value that breaks the rule.
    pub given: Option<String>,
}

impl From<String> for InvalidSource {
    fn from(rule: String) -> Self {
        Self { rule, given: None }
    }
}

/// Refuses fields that the entry's kind does not have.
pub fn require_known(fields: &Map<String, Json>, known: &[&str]) -> Result<(), InvalidSource> {
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(unknown) => {
            let rule = ["may have no other fields than ", &known.join(", ")].concat();
            Err(InvalidSource { rule, given: Some(unknown.clone()) })
        }
        None => Ok(()),
    }
}

pub fn text<'fields>(fields: &'fields Map<String, Json>, field: &str) -> Result<Option<&'fields str>, String> {
    match fields.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err([field, " must be a text"].concat()),
    }
}

pub fn name(fields: &Map<String, Json>) -> Result<String, String> {
    let name = text(fields, "name")?.unwrap_or_default();
    let is_slug = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !(1..=32).contains(&name.len()) || !is_slug {
        return Err(["name ", NAME_RULE].concat());
    }
    if name == EMBEDDED { Err(["name must not be ", EMBEDDED].concat()) } else { Ok(name.to_owned()) }
}

pub fn binding(fields: &Map<String, Json>) -> Result<String, String> {
    let binding = text(fields, "binding")?.unwrap_or(OWN_BINDING);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if (1..=64).contains(&binding.len()) && binding.bytes().all(is_name) {
        Ok(binding.to_owned())
    } else {
        Err("binding must be 1 to 64 characters of A-Z, a-z, 0-9 and _".to_owned())
    }
}

pub fn identifier(fields: &Map<String, Json>, field: &str) -> Result<Option<Identifier>, String> {
    let Some(text) = text(fields, field)? else { return Ok(None) };
    Identifier::new(text).map(Some).ok_or_else(|| [field, " ", RULE].concat())
}

pub fn required(fields: &Map<String, Json>, field: &str) -> Result<Identifier, String> {
    identifier(fields, field)?.ok_or_else(|| [field, " is missing; it ", RULE].concat())
}

pub fn metadata(fields: &Map<String, Json>) -> Result<Vec<Identifier>, String> {
    let refusal = || "metadata must be a list of at most 8 different columns of A-Z, a-z, 0-9, _ and -".to_owned();
    let columns = match fields.get("metadata") {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Array(columns)) if columns.len() <= MAX_COLUMNS => columns,
        Some(_) => return Err(refusal()),
    };
    let mut identifiers = Vec::<Identifier>::new();
    for column in columns {
        let column = column.as_str().and_then(Identifier::new).filter(Identifier::is_plain).ok_or_else(refusal)?;
        if identifiers.iter().any(|other| other.is(&column)) {
            return Err(refusal());
        }
        identifiers.push(column);
    }
    Ok(identifiers)
}

pub fn visibility(fields: &Map<String, Json>) -> Result<Visibility, String> {
    let Some(text) = text(fields, "visibility")? else { return Ok(Visibility::Public) };
    Visibility::from_text(text).ok_or_else(|| "visibility must be public or private".to_owned())
}

pub fn filter(fields: &Map<String, Json>) -> Result<Vec<(Identifier, Value)>, String> {
    let conditions = match fields.get("filter") {
        None | Some(Json::Null) => return Ok(Vec::new()),
        Some(Json::Object(conditions)) if conditions.len() <= MAX_COLUMNS => conditions,
        Some(_) => return Err("filter must be an object of at most 8 columns with their values".to_owned()),
    };
    let condition = |(column, value): (&String, &Json)| {
        let column = Identifier::new(column).ok_or_else(|| ["each column of filter ", RULE].concat())?;
        let value = match value {
            Json::Null => Some(Value::Null),
            Json::String(text) => Some(text.as_str().into()),
            Json::Number(number) => {
                number.as_i64().filter(|number| number.unsigned_abs() < 1 << 53).map(Value::Integer)
            }
            Json::Bool(_) | Json::Array(_) | Json::Object(_) => None,
        };
        let rule = "each value of filter must be a text, a whole number that JavaScript can hold, or null";
        Ok((column, value.ok_or_else(|| rule.to_owned())?))
    };
    conditions.iter().map(condition).collect()
}

pub fn context(fields: &Map<String, Json>) -> Result<Option<Context>, String> {
    let Some(text) = text(fields, "context")? else { return Ok(None) };
    Context::try_from(text.to_owned()).map(Some).map_err(|rule| format!("context {rule}"))
}
