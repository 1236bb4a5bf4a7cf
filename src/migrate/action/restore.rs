//! Restore: what a backup holds and its source has lost goes back, item by item. Nothing that is there is overwritten.

use std::collections::BTreeSet;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::json;

use crate::image::ObjectKey;
use crate::migrate::archive::{DAMAGED, PartReadError, SharedReader, receipt_page, record};
use crate::migrate::runs::{BackupRef, IdType, InFlight, Line, Run, Verdict};
use crate::migrate::source::ReturnedRows;
use crate::migrate::task::{
    Bounds, Interruption, MAX_STALLS, Outcome, Refusal, Slice, SliceContext, Task, item_id, listed_count,
};
use crate::sql::{DatabaseError, QueryResult, Statement};
use crate::store::{ImageStore, StoreError, StoreErrorKind};

/// Statements of an item, about.
const STATEMENTS_PER_ITEM: u64 = 11;

/// Most items in a slice. Each takes [`STATEMENTS_PER_ITEM`] statements and one for each further MiB of at most 16: with what a slice adds, below the
/// 300 that are left of D1's 1,000 an invocation when the default budget of 700 is spent.
const MOST_ITEMS: usize = 24;

/// Restores items.
pub struct Restore {
    pub rows: Box<dyn ReturnedRows>,
    pub bucket: Rc<dyn ImageStore>,
    pub ids: IdType,
    pub backup: BackupRef,
}

/// What a slice is to restore: items of one part, in the order in which they are in it.
#[derive(Default)]
struct Group {
    part: Option<ObjectKey>,
    /// The receipt's lines, each with the offset behind it.
    items: Vec<(Line, u64)>,
    /// Where the next slice begins.
    next: u64,
    is_last: bool,
}

impl Restore {
    /// Makes sure that the receipt is the one that the backup ended with.
    async fn check_receipt(&self, backup: &BackupRef) -> Result<(), Interruption> {
        let key = &backup.receipt.key;
        match record::check(self.bucket.as_ref(), key).await.map_err(|error| interruption(&error))? {
            Some(record::Integrity::Whole(written)) if written.sha256 == backup.receipt.sha256 => Ok(()),
            Some(_) => Err(fatal(format!("{key} is not the receipt that the backup ended with"))),
            None => Err(fatal(format!("the bucket has no object {key}"))),
        }
    }

    /// The next items that the caller wants, as far as they are in one part.
    async fn next_group(
        &self,
        run: &Run,
        backup: &BackupRef,
        from: u64,
        context: &SliceContext<'_>,
    ) -> Result<Group, Interruption> {
        let wanted = wanted(run);
        let mut group = Group { next: from, ..Group::default() };
        while group.items.is_empty() && !group.is_last && !context.is_late() {
            context.count(|operations| operations.r2_class_b += 1);
            let page = receipt_page::read(self.bucket.as_ref(), &backup.receipt, group.next).await;
            let page = page.map_err(|error| interruption(&error))?;
            for (line, behind) in page.lines {
                let is_wanted = wanted.as_ref().is_none_or(|ids| ids.contains(line.id().as_text().as_ref()));
                if line.verdict() == Verdict::Saved && is_wanted {
                    let part = line.to_key();
                    let is_full = group.items.len() >= MOST_ITEMS.min(usize::from(run.parameters.batch_size));
                    if is_full || !group.items.is_empty() && part != group.part {
                        return Ok(group);
                    }
                    group.part = part;
                    group.items.push((line, behind));
                }
                group.next = behind;
            }
            group.is_last = page.next.is_none();
            group.next = page.next.unwrap_or(group.next);
        }
        Ok(group)
    }

    /// The items that the caller named and the backup does not have.
    async fn unknown(&self, run: &Run, backup: &BackupRef) -> Result<Vec<Outcome>, Interruption> {
        let Some(mut unknown) = wanted(run) else { return Ok(Vec::new()) };
        let mut from = Some(0);
        while let Some(offset) = from.filter(|_| !unknown.is_empty()) {
            let page = receipt_page::read(self.bucket.as_ref(), &backup.receipt, offset).await;
            let page = page.map_err(|error| interruption(&error))?;
            for (line, _) in page.lines.iter().filter(|(line, _)| line.verdict() == Verdict::Saved) {
                unknown.remove(line.id().as_text().as_ref());
            }
            from = page.next;
        }
        let failed = |id| {
            let id = item_id(self.ids, id)?;
            Ok(Outcome::only(Line::failed(id, "not-in-backup", "the backup has no such item")))
        };
        Ok(unknown.into_iter().map(failed).collect::<Result<_, DatabaseError>>()?)
    }

