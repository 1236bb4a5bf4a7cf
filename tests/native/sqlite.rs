//! The database seam over a real in-memory SQLite with the real migrations applied.

use std::cell::RefCell;
use std::path::Path;
use std::sync::OnceLock;

use async_trait::async_trait;
use base64_simd::STANDARD;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, MAIN_DB, ToSql, params_from_iter};
use stillstore::bytes::{Blob, Text};
use stillstore::sql::{ColumnApart, Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement, Value};

pub struct Sqlite {
    connection: RefCell<Connection>,
    /// Calls so far, as a round trip each in production.
    pub calls: std::cell::Cell<u64>,
}

impl Sqlite {
    /// A database without tables.
    pub fn empty() -> Self {
        let connection = Connection::open_in_memory().expect("open");
        connection.pragma_update(None, "foreign_keys", true).expect("pragma");
        connection.set_prepared_statement_cache_capacity(200);
        Self { connection: RefCell::new(connection), calls: std::cell::Cell::new(0) }
    }

    /// An empty database with every migration applied. They are applied once: a test that fails each call in turn has thousands of databases.
    pub fn migrated() -> Self {
        static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
        let image = IMAGE.get_or_init(|| {
            let database = Self::empty();
            database.migrate(|_| true);
            database.connection.borrow().serialize(MAIN_DB).expect("serialize").to_vec()
        });
        let mut database = Self::empty();
        let connection = database.connection.get_mut();
        connection.deserialize_read_exact(MAIN_DB, &image[..], image.len(), false).expect("deserialize");
        database
    }

    /// Applies the migrations whose number is wanted.
    pub fn migrate(&self, wanted: impl Fn(u32) -> bool) {
        let directory = Path::new(crate::PROJECT_DIR).join("migrations");
        let mut paths: Vec<_> =
            std::fs::read_dir(directory).expect("migrations").map(|entry| entry.expect("entry").path()).collect();
        paths.sort();
        let number_of = |path: &Path| path.file_name()?.to_str()?.split('_').next()?.parse().ok();
        for path in paths.iter().filter(|path| number_of(path).is_some_and(&wanted)) {
            let sql = std::fs::read_to_string(path).expect("read");
            self.connection.borrow().execute_batch(&sql).expect("migrate");
        }
    }

    /// The query plan of `sql`, one line a step.
    pub fn plan(&self, sql: &str) -> String {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepare");
        // Positional parameters stay unbound (NULL): the plan does not depend on them.
        let lines = statement.raw_query().mapped(|row| row.get::<_, String>(3));
        lines.map(|line| line.expect("line")).collect::<Vec<_>>().join("\n")
    }
}

struct Bound<'value>(&'value Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            Value::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            // A number of JavaScript, which D1 binds as a REAL: `?1 / 2` of 1 is 0.5 there.
            #[allow(clippy::cast_precision_loss)]
            Value::Integer(number) => ToSqlOutput::Owned((*number as f64).into()),
            Value::Text(text) => {
                ToSqlOutput::Borrowed(ValueRef::Text(text.as_local().expect("native text").as_bytes()))
            }
            Value::Base64(blob) => ToSqlOutput::Owned(STANDARD.encode_to_string(blob.to_vec()).into()),
        })
    }
}

/// The text that a column holds which is handed out apart.
fn text_of(value: ValueRef<'_>) -> Result<Option<&str>, DatabaseError> {
    match value {
        ValueRef::Null => Ok(None),
        ValueRef::Text(text) => std::str::from_utf8(text).map(Some).map_err(|error| corrupt(error.to_string())),
        other => Err(corrupt(format!("{} in a column of text", other.data_type()))),
    }
}

fn corrupt(detail: impl Into<String>) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Corrupt, detail)
}

impl Apart {
    fn push(&mut self, column: ColumnApart, value: ValueRef) -> Result<(), DatabaseError> {
        let text = text_of(value)?;
        match column {
            ColumnApart::Text(_) => self.texts.push(text.map(Text::from)),
            ColumnApart::Bytes(_) => {
                let bytes = text.map(|text| STANDARD.decode_to_vec(text)).transpose();
                self.bytes.push(bytes.map_err(|error| corrupt(error.to_string()))?.map(Blob::from));
            }
        }
        Ok(())
    }
}

/// What every answer says that the database takes.
pub const DATABASE_BYTES: u64 = 123_456;

/// The columns that are handed out apart.
#[derive(Default)]
struct Apart {
    bytes: Vec<Option<Blob>>,
    texts: Vec<Option<Text>>,
}

/// Runs a statement to its end, also when what it answers is corrupt.
fn run(connection: &Connection, statement: &Statement) -> rusqlite::Result<Result<QueryResult, DatabaseError>> {
    let mut prepared = connection.prepare_cached(&statement.sql)?;
    let is_read = prepared.readonly();
    let names: Vec<String> = prepared.column_names().into_iter().map(str::to_owned).collect();
    let column = statement.column_apart;
    let name_apart = column.map(|column| match column {
        ColumnApart::Bytes(name) | ColumnApart::Text(name) => name,
    });
    let mut apart = Apart::default();
    let mut problem = None;
    let mut rows = Vec::new();
    let mut cursor = prepared.query(params_from_iter(statement.params.iter().map(Bound)))?;
    while let Some(row) = cursor.next()? {
        let mut object = serde_json::Map::new();
        for (index, name) in names.iter().enumerate() {
            let value = row.get_ref(index)?;
            if let Some(column) = column.filter(|_| name_apart == Some(name)) {
                problem = problem.or(apart.push(column, value).err());
                continue;
            }
            object.insert(
                name.clone(),
                match value {
                    ValueRef::Null => serde_json::Value::Null,
                    ValueRef::Integer(number) => number.into(),
                    // Written as JavaScript writes it.
                    #[allow(clippy::cast_possible_truncation)]
                    ValueRef::Real(number) if number.fract() == 0.0 => (number as i64).into(),
                    ValueRef::Real(number) => number.into(),
                    ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
                    ValueRef::Blob(blob) => blob.to_vec().into(),
                },
            );
        }
        rows.push(serde_json::Value::Object(object));
    }
    drop(cursor);
    let read = rows.len() as u64;
    if let Some(missing) = name_apart.filter(|wanted| !rows.is_empty() && !names.iter().any(|name| name == wanted)) {
        problem = problem.or(Some(corrupt(format!("no column {missing}"))));
    }
    let rows_json = serde_json::Value::Array(rows).to_string();
    let Apart { bytes, texts } = apart;
    let changes = connection.changes();
    // Not what D1 would bill, which counts what indexes and triggers read and write, too.
    let (rows_read, rows_written) = if is_read { (read, 0) } else { (0, changes) };
    let database_bytes = Some(DATABASE_BYTES);
    Ok(problem
        .map_or(Ok(QueryResult { rows_json, bytes, texts, changes, rows_read, rows_written, database_bytes }), Err))
}

#[async_trait(?Send)]
impl Database for Sqlite {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        self.calls.set(self.calls.get() + 1);
        if statements.iter().any(|statement| statement.params.len() > 100) {
            return Err(DatabaseError::new(DatabaseErrorKind::Constraint, "over 100 parameters"));
        }
        let mut connection = self.connection.borrow_mut();
        let transaction = connection.transaction().expect("begin");
        let results: rusqlite::Result<Vec<_>> =
            statements.iter().map(|statement| run(&transaction, statement)).collect();
        match results {
            Ok(results) => {
                transaction.commit().expect("commit");
                results.into_iter().collect()
            }
            Err(error) => Err(DatabaseError::from_message(error.to_string())),
        }
    }
}
