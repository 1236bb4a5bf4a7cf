//! Every statement over the links that a run is to fetch.

use serde::Deserialize;
use serde_json::json;

use super::cause::HostCause;
use super::config::HostLimits;
use super::pacing::Host;
use crate::fetch::MAX_URL_BYTES;
use crate::migrate::runs::{Entry, Forecast, IdType, RunId};
use crate::migrate::source::table::{Sql, Table, TableSource, whole};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement, to_json};

/// The deadline of a link that says none: the largest whole number that D1 holds.
pub const NO_DEADLINE_MS: i64 = (1 << 53) - 1;

/// Rows read at once while links are listed: 500 links of 4,096 bytes are 2 MB.
pub const LISTED_AT_ONCE: u16 = 500;

/// Hosts of which a slice takes links.
const HOSTS_AT_ONCE: i64 = 16;

/// A link that was read while links are listed.
#[derive(Debug, Deserialize)]
pub struct FoundLink {
    pub item: String,
    /// `None` when it is no text, or too long for a link.
    pub link: Option<String>,
}

/// A link on the list, by what makes it the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub host: String,
    pub deadline_ms: i64,
    pub item: String,
}

/// A host that may be asked, as it was written down.
#[derive(Debug, Deserialize)]
pub struct ReadyHost {
    pub host: String,
    pub failures: u32,
    pub given_up: Option<String>,
}

/// The row of a link, and what is on the list of it.
#[derive(Debug, Deserialize)]
pub struct LinkRow {
    pub item: String,
    /// 0 where it is not on a list.
    pub deadline_ms: i64,
    pub attempts: u32,
    pub is_there: u8,
    /// Whether the source's conditions hold.
    pub is_wanted: Option<u8>,
    pub is_ours: u8,
    pub link: Option<String>,
    pub before: Option<String>,
    pub metadata: Option<String>,
    pub earlier: Option<String>,
}

impl ReadyHost {
    pub fn given_up(&self) -> Option<HostCause> {
        HostCause::from_text(self.given_up.as_deref()?)
    }
}

/// The links behind the item `after`, in the order of their items.
pub fn behind(table: &Table, after: Option<&str>, own_urls: &str) -> Statement {
    let mut sql = Sql::default();
    sql.push("SELECT CAST(")
        .push(&table.id())
        .push(" AS TEXT) AS item, ")
        .push(&link(&table.data()))
        .push(" AS link FROM ");
    sql.push(&table.table());
    push_candidates(table, &mut sql, own_urls);
    table.push_after(&mut sql, after, LISTED_AT_ONCE);
    sql.into_statement()
}

/// How many links there are to move.
pub fn count(table: &Table, own_urls: &str) -> Statement {
    let mut sql = Sql::default();
    sql.push("SELECT count(*) AS items FROM ").push(&table.table());
    push_candidates(table, &mut sql, own_urls);
    sql.into_statement()
}

/// Lists links; those that are listed stay as they are.
///
/// # Errors
/// When a value has no JSON form.
pub fn list(run: &RunId, links: &[Listed]) -> Result<[Statement; 2], DatabaseError> {
    let rows: Vec<_> =
        links.iter().map(|Listed { host, deadline_ms, item }| json!([host, deadline_ms, item])).collect();
    let rows = to_json(&rows)?;
    let links = "INSERT OR IGNORE INTO stillstore_links (run_id, host, deadline_ms, item_id) \
        SELECT ?1, value ->> 0, value ->> 1, value ->> 2 FROM json_each(?2)";
    let hosts = "INSERT OR IGNORE INTO stillstore_link_hosts (run_id, host) SELECT ?1, value ->> 0 FROM json_each(?2)";
    Ok([links, hosts].map(|sql| Statement::new(sql).bind(run.as_str()).bind(rows.as_str())))
}

/// The hosts that may be asked now and of which links are left, the one whose next link expires first in front.
pub fn ready_hosts(run: &RunId, now: Timestamp) -> Statement {
    Statement::new(
        "SELECT host, failures, given_up FROM (SELECT host, failures, given_up, (SELECT deadline_ms FROM stillstore_links \
         WHERE run_id = hosts.run_id AND host = hosts.host ORDER BY deadline_ms LIMIT 1) AS next_ms FROM stillstore_link_hosts AS hosts \
         WHERE run_id = ?1 AND ready_at_ms <= ?2) WHERE next_ms IS NOT NULL ORDER BY next_ms LIMIT ?3",
    )
    .bind(run.as_str())
    .bind(now.as_millis())
    .bind(HOSTS_AT_ONCE)
}

