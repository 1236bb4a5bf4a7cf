//! Every statement over an application's table.
//!
//! Columns are always named with their table: SQLite takes a quoted name alone for a text when there is no such column.

use super::config::TableSource;
use super::datum::Datum;
use super::definition::Table;
use super::identifier::Identifier;
use super::original::Original;
use super::schema::Numbering;
use super::sql::{PIECE_BYTES, Sql, push_data, push_untagged, tagged, whole};
use crate::image::ImageId;
use crate::migrate::runs::{Entry, ITEM_ID_MAX_BYTES, ITEM_ID_MAX_INTEGER, IdType, InFlight};
use crate::sql::{Statement, Value};

/// The most bytes that a row's other columns may hold to be remembered: an entry of the journal is a row with a limit itself.
const MAX_BEFORE_BYTES: &str = "65536";
/// The longest value of a metadata column that goes onto the object.
const MAX_METADATA_BYTES: &str = "512";

impl TableSource {
    /// A column's name in quotes, with its table's.
    pub(in crate::migrate::source) fn column(&self, column: &Identifier) -> String {
        [&self.table.quoted(), ".", &column.quoted()].concat()
    }

    /// Adds the source's conditions for its rows.
    pub(in crate::migrate::source) fn push_filter(&self, sql: &mut Sql) {
        for (column, value) in &self.filter {
            sql.push(" AND ").push(&self.column(column)).push(" IS ").bind_value(value.clone());
        }
        if let Some(pattern) = &self.matching {
            sql.push(" AND ").push(&self.column(&self.url)).push(" LIKE ").bind(pattern.as_str());
        }
    }
}

impl Table {
    /// `template` with `{table}`, `{id}`, `{data}` and `{url}` replaced by their names in SQL.
    pub(in crate::migrate::source) fn fill(&self, template: &str) -> String {
        let mut sql = String::new();
        let mut rest = template;
        while let Some((before, name)) = rest.split_once('{') {
            let (name, behind) = name.split_once('}').unwrap_or((name, ""));
            sql.push_str(before);
            sql.push_str(&match name {
                "table" => self.table(),
                "id" => self.id(),
                "data" => self.data(),
                _ => self.column(&self.source.url),
            });
            rest = behind;
        }
        sql + rest
    }

    /// The table's name in quotes.
    pub(in crate::migrate::source) fn table(&self) -> String {
        self.source.table.quoted()
    }

    pub(in crate::migrate::source) fn column(&self, column: &Identifier) -> String {
        self.source.column(column)
    }

    pub(in crate::migrate::source) fn id(&self) -> String {
        self.column(&self.source.id)
    }

    pub(in crate::migrate::source) fn data(&self) -> String {
        self.column(&self.source.data)
    }

    /// The value of the id column that an item's text stands for; NULL, which equals nothing, when it can be none.
    pub(in crate::migrate::source) fn id_value(&self, item: &str) -> Value {
        if self.schema.ids == IdType::Integer { item.parse().map_or(Value::Null, Value::Integer) } else { item.into() }
    }

    /// The rows to move behind the item `after`, in the order of their ids.
    pub(in crate::migrate::source) fn select_after(
        &self,
        after: Option<&str>,
        limit: u16,
        inline_max_bytes: u64,
        own_urls: &str,
    ) -> Statement {
        let mut sql = self.select(inline_max_bytes);
        self.push_candidates(&mut sql, own_urls);
        self.push_after(&mut sql, after, limit);
        sql.into_statement().with_text_column("data")
    }

    /// Adds the condition that a row is behind the item `after`, and the order of ids.
    pub(in crate::migrate::source) fn push_after(&self, sql: &mut Sql, after: Option<&str>, limit: u16) {
        let after = after.map_or_else(|| self.first_id(), |after| self.id_value(after));
        sql.push(" AND ").push(&self.id()).push(" > ").bind_value(after);
        sql.push(" ORDER BY ").push(&self.id()).push(" LIMIT ").bind(i64::from(limit));
    }

