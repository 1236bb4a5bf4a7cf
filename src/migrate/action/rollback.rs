//! Rollback: the rows of moved items name their originals again.

use async_trait::async_trait;

use super::moved_items;
use crate::migrate::runs::ledger::require_one_change;
use crate::migrate::runs::{Entry, InFlight, ItemId, Line, Run, Stage, Verdict, journal};
use crate::migrate::source::{Change, Source};
use crate::migrate::task::{Bounds, Interruption, ItemError, Outcome, Refusal, Slice, SliceContext, Task};
use crate::sql::{DatabaseError, QueryResult, Statement};

/// The reason of a line whose copy was removed although nothing was restored.
const COPY_REMOVED: &str = "copy-removed";

/// Rolls back what the journal has.
pub struct RollBack {
    pub source: Source,
    /// Removes the copies too.
    pub delete_from_r2: bool,
}

impl RollBack {
    async fn roll_back(
        &self,
        id: &ItemId,
        entry: &Entry,
        row: &QueryResult,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, ItemError> {
        if self.delete_from_r2
            && !context.run.is_dry_run()
            && let Some(change) = self.source.originals.forget(entry, row, context).await?
        {
            let detail = "nothing shows its copy, which is removed now";
            return Ok(Self::forgotten(Line::skipped(id.clone(), COPY_REMOVED, detail), entry, change));
        }
        if entry.stage == Stage::Restored {
            return self.remove_leftover(id, entry, row, context).await;
        }
        let line = |verdict| {
            Line::new(id.clone(), verdict)
                .with_bytes(entry.sha256, entry.size_bytes, entry.content_type.clone())
                .from_object(&entry.key)
                .to_place(&self.source.place)
        };
        if context.run.is_dry_run() {
            self.source.originals.check(entry, row, context).await?;
            return Ok(Outcome::only(line(Verdict::WouldRestore)));
        }
        let change = self.source.originals.restore(entry, row, context).await?;
        let mut statements = change.statements;
        statements.push(require_one_change());
        let delete = self.delete_from_r2;
        statements.push(if delete {
            journal::forget(&context.run.source, entry)
        } else {
            journal::set_stage(&context.run.source, entry, Stage::Restored, &change.original)
        });
        statements.push(require_one_change());
        let mut remove = change.remove;
        remove.extend(delete.then(|| entry.key.clone()));
        let staged = (Some(entry.stage), (!delete).then_some(Stage::Restored));
        Ok(Outcome { statements, remove, counted: change.counted, staged, ..Outcome::only(line(Verdict::Restored)) })
    }

    /// An item that was restored before and left its copy, which goes only when the original still reads back.
    async fn remove_leftover(
        &self,
        id: &ItemId,
        entry: &Entry,
        row: &QueryResult,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, ItemError> {
        if !self.delete_from_r2 || context.run.is_dry_run() {
            return Err(Refusal::skipped("already-restored", "the row names its original").into());
        }
        self.source.originals.holds(entry, row, context).await?;
        let line = Line::skipped(id.clone(), COPY_REMOVED, "it was restored before; its copy is removed now");
        let statements = vec![journal::forget(&context.run.source, entry)];
        Ok(Self::forgotten(line, entry, Change { statements, ..Change::default() }))
    }

    /// The outcome of an item whose entry and copy go. The last of the statements drops the entry.
    fn forgotten(line: Line, entry: &Entry, change: Change) -> Outcome {
        let Change { mut statements, mut remove, .. } = change;
        statements.push(require_one_change());
        remove.push(entry.key.clone());
        Outcome { statements, remove, staged: (Some(entry.stage), None), ..Outcome::only(line) }
    }
}

#[async_trait(?Send)]
impl Task for RollBack {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        Ok(moved_items::select(run, bounds.limit))
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        let page = moved_items::page(run, self.source.ids, &found, bounds.limit)?;
        if !run.is_dry_run() {
            let entries = page.items.iter().filter_map(|item| item.found.as_ref());
            let entries: Vec<_> = entries.filter(|entry| entry.stage != Stage::Restored).collect();
            self.source.originals.leave_catalogue(&entries, context).await?;
        }
        let page = moved_items::with_rows(page, &*self.source.originals, context).await?;
        page.handle(context, async |id, found| {
            moved_items::handle(id, found, context, async |id, entry, row| {
                self.roll_back(id, entry, row, context).await
            })
            .await
        })
        .await
    }

    fn operations_per_item(&self) -> u64 {
        self.source.originals.operations_per_item()
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        Some(moved_items::count(run))
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.source.originals.names(in_flight)
    }

    fn shared_by(&self) -> Option<&str> {
        self.source.objects.shared_by()
    }
}
