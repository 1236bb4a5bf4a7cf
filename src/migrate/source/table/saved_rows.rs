//! The rows of a table, for a backup.

use std::rc::Rc;

use async_trait::async_trait;
use serde_json::value::RawValue;

use super::columns::{INLINE_COLUMNS_BYTES, MAX_COLUMNS_BYTES};
use super::datum::MAX_DATA_BYTES;
use super::definition::Table;
use super::found::{self, Found, Row};
use super::row_data::RowData;
use super::sql::{PIECE_BYTES, Sql, whole};
use crate::migrate::archive::backup::{BackupItem, Data};
use crate::migrate::archive::{PieceError, Saving};
use crate::migrate::runs::{ItemId, Line, Run, Stage, Verdict};
use crate::migrate::source::SavedRows;
use crate::migrate::task::{Bounds, Interruption, Page, PageItem, Refusal, SLICE_BYTES, SliceContext, listed_ids};
use crate::sql::{Database, DatabaseError, QueryResult, Statement, from_json};

/// What a byte of a row's columns weighs against one of its data: it enters wasm memory, escaped and several times.
const COLUMN_WEIGHT: u64 = 4;

/// The rows of one table that hold data: those that were not moved, and those whose originals are not cleaned up.
pub struct TableSavedRows {
    pub table: Rc<Table>,
    /// The database that the table is in.
    pub database: Rc<dyn Database>,
}

impl Table {
    /// The rows to save behind the item `after`, in the order of their ids.
    fn select_saved(&self, after: Option<&str>, bounds: Bounds) -> Statement {
        let mut sql = self.saved_row(INLINE_COLUMNS_BYTES, bounds.inline_max_bytes);
        self.push_saved(&mut sql);
        self.push_after(&mut sql, after, bounds.limit);
        sql.push(")");
        sql.into_statement().with_text_column("data")
    }

    /// The row of one item, if it is one of the source's.
    fn select_saved_one(&self, item: &str, max_columns_bytes: u64, inline_max_bytes: u64) -> Statement {
        let mut sql = self.saved_row(max_columns_bytes, inline_max_bytes);
        sql.push(&self.fill(" WHERE {id} = ")).bind_value(self.id_value(item));
        self.push_source_rule(&mut sql);
        sql.push(")");
        sql.into_statement().with_text_column("data")
    }

    fn saved_row(&self, max_columns_bytes: u64, inline_max_bytes: u64) -> Sql {
        let mut sql = Sql::default();
        // Text that is not UTF-8 reaches us with U+FFFD in the place of what is not.
        sql.push(&self.fill(
            "SELECT *, (octet_length(columns) - octet_length(replace(columns, char(65533), ''))) / 3 AS replacements \
             FROM (SELECT CAST({id} AS TEXT) AS item, typeof({data}) AS data_type, octet_length({data}) AS data_bytes, \
             CASE WHEN {data} IS NULL THEN (SELECT stage FROM stillstore_moves WHERE item_id = CAST({id} AS TEXT) AND source = ",
        ));
        sql.bind(self.source.name.as_str()).push(") END AS stage, ");
        self.push_columns(&mut sql, max_columns_bytes);
        sql.push(&self.fill(", CASE WHEN typeof({data}) IN ('text', 'blob') AND octet_length({data}) <= "));
        sql.bind(whole(inline_max_bytes.min(PIECE_BYTES)));
        sql.push(&self.fill(" THEN hex(CAST({data} AS BLOB)) END AS data FROM {table}"));
        sql
    }

    /// Adds the condition that a row is to be saved.
    fn push_saved(&self, sql: &mut Sql) {
        sql.push(&self.fill(" WHERE {data} IS NOT NULL AND "));
        self.push_id_rule(sql);
        self.push_source_rule(sql);
    }

    /// Adds the condition that the filter selects the row, or that it was moved: a move may have changed what the filter looks at.
    fn push_source_rule(&self, sql: &mut Sql) {
        if self.source.filter.is_empty() {
            return;
        }
        sql.push(" AND ((1");
        self.source.push_filter(sql);
        let moved = ") OR EXISTS (SELECT 1 FROM stillstore_moves WHERE item_id = CAST({id} AS TEXT) AND stage <> 'restored' AND source = ";
        sql.push(&self.fill(moved)).bind(self.source.name.as_str()).push("))");
    }
}