    /// The row of one item, whatever it holds.
    pub(in crate::migrate::source) fn select_one(&self, item: &str, inline_max_bytes: u64) -> Statement {
        let mut sql = self.select(inline_max_bytes);
        sql.push(" WHERE ").push(&self.id()).push(" = ").bind_value(self.id_value(item));
        self.source.push_filter(&mut sql);
        sql.into_statement().with_text_column("data")
    }

    /// How many rows there are to move.
    pub(in crate::migrate::source) fn count(&self, own_urls: &str) -> Statement {
        let mut sql = Sql::default();
        sql.push("SELECT count(*) AS items FROM ").push(&self.table());
        self.push_candidates(&mut sql, own_urls);
        sql.into_statement()
    }

    /// About how many rows there are to move: the range of their numbers, as if none had been deleted from it, less those that moved.
    /// Reads three rows where a count would read each; counts where that would say nothing.
    pub(in crate::migrate::source) fn estimate(&self, own_urls: &str) -> Statement {
        if self.schema.numbering == Numbering::Unnumbered || self.source.selects_rows() {
            return self.count(own_urls);
        }
        let table = self.table();
        let mut sql = Sql::default();
        sql.push("SELECT max(0, ifnull((SELECT max(rowid) FROM ").push(&table).push(") - (SELECT min(rowid) FROM ");
        sql.push(&table)
            .push(") + 1, 0) - (SELECT ifnull(sum(items), 0) FROM stillstore_move_counters WHERE source = ");
        sql.bind(self.source.name.as_str()).push(" AND stage <> 'restored')) AS items");
        sql.into_statement()
    }

    fn select(&self, inline_max_bytes: u64) -> Sql {
        let data = self.data();
        let mut sql = Sql::default();
        sql.push("SELECT CAST(").push(&self.id()).push(" AS TEXT) AS item, ").push(&self.before()).push(" AS before, ");
        if let Some(media_type) = &self.source.media_type {
            let media_type = self.column(media_type);
            sql.push("CASE typeof(").push(&media_type).push(") WHEN 'text' THEN substr(").push(&media_type);
            sql.push(", 1, 100) END AS media_type, ");
        }
        self.push_metadata_and_earlier(&mut sql);
        sql.push(", ");
        push_data(&mut sql, &data, inline_max_bytes);
        sql.push(" FROM ").push(&self.table());
        sql
    }

    /// Adds the values of the metadata columns, and what the journal says of the row.
    pub(in crate::migrate::source) fn push_metadata_and_earlier(&self, sql: &mut Sql) {
        let metadata: Vec<_> = self.source.metadata.iter().map(|column| self.metadata(column)).collect();
        sql.push("json_array(").push(&metadata.join(", ")).push(") AS metadata, ");
        sql.push("(SELECT json_object('stage', stage, 'key', storage_key, 'original', json(original)) FROM stillstore_moves ");
        sql.push("WHERE source = ").bind(self.source.name.as_str()).push(" AND item_id = CAST(").push(&self.id());
        sql.push(" AS TEXT)) AS earlier");
    }

    /// The columns that a move writes, as a JSON object of texts whose first character is their type; NULL when they are too long.
    pub(in crate::migrate::source) fn before(&self) -> String {
        let columns: Vec<_> = self.source.written_columns().collect();
        let sizes: Vec<_> =
            columns.iter().map(|column| ["ifnull(octet_length(", &self.column(column), "), 0)"].concat()).collect();
        let values: Vec<_> =
            columns.iter().map(|column| [&column.literal(), ", ", &tagged(&self.column(column))].concat()).collect();
        let (size, values) = (sizes.join(" + "), values.join(", "));
        ["CASE WHEN ", &size, " <= ", MAX_BEFORE_BYTES, " THEN json_object(", &values, ") END"].concat()
    }

