//! Bytes of variants: read, put, removed.

use super::metadata::IMAGE_ID;
use super::stores::not_bound;
use super::{Library, OpenError};
use crate::bytes::{Blob, Body};
use crate::catalog::{CatalogError, LeavingVariant, StoredVariant};
use crate::image::{ImageId, ObjectKey, Visibility};
use crate::store::{ByteRange, Media, ObjectMetadata, PutObject, StorageKind, StoreError, StoreErrorKind};

/// Variants that a sweep removes: two calls for all of them.
const SWEEP_LIMIT: u16 = 100;

impl Library {
    /// Opens the bytes of a variant, or the part of them in `range`; `None` when they are not there, or others than the row says.
    ///
    /// # Errors
    /// [`OpenError::Store`] when the store cannot say.
    pub async fn open_variant(
        &self,
        id: ImageId,
        variant: &StoredVariant,
        range: Option<ByteRange>,
    ) -> Result<Option<Body>, OpenError> {
        let store = self.stores.at(variant.storage, id).ok_or_else(|| OpenError::Store(not_bound()))?;
        let object = match store.get(&variant.key, range).await {
            Err(error) if error.kind == StoreErrorKind::Corrupt => return Ok(None),
            other => other.map_err(OpenError::Store)?,
        };
        let is_same = |size_bytes, sha256: Option<_>| {
            size_bytes == variant.size_bytes && sha256.is_none_or(|sha256| sha256 == variant.sha256)
        };
        Ok(object.filter(|object| is_same(object.size_bytes, object.sha256)).map(|object| object.body))
    }

    /// Puts what the holder of a variant's lease made. What an earlier holder left under the key is replaced: the row does not say that
    /// it can be read.
    ///
    /// # Errors
    /// [`StoreError`]; it may have been put.
    pub async fn put_variant(
        &self,
        id: ImageId,
        variant: &StoredVariant,
        visibility: Visibility,
        bytes: &Blob,
    ) -> Result<(), StoreError> {
        let store = self.stores.at(variant.storage, id).ok_or_else(not_bound)?;
        let object = || PutObject {
            key: variant.key.clone(),
            body: bytes.clone().into(),
            media: Media::image(variant.format, visibility),
            sha256: Some(variant.sha256),
            metadata: ObjectMetadata::from([(IMAGE_ID.to_owned(), id.to_string())]),
        };
        match store.put(object()).await {
            Err(error) if error.kind == StoreErrorKind::KeyTaken => {
                store.delete(&variant.key).await?;
                store.put(object()).await.map(drop)
            }
            other => other.map(drop),
        }
    }

    /// Removes the bytes of variants that leave, and forgets those of which no put can be under way.
    ///
    /// # Errors
    /// [`DropError`]; some may be gone.
    pub async fn drop_variants(&self, variants: &[LeavingVariant]) -> Result<(), DropError> {
        if variants.is_empty() {
            return Ok(());
        }
        for storage in [StorageKind::R2, StorageKind::D1] {
            let keys: Vec<ObjectKey> = variants
                .iter()
                .filter(|variant| variant.storage == storage)
                .map(|variant| variant.key.clone())
                .collect();
            if !keys.is_empty() {
                let store = self.stores.of_several(storage).ok_or_else(not_bound).map_err(DropError::Store)?;
                store.delete_all(&keys).await.map_err(DropError::Store)?;
            }
        }
        self.catalog.forget_variants(variants, self.runtime.now()).await.map_err(DropError::Catalog)
    }

    /// Removes variants that left, were abandoned, or were refused long ago.
    pub(super) async fn sweep_variants(&self) -> Result<(), DropError> {
        let due = self.catalog.due_variants(self.runtime.now(), SWEEP_LIMIT).await.map_err(DropError::Catalog)?;
        self.drop_variants(&due).await
    }
}

/// Why variants are not gone yet. The sweep goes on.
#[derive(Debug)]
pub enum DropError {
    Store(StoreError),
    Catalog(CatalogError),
}
