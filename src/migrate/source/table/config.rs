//! What `MIGRATION_SOURCES` says: tables of an application that hold images.

use serde_json::{Map, Value as Json};

use super::identifier::{Identifier, RULE};
use crate::image::Visibility;
use crate::migrate::source::{EMBEDDED, OWN_BINDING};
use crate::sql::Value;

/// The name of the source that needs no configuration.
pub const BUILT_IN: &str = "images";

/// Most sources: each is asked about in turn.
const MAX_SOURCES: usize = 16;
/// Most columns that go onto the object, and most conditions. With 512 bytes a value, 8 columns leave half of an object's 8,192 bytes
/// of metadata to Stillstore's own.
const MAX_COLUMNS: usize = 8;

const NAME_RULE: &str = "must be 1 to 32 characters of a-z, 0-9 and -";

const FIELDS: [&str; 13] = [
    "name",
    "binding",
    "table",
    "id",
    "data",
    "type",
    "url",
    "key",
    "status",
    "migratedAt",
    "metadata",
    "visibility",
    "filter",
];

/// A table whose rows hold an image each. Its names are checked by form only; the schema is held against them before each run.
#[derive(Debug, Clone)]
pub struct TableSource {
    pub name: String,
    /// The D1 binding that the table is in.
    pub binding: String,
    pub table: Identifier,
    /// The primary key, or another column whose values are unique and not NULL.
    pub id: Identifier,
    /// Holds the image: base64, a `data:` URL, or a BLOB.
    pub data: Identifier,
    /// Holds what the application takes the image's type for.
    pub media_type: Option<Identifier>,
    /// Gets the public URL.
    pub url: Identifier,
    /// Gets the object's key.
    pub key: Option<Identifier>,
    /// Gets the word `completed`.
    pub status: Option<Identifier>,
    /// Gets the time of the move.
    pub migrated_at: Option<Identifier>,
    /// Go onto the object as `meta-{column}`, and into the catalogue as labels.
    pub metadata: Vec<Identifier>,
    /// Who may read its images once they are moved.
    pub visibility: Visibility,
    /// Only rows whose columns have these values.
    pub filter: Vec<(Identifier, Value)>,
}

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

impl TableSource {
    /// The source [`BUILT_IN`]: a table `images` as the ORM drizzle makes it, in Stillstore's own database.
    #[must_use]
    pub fn built_in() -> Self {
        let column = Identifier::of_ours;
        Self {
            name: BUILT_IN.to_owned(),
            binding: OWN_BINDING.to_owned(),
            table: column("images"),
            id: column("id"),
            data: column("image_data"),
            media_type: Some(column("image_mime_type")),
            url: column("image_url"),
            key: Some(column("r2_key")),
            status: Some(column("migration_status")),
            migrated_at: Some(column("migrated_at")),
            metadata: Vec::new(),
            visibility: Visibility::Public,
            filter: Vec::new(),
        }
    }

