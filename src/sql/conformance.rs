//! What [`Database`] promises of texts and bytes that are handed out apart from the rows, and of the changes it counts, as functions, one
//! a rule, to run natively and inside the Workers runtime, where texts and bytes stay in JS.

use std::rc::Rc;

use futures::future::LocalBoxFuture;

use super::{Database, DatabaseErrorKind, QueryResult, Statement, Value};
use crate::bytes::{Blob, Encoding, LineLayout, Text, TextEncoding};

/// One rule.
pub struct Case {
    /// Unique; also the name in test output.
    pub name: &'static str,
    check: fn(Rc<dyn Database>) -> LocalBoxFuture<'static, Outcome>,
}

/// What a check answers: `Err` says in words which expectation did not hold.
pub type Outcome = Result<(), String>;

macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), check: |database| Box::pin($name(database)) }),*]
    };
}

/// All rules.
pub const CASES: &[Case] = cases![
    a_long_text_round_trips,
    texts_come_an_entry_a_row,
    texts_and_bytes_come_in_the_order_of_their_statements,
    a_row_is_swapped_only_where_it_holds_the_text,
    an_insert_that_finds_its_row_changes_nothing,
    what_is_read_and_written_is_counted,
    a_blob_round_trips_as_hexadecimal_text,
    values_other_than_text_are_corrupt,
    stored_texts_decode_as_local_ones,
    stored_bytes_encode_as_local_ones,
    parts_of_stored_texts_are_those_of_local_ones,
];

/// Checks one rule. It works in a table of its own, which it replaces.
///
/// # Errors
/// In words, which expectation did not hold.
pub async fn run(case: &Case, database: Rc<dyn Database>) -> Outcome {
    let drop = Statement::new("DROP TABLE IF EXISTS conformance_texts");
    let create = Statement::new("CREATE TABLE conformance_texts (id INTEGER PRIMARY KEY, data)");
    database.batch(vec![drop, create]).await.map_err(words)?;
    (case.check)(database).await
}

const SELECT: &str = "SELECT id, data FROM conformance_texts ORDER BY id";

/// Not far under the 2,000,000 bytes that D1 takes in a row.
const LONG_TEXT_BYTES: usize = 1_500_000;

fn long_text() -> String {
    let line = "iVBORw0KGgoAAAANSUhEUgAAACgAAAAYCAIAAABiC7sKAAA+/9\n";
    line.chars().cycle().take(LONG_TEXT_BYTES).collect()
}

async fn insert(database: &Rc<dyn Database>, id: i64, data: impl Into<Value>) -> Outcome {
    let statement = Statement::new("INSERT INTO conformance_texts (id, data) VALUES (?1, ?2)").bind(id).bind(data);
    database.run(statement).await.map_err(words)?;
    Ok(())
}

async fn select(database: &Rc<dyn Database>, statement: Statement) -> Result<QueryResult, String> {
    database.run(statement).await.map_err(words)
}

/// `text` as the database hands it out.
async fn stored(database: &Rc<dyn Database>, text: &str) -> Result<Text, String> {
    let statement = Statement::new("SELECT ?1 AS data").bind(text).with_text_column("data");
    select(database, statement).await?.texts.pop().flatten().ok_or_else(|| format!("a text for {text:?}"))
}

/// `bytes` as the database hands them out.
async fn stored_bytes(database: &Rc<dyn Database>, bytes: Vec<u8>) -> Result<Blob, String> {
    let statement = Statement::new("SELECT ?1 AS data").bind(Blob::from(bytes)).with_bytes_column("data");
    select(database, statement).await?.bytes.pop().flatten().ok_or_else(|| "bytes".to_owned())
}

/// The whole text, also one outside wasm memory.
fn copy(text: &Text) -> String {
    text.prefix(usize::MAX)
}

