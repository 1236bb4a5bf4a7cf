//! Rows of a table that go back into it from a backup.
//!
//! The value of the data column is brought into the database first, piece by piece, as a write of the embedded store that is never
//! published: invisible, and removed by a sweep if nothing comes of it. The transaction that writes the row down puts the value together
//! there, and only if it has all of its bytes.

use std::rc::Rc;

use async_trait::async_trait;

use super::catalogue::TableCatalogue;
use super::columns::SavedColumns;
use super::definition::Table;
use super::found::{self, Found};
use super::row_data::RowData;
use super::saved_rows::described_line;
use super::sql::{PIECE_BYTES, whole};
use crate::bytes::{Body, Text, TextEncoding};
use crate::migrate::archive::backup::{BackupItem, Data};
use crate::migrate::archive::{DAMAGED, PieceError};
use crate::migrate::runs::ledger::require_one_change;
use crate::migrate::runs::{Run, Stage, Verdict, journal};
use crate::migrate::source::ReturnedRows;
use crate::migrate::task::{Interruption, ItemError, Outcome, Refusal, SliceContext};
use crate::runtime::Runtime;
use crate::sql::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement, Value};
use crate::store::{SWEEP_LIMIT, sweep_statement};

/// How old a write is that nothing came of: the slice that made it has ended, one way or the other.
const ABANDONED_MS: i64 = 60 * 60 * 1000;

const BEGIN: &str = "INSERT INTO stillstore_blobs (write_id, object_key, content_type, metadata_json, created_at_ms) \
    VALUES (?1, 'stillstore/restore', '', '{}', ?2)";

// In hexadecimal digits, which the database can make bytes of.
const ADD_PIECE: &str = "INSERT INTO stillstore_chunks (write_id, chunk_index, data) VALUES (?1, ?2, ?3)";

macro_rules! value {
    ($type:literal) => {
        concat!(
            "CAST(ifnull((SELECT group_concat(piece, '') FROM (SELECT unhex(data) AS piece FROM stillstore_chunks \
             WHERE write_id = ?2 ORDER BY chunk_index)), '') AS ",
            $type,
            ")"
        )
    };
}

/// That every piece of the value is there.
const WHOLE: &str = "(SELECT total(length(data)) FROM stillstore_chunks WHERE write_id = ?2) = ?3";

/// Restores rows of one table.
pub struct TableReturnedRows {
    pub table: Rc<Table>,
    pub catalogue: TableCatalogue,
    /// The database that the table is in.
    pub database: Rc<dyn Database>,
    pub runtime: Rc<dyn Runtime>,
}

/// A value that waits in the database.
struct Staged {
    write_id: String,
    bytes: u64,
    is_text: bool,
}

/// What is in the database under an item's id.
enum Present {
    Nothing,
    /// The row without its data, which the bucket does not have either.
    Emptied,
    /// There is nothing to do, or nothing that may be done.
    Kept(Refusal),
}

impl Table {
    /// What receipts call the place of its images in the database.
    pub(in crate::migrate::source) fn place(&self) -> String {
        ["d1:", self.source.table.as_str()].concat()
    }

    /// The row of an item, and what the journal says of it; one row in any case.
    fn select_present(&self, item: &str) -> Statement {
        let sql = self.fill(
            "SELECT CASE WHEN {id} IS NULL THEN 'missing' ELSE typeof({data}) END AS data_type, \
             octet_length({data}) AS data_bytes, stillstore_moves.stage, image_id, original ->> 'url' AS moved_url, \
             {url} IS original ->> 'url' COLLATE BINARY AS is_ours, NULL AS data FROM (SELECT ?1 AS stillstore_item) \
             LEFT JOIN stillstore_moves ON source = ?2 AND item_id = stillstore_item LEFT JOIN {table} ON {id} = ?3",
        );
        let select = Statement::new(sql).bind(item).bind(self.source.name.as_str()).bind(self.id_value(item));
        select.with_text_column("data")
    }

