//! Statements on D1.

use std::rc::Rc;

use super::super::environment::Environment;
use super::case::{Case, cases, expect, words};
use crate::bytes::Blob;
use crate::platform::foreign::JsBytes;
use crate::sql::{Database, DatabaseErrorKind, Statement, Value};
use crate::store::conformance::Outcome;

pub(super) const CASES: &[Case] = cases![
    values_round_trip,
    bytes_round_trip,
    text_that_is_not_base64_is_corrupt,
    answers_come_in_the_order_of_their_statements,
    changes_are_counted,
    a_failing_batch_changes_nothing,
    failures_have_kinds,
    no_statements_are_no_call,
    sql_with_a_nul_is_refused,
];

fn database(environment: &Environment) -> Result<Rc<dyn Database>, String> {
    Ok(environment.database.clone().ok_or("no binding DB")?)
}

/// A table of the case's own, empty.
async fn table(database: &Rc<dyn Database>, name: &str) -> Outcome {
    let create = format!("CREATE TABLE conformance_{name} (id INTEGER PRIMARY KEY, text TEXT UNIQUE) STRICT");
    let drop = format!("DROP TABLE IF EXISTS conformance_{name}");
    database.batch(vec![Statement::new(drop), Statement::new(create)]).await.map_err(words)?;
    Ok(())
}

async fn values_round_trip(environment: Rc<Environment>) -> Outcome {
    let text = "Käse \u{2014} 写真 \u{1f9c0} \"quoted\" \\ 'single'\n\ttab \u{2028}";
    let statement = Statement::new("SELECT ?1 AS a, ?2 AS b, ?3 AS c, ?4 AS d, typeof(?5) AS e")
        .bind(Value::Null)
        .bind(9_007_199_254_740_991)
        .bind(-1)
        .bind(text)
        .bind(7);
    let answer = database(&environment)?.run(statement).await.map_err(words)?;
    let row: serde_json::Value = answer.first().map_err(words)?.ok_or("a row")?;
    let expected = serde_json::json!({"a": null, "b": 9_007_199_254_740_991_i64, "c": -1, "d": text, "e": "integer"});
    expect(row["a"] == expected["a"] && row["c"] == expected["c"] && row["d"] == expected["d"], format!("{row}"))?;
    expect(row["b"].as_f64() == expected["b"].as_f64(), format!("{row}"))
}

