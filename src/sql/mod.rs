//! The seam to the relational database: statements in, rows out, atomically.
//!
//! Everything above it is written once in SQL and runs on D1 in the Worker and on SQLite in native tests.

#[cfg(any(not(target_arch = "wasm32"), feature = "conformance"))]
pub mod conformance;
#[cfg(any(not(target_arch = "wasm32"), feature = "conformance"))]
mod faulty;
mod json;
mod lease;

#[cfg(any(not(target_arch = "wasm32"), feature = "conformance"))]
pub use faulty::{Call, DatabaseCall, Fault, FaultPlan, FaultyDatabase};

pub use json::{from_json, to_json};
pub use lease::{Holder, Lease};
pub(crate) use lease::{lease_given_back, lease_is_free, lease_is_held};

use std::borrow::Cow;
use std::fmt;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::bytes::{Blob, Text};

/// A bound parameter.
#[derive(Debug, Clone)]
pub enum Value {
    Null,
    /// Between -2^53 and 2^53: D1 speaks in JS numbers.
    Integer(i64),
    /// TEXT. One that is outside wasm memory goes to the database without entering it.
    Text(Text),
    /// Bytes stored as base64 TEXT. D1 turns a BLOB into a JSON array of numbers, several times slower than base64.
    Base64(Blob),
}

/// One SQL statement with its parameters, at most 100 (D1's limit).
#[derive(Debug, Clone)]
pub struct Statement {
    pub sql: Cow<'static, str>,
    pub params: Vec<Value>,
    /// A column that is handed out beside the rows instead of in them.
    pub column_apart: Option<ColumnApart>,
}

/// A column whose values may stay outside wasm memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnApart {
    /// base64 TEXT, handed out as bytes in [`QueryResult::bytes`].
    Bytes(&'static str),
    /// TEXT, handed out in [`QueryResult::texts`].
    Text(&'static str),
}

impl Statement {
    /// A statement without parameters.
    #[must_use]
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { sql: sql.into(), params: Vec::new(), column_apart: None }
    }

    /// Adds the next positional parameter (`?1`, `?2`, ...).
    #[must_use]
    pub fn bind(mut self, value: impl Into<Value>) -> Self {
        self.params.push(value.into());
        self
    }

    /// Hands out `column`, base64 TEXT in the database, as bytes in [`QueryResult::bytes`], one entry a row. It takes the place of
    /// another such column. Other values than base64 TEXT and NULL make the call fail as corrupt.
    #[must_use]
    pub fn with_bytes_column(mut self, column: &'static str) -> Self {
        self.column_apart = Some(ColumnApart::Bytes(column));
        self
    }

    /// Hands out `column`, TEXT in the database, in [`QueryResult::texts`], one entry a row. It takes the place of another such
    /// column. Other values than TEXT and NULL make the call fail as corrupt.
    #[must_use]
    pub fn with_text_column(mut self, column: &'static str) -> Self {
        self.column_apart = Some(ColumnApart::Text(column));
        self
    }
}

/// What one statement answered.
#[derive(Debug, Clone, Default)]
pub struct QueryResult {
    /// The rows as a JSON array of objects, without the column that is handed out apart.
    pub rows_json: String,
    /// The bytes column, one entry a row; `None` where it is NULL. Empty when the statement named no such column.
    pub bytes: Vec<Option<Blob>>,
    /// The text column, one entry a row; `None` where it is NULL. Empty when the statement named no such column.
    pub texts: Vec<Option<Text>>,
    /// Rows changed by a write.
    pub changes: u64,
    /// Rows that the database read and wrote for it, as it bills them.
    pub rows_read: u64,
    pub rows_written: u64,
    /// What the whole database takes, where the database says so.
    pub database_bytes: Option<u64>,
}

