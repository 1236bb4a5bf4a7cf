//! Opening a stored image for reading.

use super::Library;
use super::following::follow;
use super::stores::not_bound;
use crate::bytes::{Blob, Body};
use crate::catalog::{CatalogError, OwnerFilter, ServableImage, Serving};
use crate::store::{ByteRange, StoreError, StoreErrorKind, StoredObject};

/// Why bytes could not be opened.
#[derive(Debug)]
pub enum OpenError {
    Store(StoreError),
    Catalog(CatalogError),
    /// Deleted between the reading of the row and of the bytes.
    Gone,
    /// Put back into its source in between: there is no such image any more, and there may be again.
    PutBack,
    /// It may have moved on in between, and its database was not asked, because too many ask it.
    Unasked,
    /// The row says stored, and the bytes are not there.
    Missing,
}

impl Library {
    /// Opens the bytes of `image`, or the part of them in `range`. When they are not where the row said, the row is read once
    /// more: a migration or a deletion may have moved on in between. What breaks off later, because the image was moved while it was
    /// read, goes on from its new home.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, image: &ServableImage, range: Option<ByteRange>) -> Result<StoredObject, OpenError> {
        if let Some(object) = self.open_at(image, range).await? {
            return Ok(self.followed(image, range, object));
        }
        let serving = self.catalog.find_for_serving(image.id, &OwnerFilter::Any).await;
        let again = match serving.map_err(OpenError::Catalog)? {
            Serving::Found(again) => again,
            Serving::Gone => return Err(OpenError::Gone),
            Serving::Unknown => return Err(OpenError::PutBack),
            Serving::Unasked => return Err(OpenError::Unasked),
        };
        if again.version == image.version {
            return Err(OpenError::Missing);
        }
        let object = self.open_at(&again, range).await?.ok_or(OpenError::Missing)?;
        Ok(self.followed(&again, range, object))
    }

    fn followed(&self, image: &ServableImage, range: Option<ByteRange>, object: StoredObject) -> StoredObject {
        let offset_bytes = range.map_or(0, |range| range.offset_bytes);
        StoredObject { body: follow(self, image, offset_bytes, object.body), ..object }
    }

    /// Bytes that came with the row of `image`, told of as any read of them is.
    #[must_use]
    pub fn opened(&self, image: &ServableImage, bytes: Blob) -> Body {
        self.stores.record_read(image.storage, image.id, bytes.size_bytes() as u64);
        bytes.into()
    }

    pub(super) async fn open_at(
        &self,
        image: &ServableImage,
        range: Option<ByteRange>,
    ) -> Result<Option<StoredObject>, OpenError> {
        let store = self.stores.at(image.storage, image.id).ok_or_else(|| OpenError::Store(not_bound()))?;
        let object = store.get(&image.key, range).await.map_err(OpenError::Store)?;
        if let Some(object) = &object {
            let same_size = object.size_bytes == image.size_bytes;
            let same_digest = object.sha256.is_none_or(|sha256| sha256 == image.sha256);
            if !(same_size && same_digest) {
                let detail = format!("the bytes of {} differ from its row", image.id);
                return Err(OpenError::Store(StoreError::new(StoreErrorKind::Corrupt, detail)));
            }
        }
        Ok(object)
    }
}
