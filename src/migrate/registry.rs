//! The sources that a run can have, and the database that each is in. The only file that names the kinds.

use std::rc::Rc;

use serde::Serialize;

use super::runs::journal::KeptOriginals;
use super::runs::{Ledger, Run, RunId, Totals, journal};
use super::source::bucket::BucketKind;
use super::source::embedded::EmbeddedKind;
use super::source::table::{BUILT_IN, TableKind};
use super::source::url::{Outside, UrlKind};
use super::source::{
    ConfiguredSource, Databases, EMBEDDED, Kind, OWN_BINDING, Reached, Source, SourceError, SourceStatus, Surroundings,
    ledger_answer,
};
use super::task::Refusal;
use crate::catalog::SourceItem;
use crate::image::ImageId;
use crate::runtime::Runtime;
use crate::sql::{Database, DatabaseError, DatabaseErrorKind, Statement};

/// Originals that are in a database although their images are in the bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Freeable {
    /// Images in R2 whose original is in a database still.
    pub images: u64,
    /// What the originals take there as base64, by the average of up to 1,000 of each source.
    pub bytes: u64,
}

/// Where images can come from.
pub struct Sources {
    databases: Databases,
    kinds: Vec<Rc<dyn Kind>>,
}

impl Sources {
    /// The sources over the catalogue's database, `others` by their bindings, and `configured`, which is what `MIGRATION_SOURCES` says.
    #[must_use]
    pub fn new(
        database: Rc<dyn Database>,
        others: Rc<[(String, Rc<dyn Database>)]>,
        configured: &[ConfiguredSource],
        outside: Outside,
    ) -> Self {
        let databases = Databases::new(Rc::clone(&database), others);
        let (mut tables, mut links, mut buckets) = (Vec::new(), Vec::new(), Vec::new());
        for source in configured {
            match source {
                ConfiguredSource::Table(source) => tables.push(source.clone()),
                ConfiguredSource::Url(source) => links.push(source.clone()),
                ConfiguredSource::Bucket(source) => buckets.push(Rc::new(source.clone())),
            }
        }
        let has_built_in = !configured.iter().any(|source| source.name() == BUILT_IN);
        let tables = TableKind { databases: databases.clone(), tables: tables.into(), has_built_in };
        let buckets = BucketKind {
            databases: databases.clone(),
            sources: buckets,
            client: Rc::clone(&outside.client),
            timeout_ms: outside.timeout_ms,
        };
        let kinds: Vec<Rc<dyn Kind>> = vec![
            Rc::new(EmbeddedKind { database }),
            Rc::new(tables),
            Rc::new(buckets),
            Rc::new(UrlKind::new(databases.clone(), links, outside)),
        ];
        Self { databases, kinds }
    }

    /// With sources of one more kind.
    #[must_use]
    pub fn with_kind(mut self, kind: Rc<dyn Kind>) -> Self {
        self.kinds.push(kind);
        self
    }

    /// The kind that has a source of this name, and the binding of the source's database.
    fn kind_of(&self, name: &str) -> Option<(&Rc<dyn Kind>, String)> {
        self.kinds.iter().find_map(|kind| Some((kind, kind.binding(name)?)))
    }

    /// The ledger of the database that a source is in.
    pub(super) fn ledger_at(&self, source: &str) -> Ledger {
        let binding = self.kind_of(source).map(|(_, binding)| binding);
        Ledger::new(self.databases.at(binding.as_deref().unwrap_or(OWN_BINDING)))
    }

    /// The ledgers of every database, that of the catalogue first and marked as such.
    pub(super) fn ledgers(&self) -> impl Iterator<Item = (bool, Ledger)> {
        self.databases.ledgers()
    }

    /// The database of the catalogue.
    pub(super) fn catalogue(&self) -> &Rc<dyn Database> {
        self.databases.own()
    }

