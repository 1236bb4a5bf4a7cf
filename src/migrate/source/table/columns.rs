//! Every column of a row but the data column, as JSON: how it is read, and how it is written.
//!
//! A JSON object with a member a column. A BLOB is `{"blob":"00FF"}`, its bytes in hexadecimal digits. D1 allows functions 32 arguments
//! and expressions a depth of 100, so that the object is put together from its members, in groups.

use serde_json::{Map, Value};

use super::definition::Table;
use super::identifier::Identifier;
use super::sql::Sql;
use crate::migrate::archive::backup::BackupItem;
use crate::migrate::task::{ItemError, Refusal};
use crate::sql::from_json;

/// The most bytes that a row's columns beside the data may hold to be saved. JSON makes six of one at worst, 1,800,000 of D1's
/// 2,000,000 a text, and the names take the rest.
pub(super) const MAX_COLUMNS_BYTES: u64 = 300_000;

/// Up to so many bytes come along with other rows: 100 rows of them are 1.6 MB.
pub(super) const INLINE_COLUMNS_BYTES: u64 = 16_384;

/// Operands side by side; more are put into groups.
const GROUP: usize = 10;

/// A row's columns as a backup has them, in SQL.
pub(super) struct SavedColumns {
    /// As the backup wrote them, for `?4`.
    pub json: String,
    /// The columns' names, each with a comma behind it.
    pub names: String,
    /// The columns' values, each with a comma behind it.
    pub values: String,
    /// The value of the url column, if it is a text.
    pub url: Option<String>,
}

impl Table {
    fn other_columns(&self) -> impl Iterator<Item = &Identifier> {
        self.schema.columns.iter().filter(|column| !column.is(&self.source.data))
    }

    /// Adds the columns `columns_bytes`, `inexact` and `columns`, the latter NULL for a row with more than `max_bytes`.
    pub(super) fn push_columns(&self, sql: &mut Sql, max_bytes: u64) {
        let columns: Vec<_> = self.other_columns().map(|column| (column, self.column(column))).collect();
        let sizes = columns.iter().map(|(_, column)| ["ifnull(octet_length(", column, "), 0)"].concat());
        let size = joined(sizes.collect(), " + ");
        let mut separator = "{";
        let members = columns.iter().map(|(name, column)| {
            let member = [separator, &serde_json::Value::from(name.as_str()).to_string(), ":"].concat();
            separator = ",";
            ["'", &member.replace('\'', "''"), "' || ", &json_of(column)].concat()
        });
        let members = joined(members.collect(), " || ");
        let fits = [&size, " <= ", &max_bytes.to_string()].concat();
        sql.push(&size).push(" AS columns_bytes, CASE WHEN ").push(&fits).push(" THEN ").push(&members);
        sql.push(" || '}' END AS columns, CASE WHEN NOT ").push(&fits).push(" THEN NULL");
        for (name, column) in columns {
            let json = json_of(&column);
            sql.push(" WHEN typeof(").push(&column).push(") IN ('text', 'real') AND ('[' || ").push(&json);
            sql.push(" || ']') ->> 0 IS NOT ").push(&column).push(" COLLATE BINARY OR typeof(").push(&column);
            // JSON has no infinite numbers, which their doubles are equal to.
            sql.push(") = 'real' AND ").push(&column).push(" = 2 * ").push(&column).push(" AND ").push(&column);
            sql.push(" <> 0 THEN ").push(&name.literal());
        }
        sql.push(" END AS inexact");
    }

    /// The columns of an item, which the table still has.
    pub(super) fn saved_columns(&self, item: &BackupItem) -> Result<SavedColumns, ItemError> {
        let reconfigured = |detail: &str| Err(Refusal::failed("source-reconfigured", detail).into());
        let saved: Map<String, Value> = from_json(item.columns.get())?;
        let mut columns = SavedColumns {
            json: item.columns.get().to_owned(),
            names: String::new(),
            values: String::new(),
            url: None,
        };
        let mut has_id = false;
        for (name, value) in &saved {
            let name = Identifier::of_schema(name);
            if !self.schema.columns.iter().any(|column| column.is(&name)) {
                let detail = ["the table has no column ", name.as_str(), " any more"].concat();
                return Err(Refusal::failed("column-missing", detail).into());
            }
            if name.is(&self.source.data) {
                return reconfigured("the data were in another column when the backup was made");
            }
            if name.is(&self.source.id) {
                let id = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                has_id = id == item.id.as_text() && self.schema.ids.id_of(&id).as_ref() == Ok(&item.id);
            }
            if name.is(&self.source.url) {
                columns.url = value.as_str().map(str::to_owned);
            }
            columns.names += &[&name.quoted(), ", "].concat();
            // By name and not by path, in which a name cannot have every character.
            let value = if value.is_object() { "unhex(value ->> 'blob')" } else { "value" };
            columns.values += &["(SELECT ", value, " FROM json_each(?4) WHERE key = ", &name.literal(), "), "].concat();
        }
        if !has_id {
            return reconfigured("the ids were in another column, or of another type, when the backup was made");
        }
        Ok(columns)
    }
}

/// A value as JSON. A real has 15 digits, or 17 where those do not give it back.
fn json_of(column: &str) -> String {
    [
        "CASE WHEN typeof(",
        column,
        ") = 'blob' THEN '{\"blob\":\"' || hex(",
        column,
        ") || '\"}' WHEN typeof(",
        column,
        ") = 'real' AND CAST(json_quote(",
        column,
        ") AS REAL) <> ",
        column,
        " THEN printf('%!.17g', ",
        column,
        ") ELSE json_quote(",
        column,
        ") END",
    ]
    .concat()
}

/// Operands with an operator between them, in groups within groups.
fn joined(operands: Vec<String>, operator: &str) -> String {
    let mut operands = operands;
    while operands.len() > GROUP {
        operands = operands.chunks(GROUP).map(|group| ["(", &group.join(operator), ")"].concat()).collect();
    }
    operands.join(operator)
}
