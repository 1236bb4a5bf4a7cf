//! The sources that a run can have, and the database that each is in.

use std::fmt;
use std::rc::Rc;

use super::EMBEDDED;
use super::engine::Totals;
use super::journal::{self, Stage};
use super::ledger::{BeginError, Ledger};
use super::run::{Run, RunId};
use super::table::{BUILT_IN, OWN_BINDING, Schema, Table, TableSource, Unusable};
use crate::sql::{Database, DatabaseError, DatabaseErrorKind};

/// Why a run cannot have a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceError {
    /// Nothing of this name is configured, or there as a table of the built-in shape.
    Unknown { name: String },
    /// The live schema contradicts the configuration.
    Unusable { name: String, problem: Unusable },
    /// The database that the source is in lacks Stillstore's tables.
    NotMigrated { binding: String },
}

/// Where images can come from: the catalogue's own database, and the tables that are configured.
pub struct Sources {
    /// The database of the catalogue, binding `DB`.
    pub database: Rc<dyn Database>,
    /// Further databases that sources are in, by binding.
    pub others: Rc<[(String, Rc<dyn Database>)]>,
    /// What `MIGRATION_SOURCES` says.
    pub tables: Rc<[TableSource]>,
}

impl SourceError {
    /// The kind as a short kebab-case word.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "source-unknown",
            Self::Unusable { .. } => "source-unusable",
            Self::NotMigrated { .. } => "database-not-migrated",
        }
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in match self {
            Self::Unknown { name } => ["there is no source ", name, "", "", ""],
            Self::Unusable { name, problem } => ["the source ", name, ": ", problem.field, " "],
            Self::NotMigrated { binding } => ["the database bound as ", binding, " lacks Stillstore's tables", "", ""],
        } {
            formatter.write_str(part)?;
        }
        if let Self::Unusable { problem, .. } = self { formatter.write_str(&problem.rule) } else { Ok(()) }
    }
}

impl std::error::Error for SourceError {}

/// What a database answered: nothing, when it is a further one and Stillstore's tables are not in it.
pub(super) fn ledger_answer<T: Default>(is_own: bool, answer: Result<T, DatabaseError>) -> Result<T, DatabaseError> {
    match answer {
        Err(error) if error.kind == DatabaseErrorKind::Schema && !is_own => Ok(T::default()),
        answer => answer,
    }
}

impl Sources {
    /// What is configured for a source of this name, or built in.
    pub(super) fn configured(&self, name: &str) -> Option<TableSource> {
        let found = self.tables.iter().find(|source| source.name == name).cloned();
        found.or_else(|| (name == BUILT_IN).then(TableSource::built_in))
    }

    pub(super) fn is_configured(&self, name: &str) -> bool {
        self.tables.iter().any(|source| source.name == name)
    }

    fn database_at(&self, binding: &str) -> Rc<dyn Database> {
        let other = self.others.iter().find(|(name, _)| name == binding);
        Rc::clone(other.map_or(&self.database, |(_, database)| database))
    }

    /// The database that a source is in.
    pub(super) fn database_of(&self, source: &str) -> Rc<dyn Database> {
        self.database_at(self.configured(source).as_ref().map_or(OWN_BINDING, |source| &source.binding))
    }

    /// The ledgers of every database, that of the catalogue first and marked as such.
    pub(super) fn ledgers(&self) -> impl Iterator<Item = (bool, Ledger)> {
        let others = self.others.iter().map(|(_, database)| (false, database));
        let all = std::iter::once((true, &self.database)).chain(others);
        all.map(|(is_own, database)| (is_own, Ledger::new(Rc::clone(database))))
    }

    /// The ledger that has a run; the catalogue's when none has it.
    pub(super) async fn ledger_with(&self, id: &RunId) -> Result<Ledger, DatabaseError> {
        if !self.others.is_empty() {
            for (is_own, ledger) in self.ledgers() {
                if ledger_answer(is_own, ledger.find(id).await)?.is_some() {
                    return Ok(ledger);
                }
            }
        }
        Ok(Ledger::new(Rc::clone(&self.database)))
    }

