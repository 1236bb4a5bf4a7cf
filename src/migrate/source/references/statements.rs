//! Every statement about texts that hold URLs of the old bucket.

use serde::{Deserialize, Serialize};

use crate::bytes::Sha256Digest;
use crate::image::{ImageId, ObjectKey};
use crate::migrate::runs::{Run, RunId};
use crate::migrate::source::table::{Sql, Table};
use crate::sql::{DatabaseError, QueryResult, Statement, to_json};

/// Rows that one statement looks at, whether they hold a URL or not.
pub const SEEN_AT_ONCE: u16 = 500;
/// JSON of one parameter, of which D1 takes 2,000,000 bytes.
const MAX_JSON_BYTES: usize = 500_000;
/// Keys that one statement asks about.
const ASKED_AT_ONCE: usize = 500;

/// A row whose text may hold URLs.
#[derive(Debug, Clone, Deserialize)]
pub struct Seen {
    pub item: String,
    /// Of its text; `None` when it holds no URL of the old bucket.
    pub text_bytes: Option<u64>,
    /// Rows that were looked at, this one and the others.
    #[serde(rename = "seen")]
    pub looked_at: u16,
}

/// What the journal says of a URL that was rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Where it is in the text that was written, in bytes.
    pub at: usize,
    #[serde(rename = "item_id")]
    pub object: String,
    pub old_url: String,
    pub new_url: String,
    pub text_sha256: Sha256Digest,
}

/// A row with texts that were rewritten.
#[derive(Debug, Clone, Deserialize)]
pub struct WrittenRow {
    pub place: String,
    pub row_id: String,
}

/// The copy of an object.
#[derive(Debug, Clone, Deserialize)]
pub struct Copy {
    #[serde(rename = "item_id")]
    pub object: String,
    pub image_id: ImageId,
    pub storage_key: ObjectKey,
    pub size_bytes: u64,
    pub sha256: Sha256Digest,
    /// Whether the Worker serves it.
    pub is_image: u8,
}

/// What the journal calls the place of texts.
pub fn place(table: &Table) -> String {
    [&table.source.table.quoted(), ".", &table.source.url.quoted()].concat()
}

/// The rows behind `after` whose texts hold one of the needles, and the last of those that were looked at.
pub fn holding(table: &Table, after: Option<&str>, needles: &[String]) -> Statement {
    let text = table.data();
    let mut sql = Sql::default();
    sql.push("WITH seen AS MATERIALIZED (SELECT ").push(&table.id()).push(" AS id, CASE WHEN typeof(");
    sql.push(&text).push(") = 'text' AND (");
    for (index, needle) in needles.iter().enumerate() {
        sql.push(if index == 0 { "instr(" } else { " OR instr(" }).push(&text).push(", ");
        sql.bind(needle.as_str()).push(") > 0");
    }
    sql.push(") THEN octet_length(").push(&text).push(") END AS text_bytes FROM ").push(&table.table()).push(" WHERE ");
    table.push_id_rule(&mut sql);
    table.push_after(&mut sql, after, SEEN_AT_ONCE);
    sql.push(") SELECT CAST(id AS TEXT) AS item, text_bytes, (SELECT count(*) FROM seen) AS seen FROM seen ");
    sql.push("WHERE text_bytes IS NOT NULL OR id = (SELECT max(id) FROM seen) ORDER BY id");
    sql.into_statement()
}

/// The text of a row, as `text`.
pub fn text(table: &Table, row: &str) -> Statement {
    let text = table.data();
    let mut sql = Sql::default();
    sql.push("SELECT CASE typeof(").push(&text).push(") WHEN 'text' THEN ").push(&text).push(" END AS text FROM ");
    sql.push(&table.table()).push(" WHERE ").push(&table.id()).push(" = ").bind_value(table.id_value(row));
    sql.into_statement()
}

/// How long the text of a row is, as `text_bytes`.
pub fn length(table: &Table, row: &str) -> Statement {
    let mut sql = Sql::default();
    sql.push("SELECT octet_length(").push(&table.data()).push(") AS text_bytes FROM ").push(&table.table());
    sql.push(" WHERE ").push(&table.id()).push(" = ").bind_value(table.id_value(row));
    sql.into_statement()
}

/// Writes a text over `old`, which it changes nothing without.
pub fn write(table: &Table, row: &str, old: &str, new: &str) -> Statement {
    let mut sql = Sql::default();
    sql.push("UPDATE ").push(&table.table()).push(" SET ").push(&table.source.url.quoted()).push(" = ").bind(new);
    sql.push(" WHERE ").push(&table.id()).push(" = ").bind_value(table.id_value(row));
    sql.push(" AND ").push(&table.data()).push(" COLLATE BINARY IS ").bind(old);
    sql.into_statement()
}

/// Asks which of these objects have a copy.
///
/// # Errors
/// When the keys have no JSON form.
pub fn copies(source: &str, objects: &[&str]) -> Result<Vec<Statement>, DatabaseError> {
    let sql = "SELECT item_id, image_id, storage_key, size_bytes, sha256, image IS NOT NULL AND image <> '{}' AS is_image \
        FROM stillstore_moves WHERE source = ?1 AND item_id IN (SELECT value FROM json_each(?2)) AND stage <> 'restored'";
    let asked = objects.chunks(ASKED_AT_ONCE);
    asked.map(|objects| Ok(Statement::new(sql).bind(source).bind(to_json(&objects)?))).collect()
}

