//! Images that a journal has and the catalogue has not: they become rows of it, some at a time.
//!
//! They are the moves of versions before, and those out of tables in another database than the catalogue's.

use std::rc::Rc;

use serde::Deserialize;

use super::runs::Ledger;
use crate::catalog::moved;
use crate::image::ImageId;
use crate::runtime::Timestamp;
use crate::sql::{Database, DatabaseError, QueryResult};

/// The most slices that one invocation adopts, five statements each: 2,000 entries, and a fifth of an invocation's statements.
const SLICES: usize = 20;

#[derive(Deserialize)]
struct Adopted {
    source: String,
    image_id: ImageId,
}

#[derive(Deserialize)]
struct Marked {
    image_id: ImageId,
}

/// Makes rows of the catalogue, which is in `own`, of the entries of a journal that have none, as far as one invocation goes.
///
/// # Errors
/// When a database fails. What was done stays done, and doing it again is fine.
pub async fn adopt(own: &Rc<dyn Database>, ledger: &Ledger, now: Timestamp) -> Result<(), DatabaseError> {
    let is_own = Rc::ptr_eq(own, ledger.database());
    for _ in 0..SLICES {
        let adopted = if is_own { adopt_own(own).await? } else { adopt_from(own, ledger.database(), now).await? };
        if adopted < usize::from(moved::ADOPTED_AT_ONCE) {
            break;
        }
    }
    Ok(())
}

/// Entries and rows change in one transaction.
async fn adopt_own(own: &Rc<dyn Database>) -> Result<usize, DatabaseError> {
    let answers = own.batch(Vec::from(moved::adopt_own())).await?;
    let marked = answers.last().map(QueryResult::rows::<Marked>).transpose()?.unwrap_or_default();
    Ok(marked.len())
}

/// Entries are marked, then the rows are made, then the entries are marked again. A rollback that came between took its entry out of
/// the catalogue, and finds its row removed.
async fn adopt_from(
    own: &Rc<dyn Database>,
    journal: &Rc<dyn Database>,
    now: Timestamp,
) -> Result<usize, DatabaseError> {
    let entries = journal.run(moved::enter()).await?;
    let entering = entries.rows::<Adopted>()?;
    if entering.is_empty() {
        return Ok(0);
    }
    own.batch(Vec::from(moved::adopt_entries(&entries.rows_json))).await?;
    let ids: Vec<_> = entering.iter().map(|entry| entry.image_id).collect();
    let entered = journal.run(moved::entered(&ids)?).await?.rows::<Marked>()?;
    for Adopted { source, image_id } in &entering {
        if !entered.iter().any(|marked| marked.image_id == *image_id) {
            own.batch(Vec::from(moved::forget_moved(source, &[*image_id], now)?)).await?;
        }
    }
    Ok(entering.len())
}
