//! The images of a table as rows of the catalogue, which may be in another database than the table.
//!
//! In the catalogue's own database the row is made and removed in the transaction that switches the application's row. From another
//! one, [`crate::catalog::moved`] says which comes first and what is done after a crash.

use std::rc::Rc;

use crate::catalog::moved;
use crate::image::ImageId;
use crate::migrate::runs::ledger::require_one_change;
use crate::migrate::runs::{Entry, journal::Catalogued};
use crate::migrate::task::{Interruption, SliceContext};
use crate::runtime::Timestamp;
use crate::sql::{Database, DatabaseError, Statement};

/// How the images of a table come into the catalogue and leave it.
#[derive(Clone)]
pub struct TableCatalogue {
    /// The name of the table's source.
    pub source: String,
    /// The catalogue's database, when the table is in another.
    pub elsewhere: Option<Rc<dyn Database>>,
}

impl TableCatalogue {
    /// Whether a move makes the row itself.
    pub fn at_move(&self) -> Catalogued {
        if self.elsewhere.is_some() { Catalogued::Absent } else { Catalogued::Present }
    }

    /// Removes rows whose originals are about to be restored, when that cannot be done in the transaction that restores them. Until
    /// then, the journal serves the images.
    ///
    /// # Errors
    /// When a database fails.
    pub async fn leave(&self, ids: &[ImageId], context: &SliceContext<'_>) -> Result<(), Interruption> {
        let Some(catalogue) = self.elsewhere.as_ref().filter(|_| !ids.is_empty()) else { return Ok(()) };
        context.read(vec![moved::withdraw(&self.source, ids)?]).await?;
        context.count(|operations| operations.count_database(1, 2));
        catalogue.batch(Vec::from(moved::forget_moved(&self.source, ids, context.runtime.now())?)).await?;
        Ok(())
    }

    /// What the transaction that restores an original, or forgets the move, does about the row.
    ///
    /// # Errors
    /// When a value has no form in the database.
    pub fn at_return(&self, item: &str, image_id: ImageId, now: Timestamp) -> Result<Vec<Statement>, DatabaseError> {
        if self.elsewhere.is_some() {
            Ok(vec![moved::require_withdrawn(&self.source, item), require_one_change()])
        } else {
            Ok(Vec::from(moved::forget_moved(&self.source, &[image_id], now)?))
        }
    }

    /// The images of entries.
    pub fn images_of(entries: &[&Entry]) -> Vec<ImageId> {
        entries.iter().map(|entry| entry.image_id).collect()
    }
}
