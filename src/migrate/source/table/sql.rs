//! SQL as it is put together, and what a value is in it: its type told, and its bytes kept.

use crate::sql::{Statement, Value};

/// Bytes in one text of hexadecimal digits, two a byte.
pub(in crate::migrate::source) const PIECE_BYTES: u64 = 500_000;

/// SQL on the way to a statement.
#[derive(Debug, Default)]
pub(in crate::migrate::source) struct Sql {
    text: String,
    params: Vec<Value>,
}

// Not inlined: statements are made of hundreds of these calls.
impl Sql {
    #[inline(never)]
    pub fn push(&mut self, sql: &str) -> &mut Self {
        self.text.push_str(sql);
        self
    }

    /// Adds a parameter and its value.
    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.bind_value(value.into())
    }

    #[inline(never)]
    pub fn bind_value(&mut self, value: Value) -> &mut Self {
        self.params.push(value);
        self.text.push('?');
        self.text.push_str(&self.params.len().to_string());
        self
    }

    #[inline(never)]
    pub fn into_statement(self) -> Statement {
        Statement { params: self.params, ..Statement::new(self.text) }
    }
}

/// The columns that a value comes in: its type, its length, and itself when it is short.
pub(in crate::migrate::source) fn push_data(sql: &mut Sql, data: &str, inline_max_bytes: u64) {
    sql.push("typeof(").push(data).push(") AS data_type, octet_length(").push(data).push(") AS data_bytes, ");
    sql.push("CASE WHEN octet_length(").push(data).push(") > ").bind(whole(inline_max_bytes)).push(" THEN NULL ");
    sql.push("WHEN typeof(").push(data).push(") = 'text' THEN ").push(data);
    sql.push(" WHEN typeof(").push(data).push(") = 'blob' AND octet_length(").push(data).push(") <= ");
    sql.bind(whole(PIECE_BYTES)).push(" THEN hex(").push(data).push(") END AS data");
}

/// A value as a text that begins with its type, by which it can be told from every other.
pub(in crate::migrate::source) fn tagged(column: &str) -> String {
    [
        "CASE typeof(",
        column,
        ") WHEN 'text' THEN 't' || ",
        column,
        " WHEN 'integer' THEN 'i' || ",
        column,
        " WHEN 'real' THEN 'r' || printf('%!.17g', ",
        column,
        ") WHEN 'blob' THEN 'b' || hex(",
        column,
        ") END",
    ]
    .concat()
}

/// The value that [`tagged`] made a text of.
pub(in crate::migrate::source) fn push_untagged(sql: &mut Sql, value: Option<&str>) {
    let Some((tag, value)) = value.and_then(|value| value.split_at_checked(1)) else {
        sql.push("NULL");
        return;
    };
    let (before, after) = match tag {
        "i" => ("CAST(", " AS INTEGER)"),
        "r" => ("CAST(", " AS REAL)"),
        "b" => ("unhex(", ")"),
        _ => ("", ""),
    };
    sql.push(before).bind(value).push(after);
}

/// A count as a parameter.
pub(in crate::migrate::source) fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
