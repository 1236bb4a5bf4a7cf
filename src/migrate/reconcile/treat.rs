//! What becomes of objects that nothing names.

use super::asked::Treatment;
use super::error::ReconcileError;
use super::place::Place;
use crate::catalog::HELD_AT_ONCE;
use crate::image::{ImageId, ObjectKey};
use crate::library::{Adopted, Library, NotAdopted};
use crate::store::{ObjectInfo, StorageKind};

/// Objects that a slice adopts, each of which is read whole and takes up to four calls.
const ADOPTED_AT_ONCE: usize = 10;
/// Objects that a slice removes: five times a batch of rows, a call of the bucket, and a statement.
const REMOVED_AT_ONCE: usize = 5 * HELD_AT_ONCE;
/// Time in milliseconds after which a slice adopts nothing more: the caller waits.
const ADOPTION_MS: u64 = 15_000;

/// What became of an object that nothing names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is as it was, as the caller wished.
    Found,
    /// It is an image.
    Adopted(ImageId),
    /// It is gone.
    Removed,
    /// It is as it was, though the caller wished otherwise; the word says why.
    Kept(&'static str),
}

/// Treats the objects, as many as a slice may, and says where the next slice begins.
pub async fn treat(
    library: &Library,
    treatment: Treatment,
    mut orphans: Vec<ObjectInfo>,
    until: Option<ObjectKey>,
) -> Result<(Vec<(ObjectInfo, Fate)>, Option<ObjectKey>), ReconcileError> {
    let limit = match treatment {
        Treatment::Report => orphans.len(),
        Treatment::Adopt => ADOPTED_AT_ONCE,
        Treatment::Remove => REMOVED_AT_ONCE,
    };
    let is_cut = orphans.len() > limit;
    orphans.truncate(limit);
    let asked = orphans.len();
    let treated = match treatment {
        Treatment::Report => orphans.into_iter().map(|object| (object, Fate::Found)).collect(),
        Treatment::Adopt => adopt(library, orphans).await?,
        Treatment::Remove => remove(library, orphans).await?,
    };
    let is_partial = is_cut || treated.len() < asked;
    let reached = treated.last().filter(|_| is_partial).map(|(object, _)| object.key.clone());
    Ok((treated, reached.or(until)))
}

/// Makes images of the objects, one after the other, until the time is over.
async fn adopt(library: &Library, orphans: Vec<ObjectInfo>) -> Result<Vec<(ObjectInfo, Fate)>, ReconcileError> {
    let began_at = library.runtime.now();
    let mut treated = Vec::with_capacity(orphans.len());
    for object in orphans {
        let fate = match Place::of(&object.key) {
            Place::Image(key) => library.adopt(&object, Some(&key), key.image_id()).await?.into(),
            Place::Moved(image) => library.adopt(&object, None, Some(image)).await?.into(),
            // It is made anew when somebody asks for it.
            Place::Variant(_) => Fate::Kept("variant"),
            Place::Record | Place::Foreign => Fate::Kept("foreign"),
        };
        treated.push((object, fate));
        if library.runtime.now().millis_since(began_at) > ADOPTION_MS {
            break;
        }
    }
    Ok(treated)
}

/// Removes the objects: makes sure that no image gets their keys meanwhile, and then deletes those that none has.
async fn remove(library: &Library, orphans: Vec<ObjectInfo>) -> Result<Vec<(ObjectInfo, Fate)>, ReconcileError> {
    let bucket = library.stores.of_several(StorageKind::R2).ok_or(ReconcileError::NoBucket)?;
    let mut treated = Vec::with_capacity(orphans.len());
    for batch in orphans.chunks(HELD_AT_ONCE) {
        let id = |_: &ObjectInfo| ImageId::from_random_bytes(library.runtime.random_bytes());
        let wanted: Vec<_> = batch.iter().map(|object| (id(object), object.key.clone())).collect();
        let ids: Vec<_> = wanted.iter().map(|(id, _)| *id).collect();
        let held = library.catalog.hold_keys(&wanted, library.runtime.now()).await;
        let removed = match &held {
            Ok(keys) if keys.is_empty() => Ok(()),
            Ok(keys) => bucket.delete_all(keys).await,
            Err(_) => Ok(()),
        };
        // Whatever became of it: rows that stay keep their keys from images until the sweep takes them.
        let let_go = library.catalog.let_go(&ids).await;
        let held = held?;
        removed?;
        let_go?;
        treated.extend(batch.iter().map(|object| {
            let fate = if held.contains(&object.key) { Fate::Removed } else { Fate::Kept(NotAdopted::Named.as_str()) };
            (object.clone(), fate)
        }));
    }
    Ok(treated)
}

impl From<Adopted> for Fate {
    fn from(adopted: Adopted) -> Self {
        match adopted {
            Adopted::Image(id) => Self::Adopted(id),
            Adopted::Not(why) => Self::Kept(why.as_str()),
        }
    }
}
