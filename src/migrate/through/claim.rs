//! The right to fetch an item, which one request has at a time, whatever its isolate.

use super::look::known;
use super::{MARGIN_MS, ReadThrough, Reading, Turn};
use crate::image::ObjectKey;
use crate::migrate::reading::Place;
use crate::migrate::runs::read_through::{self, Claimed};
use crate::sql::{DatabaseError, Lease, QueryResult};

impl ReadThrough {
    /// Takes the item; otherwise says what it has become meanwhile, if that is known.
    pub(super) async fn claim(
        &self,
        item: &str,
        missed_by: String,
        place: Place,
    ) -> Result<Result<(Turn, Option<ObjectKey>), Option<Reading>>, DatabaseError> {
        let lease_ms = 2 * (self.source_timeout_ms + self.surroundings.destination.timeout_ms) + MARGIN_MS;
        let lease = Lease::begin(&**self.runtime(), i64::try_from(lease_ms).unwrap_or(i64::MAX));
        let now = self.now();
        let mut statements = vec![read_through::claim(&self.source, item, &lease, now)];
        statements.extend(self.questions(item, &missed_by, now));
        let answers = self.journal().batch(statements).await?;
        let (claimed, looked) = answers.split_at(answers.len().min(1));
        let claimed = claimed.first().map(QueryResult::first::<Claimed>).transpose()?.flatten();
        let known = known(looked)?;
        let Some(claimed) = claimed else { return Ok(Err(known)) };
        let turn = Turn { item: item.to_owned(), missed_by, lease, _place: place };
        if known.is_some() {
            self.release(&turn).await;
            return Ok(Err(known));
        }
        Ok(Ok((turn, claimed.storage_key)))
    }

    /// Best effort: a claim that stays ends by itself.
    pub(super) async fn release(&self, turn: &Turn) {
        let _ = self.journal().run(read_through::release(&self.source, &turn.item, &turn.lease)).await;
    }
}
