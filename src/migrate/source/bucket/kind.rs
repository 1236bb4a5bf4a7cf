//! Buckets as a kind of source.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use async_trait::async_trait;

use super::config::BucketSource;
use super::items::BucketItems;
use super::movable::{IMAGE_ID, SetAside};
use super::originals::BucketOriginals;
use super::reached::reach;
use crate::http::HttpClient;
use crate::image::{ImageId, ObjectKey};
use crate::migrate::destination::SOURCE;
use crate::migrate::runs::{IdType, Ledger, Run, Totals};
use crate::migrate::source::references::References;
use crate::migrate::source::{
    Count, Databases, Images, Kind, OWN_BINDING, Objects, Reached, Source, SourceError, SourceStatus, Surroundings,
    Unusable,
};
use crate::migrate::task::Refusal;
use crate::runtime::Runtime;
use crate::s3::Client;
use crate::sql::{DatabaseError, Statement};
use crate::store::ObjectInfo;

/// The buckets that are configured. Their runs and journals are in the catalogue's database.
pub struct BucketKind {
    pub databases: Databases,
    pub sources: Vec<Rc<BucketSource>>,
    pub client: Rc<dyn HttpClient>,
    /// How long a call to a server may take, in milliseconds.
    pub timeout_ms: u64,
}

impl BucketKind {
    fn source(&self, name: &str) -> Option<&Rc<BucketSource>> {
        self.sources.iter().find(|source| source.name == name)
    }

    fn client(&self, name: &str, runtime: &Rc<dyn Runtime>) -> Result<(Rc<BucketSource>, Rc<Client>), SourceError> {
        let source = self.source(name).ok_or_else(|| SourceError::Unknown { name: name.to_owned() })?;
        let bucket = source.bucket().ok_or_else(|| SourceError::Unusable {
            name: name.to_owned(),
            problem: Unusable { field: "name", rule: format!("needs the secrets {}", source.secrets().join(" and ")) },
        })?;
        let client =
            Client { bucket, http: Rc::clone(&self.client), runtime: Rc::clone(runtime), timeout_ms: self.timeout_ms };
        Ok((Rc::clone(source), Rc::new(client)))
    }
}

#[async_trait(?Send)]
impl Kind for BucketKind {
    async fn names(&self) -> Result<Vec<String>, DatabaseError> {
        Ok(self.sources.iter().map(|source| source.name.clone()).collect())
    }

    fn binding(&self, name: &str) -> Option<String> {
        self.source(name).map(|_| OWN_BINDING.to_owned())
    }

    async fn check(&self, name: &str) -> Result<Result<(), SourceError>, DatabaseError> {
        let Some(source) = self.source(name) else {
            return Ok(Err(SourceError::Unknown { name: name.to_owned() }));
        };
        Ok(source.bucket().map(drop).ok_or_else(|| SourceError::Unusable {
            name: name.to_owned(),
            problem: Unusable { field: "name", rule: format!("needs the secrets {}", source.secrets().join(" and ")) },
        }))
    }

    async fn open(&self, run: &Run, surroundings: &Surroundings) -> Result<Result<Source, SourceError>, DatabaseError> {
        let runtime = Rc::clone(&surroundings.destination.runtime);
        let (source, client) = match self.client(&run.source, &runtime) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let references = match &source.references {
            Some(config) => match References::open(&**self.databases.own(), &source.name, config).await? {
                Ok(references) => Some(references),
                Err(problem) => return Ok(Err(SourceError::Unusable { name: source.name.clone(), problem })),
            },
            None => None,
        };
        Ok(Ok(Source {
            ids: IdType::Text,
            place: source.place(),
            items: Box::new(BucketItems {
                source: Rc::clone(&source),
                client: Rc::clone(&client),
                bucket_is_public: surroundings.bucket_is_public,
                in_parts: surroundings.in_parts.clone(),
                destination: surroundings.destination.clone(),
                page: RefCell::new(None),
                has_changed: Rc::new(Cell::new(false)),
                set_aside: SetAside::default(),
            }),
            originals: Box::new(BucketOriginals { source: Rc::clone(&source), client, runtime }),
            objects: Box::new(BucketObjects { source }),
            archive: None,
            references,
        }))
    }

    async fn reach(
        &self,
        run: &Run,
        item: &str,
        surroundings: &Surroundings,
    ) -> Result<Result<Result<Reached, Refusal>, SourceError>, DatabaseError> {
        match self.client(&run.source, &surroundings.destination.runtime) {
            Ok((source, client)) => Ok(Ok(reach(&source, client, surroundings, item, self.databases.own()).await?)),
            Err(error) => Ok(Err(error)),
        }
    }

    fn holds_originals(&self) -> bool {
        false
    }

    async fn shows(&self, source: &str, _: &str, _: ImageId) -> Result<Result<bool, SourceError>, DatabaseError> {
        // Nobody here shows what another bucket holds.
        Ok(self.source(source).map(|_| false).ok_or_else(|| SourceError::Unknown { name: source.to_owned() }))
    }

    async fn statuses(&self, _runtime: &Rc<dyn Runtime>) -> Result<Vec<SourceStatus>, DatabaseError> {
        let mut statuses = Vec::new();
        for source in &self.sources {
            let ledger = Ledger::new(Rc::clone(self.databases.own()));
            let journal = Totals::of(&source.name, &ledger).await?;
            // How many objects wait only a listing could say.
            let images = Images { moved: journal.moved, may_be_more: true, ..Images::default() };
            statuses.push(SourceStatus {
                name: source.name.clone(),
                journal: Some(journal),
                count: Ok(Count::Now(images)),
            });
        }
        Ok(statuses)
    }

    async fn count_on(&self, _runtime: &Rc<dyn Runtime>) -> Result<(), DatabaseError> {
        Ok(())
    }
}

/// The copies of one bucket. Their keys may be anybody's, and their metadata say what they are.
struct BucketObjects {
    source: Rc<BucketSource>,
}

impl Objects for BucketObjects {
    fn prefix(&self) -> String {
        self.source.key_prefix()
    }

    fn owns(&self, object: &ObjectInfo) -> bool {
        object.metadata.get(SOURCE) == Some(&self.source.name) && self.image_of(object).is_some()
    }

    fn image_of(&self, object: &ObjectInfo) -> Option<ImageId> {
        object.metadata.get(IMAGE_ID)?.parse().ok()
    }

    fn shared_by(&self) -> Option<&str> {
        Some(&self.source.name)
    }

    fn rows_in_bucket(&self, _after: Option<&ObjectKey>) -> Option<Statement> {
        None
    }
}