    /// Inserts a row that is not there.
    fn insert(&self, item: &str, columns: &SavedColumns, data: &Staged) -> Statement {
        let sql = [
            &self.fill("INSERT INTO {table} ("),
            &columns.names,
            &self.source.data.quoted(),
            ") SELECT ",
            &columns.values,
            data.value(),
            &self.fill(" WHERE NOT EXISTS (SELECT 1 FROM {table} WHERE {id} = ?1) AND "),
            WHOLE,
        ];
        data.bind(self.id_value(item), &sql.concat()).bind(columns.json.as_str())
    }

    /// Gives a row its data that has none.
    fn fill_row(&self, item: &str, data: &Staged) -> Statement {
        let sql = [
            &self.fill("UPDATE {table} SET "),
            &self.source.data.quoted(),
            " = ",
            data.value(),
            &self.fill(" WHERE {id} = ?1 AND ifnull(octet_length({data}), 0) = 0 AND "),
            WHOLE,
        ];
        data.bind(self.id_value(item), &sql.concat())
    }
}

impl Staged {
    /// The value, put together from its pieces.
    const fn value(&self) -> &'static str {
        if self.is_text { value!("TEXT") } else { value!("BLOB") }
    }

    /// Binds what [`Staged::value`] and [`WHOLE`] ask for, behind the row's id.
    fn bind(&self, id: Value, sql: &str) -> Statement {
        Statement::new(sql.to_owned()).bind(id).bind(self.write_id.as_str()).bind(whole(2 * self.bytes))
    }

    fn discard(&self) -> Statement {
        Statement::new("DELETE FROM stillstore_blobs WHERE write_id = ?1").bind(self.write_id.as_str())
    }
}

impl TableReturnedRows {
    async fn present(
        &self,
        item: &BackupItem,
        found: Found,
        context: &SliceContext<'_>,
    ) -> Result<Present, Interruption> {
        let row = &found.row;
        let changed = || Ok(Present::Kept(Refusal::skipped("changed", "the row has other data than the backup")));
        match row.data_type.as_str() {
            "missing" => return Ok(Present::Nothing),
            "null" | "text" | "blob" => {}
            _ => return changed(),
        }
        let same_type = match item.data {
            Data::Text { .. } => row.data_type == "text",
            Data::Blob { .. } => row.data_type == "blob",
            Data::Null => false,
        };
        let bytes = row.data_bytes.unwrap_or(0);
        if same_type && bytes == item.data.size_bytes() {
            let id = item.id.as_text().into_owned();
            let found = Found { row: found::Row { item: id, ..found.row }, datum: None };
            let mut data = RowData::new(&self.database, &self.table, found);
            let reads = data.reads();
            context.count(|operations| operations.count_database(reads, reads));
            return match data.survey(&item.id, false).await {
                Ok((present, _)) if present == item.data => Ok(Present::Kept(Refusal::skipped("unchanged", ""))),
                Ok(_) | Err(PieceError::Item(_)) => changed(),
                Err(PieceError::Database(error)) => Err(error.into()),
            };
        }
        if bytes > 0 {
            return changed();
        }
        let is_moved = row.is_ours == Some(1) && row.stage.is_some_and(|stage| stage != Stage::Restored);
        Ok(if is_moved { Present::Kept(Refusal::skipped("moved", "the image is in R2")) } else { Present::Emptied })
    }

