//! What is known of an item without asking its source.

use serde::de::DeserializeOwned;

use super::{DELETED, ReadThrough, Reading, UNAVAILABLE};
use crate::image::Sha256Digest;
use crate::migrate::runs::read_through::{self, MovedTo};
use crate::migrate::source::RowNow;
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement};

impl ReadThrough {
    /// What there is to read as far as that is known; otherwise what the item is remembered by if it is fetched in vain. An item is remembered
    /// by its name, and one that is a row by its link, since the row may get another.
    pub(super) async fn look(&self, item: &str) -> Result<Result<Reading, String>, DatabaseError> {
        let journal = self.journal();
        let moved = read_through::moved(&self.source, item);
        let missed = |name: &str| read_through::missed(&self.source, name, self.now());
        let Some(row_now) = self.sources.row_now(&self.source, item) else {
            if let Some(known) = known(&journal.batch(vec![moved, missed(item)]).await?)? {
                return Ok(Ok(known));
            }
            let is_usable = self.sources.is_usable(&self.source).await?;
            return Ok(if is_usable { Err(item.to_owned()) } else { Ok(Reading::Absent) });
        };
        let answers = match journal.batch(vec![moved.clone(), row_now]).await {
            // The table is gone, or is another one: what was moved out of it is served still.
            Err(error) if error.kind == DatabaseErrorKind::Schema => vec![journal.run(moved).await?],
            answers => answers?,
        };
        let row = first::<RowNow>(&answers, 1)?;
        let is_there = answers.len() < 2 || row.as_ref().is_some_and(|row| row.is_moved == 1);
        if let Some(moved) = first::<MovedTo>(&answers, 0)?.filter(|_| is_there) {
            return Ok(Ok(Reading::Moved(moved.image_id)));
        }
        let Some(link) = row.and_then(|row| row.link) else { return Ok(Ok(Reading::Absent)) };
        let missed_by = Sha256Digest::of(link.as_bytes()).to_string();
        let reason = read_through::reason_of(&journal.run(missed(&missed_by)).await?)?;
        Ok(reason.map(|reason| of_miss(&reason)).ok_or(missed_by))
    }

    /// Asks in the transaction of a claim whether the item became known meanwhile; [`known`] reads the answers.
    pub(super) fn questions(&self, item: &str, missed_by: &str, now: Timestamp) -> Vec<Statement> {
        let moved = read_through::moved(&self.source, item);
        let missed = read_through::missed(&self.source, missed_by, now);
        let row_now = self.sources.row_now(&self.source, item);
        [moved, missed].into_iter().chain(row_now).collect()
    }
}

/// What the answers to [`ReadThrough::questions`] say.
///
/// # Errors
/// When they are none.
pub(super) fn known(answers: &[QueryResult]) -> Result<Option<Reading>, DatabaseError> {
    let is_row = answers.len() > 2;
    let is_there = !is_row || first::<RowNow>(answers, 2)?.is_some_and(|row| row.is_moved == 1);
    if let Some(moved) = first::<MovedTo>(answers, 0)?.filter(|_| is_there) {
        return Ok(Some(Reading::Moved(moved.image_id)));
    }
    let reason = answers.get(1).map(read_through::reason_of).transpose()?.flatten();
    Ok(reason.map(|reason| of_miss(&reason)))
}

fn first<T: DeserializeOwned>(answers: &[QueryResult], at: usize) -> Result<Option<T>, DatabaseError> {
    Ok(answers.get(at).map(QueryResult::first::<T>).transpose()?.flatten())
}

fn of_miss(reason: &str) -> Reading {
    match reason {
        DELETED => Reading::Deleted,
        UNAVAILABLE => Reading::Unavailable,
        _ => Reading::Absent,
    }
}
