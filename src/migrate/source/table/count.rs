//! How many images a table holds, and where they are.
//!
//! A short table is counted in one statement. A longer one is counted slice by slice over many calls, and the sums are kept in
//! `stillstore_table_counts`. While that goes on, runs move images: what is kept are numbers that no move changes, rows with an image
//! and journal entries without a row. The journal's own counters, which are exact at every moment, make the rest.

use serde::Deserialize;

use super::definition::Table;
use super::sql::{Sql, whole};
use crate::migrate::runs::{ITEM_ID_MAX_INTEGER, IdType};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, Value};

/// The most rows of a table that one statement counts. Each may make it read an entry of the journal too.
pub const COUNTED_ROWS: u64 = 2_000;

/// The sources of one database whose count has begun and not ended.
pub const UNDER_WAY: &str =
    "SELECT source FROM stillstore_table_counts INDEXED BY stillstore_table_counts_under_way WHERE state = 'counting'";

/// What one statement counted.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct AtOnce {
    table_rows: u64,
    pub waiting: u64,
    pub waiting_bytes: u64,
    pub moved: u64,
    pub cleaned: u64,
}

/// A row of `stillstore_table_counts`.
#[derive(Debug, Clone, Deserialize)]
pub struct Kept {
    state: State,
    subject: String,
    table_rows: u64,
    pub images: u64,
    pub data_rows: u64,
    pub data_bytes: u64,
    pub stale_moved: u64,
    pub stale_cleaned: u64,
    pub moves: u64,
    pub began_at_ms: Timestamp,
    pub counted_at_ms: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Counting,
    Counted,
}

/// The counts that are kept of a source as it is configured.
#[derive(Debug, Clone, Default)]
pub struct KeptCounts {
    pub under_way: Option<Kept>,
    pub complete: Option<Kept>,
}

impl AtOnce {
    /// The count, when the table was short enough for it.
    pub fn read(answer: &QueryResult, kept: &KeptCounts) -> Result<Option<Self>, DatabaseError> {
        Ok(answer.first::<Self>()?.filter(|count| count.table_rows <= COUNTED_ROWS && !kept.is_of_a_long_table()))
    }
}

impl KeptCounts {
    pub fn read(answer: &QueryResult, table: &Table) -> Result<Self, DatabaseError> {
        let subject = table.subject();
        let mut counts = Self::default();
        for kept in answer.rows::<Kept>()?.into_iter().filter(|kept| kept.subject == subject) {
            let place = if kept.state == State::Counting { &mut counts.under_way } else { &mut counts.complete };
            *place = Some(kept);
        }
        Ok(counts)
    }

    /// Whether [`Table::count_at_once`] counted nothing, because the table is known to be longer.
    fn is_of_a_long_table(&self) -> bool {
        self.under_way.iter().chain(&self.complete).any(|kept| kept.table_rows >= COUNTED_ROWS)
    }
}

impl Table {
    /// Counts a table of up to [`COUNTED_ROWS`] rows, and nothing where one that is longer was found before.
    pub fn count_at_once(&self) -> Statement {
        let mut sql = Sql::default();
        sql.push(
            "SELECT count(*) AS table_rows, count(*) FILTER (WHERE place = 'waiting') AS waiting, \
             ifnull(sum(bytes) FILTER (WHERE place = 'waiting'), 0) AS waiting_bytes, \
             count(*) FILTER (WHERE place = 'moved') AS moved, count(*) FILTER (WHERE place = 'cleaned') AS cleaned FROM (",
        );
        self.push_places(&mut sql);
        sql.bind_value(self.first_id());
        // As a limit, because a condition that holds for no row would be tried on each.
        sql.push(&self.fill(" ORDER BY {id} LIMIT iif(EXISTS (SELECT 1 FROM stillstore_table_counts WHERE source = "));
        sql.bind(self.source.name.as_str()).push(" AND subject = ").bind(self.subject());
        sql.push(" AND table_rows >= ")
            .bind(whole(COUNTED_ROWS))
            .push("), 0, ")
            .bind(whole(COUNTED_ROWS + 1))
            .push(")");
        sql.push(")");
        sql.into_statement()
    }

