//! Removing an image: mark, remove the bytes, forget.

use super::metadata::belongs_to;
use super::purge::{PurgeState, queued};
use super::stores::not_bound;
use super::{DropError, Library};
use crate::catalog::{CatalogError, DeleteStep, Description, ImageRecord, MovedImages, OwnerFilter, SourceItem};
use crate::image::ImageId;
use crate::store::{StorageKind, StoreError};

/// Age in milliseconds from which unfinished work counts as abandoned: one hour, far longer than any request lives.
pub const SWEEP_AFTER_MS: i64 = 60 * 60 * 1000;

/// Why an image was not removed yet. The row stays `deleting`, unreadable, until another call or the sweep is through.
#[derive(Debug)]
pub enum RemoveError {
    Store(StoreError),
    Catalog(CatalogError),
    /// There never was such an image, or it is another owner's.
    NotFound,
    /// It was moved out of a table, whose row may still show it. Nothing happened.
    Moved(SourceItem),
}

impl From<CatalogError> for RemoveError {
    fn from(error: CatalogError) -> Self {
        Self::Catalog(error)
    }
}

impl From<DropError> for RemoveError {
    fn from(error: DropError) -> Self {
        match error {
            DropError::Store(error) => Self::Store(error),
            DropError::Catalog(error) => Self::Catalog(error),
        }
    }
}

impl Library {
    /// Removes an image for good; doing it twice is fine:
    ///
    /// 1. mark the row `deleting`: from here on nobody can read it;
    /// 2. delete the bytes, wherever they may be, and those of its variants;
    /// 3. make the cache in front forget it;
    /// 4. turn the row into a tombstone without personal data, and queue what the cache did not take.
    ///
    /// An image that may be in two homes got there by a put that nobody waited for, or that was done again. One may still be under way
    /// if that was within the hour, and bring the bytes back. Only the personal data is erased then: the sweep removes the bytes once
    /// more, when no put can be left, and finishes.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub async fn remove(
        &self,
        id: ImageId,
        owner: &OwnerFilter,
        moved: MovedImages,
    ) -> Result<PurgeState, RemoveError> {
        let began_at = self.runtime.now();
        let (record, unchanged_since, due_purges, variants) =
            match self.catalog.begin_delete(id, owner, moved, began_at).await? {
                DeleteStep::NotFound => return Err(RemoveError::NotFound),
                DeleteStep::AlreadyDeleted => {
                    let waits = self.catalog.purge_waits(id).await?;
                    return Ok(if waits { PurgeState::Pending } else { PurgeState::Done });
                }
                DeleteStep::Moved(item) => return Err(RemoveError::Moved(item)),
                DeleteStep::Delete { record, unchanged_since, due_purges, variants } => {
                    (record, unchanged_since, due_purges, variants)
                }
            };
        let removed = self.delete_all_bytes(&record).await;
        let dropped = self.drop_variants(&variants).await;
        // Whatever became of the bytes, nobody is to see them in the cache.
        let purge = self.purge(&record, due_purges).await;
        removed?;
        dropped?;
        let now = self.runtime.now();
        if homes(&record).len() > 1 && unchanged_since.plus_millis(SWEEP_AFTER_MS) > began_at {
            self.catalog.erase(id, record.version, &purge, now).await?;
        } else {
            self.catalog.finish_delete(id, record.version, &purge, now).await?;
        }
        Ok(PurgeState::from(&purge))
    }

    /// Finishes a removal that stopped halfway. The cache in front is asked later.
    pub(super) async fn finish_removal(&self, record: &ImageRecord) -> Result<(), RemoveError> {
        self.delete_all_bytes(record).await?;
        let (id, now) = (record.description.id, self.runtime.now());
        self.catalog.finish_delete(id, record.version, &queued(record), now).await?;
        Ok(())
    }

    /// Removes the bytes of an image in two homes that was marked with others, and erases what people wrote of it. When the second put
    /// was is not known, so that the sweep finishes.
    pub(super) async fn remove_marked(&self, record: &ImageRecord) -> Result<(), RemoveError> {
        self.delete_all_bytes(record).await?;
        let (id, now) = (record.description.id, self.runtime.now());
        Ok(self.catalog.erase(id, record.version, &queued(record), now).await?)
    }

    /// Removes the bytes, wherever they may be.
    async fn delete_all_bytes(&self, record: &ImageRecord) -> Result<(), RemoveError> {
        for storage in homes(record) {
            self.delete_bytes(record, storage).await.map_err(RemoveError::Store)?;
        }
        Ok(())
    }

    async fn delete_bytes(&self, record: &ImageRecord, storage: StorageKind) -> Result<(), StoreError> {
        let Description { id, key, .. } = &record.description;
        let Some(store) = self.stores.at(storage, *id) else {
            // Bytes that fell back to the database were at most tried in a bucket that is not bound.
            return if storage == record.storage { Err(not_bound()) } else { Ok(()) };
        };
        // Nobody vouches for what lies under a key whose image was never stored.
        if record.content.is_none() && store.head(key).await?.is_some_and(|info| !belongs_to(&info, *id)) {
            return Ok(());
        }
        store.delete(key).await
    }
}

