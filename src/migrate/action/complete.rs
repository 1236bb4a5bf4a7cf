//! Whether a source can be switched off: nothing changes, and the receipt says what was found.
//!
//! Legs, one behind the other: what the source has that no run has moved; what was moved against the bucket; texts that hold URLs of the
//! source; then what else would miss it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::validate::Validate;
use crate::migrate::runs::{ActionParameters, Completion, InFlight, Line, Parameters, Run, Verdict, read_through};
use crate::migrate::source::Prepared;
use crate::migrate::source::references::{Chosen, References, Scan};
use crate::migrate::task::{Bounds, Interruption, Outcome, Refusal, Slice, SliceContext, Task, item_id};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, from_json, to_json};

/// An hour in milliseconds.
const HOUR_MS: i64 = 60 * 60 * 1_000;
/// Statements and store operations of an item: two looks at its entry and at its copy.
const LOOKS: u64 = 4;

/// Looks whether the source is needed any more.
pub struct Complete {
    /// Checks what was moved.
    pub moved: Validate,
    /// The texts that may still hold URLs of the source.
    pub references: Option<References>,
    /// For so long nobody may have read through.
    pub quiet_hours: u32,
}

/// Where the next slice begins.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Cursor {
    /// Going through the source.
    Source(Option<Json>),
    /// Going through the journal.
    Journal(Option<Json>),
    /// Going through texts.
    Texts(Scan),
    /// Asking what else needs the source.
    Rest,
}

fn cursor(run: &Run) -> Result<Cursor, DatabaseError> {
    match &run.cursor {
        Some(cursor) => from_json(&cursor.to_string()),
        None => Ok(Cursor::Source(None)),
    }
}

/// The run as another action would have it, which stands at `cursor`.
fn as_other(run: &Run, action: ActionParameters, cursor: Option<Json>) -> Run {
    Run { parameters: Parameters { action, ..run.parameters.clone() }, cursor, ..run.clone() }
}

fn rehearsal(run: &Run, cursor: Option<Json>) -> Run {
    as_other(run, ActionParameters::Migrate { dry_run: true, fallback_only: false }, cursor)
}

fn check(run: &Run, cursor: Option<Json>) -> Run {
    as_other(run, ActionParameters::Validate { check_integrity: false, sample_size: None }, cursor)
}

fn to_value(cursor: &Cursor) -> Result<Json, DatabaseError> {
    from_json(&to_json(cursor)?)
}

/// The completion so far.
fn found(run: &Run) -> Completion {
    run.progress.completion.clone().unwrap_or_default()
}

impl Complete {
    async fn source_leg(
        &self,
        run: &Run,
        at: Option<Json>,
        found_rows: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        let rehearsal = rehearsal(run, at.clone());
        let items = &self.moved.source.items;
        let Prepared { page, warnings, cursor, .. } = items.prepare(&rehearsal, found_rows, bounds, context).await?;
        let is_last = page.is_last;
        let mut outcomes = Vec::new();
        let mut reached = cursor.filter(|_| page.items.is_empty());
        for item in page.items {
            let line = match item.found {
                Some(Ok(movable)) => {
                    left(Line::new(item.id.clone(), Verdict::Left), "not-moved", "no run has moved it")
                        .to_object(&movable.copy().key)
                }
                Some(Err(refusal)) => of_refusal(item.id.clone(), &refusal),
                None => continue,
            };
            let settled = items.settled(&rehearsal, &item.id);
            outcomes.push(Outcome {
                settled,
                cursor: Some(to_value(&Cursor::Source(Some(item.cursor.clone())))?),
                ..Outcome::only(line)
            });
            reached = Some(item.cursor);
        }
        let mut completion = found(run);
        completion.listed_from = completion.listed_from.or(Some(run.created_at));
        completion.left += outcomes.iter().filter(|outcome| outcome.line.verdict() == Verdict::Left).count() as u64;
        if is_last {
            completion.listed_until = Some(context.runtime.now());
        }
        let next = if is_last { Cursor::Journal(None) } else { Cursor::Source(reached.or(at)) };
        Ok(Slice {
            outcomes,
            cursor: Some(to_value(&next)?),
            warnings,
            completion: Some(completion),
            ..Slice::default()
        })
    }

    async fn journal_leg(
        &self,
        run: &Run,
        at: Option<Json>,
        found_rows: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        let mut slice = self.moved.perform(&check(run, at.clone()), found_rows, bounds, context).await?;
        let mut completion = found(run);
        completion.verified_from = completion.verified_from.or(Some(context.began_at));
        for outcome in &mut slice.outcomes {
            let verdict = outcome.line.verdict();
            completion.verified += u64::from(verdict == Verdict::Valid);
            completion.wrong += u64::from(verdict.is_failure());
            if let Some(inner) = outcome.cursor.take() {
                outcome.cursor = Some(to_value(&Cursor::Journal(Some(inner)))?);
            }
        }
        let next = if slice.exhausted {
            completion.verified_until = Some(context.runtime.now());
            if self.references.is_some() { Cursor::Texts(Scan::default()) } else { Cursor::Rest }
        } else {
            Cursor::Journal(slice.cursor.take().or(at))
        };
        slice.exhausted = false;
        slice.cursor = Some(to_value(&next)?);
        slice.completion = Some(completion);
        Ok(slice)
    }

