//! What failed, and why.

use std::fmt;

use crate::sql::{DatabaseError, DatabaseErrorKind};

/// A catalogue operation that the database did not carry out, or did not answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogError {
    /// The name of the method, for the log.
    pub operation: &'static str,
    pub source: DatabaseError,
}

impl CatalogError {
    /// What kind of failure, for decisions.
    #[must_use]
    pub const fn kind(&self) -> DatabaseErrorKind {
        self.source.kind
    }

    /// Names the operation that an error belongs to, for `map_err`.
    pub(super) fn during(operation: &'static str) -> impl Fn(DatabaseError) -> Self {
        move |source| Self { operation, source }
    }
}

impl fmt::Display for CatalogError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "catalogue {}: {}", self.operation, self.source)
    }
}

impl std::error::Error for CatalogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