impl QueryResult {
    /// The rows as values of `T`.
    ///
    /// # Errors
    /// [`DatabaseErrorKind::Corrupt`] when a row does not have the shape of `T`.
    pub fn rows<T: DeserializeOwned>(&self) -> Result<Vec<T>, DatabaseError> {
        // By way of maps, so that the JSON parser is compiled once and not for each shape of row.
        let rows: Vec<serde_json::Map<String, serde_json::Value>> = serde_json::from_str(&self.rows_json)?;
        rows.into_iter().map(|row| T::deserialize(row).map_err(DatabaseError::from)).collect()
    }

    /// The rows as the JSON that they are, numbers digit by digit.
    ///
    /// # Errors
    /// [`DatabaseErrorKind::Corrupt`] when the answer is not a list.
    pub fn raw_rows(&self) -> Result<Vec<Box<RawValue>>, DatabaseError> {
        Ok(serde_json::from_str(&self.rows_json)?)
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As [`QueryResult::rows`].
    pub fn first<T: DeserializeOwned>(&self) -> Result<Option<T>, DatabaseError> {
        Ok(self.rows()?.into_iter().next())
    }

    /// [`QueryResult::first`] without the way by maps: for the row that every read of an image waits for.
    ///
    /// # Errors
    /// As [`QueryResult::rows`].
    pub fn first_parsed<T: DeserializeOwned>(&self) -> Result<Option<T>, DatabaseError> {
        let rows: Vec<T> = serde_json::from_str(&self.rows_json)?;
        Ok(rows.into_iter().next())
    }
}

/// A relational database.
#[async_trait(?Send)]
pub trait Database: 'static {
    /// Runs the statements in order, in one transaction: all take effect or none. One answer a statement.
    ///
    /// # Errors
    /// With [`DatabaseErrorKind::Unavailable`] the transaction may or may not have happened.
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError>;

    /// Runs one statement.
    ///
    /// # Errors
    /// As [`Database::batch`].
    async fn run(&self, statement: Statement) -> Result<QueryResult, DatabaseError> {
        self.batch(vec![statement])
            .await?
            .into_iter()
            .next()
            .ok_or_else(|| DatabaseError::new(DatabaseErrorKind::Corrupt, "no answer to a statement"))
    }
}

/// A failed database call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseError {
    pub kind: DatabaseErrorKind,
    /// The database's own words, for the log; never shown to a caller.
    pub detail: String,
}

/// The kinds of failure that lead to different decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseErrorKind {
    /// The call failed or did not answer; the transaction may have happened.
    Unavailable,
    /// A UNIQUE, PRIMARY KEY, CHECK or NOT NULL rule refused the write. Nothing happened.
    Constraint,
    /// A table or column is missing: migrations were not applied. Nothing happened.
    Schema,
    /// Rows of an unexpected shape.
    Corrupt,
}

impl DatabaseError {
    /// An error of `kind`; `detail` goes to the log only.
    #[must_use]
    pub fn new(kind: DatabaseErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// Sorts the database's own message into a kind: D1 and SQLite say the same words.
    #[must_use]
    pub fn from_message(message: impl Into<String>) -> Self {
        let detail = message.into();
        let kind = if detail.contains("constraint failed") || detail.contains("SQLITE_CONSTRAINT") {
            DatabaseErrorKind::Constraint
        } else if detail.contains("no such table") || detail.contains("no such column") {
            DatabaseErrorKind::Schema
        } else {
            DatabaseErrorKind::Unavailable
        };
        Self { kind, detail }
    }
}

/// JSON in the database, or a row, is of an unexpected shape.
impl From<serde_json::Error> for DatabaseError {
    // Not inlined: each kind of row has its own call.
    #[inline(never)]
    fn from(error: serde_json::Error) -> Self {
        Self::new(DatabaseErrorKind::Corrupt, error.to_string())
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.kind, self.detail)
    }
}

impl std::error::Error for DatabaseError {}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Blob> for Value {
    fn from(blob: Blob) -> Self {
        Self::Base64(blob)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
