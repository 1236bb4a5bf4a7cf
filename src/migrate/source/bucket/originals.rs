//! The originals of copies: the objects of the other bucket, which stay there.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;

use super::config::BucketSource;
use super::items::names;
use super::movable::MAX_OBJECT_BYTES;
use super::state::ObjectState;
use crate::catalog::moved;
use crate::migrate::destination::digest;
use crate::migrate::runs::{ActionParameters, Entry, InFlight};
use crate::migrate::source::references::{require_unshown, showing};
use crate::migrate::source::{Change, Originals};
use crate::migrate::task::{ItemError, Refusal, SliceContext};
use crate::runtime::Runtime;
use crate::s3::Client;
use crate::sql::{QueryResult, Statement};

/// The originals of one bucket.
pub struct BucketOriginals {
    pub source: Rc<BucketSource>,
    pub client: Rc<Client>,
    pub runtime: Rc<dyn Runtime>,
}

#[derive(Deserialize)]
struct Shown {
    texts: u8,
}

impl BucketOriginals {
    /// Proves that the object is still what was copied, before the copy goes, which may be the last of it.
    async fn prove(&self, entry: &Entry) -> Result<(), Refusal> {
        if entry.size_bytes > MAX_OBJECT_BYTES {
            return self.prove_by_state(entry).await;
        }
        let gone = |why: String| Refusal::failed("original-gone", format!("the copy stays: {why}"));
        let object =
            self.client.get(&entry.item, None, MAX_OBJECT_BYTES).await.map_err(|error| gone(error.to_string()))?;
        let size_bytes = object.body.promised_bytes().unwrap_or(0);
        let sha256 = digest(&*self.runtime, object.body, size_bytes).await.map_err(gone)?;
        if sha256 == entry.sha256 {
            Ok(())
        } else {
            Err(Refusal::failed("source-changed", "the copy stays, because the object is another by now"))
        }
    }
}

impl BucketOriginals {
    /// Of an object that is too long to be read at once: that the bucket lists it as it was when all of it was read.
    async fn prove_by_state(&self, entry: &Entry) -> Result<(), Refusal> {
        let listed = self.client.find(&entry.item).await;
        let gone = |why: String| Refusal::failed("original-gone", format!("the copy stays: {why}"));
        let object = listed.map_err(|error| gone(error.to_string()))?;
        let object = object.ok_or_else(|| gone("the server has no such object".to_owned()))?;
        let known: Option<ObjectState> = serde_json::from_value(entry.original.clone()).ok();
        if known.is_some_and(|known| known == ObjectState::of(&object)) {
            Ok(())
        } else {
            Err(Refusal::failed("source-changed", "the copy stays, because the object is another by now"))
        }
    }
}

#[async_trait(?Send)]
impl Originals for BucketOriginals {
    fn load(&self, entry: &Entry) -> Statement {
        showing(&self.source.name, &entry.item)
    }

    async fn restore(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError> {
        if row.first::<Shown>()?.is_some_and(|shown| shown.texts == 1) {
            let detail = "a text of the application still shows the copy";
            return Err(Refusal::failed("still-referenced", detail).into());
        }
        if matches!(context.run.parameters.action, ActionParameters::Rollback { delete_from_r2: true, .. }) {
            self.prove(entry).await?;
        }
        let now = context.runtime.now();
        let mut statements = Vec::from(moved::forget_moved(&self.source.name, &[entry.image_id], now)?);
        statements.push(require_unshown(context.run, &entry.item));
        Ok(Change { statements, original: entry.original.clone(), ..Change::default() })
    }

    async fn forget(&self, _: &Entry, _: &QueryResult, _: &SliceContext<'_>) -> Result<Option<Change>, ItemError> {
        // An object that is gone may be in its copy only.
        Ok(None)
    }

    async fn check(&self, _: &Entry, _: &QueryResult, _: &SliceContext<'_>) -> Result<(), ItemError> {
        Ok(())
    }

    async fn holds(&self, entry: &Entry, _: &QueryResult, _: &SliceContext<'_>) -> Result<(), ItemError> {
        Ok(self.prove(entry).await?)
    }

    async fn clean(&self, _: &Entry, _: &QueryResult, _: &SliceContext<'_>) -> Result<Change, ItemError> {
        let detail = "the original is in the other bucket, which is only read";
        Err(Refusal::skipped("nothing-to-clean", detail).into())
    }

    fn operations_per_item(&self) -> u64 {
        const ENTRY: u64 = 1;
        const READ: u64 = 1;
        const CATALOGUE_AND_JOURNAL: u64 = 4;
        const GUARDS: u64 = 2;
        const REMOVE_COPY: u64 = 1;
        ENTRY + READ + CATALOGUE_AND_JOURNAL + GUARDS + REMOVE_COPY
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        names(&self.source.name, in_flight)
    }
}
