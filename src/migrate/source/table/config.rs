//! What `MIGRATION_SOURCES` says: tables of an application that hold images.

use serde_json::{Map, Value as Json};

use super::fields::{self, InvalidSource};
use super::identifier::Identifier;
use crate::image::{Context, Visibility};
use crate::migrate::source::OWN_BINDING;
use crate::sql::Value;

/// The name of the source that needs no configuration.
pub const BUILT_IN: &str = "images";

const FIELDS: [&str; 14] = [
    "kind",
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
    /// The context that its images have in the catalogue.
    pub context: Option<Context>,
    /// Only rows whose url is LIKE this.
    pub matching: Option<String>,
    /// Only rows whose columns have these values.
    pub filter: Vec<(Identifier, Value)>,
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
            context: None,
            matching: None,
            filter: Vec::new(),
        }
    }

    /// Reads an entry of `MIGRATION_SOURCES`.
    ///
    /// # Errors
    /// [`InvalidSource`]: the rule that it breaks.
    pub fn parse(fields: &Map<String, Json>) -> Result<Self, InvalidSource> {
        fields::require_known(fields, &FIELDS)?;
        let data = fields::required(fields, "data")?;
        let media_type = fields::identifier(fields, "type")?;
        let source = Self::of_fields(fields)?;
        if data.is(&source.url) {
            return Err(named_twice(&data));
        }
        Self { data, media_type, ..source }.checked()
    }

    /// What all kinds of sources over a table have; the url column is the data column until it is said which is.
    ///
    /// # Errors
    /// As [`TableSource::parse`].
    pub fn of_fields(fields: &Map<String, Json>) -> Result<Self, InvalidSource> {
        let url = fields::required(fields, "url")?;
        Ok(Self {
            name: fields::name(fields)?,
            binding: fields::binding(fields)?,
            table: fields::required(fields, "table")?,
            id: fields::required(fields, "id")?,
            data: url.clone(),
            media_type: None,
            url,
            key: fields::identifier(fields, "key")?,
            status: fields::identifier(fields, "status")?,
            migrated_at: fields::identifier(fields, "migratedAt")?,
            metadata: fields::metadata(fields)?,
            visibility: fields::visibility(fields)?,
            context: None,
            matching: None,
            filter: fields::filter(fields)?,
        })
    }

    /// The source, if its names fit together.
    ///
    /// # Errors
    /// As [`TableSource::parse`].
    pub fn checked(self) -> Result<Self, InvalidSource> {
        if self.table.is_reserved() {
            let rule = "table must be the application's own: it may not start with stillstore_, sqlite_ or _cf_";
            return Err(rule.to_owned().into());
        }
        let written: Vec<_> = self.named_columns().map(|(_, column)| column).collect();
        let twice = written
            .iter()
            .enumerate()
            .find(|(index, column)| written.iter().skip(index + 1).any(|other| other.is(column)));
        match twice {
            Some((_, column)) => Err(named_twice(column)),
            None => Ok(self),
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
        // The url column of a source of links holds its data.
        let data = (!self.data.is(&self.url)).then_some(("data", &self.data));
        [("id", &self.id), ("url", &self.url)]
            .into_iter()
            .chain(data)
            .chain(optional.into_iter().filter_map(|(field, column)| Some((field, column.as_ref()?))))
    }

    /// Whether only some rows are the source's.
    pub(super) fn selects_rows(&self) -> bool {
        !self.filter.is_empty() || self.matching.is_some()
    }

    /// The columns that a move writes.
    pub(super) fn written_columns(&self) -> impl Iterator<Item = &Identifier> {
        [Some(&self.url), self.key.as_ref(), self.status.as_ref(), self.migrated_at.as_ref()].into_iter().flatten()
    }
}

fn named_twice(column: &Identifier) -> InvalidSource {
    InvalidSource {
        rule: "must name a column of its own for each field".to_owned(),
        given: Some(column.as_str().to_owned()),
    }
}