    /// Reads the part to its end, to believe in what it holds.
    async fn open(
        &self,
        part: Option<&ObjectKey>,
        context: &SliceContext<'_>,
    ) -> Result<Result<SharedReader, Refusal>, StoreError> {
        let damaged = |detail: String| Ok(Err(Refusal::failed(DAMAGED, detail)));
        let Some(part) = part else { return damaged("the receipt names no part".to_owned()) };
        context.count(|operations| operations.r2_class_b += 2);
        match record::check(self.bucket.as_ref(), part).await? {
            None => return damaged(format!("the bucket has no object {part}")),
            Some(record::Integrity::Damaged(_)) => return damaged(format!("{part} is not as it was written")),
            Some(record::Integrity::Whole(_)) => {}
        }
        Ok(match record::read(self.bucket.as_ref(), part).await? {
            Some(lines) => Ok(SharedReader::new(lines)),
            None => Err(Refusal::failed(DAMAGED, format!("the bucket has no object {part}"))),
        })
    }

    async fn restore(
        &self,
        run: &Run,
        line: &Line,
        reader: &SharedReader,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, Interruption> {
        let damaged = |detail: &str| Ok(Outcome::only(Line::failed(line.id().clone(), DAMAGED, detail)));
        match reader.find(line.id()).await {
            Ok(Some((item, _))) if item.source != run.source => damaged("the part is of another source"),
            Ok(Some((item, data))) => {
                let restored = self.rows.restore(run, item, data, context).await;
                restored.or_else(|error| Outcome::of_error(line.id().clone(), error))
            }
            Ok(None) => damaged("its part does not hold it"),
            Err(PartReadError::Damaged(error)) => damaged(&error.map(|error| error.to_string()).unwrap_or_default()),
            Err(PartReadError::Store(error)) => Err(interruption(&error)),
        }
    }

    /// Restores the items of a group, as long as there is time.
    async fn work_on(
        &self,
        run: &Run,
        group: &Group,
        context: &SliceContext<'_>,
    ) -> Result<Vec<Outcome>, Interruption> {
        let is_patient = run.progress.stalls < MAX_STALLS;
        let refuse_all = |refusal: &Refusal| {
            let lines = group.items.iter().map(|(line, _)| line.id().clone());
            lines.map(|id| Outcome::refused(id, refusal.clone())).collect()
        };
        let reader = match self.open(group.part.as_ref(), context).await {
            Ok(Ok(reader)) => reader,
            Ok(Err(refusal)) => return Ok(refuse_all(&refusal)),
            Err(error) if is_patient => return Err(interruption(&error)),
            Err(error) => return Ok(refuse_all(&Refusal::of_bucket(error.code()))),
        };
        let mut outcomes = Vec::new();
        for (line, _) in &group.items {
            if !outcomes.is_empty() && context.is_late() {
                break;
            }
            outcomes.push(match self.restore(run, line, &reader, context).await {
                Err(Interruption::Destination { detail }) if !is_patient => {
                    Outcome::refused(line.id().clone(), Refusal::of_bucket(detail))
                }
                outcome => outcome?,
            });
        }
        Ok(outcomes)
    }
}

#[async_trait(?Send)]
impl Task for Restore {
    fn select(&self, _run: &Run, _bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        // The receipt says what comes next.
        Ok(Vec::new())
    }

    async fn perform(
        &self,
        run: &Run,
        _found: Vec<QueryResult>,
        _bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        let backup = &self.backup;
        let from = run.cursor.as_ref().and_then(|cursor| cursor.get("offset")?.as_u64()).unwrap_or(0);
        if from == 0 {
            self.check_receipt(backup).await?;
        }
        let group = self.next_group(run, backup, from, context).await?;
        let mut outcomes = if group.items.is_empty() { Vec::new() } else { self.work_on(run, &group, context).await? };
        let is_whole = outcomes.len() == group.items.len();
        let last = outcomes.len().checked_sub(1).and_then(|last| group.items.get(last));
        let next = last.filter(|_| !is_whole).map_or(group.next, |(_, behind)| *behind);
        let exhausted = is_whole && group.is_last;
        if exhausted {
            outcomes.extend(self.unknown(run, backup).await?);
        }
        Ok(Slice { outcomes, cursor: Some(json!({ "offset": next })), exhausted, ..Slice::default() })
    }

    fn operations_per_item(&self) -> u64 {
        STATEMENTS_PER_ITEM
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        listed_count(run).or_else(|| {
            let items = i64::try_from(self.backup.items).unwrap_or(i64::MAX);
            Some(Statement::new("SELECT ?1 AS items").bind(items))
        })
    }

    fn names(&self, _in_flight: &InFlight) -> Statement {
        // Nothing is ever put into the bucket.
        Statement::new("SELECT 0 AS waits")
    }

    fn shared_by(&self) -> Option<&str> {
        None
    }
}

/// The ids that the caller named.
fn wanted(run: &Run) -> Option<BTreeSet<&str>> {
    run.parameters.item_ids.as_ref().map(|ids| ids.iter().map(String::as_str).collect())
}

fn interruption(error: &StoreError) -> Interruption {
    if error.kind == StoreErrorKind::Corrupt {
        return fatal(error.to_string());
    }
    Interruption::Destination { detail: error.code().to_owned() }
}

fn fatal(detail: String) -> Interruption {
    Interruption::Fatal { reason: DAMAGED, detail }
}
