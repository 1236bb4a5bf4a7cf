//! Writing a slice down: one transaction, or one for each item when somebody has changed one.

use super::counters::{stages, totals, uncertain};
use super::decide::{self, FailedCommit, Named, Recovery, Settlement};
use super::leased_run::{LeasedRun, named, warn};
use crate::migrate::runs::ledger::{self, Advance};
use crate::migrate::runs::{InFlight, Line, Progress, Run, together};
use crate::migrate::task::{Bounds, Interruption, MAX_STALLS, Outcome, Slice};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement};

/// A commit that was refused because an item was changed meanwhile; nothing happened.
struct Refused(DatabaseError);

/// Writes the slice down, and reads the next one unless this worker is to do no more.
pub async fn write_down(
    leased: &mut LeasedRun<'_>,
    slice: Slice,
    bounds: Bounds,
    is_last: bool,
) -> Result<Vec<QueryResult>, Interruption> {
    let Slice { outcomes, cursor, exhausted, warnings, left, stalled, forecast, completion, .. } = slice;
    leased.run.in_flight = together(&leased.run.in_flight, &left);
    leased.run.progress.stalls += u32::from(stalled);
    leased.run.progress.completion = completion.or(leased.run.progress.completion.take());
    leased.run.progress.forecast = forecast.or(leased.run.progress.forecast.take());
    for warning in warnings {
        warn(&mut leased.run.progress, warning);
    }
    let next = |leased: &LeasedRun<'_>| {
        let mut run = leased.run.clone();
        run.cursor = cursor.clone().or(run.cursor);
        if exhausted || is_last { Ok(Vec::new()) } else { leased.task.select(&run, bounds) }
    };
    let selects = next(leased)?;
    if let Ok(found) = commit(leased, &outcomes, cursor.clone(), &[], selects).await? {
        return Ok(found);
    }
    write_down_each(leased, outcomes).await?;
    let selects = next(leased)?;
    commit_lines(leased, &[], cursor, &[], selects).await
}

/// Writes the items down one by one. One that was changed meanwhile is skipped, and what was put for it is removed. What was put
/// for the items behind it stays written down as in flight.
async fn write_down_each(leased: &mut LeasedRun<'_>, outcomes: Vec<Outcome>) -> Result<(), Interruption> {
    let mut waiting: Vec<_> = outcomes.iter().map(Outcome::in_flight).collect();
    waiting.reverse();
    for outcome in outcomes {
        let put = waiting.pop().flatten();
        let still: Vec<_> = waiting.iter().flatten().cloned().collect();
        let cursor = outcome.cursor.clone();
        let outcome = [outcome];
        let Err(Refused(error)) = commit(leased, &outcome, cursor.clone(), &still, Vec::new()).await? else {
            continue;
        };
        if let Some(put) = put {
            let answers = leased.batch(vec![leased.task.names(&put)]).await?;
            let named = answers.first().map_or(Ok(Named::Never), named)?;
            if decide::settlement(named, false) == Settlement::Remove {
                leased.remove(&put).await?;
            }
        }
        let [Outcome { line, settled, .. }] = outcome;
        let id = line.id().clone();
        let line = if is_ours(&error) {
            Line::skipped(id, "changed-meanwhile", "somebody else changed it after it was read")
        } else {
            Line::failed(
                id,
                "row-refused",
                "a rule of the table itself, such as UNIQUE or FOREIGN KEY, refuses the row",
            )
        };
        commit_lines(leased, &[Outcome { settled, ..Outcome::only(line) }], cursor, &still, Vec::new()).await?;
    }
    Ok(())
}

/// A commit that changes no item's row, so that none can refuse it.
pub async fn commit_lines(
    leased: &mut LeasedRun<'_>,
    outcomes: &[Outcome],
    cursor: Option<serde_json::Value>,
    waiting: &[InFlight],
    selects: Vec<Statement>,
) -> Result<Vec<QueryResult>, Interruption> {
    commit(leased, outcomes, cursor, waiting, selects).await?.map_err(|Refused(error)| error.into())
}

