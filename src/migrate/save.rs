//! Backup: the rows of a source and their data, written into the bucket part by part. Changes no row.

use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;

use super::candidates::{Candidate, Candidates};
use super::line::Line;
use super::originals::Refusal;
use super::part::{PartError, PartHeader, PartWriter, Saving};
use super::run::{InFlight, Run};
use super::slice::{Bounds, Hand, Interruption, Outcome, SLICE_BYTES, Slice, Work};
use super::step::MAX_STALLS;
use crate::image::ObjectKey;
use crate::sql::{DatabaseError, QueryResult, Statement};

// A part that no line of the run names yet may come to be named as long as the run lasts.
const NAMES: &str =
    "SELECT NOT EXISTS (SELECT 1 FROM stillstore_run_lines WHERE run_id = ?1 AND instr(lines, ?2) > 0) AS waits";

/// The rows of a source, for a backup.
#[async_trait(?Send)]
pub(super) trait Rows {
    /// As [`Work::select`]; reads short data together with their rows, [`SLICE_BYTES`] of them at most.
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError>;

    /// Counts the items that [`Rows::select`] finds; its column is `items`.
    fn count(&self, run: &Run) -> Statement;

    /// What [`Rows::select`] found, or the first of it when the rest would take too much memory.
    async fn read(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        hand: &Hand<'_>,
    ) -> Result<Candidates<Result<Saving, Refusal>>, Interruption>;
}

/// Saves rows.
pub(super) struct Save {
    pub rows: Box<dyn Rows>,
    pub writer: PartWriter,
}

/// What a slice is going to do.
struct Plan {
    /// One for each item, for the case that its part can be written.
    outcomes: Vec<Outcome>,
    /// The items that are to be saved, with their places in `outcomes`.
    savings: Vec<(usize, Rc<Saving>)>,
    cursor: Option<serde_json::Value>,
    exhausted: bool,
    largest_bytes: u64,
}

impl Plan {
    /// The items of one part: [`SLICE_BYTES`] of data, or one item with more.
    fn new(candidates: Candidates<Result<Saving, Refusal>>, key: &ObjectKey) -> Self {
        let Candidates { items, is_last, largest_bytes } = candidates;
        let mut plan =
            Self { outcomes: Vec::new(), savings: Vec::new(), cursor: None, exhausted: is_last, largest_bytes };
        let mut data_bytes = 0;
        for Candidate { id, found, cursor } in items {
            let outcome = match found {
                None => Outcome::only(Line::failed(id, "not-found", "the source has no such row")),
                Some(Err(refusal)) => refusal.into_outcome(id),
                Some(Ok(saving)) => {
                    data_bytes += saving.data_bytes;
                    if data_bytes > SLICE_BYTES && !plan.savings.is_empty() {
                        plan.exhausted = false;
                        break;
                    }
                    let line = saving.line.clone().to_object(key);
                    plan.savings.push((plan.outcomes.len(), Rc::new(saving)));
                    Outcome::only(line)
                }
            };
            plan.outcomes.push(outcome);
            plan.cursor = Some(cursor);
        }
        plan
    }

    fn refuse(&mut self, index: usize, refusal: Refusal) {
        if index < self.savings.len() {
            let (place, saving) = self.savings.remove(index);
            self.replace(place, refusal.into_outcome(saving.item.id.clone()));
        }
    }

    /// Lets all items fail that were to be saved; the part may be there all the same.
    fn refuse_all(&mut self, key: &ObjectKey, refusal: &Refusal) {
        for (place, saving) in std::mem::take(&mut self.savings) {
            let outcome = refusal.clone().into_outcome(saving.item.id.clone());
            self.replace(place, Outcome { put: Some(key.clone()), uncertain: true, ..outcome });
        }
    }

    fn replace(&mut self, place: usize, outcome: Outcome) {
        if let Some(held) = self.outcomes.get_mut(place) {
            *held = outcome;
        }
    }
}

impl Save {
    /// Writes the part, without the items that turn out not to be readable.
    async fn write(&self, run: &Run, part: u64, plan: &mut Plan, hand: &Hand<'_>) -> Result<(), Interruption> {
        let key = run.id.backup_part_key(part);
        let header = PartHeader { run: &run.id, source: &run.source, part };
        while !plan.savings.is_empty() {
            let savings: Vec<_> = plan.savings.iter().map(|(_, saving)| Rc::clone(saving)).collect();
            let reads = savings.iter().map(|saving| saving.reads).sum::<u64>();
            hand.count(|operations| {
                operations.r2_class_a += 1;
                operations.count_database(reads, reads);
            });
            match self.writer.write(&key, &header, &savings).await {
                Ok(()) => return Ok(()),
                Err(PartError::Item { index, refusal }) => plan.refuse(index, refusal),
                Err(PartError::Database(error)) => return Err(error.into()),
                Err(PartError::Bucket { detail, .. }) if run.progress.stalls < MAX_STALLS => {
                    return Err(Interruption::Bucket { detail });
                }
                Err(PartError::Bucket { reason, detail }) => plan.refuse_all(&key, &Refusal::failed(reason, detail)),
            }
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl Work for Save {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        self.rows.select(run, bounds)
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        hand: &Hand<'_>,
    ) -> Result<Slice, Interruption> {
        // Counted in the cursor, so that a slice that is repeated writes the same part.
        let part = run.cursor.as_ref().and_then(|cursor| cursor.get("part")?.as_u64()).unwrap_or(0);
        let key = run.id.backup_part_key(part);
        let mut plan = Plan::new(self.rows.read(run, found, bounds, hand).await?, &key);
        if let Some((_, first)) = plan.savings.first() {
            let in_flight = InFlight { item: first.item.id.clone(), key };
            if !run.in_flight.iter().any(|held| held.key == in_flight.key) {
                hand.intend(&[in_flight], Vec::new()).await?;
            }
        }
        self.write(run, part, &mut plan, hand).await?;
        if plan.savings.is_empty() && run.progress.stalls > 0 {
            // An attempt before this one gave up on the bucket, which may have taken its part, and what was in it is gone since.
            self.writer.remove(&run.id.backup_part_key(part)).await?;
        }
        let Plan { outcomes, savings, mut cursor, exhausted, largest_bytes } = plan;
        if let Some(cursor) = cursor.as_mut().and_then(serde_json::Value::as_object_mut) {
            let next_part = if savings.is_empty() { part } else { part + 1 };
            cursor.insert("part".to_owned(), json!(next_part));
        }
        Ok(Slice { outcomes, cursor, exhausted, largest_bytes, ..Slice::default() })
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        Some(match &run.parameters.item_ids {
            Some(ids) => Statement::new("SELECT ?1 AS items").bind(i64::try_from(ids.len()).unwrap_or(0)),
            None => self.rows.count(run),
        })
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        let run_id = in_flight.key.as_str().split('/').nth(2).unwrap_or_default();
        Statement::new(NAMES).bind(run_id).bind(in_flight.key.as_str())
    }
}
