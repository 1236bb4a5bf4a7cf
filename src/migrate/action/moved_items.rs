//! The items that the journal has, page by page.

use serde_json::json;

use crate::migrate::runs::{Entry, IdType, ItemId, Run, journal};
use crate::migrate::source::Originals;
use crate::migrate::task::{
    Interruption, ItemError, Outcome, Page, PageItem, Refusal, SliceContext, item_id, listed_count, listed_ids,
    listed_page,
};
use crate::sql::{DatabaseError, QueryResult, Statement};

/// Reads the entries of a slice, one answer each when the caller named them.
pub fn select(run: &Run, limit: u16) -> Vec<Statement> {
    if let Some(ids) = listed_ids(run, limit) {
        return ids.into_iter().map(|id| journal::one(&run.source, id)).collect();
    }
    let after = run.cursor.as_ref().and_then(|cursor| cursor.get("after")?.as_str()).unwrap_or_default();
    vec![journal::after(&run.source, after, limit)]
}

/// The entries that [`select`] found.
pub fn page(run: &Run, ids: IdType, answers: &[QueryResult], limit: u16) -> Result<Page<Entry>, DatabaseError> {
    let read = |answer: &QueryResult| Ok(journal::entries(answer)?.pop());
    let mut page = if let Some(listed) = listed_page(run, ids, answers, read)? {
        listed
    } else {
        let entries = answers.first().map(journal::entries).transpose()?.unwrap_or_default();
        let is_last = entries.len() < usize::from(limit);
        let page_item = |entry: Entry| {
            let cursor = json!({ "after": entry.item });
            Ok(PageItem { id: item_id(ids, &entry.item)?, cursor, found: Some(entry) })
        };
        let items = entries.into_iter().map(page_item).collect::<Result<_, DatabaseError>>()?;
        Page { items, is_last, largest_bytes: 0 }
    };
    let sizes = page.items.iter().filter_map(|item| item.found.as_ref());
    page.largest_bytes = sizes.map(|entry| entry.size_bytes).max().unwrap_or(0);
    Ok(page)
}

/// Counts the entries that there are to go through.
pub fn count(run: &Run) -> Statement {
    // A scan of the journal's key, once a run.
    let all =
        || Statement::new("SELECT count(*) AS items FROM stillstore_moves WHERE source = ?1").bind(run.source.as_str());
    listed_count(run).unwrap_or_else(all)
}

/// Reads the row of each entry, and renews the lease.
pub async fn with_rows(
    page: Page<Entry>,
    originals: &dyn Originals,
    context: &SliceContext<'_>,
) -> Result<Page<(Entry, QueryResult)>, Interruption> {
    let Page { items, is_last, largest_bytes } = page;
    let loads: Vec<_> = items.iter().filter_map(|item| Some(originals.load(item.found.as_ref()?))).collect();
    let mut rows = if loads.is_empty() { Vec::new() } else { context.announce(&[], loads).await? }.into_iter();
    let items = items.into_iter().map(|PageItem { id, found, cursor }| {
        let found = found.map(|entry| (entry, rows.next().unwrap_or_default()));
        PageItem { id, found, cursor }
    });
    Ok(Page { items: items.collect(), is_last, largest_bytes })
}

/// Handles an item by its entry and its row. What was announced for it goes with the outcome.
pub async fn handle(
    id: ItemId,
    found: Option<(Entry, QueryResult)>,
    context: &SliceContext<'_>,
    handle: impl AsyncFnOnce(&ItemId, &Entry, &QueryResult) -> Result<Outcome, ItemError>,
) -> Result<Outcome, Interruption> {
    let Some((entry, row)) = found else {
        return Ok(Outcome::refused(id, Refusal::failed("not-moved", "the journal has no such item")));
    };
    let handled = handle(&id, &entry, &row).await;
    let put = context.announced.borrow().iter().find(|in_flight| in_flight.item == id).map(|own| own.key.clone());
    match handled {
        Ok(outcome) => Ok(Outcome { put, ..outcome }),
        Err(error) => Ok(Outcome { put, uncertain: true, ..Outcome::of_error(id, error)? }),
    }
}