/// One transaction: the outcomes' rows and lines, the cursor, the progress; then reads `selects`.
///
/// A repetition after a lost answer is told by the number of slices in the run's row. `waiting` was put for items that are
/// written down later.
async fn commit(
    leased: &mut LeasedRun<'_>,
    outcomes: &[Outcome],
    cursor: Option<serde_json::Value>,
    waiting: &[InFlight],
    selects: Vec<Statement>,
) -> Result<Result<Vec<QueryResult>, Refused>, Interruption> {
    let now = leased.driver.runtime.now();
    let (progress, lines) = progress_with(leased, outcomes, now);
    let cursor = cursor.or_else(|| leased.run.cursor.clone());
    let uncertain = together(&leased.run.in_flight, &uncertain(outcomes).collect::<Vec<_>>());
    let in_flight = together(&uncertain, waiting);
    let advance = Advance {
        run: &leased.run,
        lease: &leased.lease,
        cursor: cursor.as_ref(),
        progress: &progress,
        uncertain: &in_flight,
        lines: &lines,
        lease_expires_at: leased.lease.renewed_at(now),
        now,
    };
    let mut statements = ledger::advance(&advance)?;
    for Outcome { statements: own, settled, .. } in outcomes {
        statements.extend(own.iter().chain(settled).cloned());
    }
    statements.extend(totals(outcomes, now));
    statements.extend(stages(&leased.run.source, outcomes));
    let own = statements.len();
    statements.extend(selects.iter().cloned());

    let mut attempt = 1;
    let found = loop {
        let error = match leased.batch(statements.clone()).await {
            Ok(mut answers) => {
                leased.run.requested = answers.first().map(ledger::requested).transpose()?.flatten();
                break answers.split_off(own.min(answers.len()));
            }
            Err(error) => error,
        };
        let row = leased.driver.ledger.find(&leased.run.id).await?;
        match recovery(leased, &error, row.as_ref(), outcomes, attempt) {
            Recovery::Happened => {
                leased.run.requested = row.and_then(|row| row.requested);
                break leased.batch(selects).await?;
            }
            Recovery::LeaseLost => return Err(Interruption::LeaseLost),
            Recovery::Retry => attempt += 1,
            Recovery::ItemByItem | Recovery::Skip => return Ok(Err(Refused(error))),
            Recovery::GiveUp => return Err(error.into()),
        }
    };
    leased.run.progress = progress;
    leased.lease.renew(now);
    leased.run.cursor = cursor;
    leased.run.in_flight = uncertain;
    leased.remove_copies(outcomes).await;
    leased.run.slices += 1;
    leased.run.updated_at = now;
    Ok(Ok(found))
}

/// What is done about a commit of `outcomes` that failed, given the run's row behind it.
fn recovery(
    leased: &LeasedRun<'_>,
    error: &DatabaseError,
    row: Option<&Run>,
    outcomes: &[Outcome],
    attempt: usize,
) -> Recovery {
    decide::recovery(FailedCommit {
        error: error.kind,
        row: row.map(|row| leased.fence(row)),
        slices_before: leased.run.slices,
        items: outcomes.iter().filter(|outcome| !outcome.statements.is_empty()).count(),
        attempt,
    })
}

/// The progress after `outcomes`, and their lines.
fn progress_with(leased: &mut LeasedRun<'_>, outcomes: &[Outcome], now: Timestamp) -> (Progress, String) {
    let mut progress = leased.run.progress.clone();
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
    progress.active_ms += now.millis_since(leased.began_at);
    leased.began_at = now;
    progress.operations = leased.earlier + *leased.operations.borrow();
    (progress, lines)
}

/// Whether the rule that refused a transaction is one of ours, which say that a row is not as it was read.
fn is_ours(error: &DatabaseError) -> bool {
    error.detail.contains("stillstore_")
}
