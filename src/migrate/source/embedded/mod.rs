//! Images of our own that are embedded in the database.

mod items;
mod objects;
mod originals;
mod returned_rows;
mod saved_rows;

use std::rc::Rc;

use async_trait::async_trait;

use self::items::EmbeddedItems;
use self::objects::EmbeddedObjects;
use self::originals::{EmbeddedOriginals, PLACE};
use self::returned_rows::EmbeddedReturnedRows;
use self::saved_rows::EmbeddedSavedRows;
use super::{Archive, EMBEDDED, Kind, OWN_BINDING, Source, SourceError, SourceStatus, Surroundings};
use crate::image::ImageId;
use crate::migrate::runs::{ActionParameters, IdType, Run};
use crate::runtime::Runtime;
use crate::sql::{Database, DatabaseError};

/// The one source of embedded images.
pub struct EmbeddedKind {
    /// The catalogue's.
    pub database: Rc<dyn Database>,
}

#[async_trait(?Send)]
impl Kind for EmbeddedKind {
    async fn names(&self) -> Result<Vec<String>, DatabaseError> {
        Ok(vec![EMBEDDED.to_owned()])
    }

    fn binding(&self, name: &str) -> Option<String> {
        (name == EMBEDDED).then(|| OWN_BINDING.to_owned())
    }

    async fn check(&self, _name: &str) -> Result<Result<(), SourceError>, DatabaseError> {
        Ok(Ok(()))
    }

    async fn open(&self, run: &Run, surroundings: &Surroundings) -> Result<Result<Source, SourceError>, DatabaseError> {
        let Surroundings { destination, embedded, bucket_is_public, prompt_in_metadata, .. } = surroundings.clone();
        Ok(Ok(Source {
            ids: IdType::Text,
            place: PLACE.to_owned(),
            items: Box::new(EmbeddedItems {
                surroundings: surroundings.clone(),
                fallback_only: matches!(run.parameters.action, ActionParameters::Migrate { fallback_only: true, .. }),
            }),
            originals: Box::new(EmbeddedOriginals {
                embedded: Rc::clone(&embedded),
                destination: destination.clone(),
                prompt_in_metadata,
            }),
            objects: Box::new(EmbeddedObjects),
            archive: Some(Archive {
                saved: Box::new(EmbeddedSavedRows { database: Rc::clone(&self.database), bucket_is_public }),
                returned: Box::new(EmbeddedReturnedRows { embedded, runtime: destination.runtime, prompt_in_metadata }),
            }),
            references: None,
        }))
    }

    // Its images are their own rows.
    async fn shows(
        &self,
        _source: &str,
        _item: &str,
        _image: ImageId,
    ) -> Result<Result<bool, SourceError>, DatabaseError> {
        Ok(Ok(false))
    }

    // The catalogue counts them.
    async fn statuses(&self, _runtime: &Rc<dyn Runtime>) -> Result<Vec<SourceStatus>, DatabaseError> {
        Ok(Vec::new())
    }

    async fn count_on(&self, _runtime: &Rc<dyn Runtime>) -> Result<(), DatabaseError> {
        Ok(())
    }
}