    /// The counts that are kept, for [`KeptCounts::read`].
    pub fn kept_counts(&self) -> Statement {
        Statement::new(
            "SELECT state, subject, table_rows, images, data_rows, data_bytes, stale_moved, stale_cleaned, moves, \
             began_at_ms, counted_at_ms FROM stillstore_table_counts WHERE source = ?1",
        )
        .bind(self.source.name.as_str())
    }

    /// Begins a count. One that is under way goes on, unless it is of another table, column or filter.
    pub fn begin_count(&self, now: Timestamp) -> Statement {
        Statement::new(
            "INSERT INTO stillstore_table_counts (source, state, subject, phase, cursor, began_at_ms) \
             VALUES (?1, 'counting', ?2, 'table', ?3, ?4) ON CONFLICT (source, state) DO UPDATE SET subject = excluded.subject, \
             phase = excluded.phase, cursor = excluded.cursor, table_rows = 0, images = 0, data_rows = 0, data_bytes = 0, \
             stale_moved = 0, stale_cleaned = 0, began_at_ms = excluded.began_at_ms WHERE subject <> excluded.subject",
        )
        .bind(self.source.name.as_str())
        .bind(self.subject())
        .bind(self.first_id())
        .bind(now.as_millis())
    }

    /// Takes the count that is under way on by one slice of the table, or of the journal, and ends it behind the last. Each statement
    /// finds for itself where it stands, so that doing it twice only counts further.
    pub fn count_further(&self, now: Timestamp) -> [Statement; 4] {
        let source = self.source.name.as_str();
        let end = Statement::new(
            "INSERT OR REPLACE INTO stillstore_table_counts (source, state, subject, phase, table_rows, images, data_rows, \
             data_bytes, stale_moved, stale_cleaned, moves, began_at_ms, counted_at_ms) SELECT source, 'counted', subject, phase, \
             table_rows, images, data_rows, data_bytes, stale_moved, stale_cleaned, (SELECT ifnull(sum(items), 0) \
             FROM stillstore_move_counters WHERE source = ?1 AND stage <> 'restored'), began_at_ms, ?2 \
             FROM stillstore_table_counts WHERE source = ?1 AND state = 'counting' AND phase = 'done'",
        );
        let forget = Statement::new(
            "DELETE FROM stillstore_table_counts WHERE source = ?1 AND state = 'counting' AND phase = 'done'",
        );
        [self.count_rows(), self.count_stale_entries(), end.bind(source).bind(now.as_millis()), forget.bind(source)]
    }

    fn count_rows(&self) -> Statement {
        let mut sql = Sql::default();
        sql.push(
            "UPDATE stillstore_table_counts SET table_rows = table_rows + slice.length, images = images + slice.placed, \
             data_rows = data_rows + slice.with_data, data_bytes = data_bytes + slice.bytes, \
             cursor = CASE WHEN slice.length < ",
        );
        sql.bind(whole(COUNTED_ROWS)).push(" THEN '' ELSE slice.last END, phase = CASE WHEN slice.length < ");
        sql.bind(whole(COUNTED_ROWS)).push(
            " THEN 'journal' ELSE 'table' END FROM (SELECT count(*) AS length, count(place) AS placed, \
             count(*) FILTER (WHERE place IN ('waiting', 'moved')) AS with_data, \
             ifnull(sum(bytes) FILTER (WHERE place IN ('waiting', 'moved')), 0) AS bytes, max(item) AS last FROM (",
        );
        self.push_places(&mut sql);
        self.push_cursor(&mut sql, "table");
        sql.push(&self.fill(" ORDER BY {id} LIMIT ")).bind(whole(COUNTED_ROWS));
        sql.push(")) AS slice WHERE source = ").bind(self.source.name.as_str());
        sql.push(" AND state = 'counting' AND phase = 'table' AND subject = ").bind(self.subject());
        sql.into_statement()
    }

