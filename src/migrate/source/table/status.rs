//! How far each table is: its images, where they are, and what a broken source says instead.

use std::rc::Rc;

use serde::Deserialize;

use super::config::BUILT_IN;
use super::count::{AtOnce, KeptCounts, UNDER_WAY};
use super::definition::Table;
use super::kind::TableKind;
use crate::migrate::runs::{Ledger, Run, Totals, first_run, journal};
use crate::migrate::source::{Count, Images, SourceError, SourceFailure, SourceStatus, ledger_answer};
use crate::runtime::{Runtime, Timestamp};
use crate::sql::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement};

/// A kept count is made anew when it is asked for and this old: the application writes to its table without telling.
const RECOUNT_MS: i64 = 24 * 60 * 60 * 1000;
/// The same after a run has moved images.
const RECOUNT_MOVED_MS: i64 = 10 * 60 * 1000;
/// The most slices that a cron event counts, five statements each: 100,000 rows, well below the 1,000 statements of an invocation.
const SLICES_AN_EVENT: u16 = 50;
/// How long, in milliseconds, a cron event goes on counting.
const EVENT_MS: i64 = 20_000;

/// What one round trip said of a source.
struct Looked {
    journal: Totals,
    latest: Option<Run>,
    kept: KeptCounts,
}

impl TableKind {
    /// How far each table source is. Reads at most [`super::COUNTED_ROWS`] rows of a table and an entry of the journal for each, and as many again when a kept count goes on. A source that cannot be read says why; the others are counted all the same.
    ///
    /// # Errors
    /// When the catalogue's database cannot say whether there is a built-in source.
    pub async fn count_each(&self, runtime: &Rc<dyn Runtime>) -> Result<Vec<SourceStatus>, DatabaseError> {
        let mut statuses = Vec::new();
        for source in self.tables.iter() {
            let table = self.table(&source.name).await;
            statuses.push(self.status(&source.name, table, runtime).await);
        }
        if self.has_built_in
            && !self.is_configured(BUILT_IN)
            && let Ok(table) = self.table(BUILT_IN).await?
        {
            statuses.push(self.status(BUILT_IN, Ok(Ok(table)), runtime).await);
        }
        Ok(statuses)
    }

    async fn status(
        &self,
        name: &str,
        table: Result<Result<Table, SourceError>, DatabaseError>,
        runtime: &Rc<dyn Runtime>,
    ) -> SourceStatus {
        let counted = match table {
            Ok(Ok(table)) => self.count(&table, runtime).await.map_err(SourceFailure::Database),
            Ok(Err(error)) => Err(SourceFailure::Source(error)),
            Err(error) => Err(error.into()),
        };
        let name = name.to_owned();
        match counted {
            Ok((journal, count)) => SourceStatus { name, journal: Some(journal), count: Ok(count) },
            Err(failure) => {
                let journal = Totals::of(&name, &Ledger::new(self.database_of(&name))).await.ok();
                let count = Err(self.naming_failure(&name, failure));
                SourceStatus { name, journal, count }
            }
        }
    }

    fn naming_failure(&self, name: &str, failure: SourceFailure) -> SourceFailure {
        match (failure, self.configured(name)) {
            (SourceFailure::Database(error), Some(source)) if error.kind == DatabaseErrorKind::Schema => {
                SourceFailure::Source(SourceError::NotMigrated { binding: source.binding })
            }
            (failure, _) => failure,
        }
    }

    async fn count(&self, table: &Table, runtime: &Rc<dyn Runtime>) -> Result<(Totals, Count), DatabaseError> {
        let database = self.database_of(&table.source.name);
        let mut statements = look(table);
        statements.push(table.count_at_once());
        let answers = database.batch(statements).await?;
        let looked = Looked::read(table, &answers)?;
        let at_once = answers.last().map(|answer| AtOnce::read(answer, &looked.kept)).transpose()?.flatten();
        if let Some(images) = at_once {
            return Ok((looked.journal, Count::Now(images.into())));
        }
        let now = runtime.now();
        let looked = if looked.wants_a_count(now) { count_slice(&database, table, now).await? } else { looked };
        Ok((looked.journal, looked.kept_count()))
    }

