//! Links in tables as a kind of source. What it knows of tables, and how far each is, is what sources of tables know.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;

use super::config::UrlSource;
use super::fetching::Fetches;
use super::intake::Intake;
use super::items::UrlItems;
use super::links;
use super::originals::UrlOriginals;
use super::pacing::Pacing;
use super::refresher::LinkRefresher;
use crate::fetch::{AllowedHosts, Fetcher, OwnHost, Rules};
use crate::http::HttpClient;
use crate::image::ImageId;
use crate::migrate::runs::{PublicBase, Run};
use crate::migrate::source::table::{TableCatalogue, TableKind, TableObjects};
use crate::migrate::source::{Databases, Kind, Source, SourceError, SourceStatus, Surroundings};
use crate::runtime::Runtime;
use crate::sql::{DatabaseError, DatabaseErrorKind};

/// How links are fetched, whatever the source.
#[derive(Clone)]
pub struct Outside {
    pub client: Rc<dyn HttpClient>,
    pub allowed_hosts: AllowedHosts,
    /// How long a fetch may take, in milliseconds.
    pub timeout_ms: u64,
    /// Services that renew links.
    pub refreshers: Rc<[Rc<dyn LinkRefresher>]>,
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
        let database = self.databases.at(&table.source.binding);
        let own = self.databases.own();
        let catalogue = TableCatalogue {
            source: table.source.name.clone(),
            elsewhere: (!Rc::ptr_eq(own, &database)).then(|| Rc::clone(own)),
        };
        let destination = surroundings.destination.clone();
        let limits = self.sources.iter().find(|source| source.table.name == run.source);
        let limits = limits.map(|source| source.hosts.clone()).unwrap_or_default();
        let intake = || Rc::new(Intake::new(self.fetcher(run, &destination.runtime), self.outside.timeout_ms));
        let (own_intake, pacing) = (intake(), Rc::new(RefCell::new(Pacing::new(limits.clone()))));
        Ok(Ok(Source {
            ids: table.schema.ids,
            place: table.place(),
            items: Box::new(UrlItems {
                table: Rc::clone(&table),
                catalogue: catalogue.clone(),
                fetches: Fetches::new(Rc::clone(&own_intake), Rc::clone(&pacing)),
                pacing,
                limits,
                intake: own_intake,
                refreshers: Rc::clone(&self.outside.refreshers),
                bucket_is_public: surroundings.bucket_is_public,
                key_secrets: surroundings.key_secrets,
                listed: RefCell::new(BTreeMap::new()),
            }),
            originals: Box::new(UrlOriginals {
                table: Rc::clone(&table),
                catalogue: catalogue.clone(),
                intake: intake(),
            }),
            objects: Box::new(TableObjects { catalogue }),
            archive: None,
            references: None,
        }))
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
