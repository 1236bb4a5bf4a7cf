//! The items of a slice, found and to be handled.

use futures::future::{LocalBoxFuture, ready};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use serde_json::json;

use super::bounds::SLICE_MS;
use super::context::SliceContext;
use super::failure::{Blame, Interruption};
use super::outcome::{Outcome, Slice};
use super::stall::{is_stalled, kept};
use crate::migrate::runs::{IdType, ItemId, Run};
use crate::sql::{DatabaseError, DatabaseErrorKind, QueryResult, Statement};

/// An item of a slice: what was found of it, if anything, and where the slice behind it begins.
#[derive(Debug)]
pub struct PageItem<T> {
    pub id: ItemId,
    pub found: Option<T>,
    pub cursor: serde_json::Value,
}

/// The items of a slice.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<PageItem<T>>,
    /// Whether none follow.
    pub is_last: bool,
    pub largest_bytes: u64,
}

/// The place in a list of ids where the next slice begins.
#[derive(Deserialize)]
struct Listed {
    index: usize,
}

/// Where in the list of ids a run stands.
pub fn listed_from(run: &Run) -> usize {
    let listed = run.cursor.clone().and_then(|cursor| serde_json::from_value::<Listed>(cursor).ok());
    listed.map_or(0, |listed| listed.index)
}

/// The ids of the next slice, when the caller named the items.
pub fn listed_ids(run: &Run, limit: u16) -> Option<Vec<&str>> {
    let ids = run.parameters.item_ids.as_ref()?;
    Some(ids.iter().skip(listed_from(run)).take(usize::from(limit)).map(String::as_str).collect())
}

/// How many items there are to go through, when the caller named them; its column is `items`.
pub fn listed_count(run: &Run) -> Option<Statement> {
    let ids = run.parameters.item_ids.as_ref()?;
    Some(Statement::new("SELECT ?1 AS items").bind(i64::try_from(ids.len()).unwrap_or(i64::MAX)))
}

/// An id that was checked before it came into a row.
///
/// # Errors
/// [`DatabaseErrorKind::Corrupt`] when it cannot be one.
pub fn item_id(ids: IdType, text: &str) -> Result<ItemId, DatabaseError> {
    ids.id_of(text).map_err(|error| DatabaseError::new(DatabaseErrorKind::Corrupt, error.to_string()))
}

/// The page of named items, one answer each.
pub fn listed_page<T>(
    run: &Run,
    ids: IdType,
    answers: &[QueryResult],
    read: impl Fn(&QueryResult) -> Result<Option<T>, DatabaseError>,
) -> Result<Option<Page<T>>, DatabaseError> {
    let Some(named) = &run.parameters.item_ids else { return Ok(None) };
    let from = listed_from(run);
    let mut items = Vec::new();
    for (offset, (id, answer)) in named.iter().skip(from).zip(answers).enumerate() {
        let cursor = json!({ "index": from + offset + 1 });
        items.push(PageItem { id: item_id(ids, id)?, found: read(answer)?, cursor });
    }
    let is_last = from + items.len() >= named.len();
    Ok(Some(Page { items, is_last, largest_bytes: 0 }))
}

impl<T> Page<T> {
    /// Handles the items, several at once, as long as there is time. When an outage hit all of them, the run waits; when it hit some,
    /// those in front of the first are written down and the others are handled again.
    ///
    /// # Errors
    /// As `handle`; [`Interruption::Destination`] or [`Interruption::Source`] when an outage hit all.
    pub async fn handle(
        self,
        context: &SliceContext<'_>,
        handle: impl AsyncFn(ItemId, Option<T>) -> Result<Outcome, Interruption>,
    ) -> Result<Slice, Interruption> {
        let mut handled: Vec<Handled<'_>> = Vec::with_capacity(self.items.len());
        for PageItem { id, found, cursor } in self.items {
            let handling = handle(id, found);
            handled.push(Box::pin(async { Ok(Outcome { cursor: Some(cursor), ..handling.await? }) }));
        }
        let found = handled.len();
        let mut outcomes = together(handled, context).await?;
        let written = kept(outcomes.iter().map(Outcome::is_outage), context.run.progress.stalls);
        let stalled = written == 0 && found > 0;
        let left = outcomes.split_off(written).iter().filter_map(Outcome::in_flight).collect();
        let cursor = outcomes.last().and_then(|outcome| outcome.cursor.clone());
        let exhausted = self.is_last && outcomes.len() == found;
        let largest_bytes = self.largest_bytes;
        Ok(Slice { outcomes, cursor, exhausted, largest_bytes, left, stalled, ..Slice::default() })
    }
}

/// An item being handled. Boxed, so that what runs several of them is compiled once and not for each action.
type Handled<'item> = LocalBoxFuture<'item, Result<Outcome, Interruption>>;

/// The outcomes of the items that were begun in time, in their order. The time counts from here on: what a slow source gave is handled,
/// and not asked for again.
async fn together(handled: Vec<Handled<'_>>, context: &SliceContext<'_>) -> Result<Vec<Outcome>, Interruption> {
    let began_at = context.runtime.now();
    let is_late = || context.runtime.now().millis_since(began_at) >= SLICE_MS;
    // However late it is, a slice has one item, so that the run moves on.
    let outcomes: Vec<Outcome> = stream::iter(handled.into_iter().enumerate())
        .take_while(|(index, _)| ready(*index == 0 || !is_late()))
        .map(|(_, handling)| handling)
        .buffered(usize::from(context.run.parameters.concurrency.max(1)))
        .try_collect()
        .await?;
    match outcomes.first() {
        Some(first) if is_stalled(outcomes.iter().map(Outcome::is_outage), context.run.progress.stalls) => {
            let detail = first.line.detail().unwrap_or_default().to_owned();
            Err(match first.blame {
                Blame::Source => Interruption::Source { detail },
                Blame::Destination | Blame::Item => Interruption::Destination { detail },
            })
        }
        _ => Ok(outcomes),
    }
}