async fn a_long_text_round_trips(database: Rc<dyn Database>) -> Outcome {
    let text = long_text();
    insert(&database, 1, text.clone()).await?;
    let answer = select(&database, Statement::new(SELECT).with_text_column("data")).await?;
    let handed_out = answer.texts.into_iter().next().flatten().ok_or("a text")?;
    expect(handed_out.size_bytes() == LONG_TEXT_BYTES, "its length")?;
    expect(handed_out.as_foreign().is_some() == cfg!(target_arch = "wasm32"), "it stays outside wasm memory")?;
    let bytes = handed_out.decode(0, Encoding::Percent).map_err(words)?;
    expect(bytes.as_foreign().is_some() == cfg!(target_arch = "wasm32"), "so do its bytes")?;
    let again = Text::encode("", &bytes, TextEncoding::Hex, "");
    expect(again.as_foreign().is_some() == cfg!(target_arch = "wasm32"), "and a text made of them")?;
    expect(copy(&handed_out) == text, "it comes as it went")?;
    insert(&database, 2, handed_out).await?;
    let equal = "SELECT count(*) AS n FROM conformance_texts a JOIN conformance_texts b ON b.data IS a.data
        WHERE a.id = 1 AND b.id = 2 AND typeof(b.data) = 'text' AND length(b.data) = 1500000";
    expect(select(&database, Statement::new(equal)).await?.rows_json == r#"[{"n":1}]"#, "it goes as it came")
}

async fn texts_come_an_entry_a_row(database: Rc<dyn Database>) -> Outcome {
    let umlaut = "Käse \u{1f9c0} \"\\\n\u{2028}";
    for (id, text) in [(1, Some("one")), (2, None), (3, Some("")), (4, Some(umlaut))] {
        insert(&database, id, text).await?;
    }
    let answer = select(&database, Statement::new(SELECT).with_text_column("data")).await?;
    let without = r#"[{"id":1},{"id":2},{"id":3},{"id":4}]"#;
    expect(answer.rows_json == without, format!("rows without it: {}", answer.rows_json))?;
    let texts: Vec<Option<String>> = answer.texts.iter().map(|text| text.as_ref().map(copy)).collect();
    let expected = [Some("one".to_owned()), None, Some(String::new()), Some(umlaut.to_owned())];
    expect(texts == expected, format!("{texts:?}"))?;
    expect(answer.bytes.is_empty(), "no bytes")?;
    let none = Statement::new("SELECT data FROM conformance_texts WHERE id = 9").with_text_column("data");
    expect(select(&database, none).await?.texts.is_empty(), "no row, no text")?;
    let inside = select(&database, Statement::new("SELECT data FROM conformance_texts WHERE id = 1")).await?;
    expect(inside.rows_json == r#"[{"data":"one"}]"# && inside.texts.is_empty(), "in the rows unless asked for")
}

async fn texts_and_bytes_come_in_the_order_of_their_statements(database: Rc<dyn Database>) -> Outcome {
    let text = |text: &str| Statement::new("SELECT ?1 AS data").bind(text).with_text_column("data");
    let bytes = |text: &str| Statement::new("SELECT ?1 AS data").bind(text).with_bytes_column("data");
    let two = Statement::new("SELECT ?1 AS data UNION ALL SELECT ?2").bind("b").bind("c").with_text_column("data");
    let statements = vec![text("a"), bytes("AQ=="), two, Statement::new("SELECT 1 AS n"), bytes("Ag=="), text("d")];
    let answers = database.batch(statements).await.map_err(words)?;
    let texts: Vec<Vec<String>> =
        answers.iter().map(|answer| answer.texts.iter().flatten().map(copy).collect()).collect();
    expect(texts == [vec!["a"], vec![], vec!["b", "c"], vec![], vec![], vec!["d"]], format!("{texts:?}"))?;
    let bytes: Vec<Vec<Vec<u8>>> =
        answers.iter().map(|answer| answer.bytes.iter().flatten().map(Blob::to_vec).collect()).collect();
    expect(bytes == [vec![], vec![vec![1]], vec![], vec![], vec![vec![2]], vec![]], format!("{bytes:?}"))
}

async fn a_row_is_swapped_only_where_it_holds_the_text(database: Rc<dyn Database>) -> Outcome {
    insert(&database, 1, long_text()).await?;
    let answer = select(&database, Statement::new(SELECT).with_text_column("data")).await?;
    let before = answer.texts.into_iter().next().flatten();
    let swap = |old: Option<Text>, new: Option<Text>| {
        let sql = "UPDATE conformance_texts SET data = ?1 WHERE id = 1 AND data IS ?2";
        database.run(Statement::new(sql).bind(new).bind(old))
    };
    let changes = [
        swap(Some(Text::from("other")), None).await,
        swap(before.clone(), None).await,
        swap(before.clone(), None).await,
        swap(None, before.clone()).await,
        swap(before, Some(Text::from(""))).await,
    ];
    let changes: Vec<u64> =
        changes.into_iter().collect::<Result<Vec<_>, _>>().map_err(words)?.iter().map(|it| it.changes).collect();
    expect(changes == [0, 1, 0, 1, 1], format!("changes {changes:?}"))
}

async fn an_insert_that_finds_its_row_changes_nothing(database: Rc<dyn Database>) -> Outcome {
    let insert = |id: i64| {
        let sql = "INSERT INTO conformance_texts (id, data) VALUES (?1, 'a') ON CONFLICT DO NOTHING";
        Statement::new(sql).bind(id)
    };
    let alone = [database.run(insert(1)).await.map_err(words)?, database.run(insert(1)).await.map_err(words)?];
    let together = database.batch(vec![insert(2), insert(1), insert(2), insert(3)]).await.map_err(words)?;
    let changes: Vec<u64> = alone.iter().chain(&together).map(|answer| answer.changes).collect();
    expect(changes == [1, 0, 1, 0, 0, 1], format!("changes {changes:?}"))
}

async fn what_is_read_and_written_is_counted(database: Rc<dyn Database>) -> Outcome {
    let insert = Statement::new("INSERT INTO conformance_texts (id, data) VALUES (1, 'a'), (2, 'b')");
    let nothing = Statement::new("UPDATE conformance_texts SET data = 'c' WHERE id = 3");
    let answers = database.batch(vec![insert, Statement::new(SELECT), nothing]).await.map_err(words)?;
    let [insert, select, nothing] = &answers[..] else { return Err(format!("{} answers", answers.len())) };
    expect(insert.rows_written >= 2 && nothing.rows_written == 0, format!("{} written", insert.rows_written))?;
    expect(select.rows_read >= 2 && select.rows_written == 0, format!("{} read", select.rows_read))
}

async fn a_blob_round_trips_as_hexadecimal_text(database: Rc<dyn Database>) -> Outcome {
    let bytes: Vec<u8> = (0..=255).collect();
    let hex = Text::encode("", &stored_bytes(&database, bytes.clone()).await?, TextEncoding::Hex, "");
    let unhex = "INSERT INTO conformance_texts (id, data) VALUES (1, unhex(?1))";
    select(&database, Statement::new(unhex).bind(hex.clone())).await?;
    insert(&database, 2, "text").await?;
    let sql = "SELECT typeof(data) AS type, CASE typeof(data) WHEN 'blob' THEN hex(data) ELSE data END AS data
        FROM conformance_texts ORDER BY id";
    let answer = select(&database, Statement::new(sql).with_text_column("data")).await?;
    expect(answer.rows_json == r#"[{"type":"blob"},{"type":"text"}]"#, answer.rows_json)?;
    let [Some(blob), Some(text)] = &answer.texts[..] else { return Err("two texts".to_owned()) };
    expect(copy(blob) == copy(&hex) && copy(text) == "text", "as SQLite writes it")?;
    expect(blob.decode(0, Encoding::Hex).map_err(words)?.to_vec() == bytes, "the same bytes")?;
    let held = Statement::new("SELECT count(*) AS n FROM conformance_texts WHERE data IS unhex(?1)").bind(hex);
    expect(select(&database, held).await?.rows_json == r#"[{"n":1}]"#, "it is found by its bytes")
}

async fn values_other_than_text_are_corrupt(database: Rc<dyn Database>) -> Outcome {
    for sql in ["SELECT 5 AS data", "SELECT 0.5 AS data", "SELECT x'00' AS data", "SELECT 'text' AS other"] {
        let statements = [Statement::new(sql).with_text_column("data"), Statement::new(sql).with_bytes_column("data")];
        for statement in statements {
            let error = database.run(statement).await.err().ok_or(sql)?;
            expect(error.kind == DatabaseErrorKind::Corrupt, format!("{sql}: corrupt, not {error}"))?;
        }
    }
    Ok(())
}

/// Texts on the edges of every encoding.
const SAMPLES: [&str; 40] = [
    "\u{feff}AAAA",
    "%EF%BB%BFAAAA",
    "",
    " \t\n\u{c}\r",
    "A",
    "AA",
    "AA=",
    "AA==",
    "AA===",
    "AAA",
    "AAA=",
    "AAA==",
    "AAAA",
    "AAAA=",
    "AAAA====",
    "AAAAA",
    "=",
    "====",
    "A===",
    "AB==",
    "AAB=",
    "AB",
    "+/+/",
    "-_-_",
    "+_",
    "-/",
    " A A\r\nA\tA ",
    "A\u{b}AAA",
    "AA= =",
    "AA == ",
    "AA==AA==",
    "AAA\u{a0}",
    "ä",
    "4f6D",
    "4f6",
    "%41%4",
    "%2B%2f%3D%3d",
    "a%20b+%F0%9F%A7%80\u{1f9c0}%zz",
    "AA%3D%3D",
    "%0AAA%3D=",
];

const ENCODINGS: [Encoding; 4] = [Encoding::Base64Any, Encoding::Hex, Encoding::Percent, Encoding::PercentBase64Any];

async fn stored_texts_decode_as_local_ones(database: Rc<dyn Database>) -> Outcome {
    for sample in SAMPLES {
        let before = "data:,";
        let text = stored(&database, &format!("{before}{sample}")).await?;
        for encoding in ENCODINGS {
            let here = Text::from(sample).decode(0, encoding).map(|blob| blob.to_vec());
            let there = text.decode(before.len(), encoding).map(|blob| blob.to_vec());
            expect(here == there, format!("{sample:?} as {encoding:?}: {here:?} here, {there:?} there"))?;
        }
    }
    expect(stored(&database, "AAAA").await?.decode(5, Encoding::Base64Any).is_err(), "no offset behind the end")
}

async fn stored_bytes_encode_as_local_ones(database: Rc<dyn Database>) -> Outcome {
    let lines = [(1, false), (3, true), (4, false), (76, true), (76, false), (1000, true)];
    let lines = lines.map(|(chars, crlf)| std::num::NonZeroU32::new(chars).map(|chars| LineLayout { chars, crlf }));
    for size_bytes in [0, 1, 2, 3, 56, 57, 58, 114, 300] {
        let bytes: Vec<u8> = (0..=255).rev().cycle().take(size_bytes).collect();
        let there = stored_bytes(&database, bytes.clone()).await?;
        let mut encodings = vec![TextEncoding::Hex];
        for lines in lines.into_iter().chain([None]) {
            for (url_safe, padded) in [(false, false), (false, true), (true, false), (true, true)] {
                encodings.push(TextEncoding::Base64 { url_safe, padded, lines });
            }
        }
        for encoding in encodings {
            let here = Text::encode("data:;base64,", &Blob::from(bytes.clone()), encoding, "\n");
            let text = Text::encode("data:;base64,", &there, encoding, "\n");
            expect(copy(&here) == copy(&text), format!("{encoding:?}: {} here, {} there", copy(&here), copy(&text)))?;
        }
    }
    Ok(())
}

async fn parts_of_stored_texts_are_those_of_local_ones(database: Rc<dyn Database>) -> Outcome {
    let sample = "data:image/png;base64,AAAA\n";
    let (here, there) = (Text::from(sample), stored(&database, sample).await?);
    expect(here.size_bytes() == there.size_bytes() && !there.is_empty(), "length")?;
    for chars in [0, 1, 5, 26, 27, 28, usize::MAX] {
        expect(here.prefix(chars) == there.prefix(chars), format!("{chars} from the start"))?;
        expect(here.suffix(chars) == there.suffix(chars), format!("{chars} from the end"))?;
    }
    expect(there.contains(',', 21) && !there.contains(',', 22) && !there.contains('!', 0), "contains")
}

fn expect(holds: bool, expectation: impl Into<String>) -> Outcome {
    if holds { Ok(()) } else { Err(format!("does not hold: {}", expectation.into())) }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}
