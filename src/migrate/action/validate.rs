//! Checking what was moved against the bucket, and the bucket against the rows.
//!
//! Three legs, one behind the other: which items (only for a sample), the items, the objects of the bucket. A run over named items or
//! over a sample leaves the objects out.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::moved_items;
use super::orphans::{self, Checked};
use crate::image::{ObjectKey, Sha256Digest};
use crate::migrate::destination::{Destination, missing};
use crate::migrate::runs::{Entry, InFlight, ItemId, Line, Run, Stage, Verdict, journal};
use crate::migrate::source::Source;
use crate::migrate::task::{
    Bounds, Interruption, Outcome, Page, PageItem, Refusal, Slice, SliceContext, Task, item_id,
};
use crate::sql::{DatabaseError, QueryResult, Statement, from_json, to_json};
use crate::store::ObjectInfo;

/// Items looked at for a sample in one slice: rows only, no bytes.
const DRAW_LIMIT: u16 = 1_000;

/// Statements and store operations of a look at an item, of which one that does not match has two.
const READ_ENTRY: u64 = 1;
const LOOK: u64 = 1;

/// What streamed into the bucket is read back up to this size, when nobody asks for the integrity of all: one put takes as much.
const READ_BACK_BYTES: u64 = 100 * 1000 * 1000;

/// Checks moves and objects; changes nothing.
pub struct Validate {
    pub source: Source,
    pub destination: Destination,
    /// Reads bytes back and hashes them.
    pub check_integrity: bool,
    /// Checks this many items, chosen evenly at random.
    pub sample_size: Option<u32>,
}

/// Where the next slice begins.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Cursor {
    /// Choosing a sample: the items with the smallest hashes so far.
    Draw { after: String, drawn: Vec<(String, String)> },
    /// Checking a sample.
    Sample { drawn: Vec<String>, index: usize },
    /// Checking items.
    Items { after: String },
    /// Looking through the bucket.
    Objects { after: Option<ObjectKey> },
}

impl Validate {
    fn cursor(&self, run: &Run) -> Result<Cursor, DatabaseError> {
        match &run.cursor {
            Some(cursor) if cursor.get("after").is_none() && cursor.get("index").is_none() => {
                from_json(&cursor.to_string())
            }
            Some(cursor) => {
                let after = cursor.get("after").and_then(|after| after.as_str()).unwrap_or_default();
                Ok(Cursor::Items { after: after.to_owned() })
            }
            None if run.parameters.item_ids.is_none() && self.sample_size.is_some() => {
                Ok(Cursor::Draw { after: String::new(), drawn: Vec::new() })
            }
            None => Ok(Cursor::Items { after: String::new() }),
        }
    }

    /// Keeps the items whose hash, salted with the run's id, is among the smallest: each set of that many items is as likely as any
    /// other.
    fn draw(
        &self,
        run: &Run,
        after: String,
        drawn: Vec<(String, String)>,
        answer: &QueryResult,
    ) -> Result<Slice, Interruption> {
        let size = self.sample_size.unwrap_or(1) as usize;
        let entries = journal::entries(answer)?;
        let is_last = entries.len() < usize::from(DRAW_LIMIT);
        let after = entries.last().map_or(after, |entry| entry.item.clone());
        let mut drawn = drawn;
        for entry in entries.into_iter().filter(|entry| entry.stage != Stage::Restored) {
            let hash = Sha256Digest::of(format!("{}/{}", run.id, entry.item).as_bytes()).to_string();
            drawn.push((hash, entry.item));
        }
        drawn.sort_unstable();
        drawn.truncate(size);
        let cursor = if is_last {
            Cursor::Sample { drawn: drawn.into_iter().map(|(_, item)| item).collect(), index: 0 }
        } else {
            Cursor::Draw { after, drawn }
        };
        Ok(Slice { cursor: Some(to_value(&cursor)?), ..Slice::default() })
    }

