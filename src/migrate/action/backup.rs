//! Backup: the rows of a source and their data, written into the bucket part by part. Changes no row.

use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;

use crate::image::ObjectKey;
use crate::migrate::archive::{PartError, PartHeader, PartWriter, Saving};
use crate::migrate::runs::{InFlight, Line, Run};
use crate::migrate::source::SavedRows;
use crate::migrate::task::{
    Bounds, Interruption, MAX_STALLS, Outcome, Page, PageItem, Refusal, SLICE_BYTES, Slice, SliceContext, Task,
    listed_count,
};
use crate::sql::{DatabaseError, QueryResult, Statement};

// A part that no line of the run names yet may come to be named as long as the run lasts.
const NAMES: &str =
    "SELECT NOT EXISTS (SELECT 1 FROM stillstore_run_lines WHERE run_id = ?1 AND instr(lines, ?2) > 0) AS waits";

/// Statements and store operations of an item: its row, long columns and data of their own, its share of the part's put.
const READ: u64 = 1;
const READ_COLUMNS: u64 = 1;
const READ_DATA: u64 = 1;
const PART: u64 = 1;

/// Saves rows.
pub struct Backup {
    pub rows: Box<dyn SavedRows>,
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
    fn new(page: Page<Result<Saving, Refusal>>, key: &ObjectKey) -> Self {
        let Page { items, is_last, largest_bytes } = page;
        let mut plan =
            Self { outcomes: Vec::new(), savings: Vec::new(), cursor: None, exhausted: is_last, largest_bytes };
        let mut data_bytes = 0;
        for PageItem { id, found, cursor } in items {
            let outcome = match found {
                None => Outcome::only(Line::failed(id, "not-found", "the source has no such row")),
                Some(Err(refusal)) => Outcome::refused(id, refusal),
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
            self.replace(place, Outcome::refused(saving.item.id.clone(), refusal));
        }
    }

    /// Lets all items fail that were to be saved; the part may be there all the same.
    fn refuse_all(&mut self, key: &ObjectKey, refusal: &Refusal) {
        for (place, saving) in std::mem::take(&mut self.savings) {
            let outcome = Outcome::refused(saving.item.id.clone(), refusal.clone());
            self.replace(place, Outcome { put: Some(key.clone()), uncertain: true, ..outcome });
        }
    }

    fn replace(&mut self, place: usize, outcome: Outcome) {
        if let Some(held) = self.outcomes.get_mut(place) {
            *held = outcome;
        }
    }
}

impl Backup {
    /// Writes the part, without the items that turn out not to be readable.
    async fn write(
        &self,
        run: &Run,
        part: u64,
        plan: &mut Plan,
        context: &SliceContext<'_>,
    ) -> Result<(), Interruption> {
        let key = run.id.backup_part_key(part);
        let header = PartHeader { run: &run.id, source: &run.source, part };
        while !plan.savings.is_empty() {
            let savings: Vec<_> = plan.savings.iter().map(|(_, saving)| Rc::clone(saving)).collect();
            let reads = savings.iter().map(|saving| saving.reads).sum::<u64>();
            context.count(|operations| {
                operations.r2_class_a += 1;
                operations.count_database(reads, reads);
            });
            match self.writer.write(&key, &header, &savings).await {
                Ok(()) => return Ok(()),
                Err(PartError::Item { index, refusal }) => plan.refuse(index, refusal),
                Err(PartError::Database(error)) => return Err(error.into()),
                Err(PartError::Bucket(refusal)) if run.progress.stalls < MAX_STALLS => {
                    return Err(Interruption::Destination { detail: refusal.detail });
                }
                Err(PartError::Bucket(refusal)) => plan.refuse_all(&key, &refusal),
            }
        }
        Ok(())
    }
}

#[async_trait(?Send)]
impl Task for Backup {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        self.rows.select(run, bounds)
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        // Counted in the cursor, so that a slice that is repeated writes the same part.
        let part = run.cursor.as_ref().and_then(|cursor| cursor.get("part")?.as_u64()).unwrap_or(0);
        let key = run.id.backup_part_key(part);
        let mut plan = Plan::new(self.rows.read(run, found, bounds, context).await?, &key);
        if let Some((_, first)) = plan.savings.first() {
            let in_flight = InFlight { item: first.item.id.clone(), key };
            if !run.in_flight.iter().any(|held| held.key == in_flight.key) {
                context.announce(&[in_flight], Vec::new()).await?;
            }
        }
        self.write(run, part, &mut plan, context).await?;
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

    fn operations_per_item(&self) -> u64 {
        READ + READ_COLUMNS + READ_DATA + PART
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        Some(listed_count(run).unwrap_or_else(|| self.rows.count(run)))
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        let run_id = in_flight.key.as_str().split('/').nth(2).unwrap_or_default();
        Statement::new(NAMES).bind(run_id).bind(in_flight.key.as_str())
    }

    fn shared_by(&self) -> Option<&str> {
        None
    }
}