    fn metadata(&self, column: &Identifier) -> String {
        let column = self.column(column);
        [
            "CASE WHEN typeof(",
            &column,
            ") IN ('text', 'integer') AND octet_length(",
            &column,
            ") <= ",
            MAX_METADATA_BYTES,
            " THEN CAST(",
            &column,
            " AS TEXT) END",
        ]
        .concat()
    }

    pub(in crate::migrate::source) fn push_candidates(&self, sql: &mut Sql, own_urls: &str) {
        sql.push(" WHERE ").push(&self.data()).push(" IS NOT NULL AND ");
        // A row that names a copy of ours is moved already.
        sql.push("substr(").push(&self.column(&self.source.url)).push(", 1, ").bind(whole(own_urls.len() as u64));
        sql.push(") COLLATE BINARY IS NOT ").bind(own_urls).push(" AND ");
        self.push_id_rule(sql);
        self.source.push_filter(sql);
    }

    /// Adds the condition that a row's id can be an item's.
    pub(in crate::migrate::source) fn push_id_rule(&self, sql: &mut Sql) {
        let id = self.id();
        if self.schema.ids == IdType::Integer {
            sql.push("typeof(").push(&id).push(") = 'integer' AND ").push(&id).push(" BETWEEN ");
            sql.bind(-ITEM_ID_MAX_INTEGER).push(" AND ").bind(ITEM_ID_MAX_INTEGER);
        } else {
            sql.push("typeof(").push(&id).push(") = 'text' AND octet_length(").push(&id).push(") <= ");
            sql.bind(whole(ITEM_ID_MAX_BYTES as u64));
        }
    }

    /// Reads a value that did not come with its row: a text whole, a BLOB or the UTF-8 of a text (`raw`) in pieces. A row whose
    /// value has another length by now is not found.
    pub(in crate::migrate::source) fn load_pieces(&self, item: &str, data_bytes: u64, raw: bool) -> Vec<Statement> {
        if raw {
            let offsets = (0..data_bytes.div_ceil(PIECE_BYTES).max(1)).map(|index| index * PIECE_BYTES);
            offsets.map(|offset| self.load_piece(item, data_bytes, offset, PIECE_BYTES)).collect()
        } else {
            vec![self.of_unchanged("SELECT {data}", item, data_bytes)]
        }
    }

    /// Reads `length` bytes of a BLOB, or of a text's UTF-8, from `offset` on. A row whose value has another length is not found.
    pub(in crate::migrate::source) fn load_piece(
        &self,
        item: &str,
        data_bytes: u64,
        offset: u64,
        length: u64,
    ) -> Statement {
        let select = self.of_unchanged("SELECT hex(substr(CAST({data} AS BLOB), ?3, ?4))", item, data_bytes);
        select.bind(whole(offset + 1)).bind(whole(length))
    }

    fn of_unchanged(&self, select: &str, item: &str, data_bytes: u64) -> Statement {
        let rest = " AS data FROM {table} WHERE {id} = ?1 AND octet_length({data}) = ?2 AND typeof({data}) IN ('text', 'blob')";
        let select =
            Statement::new(self.fill(&[select, rest].concat())).bind(self.id_value(item)).bind(whole(data_bytes));
        select.with_text_column("data")
    }

    /// Makes the row name the copy, if its data and the columns about to be written are as they were read.
    pub(in crate::migrate::source) fn switch(
        &self,
        item: &str,
        datum: &Datum,
        before: &str,
        url: &str,
        key: &str,
        now: Value,
    ) -> Statement {
        let mut sql = Sql::default();
        sql.push("UPDATE ").push(&self.table()).push(" SET ").push(&self.source.url.quoted()).push(" = ").bind(url);
        let others = [
            (&self.source.key, Value::from(key)),
            (&self.source.status, Value::from("completed")),
            (&self.source.migrated_at, now),
        ];
        for (column, value) in others {
            if let Some(column) = column {
                sql.push(", ").push(&column.quoted()).push(" = ").bind_value(value);
            }
        }
        sql.push(" WHERE ").push(&self.id()).push(" = ").bind_value(self.id_value(item)).push(" AND ");
        datum.compare(&mut sql, &self.data());
        sql.push(" AND ").push(&self.before()).push(" IS ").bind(before);
        sql.into_statement()
    }