    /// The ledger that has a run; the catalogue's when none has it.
    pub(super) async fn ledger_with(&self, id: &RunId) -> Result<Ledger, DatabaseError> {
        if !self.databases.is_single() {
            for (is_own, ledger) in self.ledgers() {
                if ledger_answer(is_own, ledger.find(id).await)?.is_some() {
                    return Ok(ledger);
                }
            }
        }
        Ok(Ledger::new(Rc::clone(self.databases.own())))
    }

    /// The ledger for new runs over a source, when it is usable.
    pub(super) async fn ledger_of(&self, source: &str) -> Result<Result<Ledger, SourceError>, DatabaseError> {
        let Some((kind, _)) = self.kind_of(source) else {
            return Ok(Err(SourceError::Unknown { name: source.to_owned() }));
        };
        Ok(kind.check(source).await?.map(|()| self.ledger_at(source)))
    }

    /// The source of a run.
    pub(super) async fn open(
        &self,
        run: &Run,
        surroundings: &Surroundings,
    ) -> Result<Result<Source, SourceError>, DatabaseError> {
        match self.kind_of(&run.source) {
            Some((kind, _)) => kind.open(run, surroundings).await,
            None => Ok(Err(SourceError::Unknown { name: run.source.clone() })),
        }
    }

    /// Whether a source can be used now.
    pub(super) async fn is_usable(&self, name: &str) -> Result<bool, DatabaseError> {
        match self.kind_of(name) {
            Some((kind, _)) => Ok(kind.check(name).await?.is_ok()),
            None => Ok(false),
        }
    }

    /// Asks what the row of an item says at this moment; `None` where items are no rows.
    pub(super) fn row_now(&self, name: &str, item: &str) -> Option<Statement> {
        self.kind_of(name).and_then(|(kind, _)| kind.row_now(name, item))
    }

    /// An item of the run's source that somebody waits for who reads its image.
    pub(super) async fn reach(
        &self,
        run: &Run,
        item: &str,
        surroundings: &Surroundings,
    ) -> Result<Result<Result<Reached, Refusal>, SourceError>, DatabaseError> {
        match self.kind_of(&run.source) {
            Some((kind, _)) => kind.reach(run, item, surroundings).await,
            None => Ok(Err(SourceError::Unknown { name: run.source.clone() })),
        }
    }

    /// Names the binding of a database that lacks Stillstore's tables.
    pub(super) fn not_migrated(&self, source: &str, error: &DatabaseError) -> Option<SourceError> {
        let (_, binding) = self.kind_of(source).filter(|_| error.kind == DatabaseErrorKind::Schema)?;
        (source != EMBEDDED).then_some(SourceError::NotMigrated { binding })
    }

