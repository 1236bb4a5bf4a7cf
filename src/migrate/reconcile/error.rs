//! What can go wrong.

use crate::catalog::CatalogError;
use crate::library::AdoptError;
use crate::sql::DatabaseError;
use crate::store::StoreError;

/// Why a slice was not looked through. What was done of it stays done, and asking again is fine.
#[derive(Debug)]
pub enum ReconcileError {
    /// No bucket is bound.
    NoBucket,
    Store(StoreError),
    Catalog(CatalogError),
    Database(DatabaseError),
    Adopt(AdoptError),
}

impl From<StoreError> for ReconcileError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<CatalogError> for ReconcileError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<DatabaseError> for ReconcileError {
    fn from(error: DatabaseError) -> Self {
        Self::Database(error)
    }
}

impl From<AdoptError> for ReconcileError {
    fn from(error: AdoptError) -> Self {
        Self::Adopt(error)
    }
}
