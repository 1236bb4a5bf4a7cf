//! What `MIGRATION_SOURCES` says: sources of every kind.

use serde_json::{Map, Value as Json};

use super::OWN_BINDING;
use super::bucket::BucketSource;
use super::table::{InvalidSource, TableSource, fields};
use super::url::UrlSource;

/// Most sources: each is asked about in turn.
const MAX_SOURCES: usize = 16;

/// A source as it is configured. Names of tables and columns are checked by form only; the schema is held against them before each run.
#[derive(Debug, Clone)]
pub enum ConfiguredSource {
    /// A table whose rows hold an image each.
    Table(TableSource),
    /// A table whose rows hold a link to an image each.
    Url(UrlSource),
    /// Objects of another bucket.
    Bucket(BucketSource),
}

impl ConfiguredSource {
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
            let source = match entry {
                Json::Object(fields) => Self::parse(fields).map_err(refused)?,
                _ => return Err(refused("must be an object".to_owned().into())),
            };
            if sources.iter().any(|other| other.name() == source.name()) {
                return Err(refused("name must not be another entry's".to_owned().into()));
            }
            sources.push(source);
        }
        Ok(sources)
    }

    fn parse(fields: &Map<String, Json>) -> Result<Self, InvalidSource> {
        match fields::text(fields, "kind")? {
            None | Some("table") => TableSource::parse(fields).map(Self::Table),
            Some("url") => UrlSource::parse(fields).map(Self::Url),
            Some("bucket") => BucketSource::parse(fields).map(Self::Bucket),
            Some(_) => Err("kind must be table, url or bucket".to_owned().into()),
        }
    }

    /// The source's name in requests.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Table(source) | Self::Url(UrlSource { table: source, .. }) => &source.name,
            Self::Bucket(source) => &source.name,
        }
    }

    /// The D1 binding of the database that the source is in.
    #[must_use]
    pub fn binding(&self) -> &str {
        match self {
            Self::Table(source) | Self::Url(UrlSource { table: source, .. }) => &source.binding,
            Self::Bucket(_) => OWN_BINDING,
        }
    }
}
