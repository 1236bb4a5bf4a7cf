//! Links in tables as a kind of source. What it knows of tables, and how far each is, is what sources of tables know.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;

use super::candidates::Candidates;
use super::config::{HostLimits, UrlSource};
use super::fetching::Fetches;
use super::intake::Intake;
use super::items::UrlItems;
use super::links;
use super::originals::UrlOriginals;
use super::pacing::Pacing;
use super::reached::Reach;
use super::refresher::LinkRefresher;
use super::turns::HostTurns;
use crate::fetch::{AllowedHosts, Fetcher, OwnHost, Rules};
use crate::http::HttpClient;
use crate::image::ImageId;
use crate::migrate::runs::{PublicBase, Run};
use crate::migrate::source::table::{Table, TableCatalogue, TableKind, TableObjects};
use crate::migrate::source::{Databases, Kind, Reached, Source, SourceError, SourceStatus, Surroundings};
use crate::migrate::task::Refusal;
use crate::runtime::Runtime;
use crate::sql::{DatabaseError, DatabaseErrorKind, Statement};

/// How links are fetched, whatever the source.
#[derive(Clone)]
pub struct Outside {
    pub client: Rc<dyn HttpClient>,
    pub allowed_hosts: AllowedHosts,
    /// How long a fetch may take, in milliseconds.
    pub timeout_ms: u64,
    /// Services that renew links.
    pub refreshers: Rc<[Rc<dyn LinkRefresher>]>,
    /// The turns that readers have at hosts.
    pub turns: Rc<HostTurns>,
}

/// The tables of links that are configured.
pub struct UrlKind {
    tables: TableKind,
    databases: Databases,
    sources: Vec<UrlSource>,
    outside: Outside,
}

impl UrlKind {
    /// The sources that are configured, in their databases.
    #[must_use]
    pub fn new(databases: Databases, sources: Vec<UrlSource>, outside: Outside) -> Self {
        let tables = sources.iter().map(|source| source.table.clone()).collect();
        let tables = TableKind { databases: databases.clone(), tables, has_built_in: false };
        Self { tables, databases, sources, outside }
    }

    fn limits(&self, name: &str) -> Option<&HostLimits> {
        self.sources.iter().find(|source| source.table.name == name).map(|source| &source.hosts)
    }

    fn candidates(&self, run: &Run, table: Rc<Table>, surroundings: &Surroundings) -> Candidates {
        let database = self.databases.at(&table.source.binding);
        let own = self.databases.own();
        Candidates {
            catalogue: TableCatalogue {
                source: table.source.name.clone(),
                elsewhere: (!Rc::ptr_eq(own, &database)).then(|| Rc::clone(own)),
            },
            table,
            intake: self.intake(run, surroundings),
            refreshers: Rc::clone(&self.outside.refreshers),
            bucket_is_public: surroundings.bucket_is_public,
            key_secrets: surroundings.key_secrets,
        }
    }

    fn intake(&self, run: &Run, surroundings: &Surroundings) -> Rc<Intake> {
        let fetcher = self.fetcher(run, &surroundings.destination.runtime);
        Rc::new(Intake::new(fetcher, self.outside.timeout_ms))
    }

    fn fetcher(&self, run: &Run, runtime: &Rc<dyn Runtime>) -> Fetcher {
        let (PublicBase::Bucket(own) | PublicBase::Worker(own)) = &run.parameters.public_base;
        Fetcher {
            client: Rc::clone(&self.outside.client),
            runtime: Rc::clone(runtime),
            rules: Rules { allowed: self.outside.allowed_hosts.clone(), own: OwnHost::of_origin(origin(own)) },
        }
    }
}

/// A URL without its path.
fn origin(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    url[after_scheme..].find('/').map_or(url, |at| &url[..after_scheme + at])
}

#[async_trait(?Send)]
impl Kind for UrlKind {
    async fn names(&self) -> Result<Vec<String>, DatabaseError> {
        self.tables.names().await
    }