    fn texts_leg(
        run: &Run,
        references: &References,
        scan: &Scan,
        answers: &[QueryResult],
        bounds: Bounds,
    ) -> Result<Slice, Interruption> {
        let Chosen { rows, next } = references.choose(scan, answers.first(), bounds.limit)?;
        let ids = references.column(scan.column).map(|(ids, _)| ids).unwrap_or_default();
        let mut outcomes = Vec::new();
        for (seen, behind) in rows {
            let line = references.line(scan.column, item_id(ids, &seen.item)?, Verdict::Left);
            let line = line.because("reference-left", "the text holds a URL of the old bucket");
            outcomes.push(Outcome { cursor: Some(to_value(&Cursor::Texts(behind))?), ..Outcome::only(line) });
        }
        let mut completion = found(run);
        completion.references += outcomes.len() as u64;
        let next = next.map_or(Cursor::Rest, Cursor::Texts);
        Ok(Slice { outcomes, cursor: Some(to_value(&next)?), completion: Some(completion), ..Slice::default() })
    }

    fn rest_leg(&self, run: &Run, answers: &[QueryResult], now: Timestamp) -> Result<Slice, Interruption> {
        let mut completion = found(run);
        let last_read = answers.first().map(QueryResult::first::<LastRead>).transpose()?.flatten();
        completion.last_read_through = last_read.map(|read| read.last_at_ms);
        let is_being_read = answers.get(1).map(QueryResult::first::<One>).transpose()?.flatten().is_some();
        let is_being_moved = answers.get(2).map(QueryResult::first::<One>).transpose()?.flatten().is_some();
        let quiet_from = now.plus_millis(-i64::from(self.quiet_hours) * HOUR_MS);
        let was_read = completion.last_read_through.is_some_and(|read| read > quiet_from);
        completion.open = [
            (completion.left > 0, "left-at-source"),
            (completion.wrong > 0, "not-verified"),
            (completion.references > 0, "references-left"),
            (was_read || is_being_read, "read-through"),
            (is_being_moved, "run-in-progress"),
        ]
        .into_iter()
        .filter(|(is_open, _)| *is_open)
        .map(|(_, why)| why.to_owned())
        .collect();
        completion.ended = Some(now);
        Ok(Slice {
            exhausted: true,
            cursor: Some(to_value(&Cursor::Rest)?),
            completion: Some(completion),
            ..Slice::default()
        })
    }
}

fn left(line: Line, reason: &'static str, detail: &str) -> Line {
    line.because(reason, detail)
}

/// What a run would not move now is left as well, unless it is not to be moved.
fn of_refusal(id: crate::migrate::runs::ItemId, refusal: &Refusal) -> Line {
    let verdict =
        if refusal.verdict == Verdict::Skipped && !refusal.is_left { Verdict::Skipped } else { Verdict::Left };
    Line::new(id, verdict).because(refusal.reason, &refusal.detail)
}

#[derive(Deserialize)]
struct LastRead {
    last_at_ms: Timestamp,
}

#[derive(Deserialize)]
struct One {
    #[serde(rename = "one")]
    _one: u8,
}

#[async_trait(?Send)]
impl Task for Complete {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        Ok(match cursor(run)? {
            Cursor::Source(at) => self.moved.source.items.select(&rehearsal(run, at), bounds)?,
            Cursor::Journal(at) => self.moved.select(&check(run, at), bounds)?,
            Cursor::Texts(scan) => {
                self.references.as_ref().and_then(|references| references.holding(&scan)).into_iter().collect()
            }
            Cursor::Rest => Vec::from(read_through::needs_source(&run.source)),
        })
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        match cursor(run)? {
            Cursor::Source(at) => self.source_leg(run, at, found, bounds, context).await,
            Cursor::Journal(at) => self.journal_leg(run, at, found, bounds, context).await,
            Cursor::Texts(scan) => match &self.references {
                Some(references) => Self::texts_leg(run, references, &scan, &found, bounds),
                // They were taken out of the configuration meanwhile.
                None => Ok(Slice { cursor: Some(to_value(&Cursor::Rest)?), ..Slice::default() }),
            },
            Cursor::Rest => self.rest_leg(run, &found, context.runtime.now()),
        }
    }

    fn operations_per_item(&self) -> u64 {
        LOOKS
    }

    fn names(&self, _in_flight: &InFlight) -> Statement {
        // Nothing is ever put.
        Statement::new("SELECT 0 AS waits")
    }

    fn shared_by(&self) -> Option<&str> {
        None
    }
}
