//! What is done about an object that a fetch put and could not record, at once or after the fetch has died.

use std::rc::Rc;

use serde::Deserialize;

use super::{MARGIN_MS, ReadThrough};
use crate::image::ObjectKey;
use crate::migrate::destination::remove_own;
use crate::migrate::runs::read_through::{self, Claimed};
use crate::migrate::source::ledger_answer;
use crate::sql::{Database, DatabaseError, Lease};

/// From so long after its end a claim is taken over: no put of it can be under way.
const SWEPT_AFTER_MS: i64 = 60 * 60 * 1_000;
const SWEPT_AT_ONCE: u16 = 20;

#[derive(Deserialize)]
struct One {
    #[serde(rename = "one")]
    _one: u8,
}

impl ReadThrough {
    /// Removes the object of an item that this request has, unless something names it. False when that failed.
    pub(super) async fn remove_unnamed(
        &self,
        journal: &Rc<dyn Database>,
        source: &str,
        item: &str,
        key: &ObjectKey,
    ) -> Result<bool, DatabaseError> {
        let catalogue = self.sources.catalogue();
        let elsewhere = (!Rc::ptr_eq(catalogue, journal)).then_some(catalogue);
        for database in [Some(journal), elsewhere].into_iter().flatten() {
            let named = database.run(read_through::named(source, item, key)).await?;
            if !named.rows::<One>()?.is_empty() {
                return Ok(true);
            }
        }
        Ok(remove_own(&*self.surroundings.destination.bucket, key, source).await.is_ok())
    }

    /// Goes over claims that nobody gave back, in every database that has some.
    ///
    /// # Errors
    /// When a database fails.
    pub async fn sweep(&self) -> Result<(), DatabaseError> {
        for (is_own, ledger) in self.sources.ledgers() {
            ledger_answer(is_own, self.sweep_in(ledger.database()).await)?;
        }
        Ok(())
    }

    async fn sweep_in(&self, journal: &Rc<dyn Database>) -> Result<(), DatabaseError> {
        let now = self.now();
        let lease = Lease::begin(&**self.runtime(), i64::try_from(MARGIN_MS).unwrap_or(i64::MAX));
        let take_over = read_through::take_over(&lease, now.plus_millis(-SWEPT_AFTER_MS), SWEPT_AT_ONCE);
        for Claimed { source, item_id, storage_key } in journal.run(take_over).await?.rows::<Claimed>()? {
            let is_clear = match &storage_key {
                Some(key) => self.remove_unnamed(journal, &source, &item_id, key).await?,
                None => true,
            };
            if is_clear {
                journal.run(read_through::release(&source, &item_id, &lease)).await?;
            }
        }
        Ok(())
    }
}
