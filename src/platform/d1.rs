//! The D1 database as a [`Database`].
#![allow(unsafe_code, reason = "wasm-bindgen writes the imports")]

use std::borrow::Cow;

use async_trait::async_trait;
use js_sys::Array;
use serde::Serialize;
use wasm_bindgen::prelude::*;

use super::bytes::message_of;
use super::foreign::{JsBytes, JsText, blob_to_js, text_to_js};
use crate::sql::{ColumnApart, Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement, Value};

#[wasm_bindgen(module = "/src/platform/js/d1.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn batch(
        database: &JsValue,
        statements: &str,
        handles_in: &Array,
        handles_out: &Array,
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
        let handles_in = Array::new();
        let described = describe(&statements, &handles_in)?;
        let columns_apart: Vec<Option<ColumnApart>> =
            statements.iter().map(|statement| statement.column_apart).collect();
        // The parameters may hold megabytes, of which the database now has its own copy.
        drop(statements);
        let handles_out = Array::new();
        let answers = batch(&self.database, &described, &handles_in, &handles_out)
            .await
            .map_err(|error| DatabaseError::from_message(message_of(&error)))?
            .as_string()
            .unwrap_or_default();

        let mut handles = handles_out.iter();
        let mut results = Vec::with_capacity(columns_apart.len());
        for (answer, column) in answers.split('\n').zip(&columns_apart) {
            let Answer { changes, database_bytes, rows_read, rows_written, rows, rows_json } = parse_answer(answer)?;
            let mut result = QueryResult {
                rows_json: rows_json.to_owned(),
                changes,
                rows_read,
                rows_written,
                database_bytes: Some(database_bytes).filter(|bytes| *bytes > 0),
                ..QueryResult::default()
            };
            let handles = handles.by_ref().map(|handle| Some(handle).filter(|handle| !handle.is_null()));
            match column {
                None => {}
                Some(ColumnApart::Bytes(_)) => {
                    result.bytes =
                        handles.take(rows).map(|handle| Some(JsBytes::blob(handle?.unchecked_into()))).collect();
                }
                Some(ColumnApart::Text(_)) => {
                    result.texts =
                        handles.take(rows).map(|handle| Some(JsText::text(handle?.unchecked_into()))).collect();
                }
            }
            results.push(result);
        }
        if results.len() == columns_apart.len() { Ok(results) } else { Err(corrupt("a statement was not answered")) }
    }
}

/// A parameter as `d1.js` takes it; `handle` is an index into its typed arrays and strings.
#[derive(Serialize)]
#[serde(untagged)]
enum Param<'value> {
    Null,
    Integer(i64),
    Text(&'value str),
    Handle { handle: u32 },
}

/// What `d1.js` calls statements. SQL is not in JSON: escaping it would take longer than all the rest.
fn describe(statements: &[Statement], handles: &Array) -> Result<String, DatabaseError> {
    let mut fields: Vec<Cow<str>> = Vec::with_capacity(statements.len() * 4);
    for statement in statements {
        if matches!(&statement.sql, Cow::Owned(sql) if sql.contains('\0')) {
            return Err(corrupt("a NUL in SQL"));
        }
        let params: Vec<Param> = statement.params.iter().map(|value| param(value, handles)).collect();
        let params_json = serde_json::to_string(&params).map_err(|error| corrupt(&error.to_string()))?;
        let (column, kind) = match statement.column_apart {
            None => ("", ""),
            Some(ColumnApart::Bytes(name)) => (name, "bytes"),
            Some(ColumnApart::Text(name)) => (name, "text"),
        };
        fields.extend([Cow::from(&*statement.sql), params_json.into(), column.into(), kind.into()]);
    }
    Ok(fields.join("\0"))
}

fn param<'value>(value: &'value Value, handles: &Array) -> Param<'value> {
    let handle = |object: &JsValue| Param::Handle { handle: handles.push(object).saturating_sub(1) };
    match value {
        Value::Null => Param::Null,
        Value::Integer(number) => Param::Integer(*number),
        Value::Text(text) => match text.as_local() {
            Some(text) => Param::Text(text),
            None => handle(&text_to_js(text)),
        },
        Value::Base64(blob) => handle(&blob_to_js(blob)),
    }
}

/// Takes `changes bytes read written rows json` apart.
fn parse_answer(answer: &str) -> Result<Answer<'_>, DatabaseError> {
    let mut parts = answer.splitn(6, ' ');
    let mut number = || parts.next().and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| corrupt(answer));
    let (changes, database_bytes, rows_read, rows_written) = (number()?, number()?, number()?, number()?);
    let rows = usize::try_from(number()?).map_err(|_| corrupt(answer))?;
    let rows_json = parts.next().ok_or_else(|| corrupt(answer))?;
    Ok(Answer { changes, database_bytes, rows_read, rows_written, rows, rows_json })
}

/// What `d1.js` answers for a statement.
struct Answer<'answer> {
    changes: u64,
    /// 0 where D1 does not say.
    database_bytes: u64,
    rows_read: u64,
    rows_written: u64,
    rows: usize,
    rows_json: &'answer str,
}

fn corrupt(detail: &str) -> DatabaseError {
    DatabaseError::new(DatabaseErrorKind::Corrupt, detail)
}
