//! Writing a slice down: one transaction, or one for each item when somebody has changed one.

use super::counters::{stages, totals, uncertain};
use super::decide::{self, FailedCommit, Fence, Named, Recovery, Settlement};
use super::driver::{LeasedRun, named, warn};
use crate::migrate::runs::ledger::{self, Advance};
use crate::migrate::runs::{InFlight, Line, Progress, Run, State, together};
use crate::migrate::task::{Bounds, Interruption, MAX_STALLS, Outcome, Slice};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement};
use crate::store::ImageStore as _;

/// A commit that was refused because an item was changed meanwhile; nothing happened.
struct Refused(DatabaseError);

impl LeasedRun<'_> {
    /// Writes the slice down, and reads the next one unless this worker is to do no more.
    pub async fn write_down(
        &mut self,
        slice: Slice,
        bounds: Bounds,
        is_last: bool,
    ) -> Result<Vec<QueryResult>, Interruption> {
        let Slice { outcomes, cursor, exhausted, warnings, left, stalled, .. } = slice;
        self.run.in_flight = together(&self.run.in_flight, &left);
        self.run.progress.stalls += u32::from(stalled);
        for warning in warnings {
            warn(&mut self.run.progress, warning);
        }
        let next = |leased: &Self| {
            let mut run = leased.run.clone();
            run.cursor = cursor.clone().or(run.cursor);
            if exhausted || is_last { Ok(Vec::new()) } else { leased.task.select(&run, bounds) }
        };
        let selects = next(self)?;
        if let Ok(found) = self.commit(&outcomes, cursor.clone(), &[], selects).await? {
            return Ok(found);
        }
        self.write_down_each(outcomes).await?;
        let selects = next(self)?;
        self.commit_lines(&[], cursor, &[], selects).await
    }

    /// Writes the items down one by one. One that was changed meanwhile is skipped, and what was put for it is removed. What was put
    /// for the items behind it stays written down as in flight.
    async fn write_down_each(&mut self, outcomes: Vec<Outcome>) -> Result<(), Interruption> {
        let mut waiting: Vec<_> = outcomes.iter().map(Outcome::in_flight).collect();
        waiting.reverse();
        for outcome in outcomes {
            let put = waiting.pop().flatten();
            let still: Vec<_> = waiting.iter().flatten().cloned().collect();
            let cursor = outcome.cursor.clone();
            let outcome = [outcome];
            let Err(Refused(error)) = self.commit(&outcome, cursor.clone(), &still, Vec::new()).await? else {
                continue;
            };
            if let Some(put) = put {
                let answers = self.batch(vec![self.task.names(&put)]).await?;
                let named = answers.first().map_or(Ok(Named::Never), named)?;
                if decide::settlement(named, false) == Settlement::Remove {
                    self.remove(&put).await?;
                }
            }
            let [outcome] = outcome;
            let id = outcome.line.id().clone();
            let line = if is_ours(&error) {
                Line::skipped(id, "changed-meanwhile", "somebody else changed it after it was read")
            } else {
                Line::failed(
                    id,
                    "row-refused",
                    "a rule of the table itself, such as UNIQUE or FOREIGN KEY, refuses the row",
                )
            };
            self.commit_lines(&[Outcome::only(line)], cursor, &still, Vec::new()).await?;
        }
        Ok(())
    }

    /// A commit that changes no item's row, so that none can refuse it.
    pub async fn commit_lines(
        &mut self,
        outcomes: &[Outcome],
        cursor: Option<serde_json::Value>,
        waiting: &[InFlight],
        selects: Vec<Statement>,
    ) -> Result<Vec<QueryResult>, Interruption> {
        self.commit(outcomes, cursor, waiting, selects).await?.map_err(|Refused(error)| error.into())
    }

    /// One transaction: the outcomes' rows and lines, the cursor, the progress; then reads `selects`.
    ///
    /// A repetition after a lost answer is told by the number of slices in the run's row. `waiting` was put for items that are
    /// written down later.
    async fn commit(
        &mut self,
        outcomes: &[Outcome],
        cursor: Option<serde_json::Value>,
        waiting: &[InFlight],
        selects: Vec<Statement>,
    ) -> Result<Result<Vec<QueryResult>, Refused>, Interruption> {
        let now = self.driver.runtime.now();
        let (progress, lines) = self.progress_with(outcomes, now);
        let cursor = cursor.or_else(|| self.run.cursor.clone());
        let uncertain = together(&self.run.in_flight, &uncertain(outcomes).collect::<Vec<_>>());
        let in_flight = together(&uncertain, waiting);
        let advance = Advance {
            run: &self.run,
            lease: &self.lease,
            cursor: cursor.as_ref(),
            progress: &progress,
            uncertain: &in_flight,
            lines: &lines,
            lease_expires_at: self.lease.renewed_at(now),
            now,
        };
        let mut statements = ledger::advance(&advance)?;
        statements.extend(outcomes.iter().flat_map(|outcome| outcome.statements.iter().cloned()));
        statements.extend(totals(outcomes));
        statements.extend(stages(&self.run.source, outcomes));
        let own = statements.len();
        statements.extend(selects.iter().cloned());

        let mut attempt = 1;
        let found = loop {
            let error = match self.batch(statements.clone()).await {
                Ok(mut answers) => {
                    self.run.requested = answers.first().map(ledger::requested).transpose()?.flatten();
                    break answers.split_off(own.min(answers.len()));
                }
                Err(error) => error,
            };
            let row = self.driver.ledger.find(&self.run.id).await?;
            match self.recovery(&error, row.as_ref(), outcomes, attempt) {
                Recovery::Happened => {
                    self.run.requested = row.and_then(|row| row.requested);
                    break self.batch(selects).await?;
                }
                Recovery::LeaseLost => return Err(Interruption::LeaseLost),
                Recovery::Retry => attempt += 1,
                Recovery::ItemByItem | Recovery::Skip => return Ok(Err(Refused(error))),
                Recovery::GiveUp => return Err(error.into()),
            }
        };
        self.run.progress = progress;
        self.lease.renew(now);
        self.run.cursor = cursor;
        self.run.in_flight = uncertain;
        self.remove_copies(outcomes).await;
        self.run.slices += 1;
        self.run.updated_at = now;
        Ok(Ok(found))
    }

    /// What is done about a commit of `outcomes` that failed, given the run's row behind it.
    fn recovery(&self, error: &DatabaseError, row: Option<&Run>, outcomes: &[Outcome], attempt: usize) -> Recovery {
        decide::recovery(FailedCommit {
            error: error.kind,
            row: row.map(|row| self.fence(row)),
            slices_before: self.run.slices,
            items: outcomes.iter().filter(|outcome| !outcome.statements.is_empty()).count(),
            attempt,
        })
    }

    pub fn fence(&self, row: &Run) -> Fence {
        let holds = row.holder.has(&self.lease) && row.state == State::Running;
        Fence { holds, slices: row.slices }
    }

    /// Removes copies that nothing names any more. What stays for lack of an answer is in flight, and removed at the end.
    async fn remove_copies(&mut self, outcomes: &[Outcome]) {
        for key in outcomes.iter().flat_map(|outcome| &outcome.remove) {
            if !self.has_lease() {
                return;
            }
            self.removals += 1;
            if self.driver.bucket.delete(key).await.is_ok() {
                self.run.in_flight.retain(|in_flight| in_flight.key != *key);
            }
        }
    }

    /// The progress after `outcomes`, and their lines.
    fn progress_with(&mut self, outcomes: &[Outcome], now: Timestamp) -> (Progress, String) {
        let mut progress = self.run.progress.clone();
        let mut lines = String::new();
        for outcome in outcomes {
            let start = lines.len();
            lines.push_str(&outcome.line.to_ndjson());
            progress.count(&outcome.line, lines.len() - start);
            progress.freed_bytes += outcome.freed_bytes;
        }
        if !outcomes.is_empty() {
            progress.stalls = progress.stalls.min(if outcomes.iter().any(Outcome::went_well) { 0 } else { MAX_STALLS });
        }
        progress.active_ms += now.millis_since(self.began_at);
        self.began_at = now;
        progress.operations = self.earlier + *self.operations.borrow();
        (progress, lines)
    }
}

/// Whether the rule that refused a transaction is one of ours, which say that a row is not as it was read.
fn is_ours(error: &DatabaseError) -> bool {
    error.detail.contains("stillstore_")
}