    async fn check(
        &self,
        run: &Run,
        id: ItemId,
        found: Option<Entry>,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, Interruption> {
        let Some(mut entry) = found else {
            return Ok(Outcome::refused(id, Refusal::failed("not-moved", "the journal has no such item")));
        };
        let mut is_first = true;
        loop {
            let refusal = match self.judge(&id, entry, context).await {
                Ok(line) => return Ok(Outcome::only(line)),
                Err(refusal) => refusal,
            };
            if !is_first || !matches!(refusal.verdict, Verdict::Missing | Verdict::Corrupted) {
                return Ok(Outcome::refused(id, refusal));
            }
            // A rollback or a deletion may have come between reading the entry and looking at its copy.
            let answers = context.read(vec![journal::one_standing(&run.source, &id.as_text())]).await?;
            let Some(again) = answers.first().map(journal::entries).transpose()?.and_then(|mut entries| entries.pop())
            else {
                let detail = "the item was rolled back or deleted meanwhile";
                return Ok(Outcome::refused(id, Refusal::skipped("changed-meanwhile", detail)));
            };
            (entry, is_first) = (again, false);
        }
    }

    async fn judge(&self, id: &ItemId, entry: Entry, context: &SliceContext<'_>) -> Result<Line, Refusal> {
        if entry.stage == Stage::Restored {
            return Err(Refusal::skipped("restored", "the row names its original"));
        }
        if self.check_integrity {
            self.destination.read_back(&entry, context).await?;
        } else {
            let info = self.destination.head(&entry, context).await?;
            let absent = || Refusal::new(Verdict::Missing, "copy-missing", missing(&entry));
            let info = info.ok_or_else(absent)?;
            compare(&entry, &info)?;
            if info.sha256.is_none() && entry.size_bytes <= READ_BACK_BYTES {
                // It streamed into the bucket, which knows no digest of it.
                self.destination.read_back(&entry, context).await?;
            }
        }
        Ok(Line::new(id.clone(), Verdict::Valid).with_bytes(entry.sha256, entry.size_bytes, entry.content_type))
    }
}

#[async_trait(?Send)]
impl Task for Validate {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        Ok(match self.cursor(run)? {
            Cursor::Draw { after, .. } => vec![journal::after(&run.source, &after, DRAW_LIMIT)],
            Cursor::Sample { drawn, index } => {
                let chosen = drawn.iter().skip(index).take(usize::from(bounds.limit));
                chosen.map(|item| journal::one(&run.source, item)).collect()
            }
            Cursor::Items { .. } => moved_items::select(run, bounds.limit),
            Cursor::Objects { .. } => Vec::new(),
        })
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        let check = async |id, entry| self.check(run, id, entry, context).await;
        match self.cursor(run)? {
            Cursor::Draw { after, drawn } => match found.first() {
                Some(answer) => self.draw(run, after, drawn, answer),
                None => Ok(Slice { exhausted: true, ..Slice::default() }),
            },
            Cursor::Sample { drawn, index } => {
                let mut items = Vec::new();
                for (offset, (item, answer)) in drawn.iter().skip(index).zip(&found).enumerate() {
                    let cursor = to_value(&Cursor::Sample { drawn: drawn.clone(), index: index + offset + 1 })?;
                    let found = journal::entries(answer)?.pop();
                    items.push(PageItem { id: item_id(self.source.ids, item)?, found, cursor });
                }
                let is_last = index + items.len() >= drawn.len();
                let mut slice = Page { items, is_last, largest_bytes: 0 }.handle(context, check).await?;
                if slice.exhausted {
                    slice.warnings.push(proof(drawn.len(), run.progress.total));
                }
                Ok(slice)
            }
            Cursor::Items { .. } => {
                let page = moved_items::page(run, self.source.ids, &found, bounds.limit)?;
                let mut slice = page.handle(context, check).await?;
                if slice.exhausted && run.parameters.item_ids.is_none() {
                    slice.exhausted = false;
                    slice.cursor = Some(to_value(&Cursor::Objects { after: None })?);
                }
                Ok(slice)
            }
            Cursor::Objects { after } => {
                let Checked { outcomes, until } =
                    orphans::check(&*self.destination.bucket, &*self.source.objects, run, after.as_ref(), context)
                        .await?;
                let exhausted = until.is_none();
                let cursor = Some(to_value(&Cursor::Objects { after: until.or(after) })?);
                Ok(Slice { outcomes, cursor, exhausted, ..Slice::default() })
            }
        }
    }

    fn operations_per_item(&self) -> u64 {
        2 * (READ_ENTRY + LOOK)
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        Some(moved_items::count(run))
    }

    fn names(&self, _in_flight: &InFlight) -> Statement {
        // Nothing is ever put.
        Statement::new("SELECT 0 AS waits")
    }

    fn shared_by(&self) -> Option<&str> {
        None
    }
}

fn compare(entry: &Entry, info: &ObjectInfo) -> Result<(), Refusal> {
    let differs = |reason, detail: String| Err(Refusal::new(Verdict::Corrupted, reason, detail));
    if info.size_bytes != entry.size_bytes {
        return differs("size-differs", format!("{} bytes instead of {}", info.size_bytes, entry.size_bytes));
    }
    match info.sha256 {
        None => {}
        Some(sha256) if sha256 == entry.sha256 => {}
        Some(sha256) => return differs("digest-differs", format!("{sha256} instead of {}", entry.sha256)),
    }
    if info.content_type != entry.content_type {
        return differs("type-differs", format!("{} instead of {}", info.content_type, entry.content_type));
    }
    Ok(())
}

/// What a sample says of the rest, by the rule of three: of n sound items, with 95 % confidence, at most 3/n are not.
fn proof(checked: usize, total: Option<u64>) -> String {
    // In tenths of a percent, rounded up.
    let share = 3_000_usize.div_ceil(checked.max(1)).min(1_000);
    let (percent, tenth) = (share / 10, share % 10);
    let of = total.map_or_else(String::new, |total| format!(" of {total}"));
    format!(
        "{checked} items{of} were chosen evenly at random; if none of them is bad, at most {percent}.{tenth} % of all are, with 95 % confidence"
    )
}

fn to_value(cursor: &Cursor) -> Result<serde_json::Value, DatabaseError> {
    from_json(&to_json(cursor)?).map(|value: serde_json::Value| if value.is_null() { json!({}) } else { value })
}