    /// The ledger for new runs over a source, which is usable.
    pub(super) async fn ledger_of(&self, source: &str) -> Result<Ledger, BeginError> {
        let ledger = Ledger::new(self.database_of(source));
        if source == EMBEDDED {
            return Ok(ledger);
        }
        self.table(source).await?.map_err(BeginError::Source)?;
        Ok(ledger)
    }

    /// Names the binding of a database that lacks Stillstore's tables.
    pub(super) fn naming_binding(&self, source: &str, error: BeginError) -> BeginError {
        match (&error, self.configured(source)) {
            (BeginError::Database(cause), Some(source)) if cause.kind == DatabaseErrorKind::Schema => {
                BeginError::Source(SourceError::NotMigrated { binding: source.binding })
            }
            _ => error,
        }
    }

    /// A table source held against the live schema.
    pub(super) async fn table(&self, name: &str) -> Result<Result<Table, SourceError>, DatabaseError> {
        let Some(source) = self.configured(name) else {
            return Ok(Err(SourceError::Unknown { name: name.to_owned() }));
        };
        let database = self.database_at(&source.binding);
        Ok(match Schema::read(&*database, &source).await? {
            Ok(schema) => Ok(Table { source, schema }),
            Err(_) if !self.is_configured(name) => Err(SourceError::Unknown { name: name.to_owned() }),
            Err(problem) => Err(SourceError::Unusable { name: name.to_owned(), problem }),
        })
    }

    /// The names of all sources: [`EMBEDDED`], those configured, and the built-in one when its table is there.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn source_names(&self) -> Result<Vec<String>, DatabaseError> {
        let mut names: Vec<_> = std::iter::once(EMBEDDED)
            .chain(self.tables.iter().map(|source| source.name.as_str()))
            .map(str::to_owned)
            .collect();
        if !self.is_configured(BUILT_IN) && self.table(BUILT_IN).await?.is_ok() {
            names.push(BUILT_IN.to_owned());
        }
        Ok(names)
    }

    /// The source of a run whose caller names none: [`EMBEDDED`] when it holds or held anything, else the only usable table source,
    /// else [`EMBEDDED`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn default_source(&self, embedded_images: u64) -> Result<String, DatabaseError> {
        let mut usable = Vec::new();
        for name in self.source_names().await? {
            if name != EMBEDDED && self.table(&name).await?.is_ok() {
                usable.push(name);
            }
        }
        let Ok([only]) = <[String; 1]>::try_from(usable) else { return Ok(EMBEDDED.to_owned()) };
        let Totals { moved, cleaned, .. } = self.totals(EMBEDDED).await?;
        Ok(if embedded_images + moved + cleaned > 0 { EMBEDDED.to_owned() } else { only })
    }

    /// A run by its id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn find(&self, id: &RunId) -> Result<Option<Run>, DatabaseError> {
        for (is_own, ledger) in self.ledgers() {
            if let Some(run) = ledger_answer(is_own, ledger.find(id).await)? {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    /// The run that began last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest(&self) -> Result<Option<Run>, DatabaseError> {
        let mut latest: Option<Run> = None;
        for (is_own, ledger) in self.ledgers() {
            let run = ledger_answer(is_own, ledger.latest(1).await)?.pop();
            latest = latest.into_iter().chain(run).max_by_key(|run| run.created_at);
        }
        Ok(latest)
    }

    /// The run of `source` that began last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_of(&self, source: &str) -> Result<Option<Run>, DatabaseError> {
        let database = self.database_of(source);
        let is_own = Rc::ptr_eq(&database, &self.database);
        ledger_answer(is_own, Ledger::new(database).latest_of(source).await)
    }

    /// How far `source` is by the journal, at a cost that does not grow with it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn totals(&self, source: &str) -> Result<Totals, DatabaseError> {
        let ledger = Ledger::new(self.database_of(source));
        let stages = ledger.database().run(journal::stages(source)).await?;
        let latest = ledger.latest_migration(source).await?;
        Ok(Totals {
            moved: journal::items_in(Stage::Moved, &stages)?,
            cleaned: journal::items_in(Stage::Cleaned, &stages)?,
            failed: latest.map_or(0, |run| run.progress.failures()),
        })
    }

    /// The migration of `source` that began last and was no dry run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_migration(&self, source: &str) -> Result<Option<Run>, DatabaseError> {
        Ledger::new(self.database_of(source)).latest_migration(source).await
    }
}
