//! Going through the journal: rollback and cleanup.

use async_trait::async_trait;

use super::candidates::{Candidate, Candidates, item_id, listed_candidates, listed_ids};
use super::item::{IdType, ItemId};
use super::journal::{self, Entry, Stage};
use super::ledger::require_one_change;
use super::line::{Line, Verdict};
use super::originals::{Originals, Refusal, Setback};
use super::run::{InFlight, Run};
use super::slice::{Bounds, Hand, Interruption, Outcome, Slice, Work};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement};

/// The entries of a slice, one answer each when the caller named them.
pub(super) fn select(run: &Run, limit: u16) -> Vec<Statement> {
    if let Some(ids) = listed_ids(run, limit) {
        return ids.into_iter().map(|id| journal::one(&run.source, id)).collect();
    }
    let after = run.cursor.as_ref().and_then(|cursor| cursor.get("after")?.as_str()).unwrap_or_default();
    vec![journal::after(&run.source, after, limit)]
}

/// The entries that [`select`] found.
pub(super) fn candidates(
    run: &Run,
    ids: IdType,
    answers: &[QueryResult],
    limit: u16,
) -> Result<Candidates<Entry>, DatabaseError> {
    let read = |answer: &QueryResult| Ok(journal::entries(answer)?.pop());
    let mut candidates = if let Some(listed) = listed_candidates(run, ids, answers, read)? {
        listed
    } else {
        let entries = answers.first().map(journal::entries).transpose()?.unwrap_or_default();
        let is_last = entries.len() < usize::from(limit);
        let candidate = |entry: Entry| {
            let cursor = serde_json::json!({ "after": entry.item });
            Ok(Candidate { id: item_id(ids, &entry.item)?, cursor, found: Some(entry) })
        };
        let items = entries.into_iter().map(candidate).collect::<Result<_, DatabaseError>>()?;
        Candidates { items, is_last, largest_bytes: 0 }
    };
    let sizes = candidates.items.iter().filter_map(|item| item.found.as_ref());
    candidates.largest_bytes = sizes.map(|entry| entry.size_bytes).max().unwrap_or(0);
    Ok(candidates)
}

/// How many entries there are to go through, when the caller named them.
pub(super) fn count(run: &Run) -> Statement {
    match &run.parameters.item_ids {
        Some(ids) => Statement::new("SELECT ?1 AS items").bind(i64::try_from(ids.len()).unwrap_or(0)),
        // A scan of the journal's key, once a run.
        None => {
            Statement::new("SELECT count(*) AS items FROM stillstore_moves WHERE source = ?1").bind(run.source.as_str())
        }
    }
}

/// What is to become of the entries.
pub(super) enum Purpose {
    /// The rows name their originals again.
    Rollback,
    /// The originals of entries moved until then are dropped.
    Cleanup { moved_until: Timestamp },
}

/// Rolls back or cleans what the journal has.
pub(super) struct Walk {
    pub originals: Box<dyn Originals>,
    pub purpose: Purpose,
    pub ids: IdType,
}

impl Walk {
    async fn handle(
        &self,
        id: ItemId,
        found: Option<(Entry, QueryResult)>,
        hand: &Hand<'_>,
    ) -> Result<Outcome, Interruption> {
        let Some((entry, row)) = found else {
            let refusal = Refusal::failed("not-moved", "the journal has no such item");
            return Ok(refusal.into_outcome(id));
        };
        let handled = match self.purpose {
            Purpose::Rollback => self.roll_back(&id, &entry, &row, hand).await,
            Purpose::Cleanup { moved_until } => self.clean(&id, &entry, &row, moved_until, hand).await,
        };
        let put = hand.intended.borrow().iter().find(|in_flight| in_flight.item == id).map(|own| own.key.clone());
        match handled {
            Ok(outcome) => Ok(Outcome { put, ..outcome }),
            Err(setback) => Ok(Outcome { put, uncertain: true, ..setback.into_outcome(id)? }),
        }
    }

