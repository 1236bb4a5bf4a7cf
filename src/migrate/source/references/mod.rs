//! Texts of the application that hold URLs of the old bucket's objects: found row by row, rewritten to the copies' URLs, and put back.

mod config;
mod statements;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use config::ReferencesConfig;
pub use statements::{Copy, Seen, Written, WrittenRow, require_unshown, showing, written_rows};
pub use text::Occurrence;

use super::error::Unusable;
use super::table::{Schema, Table};
use crate::bytes::Sha256Digest;
use crate::migrate::runs::ledger::require_one_change;
use crate::migrate::runs::{IdType, ItemId, Line, PublicBase, Run, Verdict};
use crate::sql::{Database, DatabaseError, QueryResult, Statement};
use statements::SEEN_AT_ONCE;
use text::{Replacement, find, locate, needles, replace};

/// Texts that a slice holds at once.
pub const TEXTS_BYTES: u64 = 2 * 1024 * 1024;
/// The longest text that is rewritten; D1 takes 2,000,000 bytes a row.
pub const MAX_TEXT_BYTES: u64 = 1_000_000;
/// The most URLs in a text that is rewritten.
pub const MAX_URLS: usize = 1_000;

/// The columns whose texts hold URLs of one source's objects, held against the live schema.
pub struct References {
    source: String,
    tables: Vec<Table>,
    needles: Vec<String>,
}

/// Where a run stands that goes through texts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Scan {
    /// The column, by its place in the list.
    pub column: usize,
    /// The row behind which it goes on.
    pub after: Option<String>,
}

/// A text that was read.
pub struct LoadedText {
    pub column: usize,
    pub row: String,
    /// `None` when the row is gone, or has no text.
    pub text: Option<String>,
    /// What the journal says of it.
    pub written: Vec<Written>,
}

/// A text that becomes another.
pub struct Rewritten {
    pub text: String,
    pub written: Vec<Written>,
    /// URLs that were replaced.
    pub urls: usize,
}

/// The rows of a slice.
pub struct Chosen {
    pub rows: Vec<(Seen, Scan)>,
    /// Where the next slice begins; `None` behind the last row of the last column.
    pub next: Option<Scan>,
}