    /// A moved row, for rollback and cleanup: its data, whether its url is still ours, and whether it names the image at all.
    pub(in crate::migrate::source) fn load_moved(&self, entry: &Entry, url: &str, inline_max_bytes: u64) -> Statement {
        let mut sql = Sql::default();
        sql.push("SELECT ")
            .push(&self.column(&self.source.url))
            .push(" IS ")
            .bind(url)
            .push(" COLLATE BINARY AS is_ours, ");
        self.push_names_image(&mut sql, entry.image_id);
        sql.push(" AS names_image, ");
        push_data(&mut sql, &self.data(), inline_max_bytes);
        sql.push(" FROM ")
            .push(&self.table())
            .push(" WHERE ")
            .push(&self.id())
            .push(" = ")
            .bind_value(self.id_value(&entry.item));
        sql.into_statement().with_text_column("data")
    }

    /// Adds the condition that a row names an image: in its url, which may have been rewritten, or, when it has no picture of its own, by the
    /// object's key.
    pub(in crate::migrate::source) fn push_names_image(&self, sql: &mut Sql, image: ImageId) {
        sql.push("(instr(lower(").push(&self.column(&self.source.url)).push("), ").bind(image.to_string());
        sql.push(") > 0");
        if let Some(key) = &self.source.key {
            sql.push(" OR ").push(&self.data()).push(" IS NULL AND instr(").push(&self.column(key)).push(", ");
            sql.bind(image.to_string()).push(") > 0");
        }
        sql.push(") IS TRUE");
    }

    /// Drops an entry whose copy no row names, unless a reader fetches the item and may be about to make its copy the same object.
    pub(in crate::migrate::source) fn forget(&self, entry: &Entry) -> Statement {
        let mut sql = Sql::default();
        sql.push("DELETE FROM stillstore_moves WHERE source = ").bind(self.source.name.as_str());
        sql.push(" AND item_id = ").bind(entry.item.as_str()).push(" AND storage_key = ").bind(entry.key.as_str());
        sql.push(" AND stage = ")
            .bind(entry.stage.as_str())
            .push(" AND NOT EXISTS (SELECT 1 FROM stillstore_read_throughs");
        sql.push(" WHERE source = ").bind(self.source.name.as_str()).push(" AND item_id = ").bind(entry.item.as_str());
        sql.push(") AND NOT EXISTS (SELECT 1 FROM ");
        sql.push(&self.table()).push(" WHERE ").push(&self.id()).push(" = ").bind_value(self.id_value(&entry.item));
        sql.push(" AND ");
        self.push_names_image(&mut sql, entry.image_id);
        sql.push(")");
        sql.into_statement()
    }

    /// Gives the row its columns' values back, if its url is ours and its data is `datum`. `original` has the same columns.
    pub(in crate::migrate::source) fn restore(&self, entry: &Entry, original: &Original, datum: &Datum) -> Statement {
        let mut sql = Sql::default();
        sql.push("UPDATE ").push(&self.table()).push(" SET ");
        let mut separator = "";
        for (column, value) in &original.before {
            sql.push(separator).push(&Identifier::of_schema(column).quoted()).push(" = ");
            push_untagged(&mut sql, value.as_deref());
            separator = ", ";
        }
        self.push_moved_row(&mut sql, entry, original);
        sql.push(" AND ");
        datum.compare(&mut sql, &self.data());
        sql.into_statement()
    }