    fn binding(&self, name: &str) -> Option<String> {
        self.tables.binding(name)
    }

    async fn check(&self, name: &str) -> Result<Result<(), SourceError>, DatabaseError> {
        self.tables.check(name).await
    }

    async fn open(&self, run: &Run, surroundings: &Surroundings) -> Result<Result<Source, SourceError>, DatabaseError> {
        let table = match self.tables.table(&run.source).await? {
            Ok(table) => Rc::new(table),
            Err(error) => return Ok(Err(error)),
        };
        let candidates = self.candidates(run, table, surroundings);
        let Candidates { table, catalogue, .. } = &candidates;
        let (table, catalogue) = (Rc::clone(table), catalogue.clone());
        let limits = self.limits(&run.source).cloned().unwrap_or_default();
        let pacing = Rc::new(RefCell::new(Pacing::new(limits.clone())));
        Ok(Ok(Source {
            ids: table.schema.ids,
            place: table.place(),
            items: Box::new(UrlItems {
                fetches: Fetches::new(Rc::clone(&candidates.intake), Rc::clone(&pacing)),
                candidates,
                pacing,
                limits,
                listed: RefCell::new(BTreeMap::new()),
            }),
            originals: Box::new(UrlOriginals {
                table: Rc::clone(&table),
                catalogue: catalogue.clone(),
                intake: self.intake(run, surroundings),
            }),
            objects: Box::new(TableObjects { catalogue }),
            archive: None,
            references: None,
        }))
    }

    fn row_now(&self, name: &str, item: &str) -> Option<Statement> {
        let source = self.sources.iter().find(|source| source.table.name == name)?;
        Some(links::row_now(&source.table, item))
    }

    async fn reach(
        &self,
        run: &Run,
        item: &str,
        surroundings: &Surroundings,
    ) -> Result<Result<Result<Reached, Refusal>, SourceError>, DatabaseError> {
        let (table, limits) = match (self.tables.table(&run.source).await?, self.limits(&run.source)) {
            (Ok(table), Some(limits)) => (Rc::new(table), limits),
            (Ok(_), None) => return Ok(Err(SourceError::Unknown { name: run.source.clone() })),
            (Err(error), _) => return Ok(Err(error)),
        };
        let database = self.databases.at(&table.source.binding);
        let reach = Reach {
            candidates: self.candidates(run, table, surroundings),
            limits,
            turns: &self.outside.turns,
            database: &*database,
            catalogue: &**self.databases.own(),
        };
        Ok(Ok(reach.reach(run, item).await?))
    }

    fn holds_originals(&self) -> bool {
        false
    }

    async fn shows(
        &self,
        source: &str,
        item: &str,
        image: ImageId,
    ) -> Result<Result<bool, SourceError>, DatabaseError> {
        self.tables.shows(source, item, image).await
    }

    async fn statuses(&self, runtime: &Rc<dyn Runtime>) -> Result<Vec<SourceStatus>, DatabaseError> {
        self.tables.statuses(runtime).await
    }

    async fn count_on(&self, runtime: &Rc<dyn Runtime>) -> Result<(), DatabaseError> {
        self.tables.count_on(runtime).await?;
        for (is_own, ledger) in self.databases.ledgers().filter(|_| !self.sources.is_empty()) {
            match ledger.database().batch(Vec::from(links::forget_ended())).await {
                Err(error) if error.kind == DatabaseErrorKind::Schema && !is_own => {}
                forgotten => drop(forgotten?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn a_public_base_may_have_a_path() {
        for (url, expected) in [
            ("https://cdn.example.com/images", "https://cdn.example.com"),
            ("https://cdn.example.com", "https://cdn.example.com"),
            ("http://127.0.0.1:8787", "http://127.0.0.1:8787"),
            ("", ""),
        ] {
            assert_eq!(origin(url), expected);
        }
    }
}