    fn count_stale_entries(&self) -> Statement {
        let is_integer = self.schema.ids == IdType::Integer;
        let item = if is_integer { "CAST(stillstore_moves.item_id AS INTEGER)" } else { "stillstore_moves.item_id" };
        let mut sql = Sql::default();
        sql.push(
            "UPDATE stillstore_table_counts SET stale_moved = stale_moved + slice.moved, \
             stale_cleaned = stale_cleaned + slice.cleaned, cursor = slice.last, phase = CASE WHEN slice.length < ",
        );
        sql.bind(whole(COUNTED_ROWS)).push(
            " THEN 'done' ELSE 'journal' END FROM (SELECT count(*) AS length, max(item) AS last, \
             count(*) FILTER (WHERE stage = 'moved' AND is_stale) AS moved, \
             count(*) FILTER (WHERE stage = 'cleaned' AND is_stale) AS cleaned FROM (SELECT item_id AS item, stage, \
             NOT EXISTS (SELECT 1 FROM ",
        );
        sql.push(&self.fill("{table} WHERE {id} = ")).push(item);
        sql.push(&self.fill(" AND {url} IS stillstore_moves.original ->> 'url' COLLATE BINARY) AS is_stale "));
        sql.push("FROM stillstore_moves WHERE source = ").bind(self.source.name.as_str());
        sql.push(" AND item_id > ");
        self.push_cursor(&mut sql, "journal");
        sql.push(" ORDER BY item_id LIMIT ").bind(whole(COUNTED_ROWS));
        sql.push(")) AS slice WHERE source = ").bind(self.source.name.as_str());
        sql.push(" AND state = 'counting' AND phase = 'journal' AND subject = ").bind(self.subject());
        sql.into_statement()
    }

    /// Adds a selection of rows: where each has its image, NULL for none, and how long its data is. To be followed by the id after
    /// which it begins. Reads no more of the data column than its length, and the url of a row only if the journal has its id.
    fn push_places(&self, sql: &mut Sql) {
        sql.push(&self.fill("SELECT {id} AS item, octet_length({data}) AS bytes, CASE WHEN NOT ("));
        self.push_id_rule(sql);
        sql.push(&self.fill(
            ") THEN NULL WHEN EXISTS (SELECT 1 FROM stillstore_moves WHERE item_id = CAST({id} AS TEXT) \
             AND stage <> 'restored' AND {url} IS stillstore_moves.original ->> 'url' COLLATE BINARY AND source = ",
        ));
        sql.bind(self.source.name.as_str());
        sql.push(&self.fill(") THEN iif({data} IS NULL, 'cleaned', 'moved') WHEN {data} IS NOT NULL"));
        self.source.push_filter(sql);
        sql.push(&self.fill(" THEN 'waiting' END AS place FROM {table} WHERE {id} > "));
    }

    fn push_cursor(&self, sql: &mut Sql, phase: &'static str) {
        sql.push("(SELECT cursor FROM stillstore_table_counts WHERE source = ");
        sql.bind(self.source.name.as_str()).push(" AND state = 'counting' AND phase = ").bind(phase);
        sql.push(")");
    }

    /// An id that comes before each that an item can have.
    pub(super) fn first_id(&self) -> Value {
        if self.schema.ids == IdType::Integer { Value::Integer(-ITEM_ID_MAX_INTEGER - 1) } else { "".into() }
    }

    /// What a count is of: another configuration makes it worthless.
    fn subject(&self) -> String {
        let mut subject = self.fill("{table} {id} {data} {url}");
        for (column, value) in &self.source.filter {
            subject.push(' ');
            subject += &column.quoted();
            subject += &match value {
                Value::Integer(number) => ["=", &number.to_string()].concat(),
                Value::Text(text) => ["='", text.as_local().unwrap_or_default(), "'"].concat(),
                Value::Null | Value::Base64(_) => " is null".to_owned(),
            };
        }
        if let Some(pattern) = &self.source.matching {
            subject = [&subject, " like ", pattern].concat();
        }
        subject
    }
}