impl References {
    /// The columns, if the live schema has them.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open(
        database: &dyn Database,
        source: &str,
        config: &ReferencesConfig,
    ) -> Result<Result<Self, Unusable>, DatabaseError> {
        let mut tables = Vec::new();
        for column in &config.columns {
            match Schema::read(database, column).await? {
                Ok(schema) => tables.push(Table { source: column.clone(), schema }),
                Err(Unusable { field, rule }) => {
                    let field = if field == "id" {
                        "idColumn"
                    } else if field == "table" {
                        field
                    } else {
                        "column"
                    };
                    let rule = format!("of {}: {field} {rule}", column.table.as_str());
                    return Ok(Err(Unusable { field: "references", rule }));
                }
            }
        }
        Ok(Ok(Self { source: source.to_owned(), tables, needles: needles(&config.bases) }))
    }

    /// Reads the next rows that hold a URL.
    #[must_use]
    pub fn holding(&self, scan: &Scan) -> Option<Statement> {
        let table = self.tables.get(scan.column)?;
        Some(statements::holding(table, scan.after.as_deref(), &self.needles))
    }

    /// The first of the rows that [`References::holding`] found.
    ///
    /// # Errors
    /// When the answer is none.
    pub fn choose(&self, scan: &Scan, answer: Option<&QueryResult>, limit: u16) -> Result<Chosen, DatabaseError> {
        let seen = answer.map(QueryResult::rows::<Seen>).transpose()?.unwrap_or_default();
        let is_full = seen.last().is_some_and(|last| last.looked_at >= SEEN_AT_ONCE);
        let last = seen.last().map(|last| last.item.clone());
        let behind = |item: &str| Scan { after: Some(item.to_owned()), ..scan.clone() };
        let (mut rows, mut held_bytes) = (Vec::<(Seen, Scan)>::new(), 0);
        for row in seen {
            let Some(bytes) = row.text_bytes else { continue };
            held_bytes += bytes.min(MAX_TEXT_BYTES);
            if rows.len() == usize::from(limit) || (held_bytes > TEXTS_BYTES && !rows.is_empty()) {
                let next = rows.last().map(|(_, scan)| scan.clone());
                return Ok(Chosen { rows, next });
            }
            let after = behind(&row.item);
            rows.push((row, after));
        }
        let next = match last {
            Some(last) if is_full => Some(behind(&last)),
            _ if scan.column + 1 < self.tables.len() => Some(Scan { column: scan.column + 1, after: None }),
            _ => None,
        };
        Ok(Chosen { rows, next })
    }

    /// What the ids of a column's rows are, and what receipts call its place.
    #[must_use]
    pub fn column(&self, column: usize) -> Option<(IdType, String)> {
        let table = self.tables.get(column)?;
        Some((table.schema.ids, format!("d1:{}.{}", table.source.table.as_str(), table.source.url.as_str())))
    }

    /// The line of a text, whose id is that of its row.
    #[must_use]
    pub fn line(&self, column: usize, id: ItemId, verdict: Verdict) -> Line {
        let place = self.column(column).map(|(_, place)| place).unwrap_or_default();
        Line::new(id, verdict).to_place(&place)
    }

    /// The column that the journal calls `place`.
    #[must_use]
    pub fn column_at(&self, place: &str) -> Option<usize> {
        self.tables.iter().position(|table| statements::place(table) == place)
    }

    /// Asks how long a row's text is.
    #[must_use]
    pub fn length(&self, column: usize, row: &str) -> Option<Statement> {
        Some(statements::length(self.tables.get(column)?, row))
    }

    /// Reads a row's text, and what the journal says of it.
    #[must_use]
    pub fn load(&self, column: usize, row: &str) -> Option<[Statement; 2]> {
        let table = self.tables.get(column)?;
        let written = statements::written(&self.source, &statements::place(table), row);
        Some([statements::text(table, row), written])
    }

    /// The answers to [`References::load`].
    ///
    /// # Errors
    /// When they are none.
    pub fn loaded(answers: &[QueryResult]) -> Result<(Option<String>, Vec<Written>), DatabaseError> {
        #[derive(Deserialize)]
        struct Row {
            text: Option<String>,
        }
        let row = answers.first().map(QueryResult::first::<Row>).transpose()?.flatten();
        let written = answers.get(1).map(statements::written_of).transpose()?.unwrap_or_default();
        Ok((row.and_then(|row| row.text), written))
    }

    /// The URLs of the old bucket in a text, one more than [`MAX_URLS`] at most.
    #[must_use]
    pub fn find(&self, text: &str) -> Vec<Occurrence> {
        find(text, &self.needles, MAX_URLS + 1)
    }

    /// Asks which of the objects that URLs may name have copies.
    ///
    /// # Errors
    /// When a key has no JSON form.
    pub fn copies<'urls>(
        &self,
        urls: impl Iterator<Item = &'urls Occurrence>,
    ) -> Result<Vec<Statement>, DatabaseError> {
        let keys: BTreeSet<_> = urls.flat_map(Occurrence::keys).collect();
        statements::copies(&self.source, &keys.into_iter().collect::<Vec<_>>())
    }

    /// The text with the URLs of copies, in front of which stands `base`, and which copies they are; `None` when none of its URLs names an object that has one.
    #[must_use]
    pub fn rewrite<'copies>(
        text: &str,
        occurrences: &[Occurrence],
        copies: &'copies BTreeMap<String, (Copy, Option<String>)>,
        earlier: Vec<Written>,
        base: &PublicBase,
    ) -> Option<(Rewritten, Vec<&'copies Copy>)> {
        let url_of = |key: &str| copies.get(key).and_then(|(_, url)| url.as_deref());
        // The Worker refuses parameters that it does not know; a bucket's domain takes no notice of any.
        let keeps_query = matches!(base, PublicBase::Bucket(_));
        let replaced: Vec<_> =
            occurrences.iter().filter_map(|occurrence| occurrence.replaced(text, url_of, keeps_query)).collect();
        if replaced.is_empty() {
            return None;
        }
        let (replacements, objects): (Vec<_>, Vec<_>) = replaced.into_iter().unzip();
        let (new, places) = replace(text, &replacements)?;
        let text_sha256 = Sha256Digest::of(new.as_bytes());
        let mut written: BTreeMap<_, _> = relocated(&new, earlier)
            .into_iter()
            .map(|written| (written.at, Written { text_sha256, ..written }))
            .collect();
        let urls = replacements.len();
        let used: BTreeSet<_> = objects.iter().cloned().collect();
        for ((Replacement { old, new, .. }, object), at) in replacements.into_iter().zip(objects).zip(places) {
            written.insert(at, Written { at, object, old_url: old, new_url: new, text_sha256 });
        }
        let used = used.iter().filter_map(|object| copies.get(object).map(|(copy, _)| copy)).collect();
        Some((Rewritten { text: new, written: written.into_values().collect(), urls }, used))
    }

    /// The text with its old URLs again, those of some objects only where `objects` names some. A text that nobody has changed since becomes
    /// what it was, byte by byte; in another, each new URL is replaced. It may hold none.
    #[must_use]
    pub fn put_back(text: &str, written: Vec<Written>, objects: Option<&[String]>) -> Option<Rewritten> {
        let sha256 = Sha256Digest::of(text.as_bytes());
        let is_as_written = written.iter().all(|written| written.text_sha256 == sha256);
        let written = if is_as_written { written } else { relocated(text, written) };
        let goes = |written: &Written| objects.is_none_or(|objects| objects.contains(&written.object));
        let urls = written.iter().filter(|written| goes(written)).count();
        let replacements: Vec<_> = written
            .iter()
            .map(|written| Replacement {
                at: written.at,
                old: written.new_url.clone(),
                new: if goes(written) { written.old_url.clone() } else { written.new_url.clone() },
            })
            .collect();
        let (new, places) = replace(text, &replacements)?;
        let text_sha256 = Sha256Digest::of(new.as_bytes());
        let kept = written.into_iter().zip(places).filter(|(written, _)| !goes(written));
        let written = kept.map(|(written, at)| Written { at, text_sha256, ..written }).collect();
        Some(Rewritten { text: new, written, urls })
    }

    /// The statements that write a text over `old`, and what the journal is to say of it. They fail when the row has another text by then.
    ///
    /// # Errors
    /// When a text has no JSON form.
    pub fn write(
        &self,
        run: &Run,
        column: usize,
        row: &str,
        old: &str,
        new: &Rewritten,
    ) -> Result<Vec<Statement>, DatabaseError> {
        let Some(table) = self.tables.get(column) else { return Ok(Vec::new()) };
        let mut statements = Vec::new();
        if old != new.text {
            statements.extend([statements::write(table, row, old, &new.text), require_one_change()]);
        }
        statements.extend(statements::record(&self.source, &statements::place(table), row, &run.id, &new.written)?);
        Ok(statements)
    }

    /// The statements that make the journal forget a text.
    ///
    /// # Errors
    /// Never; as [`References::write`].
    pub fn forget(&self, run: &Run, column: usize, row: &str) -> Result<Vec<Statement>, DatabaseError> {
        let Some(table) = self.tables.get(column) else { return Ok(Vec::new()) };
        statements::record(&self.source, &statements::place(table), row, &run.id, &[])
    }

    /// The statements that fail unless these copies are what the journal has.
    ///
    /// # Errors
    /// When a key has no JSON form.
    pub fn require(run: &Run, copies: &[&Copy]) -> Result<[Statement; 2], DatabaseError> {
        Ok([statements::require_copies(run, copies)?, require_one_change()])
    }

    /// The URL of a copy; `None` when nobody serves it.
    #[must_use]
    pub fn url_of(base: &PublicBase, copy: &Copy) -> Option<String> {
        match base {
            PublicBase::Worker(_) if copy.is_image == 0 => None,
            base => Some(base.url(&copy.storage_key, copy.image_id)),
        }
    }
}

/// Where what was written is in a text that has changed since.
fn relocated(text: &str, written: Vec<Written>) -> Vec<Written> {
    let by_url: BTreeMap<_, _> = written.into_iter().map(|written| (written.new_url.clone(), written)).collect();
    let found = locate(text, by_url.keys().map(String::as_str));
    found.into_iter().filter_map(|(at, url)| Some(Written { at, ..by_url.get(url)?.clone() })).collect()
}
