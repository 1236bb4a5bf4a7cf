//! Texts that were rewritten get their old URLs back, before a rollback goes through the objects.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::rewriting::TEXT_OPERATIONS;
use crate::migrate::runs::{InFlight, ItemId, Run, Verdict};
use crate::migrate::source::references::{LoadedText, References, TEXTS_BYTES, WrittenRow, written_rows};
use crate::migrate::task::{
    Bounds, Interruption, Outcome, Page, PageItem, Refusal, Slice, SliceContext, Task, item_id,
};
use crate::sql::{DatabaseError, QueryResult, Statement};

/// Goes through the texts, then has another action go through the items.
pub struct PuttingBack {
    pub items: Box<dyn Task>,
    pub references: References,
}

/// Where a run stands among the texts that were rewritten.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Behind {
    place: String,
    row: String,
}

impl PuttingBack {
    /// Behind which text the run stands; `None` once it goes through the items.
    fn behind(run: &Run) -> Option<Behind> {
        match &run.cursor {
            None => Some(Behind::default()),
            Some(cursor) => serde_json::from_value(cursor.get("texts")?.clone()).ok(),
        }
    }

    async fn texts(
        &self,
        run: &Run,
        found: &[QueryResult],
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        let rows = found.first().map(QueryResult::rows::<WrittenRow>).transpose()?.unwrap_or_default();
        let is_last = rows.len() < usize::from(bounds.limit);
        let wanted = rows.len();
        let page = Page { items: self.load(rows, context).await?, is_last, largest_bytes: 0 };
        let held = page.items.len();
        let mut slice = page
            .handle(context, async |id, found| {
                if let Some(loaded) = found {
                    return Ok(self.put_back(run, &id, loaded)?);
                }
                let detail = "the text is in a column that the source's references do not name";
                Ok(Outcome::refused(id, Refusal::failed("not-configured", detail)))
            })
            .await?;
        slice.exhausted = false;
        if is_last && held == wanted && slice.outcomes.len() == wanted {
            slice.cursor = Some(json!({ "items": true }));
        }
        Ok(slice)
    }

    /// The first of the rows with their texts, as many as are held at once.
    async fn load(
        &self,
        rows: Vec<WrittenRow>,
        context: &SliceContext<'_>,
    ) -> Result<Vec<PageItem<LoadedText>>, Interruption> {
        #[derive(Deserialize)]
        struct Length {
            text_bytes: Option<u64>,
        }
        let rows: Vec<_> = rows.into_iter().map(|row| (self.references.column_at(&row.place), row)).collect();
        let length = |(column, row): &(Option<usize>, WrittenRow)| self.references.length((*column)?, &row.row_id);
        let lengths: Vec<_> = rows.iter().filter_map(length).collect();
        let lengths = if lengths.is_empty() { Vec::new() } else { context.announce(&[], lengths).await? };
        let mut lengths = lengths.iter();
        let (mut held, mut held_bytes, mut loads) = (Vec::new(), 0, Vec::new());
        for (column, row) in rows {
            let answer = column.and_then(|_| lengths.next());
            let length = answer.map(QueryResult::first::<Length>).transpose()?.flatten();
            held_bytes += length.and_then(|length| length.text_bytes).unwrap_or(0);
            if held_bytes > TEXTS_BYTES && !held.is_empty() {
                break;
            }
            loads.extend(column.and_then(|column| self.references.load(column, &row.row_id)).into_iter().flatten());
            held.push((column, row));
        }
        let answers = if loads.is_empty() { Vec::new() } else { context.read(loads).await? };
        let mut answers = answers.chunks(2);
        let mut items = Vec::new();
        for (column, WrittenRow { place, row_id }) in held {
            let ids = column.and_then(|column| self.references.column(column)).map(|(ids, _)| ids).unwrap_or_default();
            let found = match column.zip(column.and_then(|_| answers.next())) {
                Some((column, answers)) => {
                    let (text, written) = References::loaded(answers)?;
                    Some(LoadedText { column, row: row_id.clone(), text, written })
                }
                None => None,
            };
            let id = item_id(ids, &row_id)?;
            items.push(PageItem { id, found, cursor: json!({ "texts": Behind { place, row: row_id } }) });
        }
        Ok(items)
    }

    fn put_back(&self, run: &Run, id: &ItemId, loaded: LoadedText) -> Result<Outcome, DatabaseError> {
        let LoadedText { column, row, text, written } = loaded;
        let objects = run.parameters.item_ids.as_deref();
        let line = |verdict| self.references.line(column, id.clone(), verdict);
        let new = text.as_deref().and_then(|text| References::put_back(text, written, objects));
        let statements = match &new {
            _ if run.is_dry_run() => Vec::new(),
            Some(new) => self.references.write(run, column, &row, text.as_deref().unwrap_or_default(), new)?,
            None => self.references.forget(run, column, &row)?,
        };
        let line = match new {
            Some(new) if new.urls > 0 && run.is_dry_run() => line(Verdict::WouldRewrite),
            Some(new) if new.urls > 0 => line(Verdict::Rewritten),
            _ => line(Verdict::Skipped).because("urls-gone", "the row was deleted, or its text has no URL of a copy"),
        };
        Ok(Outcome { statements, ..Outcome::only(line) })
    }
}

#[async_trait(?Send)]
impl Task for PuttingBack {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        let Some(Behind { place, row }) = Self::behind(run) else { return self.items.select(run, bounds) };
        Ok(vec![written_rows(&run.source, run.parameters.item_ids.as_deref(), (&place, &row), bounds.limit)?])
    }

    async fn perform(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Slice, Interruption> {
        if Self::behind(run).is_some() {
            return self.texts(run, &found, bounds, context).await;
        }
        self.items.perform(run, found, bounds, context).await
    }

    fn operations_per_item(&self) -> u64 {
        self.items.operations_per_item().max(TEXT_OPERATIONS)
    }

    fn count(&self, run: &Run) -> Option<Statement> {
        self.items.count(run)
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.items.names(in_flight)
    }

    fn shared_by(&self) -> Option<&str> {
        self.items.shared_by()
    }
}
