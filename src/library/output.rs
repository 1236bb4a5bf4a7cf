//! What earlier attempts of a job left of its output.

use super::Library;
use super::metadata::belongs_to;
use crate::bytes::Blob;
use crate::catalog::{CatalogError, ImageRecord, OwnerFilter, Status};
use crate::image::ImageId;
use crate::store::{StorageKind, StoreError};

/// What there is of an output.
#[derive(Debug)]
pub enum OutputLeft {
    /// Nothing, or a reservation without bytes.
    Nothing,
    /// Bytes that were stored whole under the key of its reservation.
    Bytes(Blob),
    /// It is an image.
    Stored(Box<ImageRecord>),
    /// Its row was given up, so that it can never be stored.
    GivenUp,
}

/// Why nobody can tell.
#[derive(Debug)]
pub enum OutputLeftError {
    Catalog(CatalogError),
    Store(StoreError),
}

impl Library {
    /// What there is of an output of at most `limit_bytes` whose job was worked on before, so that no provider is paid for it again.
    ///
    /// # Errors
    /// [`OutputLeftError`].
    pub async fn output_left(&self, id: ImageId, limit_bytes: u64) -> Result<OutputLeft, OutputLeftError> {
        let found = self.catalog.find(id, &OwnerFilter::Any).await.map_err(OutputLeftError::Catalog)?;
        let Some(record) = found else { return Ok(OutputLeft::Nothing) };
        match record.status {
            Status::Stored => return Ok(OutputLeft::Stored(Box::new(record))),
            Status::Deleting | Status::Deleted => return Ok(OutputLeft::GivenUp),
            Status::Pending => {}
        }
        for storage in [StorageKind::R2, StorageKind::D1] {
            let Some(store) = self.stores.at(storage, id) else { continue };
            let key = &record.description.key;
            let info = store.head(key).await.map_err(OutputLeftError::Store)?;
            if !info.is_some_and(|info| belongs_to(&info, id)) {
                continue;
            }
            let Some(object) = store.get(key, None).await.map_err(OutputLeftError::Store)? else { continue };
            let bytes = object.body.collect(limit_bytes).await;
            return Ok(OutputLeft::Bytes(bytes.map_err(|error| OutputLeftError::Store(error.into()))?));
        }
        Ok(OutputLeft::Nothing)
    }
}
