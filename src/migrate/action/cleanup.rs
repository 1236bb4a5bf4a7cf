//! Cleanup: the originals of moved items are dropped, once their copies have proved themselves.

use async_trait::async_trait;

use super::moved_items;
use crate::migrate::runs::ledger::require_one_change;
use crate::migrate::runs::{Entry, InFlight, ItemId, Line, Run, RunId, Stage, Verdict, journal};
use crate::migrate::source::Source;
use crate::migrate::task::{Bounds, Interruption, ItemError, Outcome, Refusal, Slice, SliceContext, Task};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement};

/// Drops the originals of entries that were moved until a moment.
pub struct CleanUp {
    pub source: Source,
    /// Those that were moved later stay; `None` when nobody waits for that.
    pub moved_until: Option<Timestamp>,
    /// Items moved by this run only.
    pub moved_by: Option<RunId>,
}

impl CleanUp {
    async fn clean(
        &self,
        id: &ItemId,
        entry: &Entry,
        row: &QueryResult,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, ItemError> {
        if entry.stage != Stage::Moved {
            let detail = "the database holds no original that a copy replaces";
            return Err(Refusal::skipped("nothing-to-clean", detail).into());
        }
        let is_chosen = self.moved_by.as_ref().is_none_or(|id| *id == entry.run_id);
        if !is_chosen || self.moved_until.is_some_and(|until| entry.moved_at > until) {
            let detail = "its retention period is not over";
            return Err(Refusal::new(Verdict::Kept, "retention", detail).into());
        }
        let line = |verdict| {
            Line::new(id.clone(), verdict)
                .with_bytes(entry.sha256, entry.size_bytes, entry.content_type.clone())
                .from_place(&self.source.place)
                .to_object(&entry.key)
        };
        let change = self.source.originals.clean(entry, row, context).await?;
        if context.run.is_dry_run() {
            return Ok(Outcome { freed_bytes: change.freed_bytes, ..Outcome::only(line(Verdict::WouldClean)) });
        }
        let mut statements = change.statements;
        statements.push(require_one_change());
        statements.push(journal::set_stage(&context.run.source, entry, Stage::Cleaned, &change.original));
        statements.push(require_one_change());
        let freed_bytes = change.freed_bytes;
        let staged = (Some(Stage::Moved), Some(Stage::Cleaned));
        Ok(Outcome { statements, freed_bytes, staged, ..Outcome::only(line(Verdict::Cleaned)) })
    }
}

#[async_trait(?Send)]
impl Task for CleanUp {
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
        let page = moved_items::with_rows(page, &*self.source.originals, context).await?;
        page.handle(context, async |id, found| {
            moved_items::handle(id, found, context, async |id, entry, row| self.clean(id, entry, row, context).await)
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
