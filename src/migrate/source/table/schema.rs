//! A source held against the live schema, before any statement names its columns.

use serde::Deserialize;

use super::config::TableSource;
use super::identifier::Identifier;
use crate::migrate::runs::IdType;
use crate::migrate::source::Unusable;
use crate::sql::{Database, DatabaseError, QueryResult, Statement};

const COLUMNS: &str = "SELECT name, type, \"notnull\" AS required, pk FROM pragma_table_info(?1)";

const UNIQUE: &str = "SELECT list.name AS index_name, info.name AS column_name \
    FROM pragma_index_list(?1) AS list, pragma_index_info(list.name) AS info \
    WHERE list.\"unique\" = 1 AND list.partial = 0";

// Reads one row, and sqlite_master would be read whole.
const TABLE: &str = "SELECT wr AS is_without_rowid FROM pragma_table_list(?1) WHERE schema = 'main' AND type = 'table'";

/// What the schema says of a source that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    pub ids: IdType,
    /// Whether `migratedAt` holds Unix seconds; otherwise it holds ISO 8601.
    pub integer_times: bool,
    /// Whether the data column is NOT NULL, so that originals cannot be dropped.
    pub data_is_required: bool,
    pub numbering: Numbering,
    /// The columns that can be written, in the table's order.
    pub columns: Vec<Identifier>,
}

/// Whether rows have numbers that rise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// SQLite's own, in `rowid`.
    Rowid,
    Unnumbered,
}

#[derive(Debug, Deserialize)]
struct Column {
    name: String,
    r#type: String,
    required: u8,
    pk: u8,
}

#[derive(Deserialize)]
struct Table {
    is_without_rowid: u8,
}

#[derive(Deserialize)]
struct IndexColumn {
    index_name: String,
    column_name: Option<String>,
}

impl Schema {
    /// Reads the schema in one round trip and holds `source` against it.
    ///
    /// # Errors
    /// When the database fails; inside, when the source cannot be used.
    pub async fn read(database: &dyn Database, source: &TableSource) -> Result<Result<Self, Unusable>, DatabaseError> {
        let about = |sql| Statement::new(sql).bind(source.table.as_str());
        let answers = database.batch(vec![about(TABLE), about(COLUMNS), about(UNIQUE)]).await?;
        let [table, columns, unique] = &answers[..] else { return Ok(Err(unusable("table", "did not answer"))) };
        let Some(table) = table.first::<Table>()? else {
            return Ok(Err(unusable("table", "must be a table of the database")));
        };
        Ok(Self::check(source, &table, &columns.rows()?, unique))
    }

    fn check(source: &TableSource, table: &Table, columns: &[Column], unique: &QueryResult) -> Result<Self, Unusable> {
        let find = |field, wanted: &Identifier| {
            let found = columns.iter().find(|column| column.name.eq_ignore_ascii_case(wanted.as_str()));
            found.ok_or_else(|| unusable(field, "must be a column of the table that can be written"))
        };
        for (field, column) in source.named_columns() {
            find(field, column)?;
        }
        for column in &source.metadata {
            find("metadata", column)?;
        }
        for (column, _) in &source.filter {
            find("filter", column)?;
        }
        let id = find("id", &source.id)?;
        if !is_unique(id, columns, unique) {
            return Err(unusable("id", "must be the table's primary key, or UNIQUE and NOT NULL"));
        }
        let ids = match affinity(&id.r#type) {
            Affinity::Integer => IdType::Integer,
            Affinity::Text => IdType::Text,
            Affinity::Other => return Err(unusable("id", "must be declared as TEXT or INTEGER")),
        };
        let integer_times = match &source.migrated_at {
            Some(column) => affinity(&find("migratedAt", column)?.r#type) == Affinity::Integer,
            None => false,
        };
        let data_is_required = find("data", &source.data)?.required == 1;
        let is_taken = columns.iter().any(|column| column.name.eq_ignore_ascii_case("rowid"));
        let numbering = if table.is_without_rowid == 0 && !is_taken { Numbering::Rowid } else { Numbering::Unnumbered };
        let columns = columns.iter().map(|column| Identifier::of_schema(&column.name)).collect();
        Ok(Self { ids, integer_times, data_is_required, numbering, columns })
    }
}

fn is_unique(id: &Column, columns: &[Column], unique: &QueryResult) -> bool {
    if id.pk > 0 && columns.iter().filter(|column| column.pk > 0).count() == 1 {
        return true;
    }
    let Ok(indexed) = unique.rows::<IndexColumn>() else { return false };
    let width = |index: &str| indexed.iter().filter(|column| column.index_name == index).count();
    let is_alone = |column: &IndexColumn| {
        column.column_name.as_ref().is_some_and(|name| *name == id.name) && width(&column.index_name) == 1
    };
    id.required == 1 && indexed.iter().any(is_alone)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Other,
}

/// The affinity of a declared type (SQLite, "Determination Of Column Affinity").
fn affinity(declared: &str) -> Affinity {
    let declared = declared.to_ascii_uppercase();
    if declared.contains("INT") {
        Affinity::Integer
    } else if ["CHAR", "CLOB", "TEXT"].iter().any(|word| declared.contains(word)) {
        Affinity::Text
    } else {
        Affinity::Other
    }
}

fn unusable(field: &'static str, rule: &str) -> Unusable {
    Unusable { field, rule: rule.to_owned() }
}