    /// The names of all sources, [`EMBEDDED`] first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn source_names(&self) -> Result<Vec<String>, DatabaseError> {
        let mut names = Vec::new();
        for kind in &self.kinds {
            names.extend(kind.names().await?);
        }
        Ok(names)
    }

    /// The source of a run whose caller names none: [`EMBEDDED`] when it holds or held anything, else the only other usable source,
    /// else [`EMBEDDED`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn default_source(&self, embedded_images: u64) -> Result<String, DatabaseError> {
        let mut usable = Vec::new();
        for name in self.source_names().await? {
            if name != EMBEDDED && self.ledger_of(&name).await?.is_ok() {
                usable.push(name);
            }
        }
        let Ok([only]) = <[String; 1]>::try_from(usable) else { return Ok(EMBEDDED.to_owned()) };
        let Totals { moved, cleaned, .. } = self.totals(EMBEDDED).await?;
        Ok(if embedded_images + moved + cleaned > 0 { EMBEDDED.to_owned() } else { only })
    }

    /// How far each source is that the catalogue does not count.
    ///
    /// # Errors
    /// When the catalogue's database cannot say which sources there are.
    pub async fn statuses(&self, runtime: &Rc<dyn Runtime>) -> Result<Vec<SourceStatus>, DatabaseError> {
        let mut statuses = Vec::new();
        for kind in &self.kinds {
            statuses.extend(kind.statuses(runtime).await?);
        }
        Ok(statuses)
    }

    /// Goes on with the counts of sources that have begun, as far as one invocation goes.
    ///
    /// # Errors
    /// When a database fails.
    pub async fn count_on(&self, runtime: &Rc<dyn Runtime>) -> Result<(), DatabaseError> {
        for kind in &self.kinds {
            kind.count_on(runtime).await?;
        }
        Ok(())
    }

    /// What cleanups would free, about: the images whose original is in a database still, and the bytes that those take there as base64.
    /// It reads up to `journal::SAMPLED` entries of each source, and is exact for images of one size.
    ///
    /// # Errors
    /// When a database fails.
    pub async fn freeable(&self) -> Result<Freeable, DatabaseError> {
        let mut freeable = Freeable::default();
        for (is_own, ledger) in self.ledgers() {
            let answer = ledger_answer(is_own, ledger.database().run(journal::kept_originals()).await.map(Some))?;
            for row in answer.map(|answer| answer.rows::<KeptOriginals>()).transpose()?.unwrap_or_default() {
                if self.kind_of(&row.source).is_some_and(|(kind, _)| kind.holds_originals()) {
                    freeable.images += row.items;
                    freeable.bytes += (row.items * row.average_bytes).div_ceil(3) * 4;
                }
            }
        }
        Ok(freeable)
    }

    /// Whether the row that an image was moved out of still shows it. A source that cannot be read may show it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shows(&self, item: &SourceItem, image: ImageId) -> Result<Result<bool, SourceError>, DatabaseError> {
        match self.kind_of(&item.source) {
            Some((kind, _)) => kind.shows(&item.source, &item.item, image).await,
            None => Ok(Err(SourceError::Unknown { name: item.source.clone() })),
        }
    }

    /// Forgets the move of an image that is about to be deleted, where the journal is in another database than the catalogue. In the
    /// catalogue's own, the deletion does.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_move(&self, item: &SourceItem, image: ImageId) -> Result<(), DatabaseError> {
        let ledger = self.ledger_at(&item.source);
        if !Rc::ptr_eq(ledger.database(), self.databases.own()) {
            ledger.database().batch(Vec::from(journal::forget_image(&item.source, &item.item, image))).await?;
        }
        Ok(())
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

    /// The run that began last, in the databases that answer.
    ///
    /// # Errors
    /// When the catalogue's database fails.
    pub async fn latest_reachable(&self) -> Result<Option<Run>, DatabaseError> {
        let mut latest: Option<Run> = None;
        for (is_own, ledger) in self.ledgers() {
            let found = match ledger.latest(1).await {
                Err(error) if is_own => return Err(error),
                found => found.unwrap_or_default(),
            };
            latest = latest.into_iter().chain(found).max_by_key(|run| run.created_at);
        }
        Ok(latest)
    }

    /// The runs that began last, at most `limit` of each database. Those of another database that does not answer are left out.
    ///
    /// # Errors
    /// When our own database fails.
    pub async fn latest_runs(&self, limit: u16) -> Result<Vec<Run>, DatabaseError> {
        let mut latest = Vec::new();
        for (is_own, ledger) in self.ledgers() {
            latest.extend(match ledger.latest(limit).await {
                Err(error) if is_own => return Err(error),
                found => found.unwrap_or_default(),
            });
        }
        Ok(latest)
    }

    /// The run of `source` that began last.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_of(&self, source: &str) -> Result<Option<Run>, DatabaseError> {
        let ledger = self.ledger_at(source);
        let is_own = Rc::ptr_eq(ledger.database(), self.databases.own());
        ledger_answer(is_own, ledger.latest_of(source).await)
    }

    /// How far `source` is by the journal, at a cost that does not grow with it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn totals(&self, source: &str) -> Result<Totals, DatabaseError> {
        Totals::of(source, &self.ledger_at(source)).await
    }

    /// The migration of `source` that began last and was no dry run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_migration(&self, source: &str) -> Result<Option<Run>, DatabaseError> {
        self.ledger_at(source).latest_migration(source).await
    }
}
