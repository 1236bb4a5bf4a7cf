//! The D1 database as a [`Database`].
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use async_trait::async_trait;
use js_sys::Array;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::bytes::{JsBytes, blob_to_js, message_of};
use crate::bytes::Blob;
use crate::sql::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement, Value};

#[wasm_bindgen(module = "/src/platform/js/d1.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn batch(
        database: &JsValue,
        statements_json: &str,
        bytes_in: &Array,
        bytes_out: &Array,
    ) -> Result<JsValue, JsValue>;
}

/// A D1 database.
pub struct D1Database {
    database: JsValue,
}

impl D1Database {
    /// The database over the binding `database`.
    pub fn new(database: JsValue) -> Self {
        Self { database }
    }
}

#[async_trait(?Send)]
impl Database for D1Database {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let bytes_in = Array::new();
        let statements_json = to_json(&statements, &bytes_in)?;
        let bytes_columns: Vec<bool> = statements.iter().map(|statement| statement.bytes_column.is_some()).collect();
        // The parameters may hold megabytes, of which the database now has its own copy.
        drop(statements);
        let bytes_out = Array::new();
        let answers = batch(&self.database, &statements_json, &bytes_in, &bytes_out)
            .await
            .map_err(|error| DatabaseError::from_message(message_of(&error)))?
            .as_string()
            .unwrap_or_default();

        let mut bytes = bytes_out.iter().map(|entry| (!entry.is_null()).then(|| JsBytes::blob(entry.unchecked_into())));
        let mut results = Vec::with_capacity(bytes_columns.len());
        for (answer, has_bytes) in answers.split('\n').zip(&bytes_columns) {
            let (changes, rows, rows_json) = parse_answer(answer)?;
            let bytes: Vec<Option<Blob>> = bytes.by_ref().take(if *has_bytes { rows } else { 0 }).collect();
            results.push(QueryResult { rows_json: rows_json.to_owned(), bytes, changes });
        }
        if results.len() == bytes_columns.len() { Ok(results) } else { Err(corrupt("a statement was not answered")) }
    }
}

/// A parameter as `d1.js` takes it; `bytes` is an index into its typed arrays.
#[derive(Serialize)]
#[serde(untagged)]
enum Param<'value> {
    Null,
    Integer(i64),
    Text(&'value str),
    Bytes { bytes: u32 },
}

fn to_json(statements: &[Statement], bytes: &Array) -> Result<String, DatabaseError> {
    let statements: Vec<_> = statements
        .iter()
        .map(|statement| {
            let params: Vec<Param> = statement.params.iter().map(|value| param(value, bytes)).collect();
            (&statement.sql, params, statement.bytes_column)
        })
        .collect();
    serde_json::to_string(&statements).map_err(|error| corrupt(&error.to_string()))
}

fn param<'value>(value: &'value Value, bytes: &Array) -> Param<'value> {
    match value {
        Value::Null => Param::Null,
        Value::Integer(number) => Param::Integer(*number),
        Value::Text(text) => Param::Text(text),
        Value::Base64(blob) => Param::Bytes { bytes: bytes.push(&blob_to_js(blob)).saturating_sub(1) },
    }
}

/// Takes `changes rows json` apart.
fn parse_answer(answer: &str) -> Result<(u64, usize, &str), DatabaseError> {
    let mut parts = answer.splitn(3, ' ');
    let (changes, rows, json) = (parts.next(), parts.next(), parts.next());
    let parsed = (changes.and_then(|text| text.parse().ok()), rows.and_then(|text| text.parse().ok()), json);
    match parsed {
        (Some(changes), Some(rows), Some(json)) => Ok((changes, rows, json)),
        _ => Err(corrupt(answer)),
    }
}

fn corrupt(detail: &str) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Corrupt, detail)
}