/// When the next host of which links are left may be asked; its column `ready_at_ms` is NULL when no link is left.
pub fn next_ready(run: &RunId) -> Statement {
    Statement::new(
        "SELECT min(ready_at_ms) AS ready_at_ms FROM stillstore_link_hosts AS hosts WHERE run_id = ?1 AND EXISTS \
         (SELECT 1 FROM stillstore_links WHERE run_id = hosts.run_id AND host = hosts.host)",
    )
    .bind(run.as_str())
}

/// The next links of a host with their rows.
pub fn next_of(table: &Table, run: &RunId, host: &str, limit: u16, own_urls: &str) -> Statement {
    let item = match table.schema.ids {
        IdType::Integer => "CAST(links.item_id AS INTEGER)",
        IdType::Text => "links.item_id",
    };
    let mut sql = Sql::default();
    sql.push("SELECT links.item_id AS item, links.deadline_ms, links.attempts, ");
    push_row(table, &mut sql, own_urls);
    sql.push(" FROM (SELECT item_id, deadline_ms, attempts FROM stillstore_links WHERE run_id = ").bind(run.as_str());
    sql.push(" AND host = ").bind(host).push(" ORDER BY deadline_ms, item_id LIMIT ").bind(i64::from(limit));
    sql.push(") AS links LEFT JOIN ").push(&table.table()).push(" ON ").push(&table.id()).push(" = ").push(item);
    sql.into_statement()
}

/// The row of an item that the caller named.
pub fn named(table: &Table, item: &str, own_urls: &str) -> Statement {
    let mut sql = Sql::default();
    sql.push("SELECT CAST(").push(&table.id()).push(" AS TEXT) AS item, 0 AS deadline_ms, 0 AS attempts, ");
    push_row(table, &mut sql, own_urls);
    sql.push(" FROM ").push(&table.table()).push(" WHERE ").push(&table.id()).push(" = ");
    sql.bind_value(table.id_value(item));
    sql.into_statement()
}

/// What the row of an item says at this moment, by names that the schema may not have; answered with a [`crate::migrate::source::RowNow`].
pub fn row_now(source: &TableSource, item: &str) -> Statement {
    let (id, url) = (source.column(&source.id), source.column(&source.url));
    let mut sql = Sql::default();
    sql.push("SELECT CASE WHEN true");
    source.push_filter(&mut sql);
    sql.push(" THEN ").push(&link(&url)).push(" END AS link, EXISTS (SELECT 1 FROM stillstore_moves WHERE source = ");
    sql.bind(source.name.as_str()).push(" AND item_id = ").bind(item).push(" AND stage <> 'restored' AND instr(lower(");
    sql.push(&url).push("), image_id) > 0) AS is_moved FROM ").push(&source.table.quoted()).push(" WHERE ");
    // The column's affinity makes a number of the text where ids are numbers, of which it has one spelling.
    sql.push(&id).push(" = ").bind(item).push(" AND CAST(").push(&id).push(" AS TEXT) = ").bind(item);
    sql.into_statement()
}

/// The row of an item that was moved: whether its url is still ours, whether it names the image at all, and its link if it has one.
pub fn moved(table: &Table, entry: &Entry, url: &str) -> Statement {
    let mut sql = Sql::default();
    sql.push("SELECT ").push(&table.column(&table.source.url)).push(" IS ").bind(url);
    sql.push(" COLLATE BINARY AS is_ours, ");
    table.push_names_image(&mut sql, entry.image_id);
    sql.push(" AS names_image, ")
        .push(&link(&table.data()))
        .push(" AS link FROM ")
        .push(&table.table())
        .push(" WHERE ");
    sql.push(&table.id()).push(" = ").bind_value(table.id_value(&entry.item));
    sql.into_statement()
}

/// Takes a link off the list.
pub fn settle(run: &RunId, Listed { host, deadline_ms, item }: &Listed) -> Statement {
    at("DELETE FROM stillstore_links", run, host, *deadline_ms, item)
}

/// Counts a fetch that came to nothing.
pub fn count_attempt(run: &RunId, Listed { host, deadline_ms, item }: &Listed) -> Statement {
    at("UPDATE stillstore_links SET attempts = attempts + 1", run, host, *deadline_ms, item)
}

fn at(what: &str, run: &RunId, host: &str, deadline_ms: i64, item: &str) -> Statement {
    let place = " WHERE run_id = ?1 AND host = ?2 AND deadline_ms = ?3 AND item_id = ?4";
    Statement::new([what, place].concat()).bind(run.as_str()).bind(host).bind(deadline_ms).bind(item)
}