async fn bytes_round_trip(environment: Rc<Environment>) -> Outcome {
    let database = database(&environment)?;
    let local: Vec<u8> = (0..=255).cycle().take(1 << 20).collect();
    let foreign = JsBytes::blob(js_sys::Uint8Array::from(local.get(1..1_000).unwrap_or_default()));
    let statement = Statement::new(
        "SELECT 1 AS n, ?1 AS data UNION ALL SELECT 2, ?2 UNION ALL SELECT 3, NULL UNION ALL SELECT 4, ?3 ORDER BY n",
    )
    .bind(Blob::from(local.clone()))
    .bind(foreign.slice(9..99))
    .bind(Blob::from(Vec::new()))
    .with_bytes_column("data");
    let answer = database.run(statement).await.map_err(words)?;
    expect(
        answer.rows_json == r#"[{"n":1},{"n":2},{"n":3},{"n":4}]"#,
        format!("rows without it: {}", answer.rows_json),
    )?;
    let bytes: Vec<Option<Vec<u8>>> = answer.bytes.iter().map(|blob| blob.as_ref().map(Blob::to_vec)).collect();
    let expected = [Some(local.clone()), local.get(10..100).map(<[u8]>::to_vec), None, Some(Vec::new())];
    expect(bytes == expected, "bytes come back, NULL as none")?;
    let text = Statement::new("SELECT ?1 AS data").bind(Blob::from(vec![0xff, 0xee]));
    let answer = database.run(text).await.map_err(words)?;
    expect(answer.rows_json == r#"[{"data":"/+4="}]"# && answer.bytes.is_empty(), "they are kept as base64")
}

async fn text_that_is_not_base64_is_corrupt(environment: Rc<Environment>) -> Outcome {
    for value in ["'not base64!'", "5"] {
        let statement = Statement::new(format!("SELECT {value} AS data")).with_bytes_column("data");
        let error = database(&environment)?.run(statement).await.err().ok_or("an error")?;
        expect(error.kind == DatabaseErrorKind::Corrupt, format!("corrupt, not {error}"))?;
    }
    let missing = Statement::new("SELECT 1 AS other").with_bytes_column("data");
    let error = database(&environment)?.run(missing).await.err().ok_or("an error")?;
    expect(error.kind == DatabaseErrorKind::Corrupt, format!("corrupt, not {error}"))
}

async fn answers_come_in_the_order_of_their_statements(environment: Rc<Environment>) -> Outcome {
    let bytes = |text: &str| Blob::from(text.as_bytes().to_vec());
    let statements = vec![
        Statement::new("SELECT 'a\nb' AS x"),
        Statement::new("SELECT ?1 AS data UNION ALL SELECT ?2")
            .bind(bytes("1"))
            .bind(bytes("2"))
            .with_bytes_column("data"),
        Statement::new("SELECT 1 AS x WHERE 0"),
        Statement::new("SELECT ?1 AS data").bind(bytes("3")).with_bytes_column("data"),
    ];
    let answers = database(&environment)?.batch(statements).await.map_err(words)?;
    let rows: Vec<&str> = answers.iter().map(|answer| answer.rows_json.as_str()).collect();
    expect(rows == [r#"[{"x":"a\nb"}]"#, "[{},{}]", "[]", "[{}]"], format!("{rows:?}"))?;
    let bytes: Vec<Vec<Vec<u8>>> =
        answers.iter().map(|answer| answer.bytes.iter().flatten().map(Blob::to_vec).collect()).collect();
    expect(bytes == [vec![], vec![vec![b'1'], vec![b'2']], vec![], vec![vec![b'3']]], format!("{bytes:?}"))
}

async fn changes_are_counted(environment: Rc<Environment>) -> Outcome {
    let database = database(&environment)?;
    table(&database, "changes").await?;
    let insert = Statement::new("INSERT INTO conformance_changes (text) VALUES ('a'), ('b'), ('c')");
    expect(database.run(insert).await.map_err(words)?.changes == 3, "three rows were inserted")?;
    let update = Statement::new("UPDATE conformance_changes SET text = text || '!' WHERE text <> ?1").bind("b");
    expect(database.run(update).await.map_err(words)?.changes == 2, "two were updated")?;
    let none = Statement::new("DELETE FROM conformance_changes WHERE id = ?1").bind(99);
    let both = vec![none, Statement::new("DELETE FROM conformance_changes WHERE id = 1")];
    let answers = database.batch(both).await.map_err(words)?;
    let changes: Vec<u64> = answers.iter().map(|answer| answer.changes).collect();
    expect(changes == [0, 1], format!("none and one were deleted, not {changes:?}"))
}

async fn a_failing_batch_changes_nothing(environment: Rc<Environment>) -> Outcome {
    let database = database(&environment)?;
    table(&database, "atomic").await?;
    let insert = || Statement::new("INSERT INTO conformance_atomic (text) VALUES ('same')");
    let error = database.batch(vec![insert(), insert()]).await.err().ok_or("the batch fails")?;
    expect(error.kind == DatabaseErrorKind::Constraint, format!("constraint, not {error}"))?;
    let left = database.run(Statement::new("SELECT 1 FROM conformance_atomic")).await.map_err(words)?;
    expect(left.rows_json == "[]", "no row is there")
}

async fn failures_have_kinds(environment: Rc<Environment>) -> Outcome {
    let database = database(&environment)?;
    table(&database, "kinds").await?;
    for (sql, kind) in [
        ("INSERT INTO conformance_kinds (id) VALUES (1), (1)", DatabaseErrorKind::Constraint),
        ("SELECT * FROM conformance_no_such_table", DatabaseErrorKind::Schema),
        ("SELECT no_such_column FROM conformance_kinds", DatabaseErrorKind::Schema),
        ("SELEKT 1", DatabaseErrorKind::Unavailable),
    ] {
        let alone = database.run(Statement::new(sql)).await.err().ok_or(sql)?;
        expect(alone.kind == kind, format!("alone: {sql}: {alone}"))?;
        let batch = vec![Statement::new("SELECT 1"), Statement::new(sql)];
        let together = database.batch(batch).await.err().ok_or(sql)?;
        expect(together == alone, format!("together: {sql}: {together}"))?;
    }
    Ok(())
}

async fn sql_with_a_nul_is_refused(environment: Rc<Environment>) -> Outcome {
    let database = database(&environment)?;
    let two = Statement::new("SELECT 1 AS n\0[]\0\0\0SELECT 2 AS n".to_owned());
    expect(
        database.run(two).await.err().map(|error| error.kind) == Some(DatabaseErrorKind::Corrupt),
        "SQL ends at a NUL",
    )?;
    let bound =
        database.run(Statement::new("SELECT length(CAST(?1 AS BLOB)) AS n").bind("a\0b")).await.map_err(words)?;
    expect(bound.rows_json == r#"[{"n":3}]"#, format!("a parameter may hold one: {}", bound.rows_json))
}

async fn no_statements_are_no_call(environment: Rc<Environment>) -> Outcome {
    let answers = database(&environment)?.batch(Vec::new()).await.map_err(words)?;
    expect(answers.is_empty(), "no answers")
}