    /// Goes on with the counts that have begun, each as far as one invocation goes.
    ///
    /// # Errors
    /// When a database fails.
    pub async fn count_further(&self, runtime: &Rc<dyn Runtime>) -> Result<(), DatabaseError> {
        #[derive(Deserialize)]
        struct Row {
            source: String,
        }
        let until = runtime.now().plus_millis(EVENT_MS);
        let mut slices = 0;
        for (is_own, ledger) in self.databases.ledgers() {
            let under_way = ledger_answer(is_own, ledger.database().run(Statement::new(UNDER_WAY)).await)?;
            let under_way: Vec<Row> = if under_way.rows_json.is_empty() { Vec::new() } else { under_way.rows()? };
            for Row { source } in under_way {
                let Ok(table) = self.table(&source).await? else { continue };
                let database = self.database_of(&source);
                if !Rc::ptr_eq(&database, ledger.database()) {
                    continue;
                }
                let mut goes_on = true;
                while goes_on && slices < SLICES_AN_EVENT && runtime.now() < until {
                    goes_on = count_slice(&database, &table, runtime.now()).await?.kept.under_way.is_some();
                    slices += 1;
                }
            }
        }
        Ok(())
    }
}

/// Begins a count where none is under way, takes it on by a slice, and says how the source stands then.
async fn count_slice(database: &Rc<dyn Database>, table: &Table, now: Timestamp) -> Result<Looked, DatabaseError> {
    let mut statements = vec![table.begin_count(now)];
    statements.extend(table.count_further(now));
    let counting = statements.len();
    statements.extend(look(table));
    let answers = database.batch(statements).await?;
    Looked::read(table, answers.get(counting..).unwrap_or_default())
}

/// What the journal and the kept counts say, for [`Looked::read`].
fn look(table: &Table) -> Vec<Statement> {
    let source = &table.source.name;
    vec![journal::stages(source), Ledger::select_latest_migration(source), table.kept_counts()]
}

impl Looked {
    fn read(table: &Table, answers: &[QueryResult]) -> Result<Self, DatabaseError> {
        let [stages, latest, kept, ..] = answers else { return Ok(Self::nothing()) };
        let latest = first_run(latest)?;
        let journal = Totals::read(stages, latest.as_ref())?;
        Ok(Self { journal, latest, kept: KeptCounts::read(kept, table)? })
    }

    fn nothing() -> Self {
        Self { journal: Totals::default(), latest: None, kept: KeptCounts::default() }
    }

    /// Whether a count is under way, or the kept one is too old.
    fn wants_a_count(&self, now: Timestamp) -> bool {
        let Some(kept) = self.kept.complete.as_ref().filter(|_| self.kept.under_way.is_none()) else { return true };
        let moved_since = self.latest.as_ref().is_some_and(|run| run.updated_at > kept.began_at_ms)
            || self.journal.moved + self.journal.cleaned != kept.moves;
        let age_ms = now.as_millis() - kept.counted_at_ms.unwrap_or(kept.began_at_ms).as_millis();
        age_ms >= if moved_since { RECOUNT_MOVED_MS } else { RECOUNT_MS }
    }

    fn kept_count(&self) -> Count {
        let Some((kept, counted_at)) = self.kept.complete.as_ref().and_then(|kept| Some((kept, kept.counted_at_ms?)))
        else {
            return Count::UnderWay;
        };
        let Totals { moved, cleaned, .. } = self.journal;
        let images = Images {
            moved: moved.saturating_sub(kept.stale_moved),
            cleaned: cleaned.saturating_sub(kept.stale_cleaned),
            may_be_more: moved + cleaned != kept.moves,
            ..Images::default()
        };
        let waiting = kept.images.saturating_sub(images.migrated());
        // The average is of every image in the database: which of them waits is not kept.
        let bytes = u128::from(waiting) * u128::from(kept.data_bytes) / u128::from(kept.data_rows.max(1));
        let waiting_bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Count::Kept { images: Images { waiting, waiting_bytes, ..images }, counted_at }
    }
}

impl From<AtOnce> for Images {
    fn from(AtOnce { waiting, waiting_bytes, moved, cleaned, .. }: AtOnce) -> Self {
        Self { waiting, waiting_bytes, moved, cleaned, may_be_more: false }
    }
}