/// Changes one row of the run when all of these copies are in the journal still, and none otherwise.
///
/// # Errors
/// When the keys have no JSON form.
pub fn require_copies(run: &Run, copies: &[&Copy]) -> Result<Statement, DatabaseError> {
    let wanted: Vec<_> = copies.iter().map(|copy| (copy.object.as_str(), copy.storage_key.as_str())).collect();
    let sql = "UPDATE stillstore_runs SET source = source WHERE id = ?1 AND ?4 = (SELECT count(*) FROM json_each(?3) AS wanted \
        CROSS JOIN stillstore_moves AS moves WHERE moves.source = ?2 AND moves.item_id = wanted.value ->> 0 \
        AND moves.storage_key = wanted.value ->> 1 AND moves.stage <> 'restored')";
    let copies = i64::try_from(wanted.len()).unwrap_or(i64::MAX);
    Ok(Statement::new(sql).bind(run.id.as_str()).bind(run.source.as_str()).bind(to_json(&wanted)?).bind(copies))
}

/// What the journal says of the text of a row.
pub fn written(source: &str, place: &str, row: &str) -> Statement {
    let sql = "SELECT at, item_id, old_url, new_url, text_sha256 FROM stillstore_references \
        WHERE source = ?1 AND place = ?2 AND row_id = ?3 ORDER BY at";
    Statement::new(sql).bind(source).bind(place).bind(row)
}

/// The answer to [`written`].
///
/// # Errors
/// When it is none.
pub fn written_of(answer: &QueryResult) -> Result<Vec<Written>, DatabaseError> {
    answer.rows()
}

/// Records what was written into a row's text, in place of what the journal says of it.
///
/// # Errors
/// When a text has no JSON form.
pub fn record(
    source: &str,
    place: &str,
    row: &str,
    run: &RunId,
    written: &[Written],
) -> Result<Vec<Statement>, DatabaseError> {
    let delete = "DELETE FROM stillstore_references WHERE source = ?1 AND place = ?2 AND row_id = ?3";
    let insert = "INSERT INTO stillstore_references (source, place, row_id, run_id, at, item_id, old_url, new_url, text_sha256) \
        SELECT ?1, ?2, ?3, ?4, value ->> 'at', value ->> 'item_id', value ->> 'old_url', value ->> 'new_url', value ->> 'text_sha256' \
        FROM json_each(?5)";
    let mut statements = vec![Statement::new(delete).bind(source).bind(place).bind(row)];
    let mut json = String::new();
    let mut close = |json: &mut String| {
        let list = ["[", &std::mem::take(json), "]"].concat();
        statements.push(Statement::new(insert).bind(source).bind(place).bind(row).bind(run.as_str()).bind(list));
    };
    for written in written {
        let entry = to_json(written)?;
        if !json.is_empty() && json.len() + entry.len() > MAX_JSON_BYTES {
            close(&mut json);
        }
        if !json.is_empty() {
            json.push(',');
        }
        json.push_str(&entry);
    }
    if !json.is_empty() {
        close(&mut json);
    }
    Ok(statements)
}

/// Rows behind a place and a row whose texts were rewritten, of these objects only where some are named.
///
/// # Errors
/// When the names have no JSON form.
pub fn written_rows(
    source: &str,
    objects: Option<&[String]>,
    (place, row): (&str, &str),
    limit: u16,
) -> Result<Statement, DatabaseError> {
    let limit = i64::from(limit);
    Ok(match objects {
        None => {
            let sql = "SELECT DISTINCT place, row_id FROM stillstore_references WHERE source = ?1 AND (place, row_id) > (?2, ?3) \
                ORDER BY place, row_id LIMIT ?4";
            Statement::new(sql).bind(source).bind(place).bind(row).bind(limit)
        }
        // At most 1,000 are named.
        Some(objects) => {
            let sql = "SELECT DISTINCT place, row_id FROM stillstore_references WHERE source = ?1 \
                AND item_id IN (SELECT value FROM json_each(?5)) AND (place, row_id) > (?2, ?3) ORDER BY place, row_id LIMIT ?4";
            Statement::new(sql).bind(source).bind(place).bind(row).bind(limit).bind(to_json(&objects)?)
        }
    })
}

/// Whether texts show the copy of an object, as `texts`, which is 1 then and 0 otherwise.
pub fn showing(source: &str, object: &str) -> Statement {
    let sql = "SELECT EXISTS (SELECT 1 FROM stillstore_references WHERE source = ?1 AND item_id = ?2) AS texts";
    Statement::new(sql).bind(source).bind(object)
}

/// Changes one row of the run when no text shows the copy of an object, and none otherwise.
pub fn require_unshown(run: &Run, object: &str) -> Statement {
    let sql = "UPDATE stillstore_runs SET source = source WHERE id = ?1 \
        AND NOT EXISTS (SELECT 1 FROM stillstore_references WHERE source = ?2 AND item_id = ?3)";
    Statement::new(sql).bind(run.id.as_str()).bind(run.source.as_str()).bind(object)
}
