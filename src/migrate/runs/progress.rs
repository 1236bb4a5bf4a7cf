//! How far a run is, and what it used.

use std::collections::BTreeMap;
use std::ops::Add;

use super::completion::Completion;
use super::line::{Line, Verdict};
use super::state::State;
use crate::sql::QueryResult;
use serde::{Deserialize, Serialize};

/// What came of the items so far.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Items to go through, when the source could say so at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Items by verdict.
    pub verdicts: BTreeMap<Verdict, u64>,
    /// Size of the images that went well.
    pub bytes: u64,
    /// Bytes of database that became free.
    #[serde(default)]
    pub freed_bytes: u64,
    /// Characters of lines, line ends included: what a receipt must promise before it is written.
    pub line_bytes: u64,
    pub lines: u64,
    /// Slices in a row of which the bucket took nothing.
    #[serde(default)]
    pub stalls: u32,
    /// Time spent at work.
    pub active_ms: u64,
    pub operations: Operations,
    /// The first items that did not go well; the receipt has all.
    pub findings: Vec<Line>,
    /// Characters of [`Progress::findings`] as lines.
    #[serde(default)]
    pub findings_bytes: usize,
    pub warnings: Vec<String>,
    /// What fetching everything takes, for sources of links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// Whether the source can be switched off, for runs that look for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<Completion>,
}

/// What it takes to fetch the links of a source, found out before the first is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// Links whose time is over.
    pub expired: u64,
    /// Links whose time will be over before their turn.
    pub will_expire: u64,
    /// Links that are to be fetched: a request each, and one more for an image that is too large to be held.
    pub requests: u64,
    /// Seconds until the last one's turn, by what the hosts' limits allow.
    pub seconds: u64,
}

/// What a run cost at the stores, or a dry run would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Operations {
    /// Writes and listings.
    pub r2_class_a: u64,
    /// Reads.
    pub r2_class_b: u64,
    /// Round trips.
    pub d1_calls: u64,
    /// Statements.
    pub d1_queries: u64,
    /// Rows that the statements read and wrote, as D1 bills them.
    #[serde(default)]
    pub d1_rows_read: u64,
    #[serde(default)]
    pub d1_rows_written: u64,
}

impl Operations {
    /// Counts round trips to the database, and the statements in them.
    pub fn count_database(&mut self, calls: u64, statements: u64) {
        self.d1_calls += calls;
        self.d1_queries += statements;
    }

    /// Counts the rows that the statements of a round trip read and wrote.
    pub fn count_rows(&mut self, answers: &[QueryResult]) {
        self.d1_rows_read += answers.iter().map(|answer| answer.rows_read).sum::<u64>();
        self.d1_rows_written += answers.iter().map(|answer| answer.rows_written).sum::<u64>();
    }
}

impl Operations {
    /// R2 class A operations for each image that moves: its put.
    pub const R2_CLASS_A_PER_MOVE: u64 = 1;
    /// D1 rows read and written for each embedded image that moves, at most: its row and its chunk are read; its row, an index entry of
    /// it and the journal's entry are written. A third is its share of what a slice and an invocation read and write.
    pub const D1_ROWS_PER_MOVE: (u64, u64) = (3, 4);
    /// The same for a row of a table: beside it and the journal's entry, the catalogue's row is written, with four indexes and a counter.
    pub const D1_ROWS_PER_MOVED_ROW: (u64, u64) = (4, 10);
}

impl Add for Operations {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            r2_class_a: self.r2_class_a + other.r2_class_a,
            r2_class_b: self.r2_class_b + other.r2_class_b,
            d1_calls: self.d1_calls + other.d1_calls,
            d1_queries: self.d1_queries + other.d1_queries,
            d1_rows_read: self.d1_rows_read + other.d1_rows_read,
            d1_rows_written: self.d1_rows_written + other.d1_rows_written,
        }
    }
}

/// How many findings a run's row holds: 100 of them are about 30 KB, rewritten with each slice.
const MAX_FINDINGS: usize = 100;

/// How many bytes of findings a run's row holds. D1 takes 2,000,000 a row: at worst 393,216 of them are parameters, as many as a
/// request's body, and 730,000 are keys in flight, a hundred with the longest ids.
const MAX_FINDINGS_BYTES: usize = 300_000;

impl Progress {
    /// Counts a line, and keeps it when it tells of trouble and there is room.
    pub fn count(&mut self, line: &Line, text_bytes: usize) {
        *self.verdicts.entry(line.verdict()).or_default() += 1;
        self.lines += 1;
        self.line_bytes += text_bytes as u64;
        let is_trouble = line.verdict().is_failure() || line.verdict() == Verdict::Orphaned;
        let held_bytes = self.findings_bytes + text_bytes;
        if is_trouble && self.findings.len() < MAX_FINDINGS && held_bytes <= MAX_FINDINGS_BYTES {
            self.findings.push(line.clone());
            self.findings_bytes = held_bytes;
        }
        if !is_trouble && line.verdict() != Verdict::Skipped {
            self.bytes += line.size_bytes().unwrap_or(0);
        }
    }

    /// Items with this verdict.
    #[must_use]
    pub fn of(&self, verdict: Verdict) -> u64 {
        self.verdicts.get(&verdict).copied().unwrap_or(0)
    }

    /// Texts that were rewritten, or would be: they are no items.
    #[must_use]
    pub fn texts(&self) -> u64 {
        self.of(Verdict::Rewritten) + self.of(Verdict::WouldRewrite)
    }

    /// Items that did not go well.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.verdicts.iter().filter(|(verdict, _)| verdict.is_failure()).map(|(_, count)| count).sum()
    }

    /// Items that are as they were.
    #[must_use]
    pub fn left_alone(&self) -> u64 {
        self.failures() + self.of(Verdict::Skipped)
    }

    /// Items handled.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.verdicts.values().sum()
    }

    /// What a run that went through every item calls itself.
    #[must_use]
    pub fn final_state(&self) -> State {
        if self.failures() == 0 { State::Completed } else { State::CompletedWithErrors }
    }
}