    /// Brings the value into the database. One piece of it is in memory at a time.
    async fn stage(
        &self,
        item: &BackupItem,
        mut data: Body,
        context: &SliceContext<'_>,
    ) -> Result<Staged, Interruption> {
        let write_id = hex::encode(self.runtime.random_bytes());
        let now = self.runtime.now();
        // What an earlier run staged and nothing came of goes too: cron sweeps the catalogue's own database only.
        let sweep = sweep_statement(now.plus_millis(-ABANDONED_MS), SWEEP_LIMIT);
        let mut statements = vec![sweep, Statement::new(BEGIN).bind(write_id.as_str()).bind(now.as_millis())];
        let mut index = 0;
        let piece_bytes = usize::try_from(PIECE_BYTES).unwrap_or(usize::MAX);
        while let Some(piece) = next(&mut data, piece_bytes).await? {
            let hex = Text::encode("", &piece, TextEncoding::Hex, "");
            statements.push(Statement::new(ADD_PIECE).bind(write_id.as_str()).bind(index).bind(hex));
            index += 1;
            context.read(std::mem::take(&mut statements)).await?;
        }
        if !statements.is_empty() {
            context.read(statements).await?;
        }
        let is_text = matches!(item.data, Data::Text { .. });
        Ok(Staged { write_id, bytes: item.data.size_bytes(), is_text })
    }

    /// The journal after a row came back as it was saved: as one that was moved, or as one that was not.
    fn mark(
        &self,
        item: &BackupItem,
        columns: &SavedColumns,
        journal: Option<(Stage, String)>,
    ) -> Option<(Statement, Stage, Stage)> {
        let (stage, moved_url) = journal?;
        let names_copy = columns.url.as_deref() == Some(moved_url.as_str());
        let reached = if names_copy { Stage::Moved } else { Stage::Restored };
        let mark = || journal::mark(&self.table.source.name, &item.id.as_text(), stage, reached);
        (stage != reached).then(|| (mark(), stage, reached))
    }
}

#[async_trait(?Send)]
impl ReturnedRows for TableReturnedRows {
    async fn restore(
        &self,
        run: &Run,
        item: BackupItem,
        data: Body,
        context: &SliceContext<'_>,
    ) -> Result<Outcome, ItemError> {
        let id = item.id.clone();
        if item.data == Data::Null {
            return Err(Refusal::failed(DAMAGED, "the backup has no data of the row").into());
        }
        let columns = self.table.saved_columns(&item)?;
        let answers = context.read(vec![self.table.select_present(&id.as_text())]).await?;
        let found = answers.first().map(|answer: &QueryResult| found::read(answer, true)).transpose()?;
        let Some(found) = found.and_then(|mut rows| rows.pop()) else {
            return Err(DatabaseError::new(DatabaseErrorKind::Corrupt, "no row of one").into());
        };
        let journal = found.row.stage.zip(found.row.moved_url.clone());
        let image_id = found.row.image_id;
        let present = self.present(&item, found, context).await?;
        if let Present::Kept(refusal) = present {
            return Err(refusal.into());
        }
        let line = |verdict| described_line(&id, verdict, &item.data).to_place(&self.table.place());
        if run.is_dry_run() {
            // The part that holds the data was proved to be as it was written.
            return Ok(Outcome::only(line(Verdict::WouldRestore)));
        }
        let staged = self.stage(&item, data, context).await?;
        let mut outcome = Outcome::only(line(Verdict::Restored));
        if matches!(present, Present::Nothing) {
            outcome.statements.extend([self.table.insert(&id.as_text(), &columns, &staged), require_one_change()]);
            if let Some((mark, left, reached)) = self.mark(&item, &columns, journal) {
                if let Some(image_id) = image_id.filter(|_| reached == Stage::Restored) {
                    self.catalogue.leave(&[image_id], context).await?;
                    outcome.statements.extend(self.catalogue.at_return(&id.as_text(), image_id, self.runtime.now())?);
                }
                outcome.statements.extend([mark, require_one_change()]);
                outcome.staged = (Some(left), Some(reached));
            }
        } else {
            outcome.statements.extend([self.table.fill_row(&id.as_text(), &staged), require_one_change()]);
        }
        outcome.statements.push(staged.discard());
        Ok(outcome)
    }
}

async fn next(data: &mut Body, piece_bytes: usize) -> Result<Option<crate::bytes::Blob>, Interruption> {
    data.next(piece_bytes).await.map_err(|error| Interruption::Destination { detail: error.to_string() })
}