/// Every home where bytes of the record may be. A put that failed, timed out or was killed may have happened all the same, so that an
/// image which never got as far as `stored` may be in both.
pub(super) fn homes(record: &ImageRecord) -> Vec<StorageKind> {
    let may_be_in_both = record.content.is_none() || record.two_homes.unwrap_or_else(|| guess_two_homes(record));
    if may_be_in_both { vec![StorageKind::R2, StorageKind::D1] } else { vec![record.storage] }
}

/// Whether an image whose row does not say so may be in two homes: a Worker that does not know of `two_homes` stored it. It may be
/// if it fell back, if it moved to R2 and its original is there, or if it moved back or was reserved for R2 at first.
fn guess_two_homes(record: &ImageRecord) -> bool {
    /// The version of a row that was written as stored, without a reservation for R2, and then marked `deleting`.
    const STORED_AND_MARKED: i64 = 2;
    let was_elsewhere = match record.storage {
        StorageKind::R2 => record.embedded_write_id.is_some(),
        StorageKind::D1 => record.version > STORED_AND_MARKED,
    };
    record.fallback_reason.is_some() || was_elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Associations, Content, Status};
    use crate::image::{Format, ImageId, Labels, ObjectKey, Sha256Digest, Visibility};
    use crate::runtime::Timestamp;
    use StorageKind::{D1, R2};

    fn record(storage: StorageKind) -> ImageRecord {
        let at = Timestamp::from_millis(0);
        ImageRecord {
            description: Description {
                id: ImageId::from_random_bytes([0; 16]),
                key: ObjectKey::try_from("a/b.png".to_owned()).unwrap(),
                format: Format::Png,
                visibility: Visibility::Public,
                filename: None,
                context: None,
                associations: Associations::default(),
                labels: Labels::default(),
                owner_id: None,
                frame: None,
                parent_id: None,
                moved_from: None,
                created_at: at,
            },
            version: 2,
            status: Status::Deleting,
            storage,
            content: Some(Content {
                size_bytes: 1,
                sha256: Sha256Digest::of(b"a"),
                dimensions: None,
                orientation: None,
            }),
            generation: None,
            fallback_reason: None,
            embedded_write_id: None,
            two_homes: None,
            placeholder: None,
            updated_at: at,
        }
    }

    #[test]
    fn bytes_are_removed_from_the_home_and_from_another_where_they_may_be() {
        for home in [R2, D1] {
            let embedded_write_id = (home == R2).then(|| "write".to_owned());
            let version = if home == D1 { 3 } else { 2 };
            let fallback_reason = Some("store-unavailable".to_owned());
            let both = [
                ImageRecord { content: None, ..record(home) },
                ImageRecord { content: None, two_homes: Some(false), ..record(home) },
                ImageRecord { two_homes: Some(true), ..record(home) },
                ImageRecord { fallback_reason: fallback_reason.clone(), ..record(home) },
                ImageRecord { embedded_write_id: embedded_write_id.clone(), version, ..record(home) },
            ];
            let one = [
                record(home),
                ImageRecord { two_homes: Some(false), ..record(home) },
                ImageRecord { two_homes: Some(false), fallback_reason, embedded_write_id, version, ..record(home) },
            ];
            for record in both {
                assert_eq!(homes(&record), [R2, D1], "{record:?}");
            }
            for record in one {
                assert_eq!(homes(&record), [home], "{record:?}");
            }
        }
    }
}
