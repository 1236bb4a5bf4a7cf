//! Alerts that somebody outside is told of. A row says whether its alert is on; what is to be told when it changes waits in the row, so that no crash
//! loses it.

use serde::Deserialize;

use super::{Catalog, CatalogError};
use crate::runtime::Timestamp;
use crate::sql::{Statement, Value};

/// Times that a message is sent before it is given up: after the first it waits a minute, each time twice as long, at most six hours.
pub const MAX_ATTEMPTS: u16 = 10;
/// After as long an alert about a run is forgotten: 30 days.
const RUN_ALERT_RETENTION_MS: i64 = 30 * 24 * 60 * 60 * 1000;

const RAISE: &str = "INSERT INTO stillstore_alerts (name, is_on, change, message, changed_at_ms, attempts, due_at_ms) \
    VALUES (?1, 1, 1, ?2, ?3, 0, ?3) ON CONFLICT (name) DO UPDATE SET is_on = 1, change = change + 1, \
    message = excluded.message, changed_at_ms = excluded.changed_at_ms, attempts = 0, due_at_ms = excluded.due_at_ms \
    WHERE is_on = 0";

const SETTLE: &str = "UPDATE stillstore_alerts SET is_on = 0, change = change + 1, message = ifnull(?2, message), changed_at_ms = ?3, \
    attempts = 0, due_at_ms = iif(?2 IS NULL, NULL, ?3) WHERE name = ?1 AND is_on = 1";

const SELECT_DUE: &str = "SELECT name, change, is_on, message, changed_at_ms FROM stillstore_alerts \
    WHERE due_at_ms <= ?1 ORDER BY due_at_ms LIMIT ?2";

// An alert that changed meanwhile has another message.
const SENT: &str = "UPDATE stillstore_alerts SET due_at_ms = NULL WHERE name = ?1 AND change = ?2";

const POSTPONE: &str = "UPDATE stillstore_alerts SET attempts = attempts + 1, \
    due_at_ms = iif(attempts + 1 >= ?4, NULL, ?3 + min(60000 << attempts, 21600000)) WHERE name = ?1 AND change = ?2";

// `0` follows `/`.
const FORGET: &str = "DELETE FROM stillstore_alerts WHERE name > 'run/' AND name < 'run0' AND changed_at_ms <= ?1";

/// What there can be an alert about now: whether it is, and what is to be told of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub name: String,
    /// Told when the alert goes on.
    pub raised: Option<String>,
    /// Told when it goes off; nothing when `None`.
    pub settled: Option<String>,
}

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DueAlert {
    pub name: String,
    /// With the name, the id of the message.
    pub change: u64,
    pub is_on: u8,
    pub message: String,
    pub changed_at_ms: Timestamp,
}

impl Catalog {
    /// Notes what holds now. A condition that has changed since the last time makes a message; one that has not makes none.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed; repeating it is safe.
    pub async fn note_conditions(&self, conditions: &[Condition], now: Timestamp) -> Result<(), CatalogError> {
        let noted = conditions.iter().map(|Condition { name, raised, settled }| {
            let change = if raised.is_some() { RAISE } else { SETTLE };
            let message = raised.as_deref().or(settled.as_deref()).map_or(Value::Null, Value::from);
            Statement::new(change).bind(name.as_str()).bind(message).bind(now.as_millis())
        });
        let forget = Statement::new(FORGET).bind(now.as_millis() - RUN_ALERT_RETENTION_MS);
        let statements = noted.chain([forget]).collect();
        self.database.batch(statements).await.map(drop).map_err(CatalogError::during("note_conditions"))
    }

    /// The messages that are due, at most `limit`, the longest due first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed.
    pub async fn due_alerts(&self, now: Timestamp, limit: u16) -> Result<Vec<DueAlert>, CatalogError> {
        let select = Statement::new(SELECT_DUE).bind(now.as_millis()).bind(i64::from(limit));
        let [due] = self.batch("due_alerts", [select]).await?;
        due.rows().map_err(CatalogError::during("due_alerts"))
    }

    /// Notes whether a message was taken. One that was not waits, or is given up.
    ///
    /// # Errors
    /// [`CatalogError`] when the database failed: the message is sent once more.
    pub async fn settle_alert(&self, alert: &DueAlert, was_sent: bool, now: Timestamp) -> Result<(), CatalogError> {
        let change = i64::try_from(alert.change).unwrap_or(i64::MAX);
        let of = |sql| Statement::new(sql).bind(alert.name.as_str()).bind(change);
        let settle = if was_sent { of(SENT) } else { of(POSTPONE).bind(now.as_millis()).bind(i64::from(MAX_ATTEMPTS)) };
        self.batch("settle_alert", [settle]).await.map(drop)
    }
}