/// Writes down how a host is.
pub fn write_host(run: &RunId, name: &str, host: &Host) -> Statement {
    Statement::new(
        "UPDATE stillstore_link_hosts SET ready_at_ms = ?3, failures = ?4, given_up = ?5 WHERE run_id = ?1 AND host = ?2",
    )
    .bind(run.as_str())
    .bind(name)
    .bind(host.ready_at.map_or(0, Timestamp::as_millis))
    .bind(i64::from(host.failures))
    .bind(host.given_up.map(HostCause::as_str))
}

/// What fetching everything that is listed takes, from now on. Reads each link once.
///
/// # Errors
/// When a value has no JSON form.
pub fn forecast(run: &RunId, limits: &HostLimits, now: Timestamp) -> Result<Statement, DatabaseError> {
    let (gaps_ms, other_gap_ms) = limits.gaps_ms();
    Ok(Statement::new(
        "SELECT (SELECT count(*) FROM stillstore_links WHERE run_id = ?1 AND deadline_ms <= ?2) AS expired, \
         count(*) FILTER (WHERE deadline_ms < ?2 + wait_ms) AS willExpire, count(*) AS requests, \
         CAST((ifnull(max(wait_ms), 0) + 999) / 1000 AS INTEGER) AS seconds FROM (SELECT deadline_ms, \
         (row_number() OVER (PARTITION BY host ORDER BY deadline_ms, item_id) - 1) \
         * ifnull((SELECT value FROM json_each(?3) WHERE key = host), ?4) AS wait_ms \
         FROM stillstore_links WHERE run_id = ?1 AND host <> '' AND deadline_ms > ?2)",
    )
    .bind(run.as_str())
    .bind(now.as_millis())
    .bind(to_json(&gaps_ms)?)
    .bind(whole(other_gap_ms)))
}

/// What [`forecast`] said.
///
/// # Errors
/// When the answer is not one.
pub fn forecast_of(answer: &QueryResult) -> Result<Option<Forecast>, DatabaseError> {
    answer.first()
}

/// Forgets links of runs that have ended, some at a time: of a run that ended by itself none are left.
pub fn forget_ended() -> [Statement; 2] {
    const LINKS: &str = "DELETE FROM stillstore_links WHERE (run_id, host, deadline_ms, item_id) IN \
        (SELECT run_id, host, deadline_ms, item_id FROM stillstore_links WHERE run_id IN (SELECT DISTINCT run_id FROM stillstore_link_hosts \
        WHERE NOT EXISTS (SELECT 1 FROM stillstore_runs WHERE id = run_id AND state IN ('running', 'paused'))) LIMIT 5000)";
    const HOSTS: &str = "DELETE FROM stillstore_link_hosts WHERE NOT EXISTS (SELECT 1 FROM stillstore_runs WHERE id = run_id \
        AND state IN ('running', 'paused')) AND NOT EXISTS (SELECT 1 FROM stillstore_links WHERE run_id = stillstore_link_hosts.run_id)";
    [LINKS, HOSTS].map(Statement::new)
}

/// The link in the column `url`, when it is a text of a length that a link may have.
fn link(url: &str) -> String {
    format!("CASE WHEN typeof({url}) = 'text' AND octet_length({url}) <= {MAX_URL_BYTES} THEN {url} END")
}

fn push_candidates(table: &Table, sql: &mut Sql, own_urls: &str) {
    table.push_candidates(sql, own_urls);
    sql.push(" AND NOT ");
    push_is_moved(table, sql);
}

/// Adds the condition that the row names the copy that was made of its link, at whatever address the Worker had then, where a fetch
/// would only find the copy.
fn push_is_moved(table: &Table, sql: &mut Sql) {
    sql.push("EXISTS (SELECT 1 FROM stillstore_moves WHERE source = ").bind(table.source.name.as_str());
    sql.push(" AND item_id = CAST(")
        .push(&table.id())
        .push(" AS TEXT) AND stage <> 'restored' AND original ->> 'url' = ");
    sql.push(&table.column(&table.source.url)).push(" COLLATE BINARY)");
}

/// Adds the columns of a row that a move needs.
fn push_row(table: &Table, sql: &mut Sql, own_urls: &str) {
    let (id, url) = (table.id(), table.column(&table.source.url));
    sql.push(&id).push(" IS NOT NULL AS is_there, (").push(&url).push(" IS NOT NULL");
    table.source.push_filter(sql);
    sql.push(") AS is_wanted, substr(").push(&url).push(", 1, ").bind(whole(own_urls.len() as u64));
    sql.push(") COLLATE BINARY IS ").bind(own_urls).push(" OR ");
    push_is_moved(table, sql);
    sql.push(" AS is_ours, ").push(&link(&table.data())).push(" AS link, ");
    sql.push(&table.before()).push(" AS before, ");
    table.push_metadata_and_earlier(sql);
}