    /// Reads the variable's value, a JSON array of objects.
    ///
    /// # Errors
    /// [`InvalidSource`] for the first entry that breaks a rule.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, InvalidSource> {
        let Ok(Json::Array(entries)) = serde_json::from_str(text) else {
            return Err("must be a JSON array of objects".to_owned().into());
        };
        if entries.len() > MAX_SOURCES {
            return Err(["must have at most ", &MAX_SOURCES.to_string(), " entries"].concat().into());
        }
        let mut sources = Vec::<Self>::new();
        for (index, entry) in entries.iter().enumerate() {
            let refused = |InvalidSource { rule, given }| InvalidSource {
                rule: ["entry ", &(index + 1).to_string(), ": ", &rule].concat(),
                given,
            };
            let source = Self::parse(entry).map_err(refused)?;
            if sources.iter().any(|other| other.name == source.name) {
                return Err(refused("name must not be another entry's".to_owned().into()));
            }
            sources.push(source);
        }
        Ok(sources)
    }

    fn parse(entry: &Json) -> Result<Self, InvalidSource> {
        let Json::Object(fields) = entry else { return Err("must be an object".to_owned().into()) };
        if let Some(unknown) = fields.keys().find(|field| !FIELDS.contains(&field.as_str())) {
            let rule = ["may have no other fields than ", &FIELDS.join(", ")].concat();
            return Err(InvalidSource { rule, given: Some(unknown.clone()) });
        }
        let source = Self {
            name: name(fields)?,
            binding: binding(fields)?,
            table: required(fields, "table")?,
            id: required(fields, "id")?,
            data: required(fields, "data")?,
            media_type: identifier(fields, "type")?,
            url: required(fields, "url")?,
            key: identifier(fields, "key")?,
            status: identifier(fields, "status")?,
            migrated_at: identifier(fields, "migratedAt")?,
            metadata: metadata(fields)?,
            visibility: visibility(fields)?,
            filter: filter(fields)?,
        };
        if source.table.is_reserved() {
            let rule = "table must be the application's own: it may not start with stillstore_, sqlite_ or _cf_";
            return Err(rule.to_owned().into());
        }
        let written: Vec<_> = source.named_columns().map(|(_, column)| column).collect();
        let twice = written
            .iter()
            .enumerate()
            .find(|(index, column)| written.iter().skip(index + 1).any(|other| other.is(column)));
        match twice {
            Some((_, column)) => Err(InvalidSource {
                rule: "must name a column of its own for each field".to_owned(),
                given: Some(column.as_str().to_owned()),
            }),
            None => Ok(source),
        }
    }

    /// The fields that name a column each, with their columns.
    pub(super) fn named_columns(&self) -> impl Iterator<Item = (&'static str, &Identifier)> {
        let optional = [
            ("type", &self.media_type),
            ("key", &self.key),
            ("status", &self.status),
            ("migratedAt", &self.migrated_at),
        ];
        [("id", &self.id), ("data", &self.data), ("url", &self.url)]
            .into_iter()
            .chain(optional.into_iter().filter_map(|(field, column)| Some((field, column.as_ref()?))))
    }

    /// The columns that a move writes.
    pub(super) fn written_columns(&self) -> impl Iterator<Item = &Identifier> {
        [Some(&self.url), self.key.as_ref(), self.status.as_ref(), self.migrated_at.as_ref()].into_iter().flatten()
    }
}

fn text<'fields>(fields: &'fields Map<String, Json>, field: &str) -> Result<Option<&'fields str>, String> {
    match fields.get(field) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err([field, " must be a text"].concat()),
    }
}

fn name(fields: &Map<String, Json>) -> Result<String, String> {
    let name = text(fields, "name")?.unwrap_or_default();
    let is_slug = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !(1..=32).contains(&name.len()) || !is_slug {
        return Err(["name ", NAME_RULE].concat());
    }
    if name == EMBEDDED { Err(["name must not be ", EMBEDDED].concat()) } else { Ok(name.to_owned()) }
}

fn binding(fields: &Map<String, Json>) -> Result<String, String> {
    let binding = text(fields, "binding")?.unwrap_or(OWN_BINDING);
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if (1..=64).contains(&binding.len()) && binding.bytes().all(is_name) {
        Ok(binding.to_owned())
    } else {
        Err("binding must be 1 to 64 characters of A-Z, a-z, 0-9 and _".to_owned())
    }
}

fn identifier(fields: &Map<String, Json>, field: &str) -> Result<Option<Identifier>, String> {
    let Some(text) = text(fields, field)? else { return Ok(None) };
    Identifier::new(text).map(Some).ok_or_else(|| [field, " ", RULE].concat())
}

fn required(fields: &Map<String, Json>, field: &str) -> Result<Identifier, String> {
    identifier(fields, field)?.ok_or_else(|| [field, " is missing; it ", RULE].concat())
}

fn metadata(fields: &Map<String, Json>) -> Result<Vec<Identifier>, String> {
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

fn visibility(fields: &Map<String, Json>) -> Result<Visibility, String> {
    let Some(text) = text(fields, "visibility")? else { return Ok(Visibility::Public) };
    Visibility::from_text(text).ok_or_else(|| "visibility must be public or private".to_owned())
}

fn filter(fields: &Map<String, Json>) -> Result<Vec<(Identifier, Value)>, String> {
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