    async fn roll_back(
        &self,
        id: &ItemId,
        entry: &Entry,
        row: &QueryResult,
        hand: &Hand<'_>,
    ) -> Result<Outcome, Setback> {
        if entry.stage == Stage::Restored {
            return self.remove_leftover(id, entry, row, hand).await;
        }
        let line = |verdict| {
            Line::new(id.clone(), verdict)
                .with_bytes(entry.sha256, entry.size_bytes, entry.content_type.clone())
                .from_object(&entry.key)
                .to_place(&self.originals.place())
        };
        if hand.run.parameters.dry_run {
            self.originals.check(entry, row, hand).await?;
            return Ok(Outcome::only(line(Verdict::WouldRestore)));
        }
        let change = self.originals.restore(entry, row, hand).await?;
        let mut statements = change.statements;
        statements.push(require_one_change());
        let delete = hand.run.parameters.delete_from_r2;
        statements.push(if delete {
            journal::forget(&hand.run.source, entry)
        } else {
            journal::set_stage(&hand.run.source, entry, Stage::Restored, &change.original)
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
        hand: &Hand<'_>,
    ) -> Result<Outcome, Setback> {
        if !hand.run.parameters.delete_from_r2 || hand.run.parameters.dry_run {
            return Err(Refusal::skipped("already-restored", "the row names its original").into());
        }
        self.originals.holds(entry, row, hand).await?;
        let line = Line::skipped(id.clone(), "copy-removed", "it was restored before; its copy is removed now");
        let statements = vec![journal::forget(&hand.run.source, entry), require_one_change()];
        let staged = (Some(entry.stage), None);
        Ok(Outcome { statements, remove: vec![entry.key.clone()], staged, ..Outcome::only(line) })
    }

    async fn clean(
        &self,
        id: &ItemId,
        entry: &Entry,
        row: &QueryResult,
        moved_until: Timestamp,
        hand: &Hand<'_>,
    ) -> Result<Outcome, Setback> {
        if entry.stage != Stage::Moved {
            let detail = "the database holds no original that a copy replaces";
            return Err(Refusal::skipped("nothing-to-clean", detail).into());
        }
        let is_chosen = hand.run.parameters.moved_by.as_ref().is_none_or(|id| *id == entry.run_id);
        if !is_chosen || (entry.moved_at > moved_until && !hand.run.parameters.force) {
            let detail = "its retention period is not over".to_owned();
            return Err(Refusal { verdict: Verdict::Kept, reason: "retention", detail }.into());
        }
        let line = |verdict| {
            Line::new(id.clone(), verdict)
                .with_bytes(entry.sha256, entry.size_bytes, entry.content_type.clone())
                .from_place(&self.originals.place())
                .to_object(&entry.key)
        };
        let change = self.originals.clean(entry, row, hand).await?;
        if hand.run.parameters.dry_run {
            return Ok(Outcome { freed_bytes: change.freed_bytes, ..Outcome::only(line(Verdict::WouldClean)) });
        }
        let mut statements = change.statements;
        statements.push(require_one_change());
        statements.push(journal::set_stage(&hand.run.source, entry, Stage::Cleaned, &change.original));
        statements.push(require_one_change());
        let freed_bytes = change.freed_bytes;
        let staged = (Some(Stage::Moved), Some(Stage::Cleaned));
        Ok(Outcome { statements, freed_bytes, staged, ..Outcome::only(line(Verdict::Cleaned)) })
    }
}

#[async_trait(?Send)]
impl Work for Walk {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        Ok(select(run, bounds.limit))
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        hand: &Hand<'_>,
    ) -> Result<Slice, Interruption> {
        let Candidates { items, is_last, largest_bytes } = candidates(run, self.ids, &found, bounds.limit)?;
        let loads: Vec<_> =
            items.iter().filter_map(|item| item.found.as_ref()).map(|entry| self.originals.load(entry)).collect();
        let mut rows = if loads.is_empty() { Vec::new() } else { hand.intend(&[], loads).await? }.into_iter();
        let mut loaded = Vec::with_capacity(items.len());
        for Candidate { id, found, cursor } in items {
            let found = found.map(|entry| (entry, rows.next().unwrap_or_default()));
            loaded.push(Candidate { id, found, cursor });
        }
        Candidates { items: loaded, is_last, largest_bytes }
            .handle(hand, async |id, found| self.handle(id, found, hand).await)
            .await
    }

    fn operations_per_item(&self) -> u64 {
        self.originals.operations_per_item()
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        Some(count(run))
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.originals.names(in_flight)
    }
}
