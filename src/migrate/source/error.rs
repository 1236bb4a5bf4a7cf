//! Why a run cannot have a source.

use std::fmt;

/// Why a run cannot have a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// Nothing of this name is configured, or there as a table of the built-in shape.
    Unknown { name: String },
    /// The live schema contradicts the configuration.
    Unusable { name: String, problem: Unusable },
    /// The database that the source is in lacks Stillstore's tables.
    NotMigrated { binding: String },
}

/// Which rule of its configuration a source breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// The field of the source's configuration.
    pub field: &'static str,
    /// The rule that it breaks, in words that follow the field.
    pub rule: String,
}

impl SourceError {
    /// The kind as a short kebab-case word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "source-unknown",
            Self::Unusable { .. } => "source-unusable",
            Self::NotMigrated { .. } => "database-not-migrated",
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name } => write!(formatter, "there is no source {name}"),
            Self::Unusable { name, problem } => {
                write!(formatter, "the source {name}: {} {}", problem.field, problem.rule)
            }
            Self::NotMigrated { binding } => {
                write!(formatter, "the database bound as {binding} lacks Stillstore's tables")
            }
        }
    }
}

impl std::error::Error for SourceError {}
