//! Tables as a kind of source: which there are, and how one is opened.

use std::rc::Rc;

use async_trait::async_trait;
use futures::lock::Mutex;

use super::catalogue::TableCatalogue;
use super::config::{BUILT_IN, TableSource};
use super::definition::Table;
use super::items::TableItems;
use super::objects::TableObjects;
use super::originals::TableOriginals;
use super::returned_rows::TableReturnedRows;
use super::saved_rows::TableSavedRows;
use super::schema::Schema;
use crate::image::ImageId;
use crate::migrate::runs::Run;
use crate::migrate::source::{Archive, Databases, Kind, OWN_BINDING, Source, SourceError, SourceStatus, Surroundings};
use crate::runtime::Runtime;
use crate::sql::{Database, DatabaseError};

/// The tables that are configured, and the one of the built-in shape.
pub struct TableKind {
    pub databases: Databases,
    /// What `MIGRATION_SOURCES` says.
    pub tables: Rc<[TableSource]>,
    /// Whether a table of the built-in shape is a source.
    pub has_built_in: bool,
}

impl TableKind {
    /// What is configured for a source of this name, or built in.
    pub(in crate::migrate::source) fn configured(&self, name: &str) -> Option<TableSource> {
        let found = self.tables.iter().find(|source| source.name == name).cloned();
        found.or_else(|| (name == BUILT_IN && self.has_built_in).then(TableSource::built_in))
    }

    pub(in crate::migrate::source) fn is_configured(&self, name: &str) -> bool {
        self.tables.iter().any(|source| source.name == name)
    }

    /// The database that a source is in.
    pub(in crate::migrate::source) fn database_of(&self, name: &str) -> Rc<dyn Database> {
        self.databases.at(self.configured(name).as_ref().map_or(OWN_BINDING, |source| &source.binding))
    }

    /// A source held against the live schema.
    pub(in crate::migrate::source) async fn table(
        &self,
        name: &str,
    ) -> Result<Result<Table, SourceError>, DatabaseError> {
        let Some(source) = self.configured(name) else {
            return Ok(Err(SourceError::Unknown { name: name.to_owned() }));
        };
        let database = self.databases.at(&source.binding);
        Ok(match Schema::read(&*database, &source).await? {
            Ok(schema) => Ok(Table { source, schema }),
            Err(_) if !self.is_configured(name) => Err(SourceError::Unknown { name: name.to_owned() }),
            Err(problem) => Err(SourceError::Unusable { name: name.to_owned(), problem }),
        })
    }
}

#[async_trait(?Send)]
impl Kind for TableKind {
    async fn names(&self) -> Result<Vec<String>, DatabaseError> {
        let mut names: Vec<_> = self.tables.iter().map(|source| source.name.clone()).collect();
        if self.has_built_in && !self.is_configured(BUILT_IN) && self.table(BUILT_IN).await?.is_ok() {
            names.push(BUILT_IN.to_owned());
        }
        Ok(names)
    }

    fn binding(&self, name: &str) -> Option<String> {
        self.configured(name).map(|source| source.binding)
    }

    async fn check(&self, name: &str) -> Result<Result<(), SourceError>, DatabaseError> {
        Ok(self.table(name).await?.map(drop))
    }

    async fn open(&self, run: &Run, surroundings: &Surroundings) -> Result<Result<Source, SourceError>, DatabaseError> {
        let table = match self.table(&run.source).await? {
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
        let runtime = Rc::clone(&destination.runtime);
        Ok(Ok(Source {
            ids: table.schema.ids,
            place: table.place(),
            items: Box::new(TableItems {
                table: Rc::clone(&table),
                catalogue: catalogue.clone(),
                bucket_is_public: surroundings.bucket_is_public,
                key_secrets: surroundings.key_secrets,
            }),
            originals: Box::new(TableOriginals {
                table: Rc::clone(&table),
                catalogue: catalogue.clone(),
                destination,
                dry_run: run.is_dry_run(),
                writing_down: Mutex::default(),
            }),
            objects: Box::new(TableObjects { catalogue: catalogue.clone() }),
            archive: Some(Archive {
                saved: Box::new(TableSavedRows { table: Rc::clone(&table), database: Rc::clone(&database) }),
                returned: Box::new(TableReturnedRows { table, catalogue, database, runtime }),
            }),
            references: None,
        }))
    }

    async fn shows(
        &self,
        source: &str,
        item: &str,
        image: ImageId,
    ) -> Result<Result<bool, SourceError>, DatabaseError> {
        let table = match self.table(source).await? {
            Ok(table) => table,
            Err(error) => return Ok(Err(error)),
        };
        let shown = self.databases.at(&table.source.binding).run(table.shows(item, image)).await?;
        Ok(Ok(shown.first::<serde_json::Value>()?.is_some()))
    }

    async fn statuses(&self, runtime: &Rc<dyn Runtime>) -> Result<Vec<SourceStatus>, DatabaseError> {
        self.count_each(runtime).await
    }

    async fn count_on(&self, runtime: &Rc<dyn Runtime>) -> Result<(), DatabaseError> {
        self.count_further(runtime).await
    }
}