    /// Puts the data back into a row that has none.
    pub(in crate::migrate::source) fn bring_back(
        &self,
        entry: &Entry,
        original: &Original,
        datum: &Datum,
    ) -> Statement {
        let mut sql = Sql::default();
        sql.push("UPDATE ").push(&self.table()).push(" SET ").push(&self.source.data.quoted()).push(" = ");
        datum.express(&mut sql);
        self.push_moved_row(&mut sql, entry, original);
        sql.push(" AND ").push(&self.data()).push(" IS NULL");
        sql.into_statement()
    }

    /// Drops the data, if it is `datum`.
    pub(in crate::migrate::source) fn drop_data(&self, entry: &Entry, original: &Original, datum: &Datum) -> Statement {
        let mut sql = Sql::default();
        sql.push("UPDATE ").push(&self.table()).push(" SET ").push(&self.source.data.quoted()).push(" = NULL");
        self.push_moved_row(&mut sql, entry, original);
        sql.push(" AND ");
        datum.compare(&mut sql, &self.data());
        sql.into_statement()
    }

    fn push_moved_row(&self, sql: &mut Sql, entry: &Entry, original: &Original) {
        sql.push(" WHERE ").push(&self.id()).push(" = ").bind_value(self.id_value(&entry.item)).push(" AND ");
        sql.push(&self.column(&self.source.url)).push(" IS ").bind(original.url.as_str()).push(" COLLATE BINARY");
    }

    /// Answers with a row when the item's row names the copy that was made of `image`.
    pub(in crate::migrate::source) fn shows(&self, item: &str, image: ImageId) -> Statement {
        let sql = self.fill(
            "SELECT 1 AS shown FROM {table} JOIN stillstore_moves ON {url} = original ->> 'url' COLLATE BINARY \
             WHERE {id} = ?1 AND source = ?2 AND item_id = ?3 AND image_id = ?4 AND stage <> 'restored'",
        );
        Statement::new(sql).bind(self.id_value(item)).bind(self.source.name.as_str()).bind(item).bind(image.to_string())
    }

    /// Answers with `waits` 0 when the journal names the object, as a copy or as a value that was saved.
    pub(in crate::migrate::source) fn names_any(&self, in_flight: &InFlight) -> Statement {
        let mut sql = Sql::default();
        sql.push("SELECT 0 AS waits FROM stillstore_moves WHERE source = ").bind(self.source.name.as_str());
        sql.push(" AND item_id = ")
            .bind(&*in_flight.item.as_text())
            .push(" AND (stage <> 'restored' AND storage_key = ");
        sql.bind(in_flight.key.as_str())
            .push(" OR original ->> '$.saved.key' = ")
            .bind(in_flight.key.as_str())
            .push(")");
        sql.into_statement()
    }

    /// Answers with `waits` 0 when the journal names the object, or a reader who fetches the item answers for it; 1 when the row is there and
    /// may yet be moved.
    pub(in crate::migrate::source) fn names(&self, in_flight: &InFlight) -> Statement {
        let item = in_flight.item.as_text();
        let mut sql = Sql::default();
        sql.push("SELECT 0 AS waits FROM stillstore_moves WHERE source = ").bind(self.source.name.as_str());
        sql.push(" AND item_id = ").bind(&*item).push(" AND storage_key = ").bind(in_flight.key.as_str());
        sql.push(" AND stage <> 'restored' UNION ALL SELECT 0 AS waits FROM stillstore_read_throughs WHERE source = ");
        sql.bind(self.source.name.as_str()).push(" AND item_id = ").bind(&*item);
        sql.push(" AND ifnull(storage_key, ").bind(in_flight.key.as_str()).push(") = ").bind(in_flight.key.as_str());
        sql.push(" UNION ALL SELECT 1 AS waits FROM ").push(&self.table()).push(" WHERE ");
        sql.push(&self.id()).push(" = ").bind_value(self.id_value(&item)).push(" ORDER BY waits LIMIT 1");
        sql.into_statement()
    }
}