impl TableSavedRows {
    async fn saving(
        &self,
        run: &Run,
        id: &ItemId,
        mut found: Found,
        context: &SliceContext<'_>,
    ) -> Result<Result<Saving, Refusal>, Interruption> {
        if found.row.columns.is_none() && weight(&found.row) > 0 {
            let select = self.table.select_saved_one(&found.row.item, MAX_COLUMNS_BYTES, 0);
            let again = context.read(vec![select]).await?;
            let Some(again) =
                again.first().map(|answer| found::read(answer, true)).transpose()?.and_then(|mut rows| rows.pop())
            else {
                return Ok(Err(Refusal::skipped("changed-meanwhile", "somebody else deleted the row")));
            };
            found.row.columns = again.row.columns;
            found.row.inexact = again.row.inexact;
            found.row.replacements = again.row.replacements;
        }
        let columns = match columns(&found.row) {
            Ok(columns) => from_json::<Box<RawValue>>(columns)?,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut data = RowData::new(&self.database, &self.table, found);
        let reads = data.reads();
        context.count(|operations| operations.count_database(reads, reads));
        let (described, extent) = match data.survey(id, true).await {
            Ok(surveyed) => surveyed,
            Err(PieceError::Item(refusal)) => return Ok(Err(refusal)),
            Err(PieceError::Database(error)) => return Err(error.into()),
        };
        Ok(Ok(Saving {
            line: described_line(id, Verdict::Saved, &described).from_place(&self.table.place()),
            data_bytes: data.size_bytes,
            extent,
            reads: data.reads(),
            pieces: Rc::new(data),
            item: BackupItem { id: id.clone(), source: run.source.clone(), columns, data: described },
        }))
    }
}

#[async_trait(?Send)]
impl SavedRows for TableSavedRows {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        if let Some(ids) = listed_ids(run, bounds.limit) {
            let select = |id| self.table.select_saved_one(id, INLINE_COLUMNS_BYTES, bounds.inline_max_bytes);
            return Ok(ids.into_iter().map(select).collect());
        }
        let after = run.cursor.as_ref().and_then(|cursor| cursor.get("after")?.as_str());
        Ok(vec![self.table.select_saved(after, bounds)])
    }

    fn count(&self, _run: &Run) -> Statement {
        // Looks at every row, once a run.
        let mut sql = Sql::default();
        sql.push(&self.table.fill("SELECT count(*) AS items FROM {table}"));
        self.table.push_saved(&mut sql);
        sql.into_statement()
    }

    async fn read(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Page<Result<Saving, Refusal>>, Interruption> {
        let rows = self.table.page(run, &found, bounds, true)?;
        drop(found);
        let mut savings = Page { items: Vec::new(), is_last: rows.is_last, largest_bytes: 0 };
        let mut weight_bytes = 0;
        for PageItem { id, found, cursor } in rows.items {
            let own = found.as_ref().map_or(0, |found| weight(&found.row));
            savings.largest_bytes = savings.largest_bytes.max(own);
            if weight_bytes > 0 && weight_bytes + own > SLICE_BYTES {
                savings.is_last = false;
                break;
            }
            weight_bytes += own;
            let found = match found {
                Some(found) => Some(self.saving(run, &id, found, context).await?),
                None => None,
            };
            savings.items.push(PageItem { id, found, cursor });
        }
        Ok(savings)
    }
}

/// What a row takes of a slice, zero when it is not saved.
fn weight(row: &Row) -> u64 {
    if is_savable(row).is_err() {
        return 0;
    }
    row.data_bytes.unwrap_or(0) + COLUMN_WEIGHT * row.columns_bytes.unwrap_or(0)
}

fn is_savable(row: &Row) -> Result<(), Refusal> {
    let refused = |reason, detail: &str| Err(Refusal::failed(reason, detail));
    match (row.data_type.as_str(), row.stage) {
        ("text" | "blob", _) => {}
        ("null", Some(Stage::Moved | Stage::Cleaned)) => {
            return Err(Refusal::skipped("moved", "the image is in R2 only"));
        }
        ("null", _) => return Err(Refusal::skipped("no-data", "the data column is NULL")),
        (other, _) => return refused("not-text", &["the data column holds ", other, ", not text or a BLOB"].concat()),
    }
    if row.columns_bytes.is_some_and(|bytes| bytes > MAX_COLUMNS_BYTES) {
        return refused("columns-too-large", "the columns beside the data hold more than 300,000 bytes");
    }
    if row.data_bytes.is_some_and(|bytes| bytes > MAX_DATA_BYTES) {
        return refused("too-large", "the data column holds more than 104,857,600 bytes");
    }
    Ok(())
}

/// The columns of a row that can be saved.
fn columns(row: &Row) -> Result<&str, Refusal> {
    is_savable(row)?;
    let inexact = |column: &str| {
        let detail = ["the column ", column, " has a value that JSON cannot hold as it is"].concat();
        Err(Refusal::failed("column-inexact", detail))
    };
    match (&row.columns, &row.inexact) {
        (_, Some(column)) => inexact(column),
        (Some(columns), None) if columns.matches('\u{fffd}').count() as u64 == row.replacements.unwrap_or(0) => {
            Ok(columns)
        }
        _ => Err(Refusal::failed("column-inexact", "a column has text that is not UTF-8")),
    }
}

/// What the receipt says of a value.
pub(super) fn described_line(id: &ItemId, verdict: Verdict, data: &Data) -> Line {
    let line = Line::new(id.clone(), verdict);
    match *data {
        Data::Null => line,
        Data::Text { bytes, sha256 } => line.with_bytes(sha256, bytes, "text/plain"),
        Data::Blob { bytes, sha256 } => line.with_bytes(sha256, bytes, "application/octet-stream"),
    }
}
