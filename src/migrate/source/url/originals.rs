//! The originals of links: the links, which the journal keeps. What they name is somebody else's and can be gone at any time.

use std::rc::Rc;

use async_trait::async_trait;
use serde::Deserialize;

use super::cause::Failure;
use super::intake::Intake;
use super::links;
use crate::migrate::runs::{ActionParameters, Entry, InFlight, Stage};
use crate::migrate::source::table::{Datum, Original, Table, TableCatalogue};
use crate::migrate::source::{Change, Originals};
use crate::migrate::task::{Interruption, ItemError, Refusal, SliceContext};
use crate::sql::{QueryResult, Statement};

/// The originals of one table of links.
pub struct UrlOriginals {
    pub table: Rc<Table>,
    pub catalogue: TableCatalogue,
    pub intake: Rc<Intake>,
}

#[derive(Deserialize)]
struct MovedRow {
    /// Whether it still names the copy.
    is_ours: Option<u8>,
    /// Whether it names the moved image in any way.
    names_image: Option<u8>,
    link: Option<String>,
}

impl UrlOriginals {
    /// What the journal says of a row that still names its copy.
    fn moved(&self, entry: &Entry, answer: &QueryResult) -> Result<Original, ItemError> {
        match answer.first::<MovedRow>()? {
            None => Err(Refusal::skipped("deleted", "the row was deleted").into()),
            Some(MovedRow { is_ours: Some(1), .. }) => Original::of_entry(entry, &self.table.source),
            Some(_) => {
                let detail = "the row names another image than the one that was moved";
                Err(Refusal::skipped("url-changed", detail).into())
            }
        }
    }

    /// The link that the row had.
    fn link(&self, original: &Original) -> Option<String> {
        let value = original.before.get(self.table.source.url.as_str())?.as_deref()?;
        value.strip_prefix('t').map(str::to_owned)
    }

    /// Proves that the link still gives what was moved, before the copy goes, which may be the last of it.
    async fn prove(&self, entry: &Entry, original: &Original) -> Result<(), Refusal> {
        let gone = |why: &str| {
            Refusal::failed("original-gone", format!("the copy stays, because the link gives nothing: {why}"))
        };
        let link = self.link(original).ok_or_else(|| gone("it was no text"))?;
        match self.intake.digest(&link).await {
            Ok(sha256) if sha256 == entry.sha256 => Ok(()),
            Ok(_) => {
                Err(Refusal::failed("source-changed", "the copy stays, because the link gives something else by now"))
            }
            Err(Failure::Item(refusal)) => Err(gone(&refusal.detail)),
            Err(Failure::Host(failure)) => Err(gone(&failure.detail)),
        }
    }
}

#[async_trait(?Send)]
impl Originals for UrlOriginals {
    fn load(&self, entry: &Entry) -> Statement {
        let url = entry.original.get("url").and_then(|url| url.as_str()).unwrap_or_default();
        links::moved(&self.table, entry, url)
    }

    async fn leave_catalogue(&self, entries: &[&Entry], context: &SliceContext<'_>) -> Result<(), Interruption> {
        self.catalogue.leave(&TableCatalogue::images_of(entries), context).await
    }

    async fn restore(&self, entry: &Entry, row: &QueryResult, context: &SliceContext<'_>) -> Result<Change, ItemError> {
        let original = self.moved(entry, row)?;
        if matches!(context.run.parameters.action, ActionParameters::Rollback { delete_from_r2: true, .. }) {
            self.prove(entry, &original).await?;
        }
        let mut statements = self.catalogue.at_return(&entry.item, entry.image_id, context.runtime.now())?;
        let datum = Datum::Text(original.url.as_str().into());
        statements.push(self.table.restore(entry, &original, &datum));
        Ok(Change { statements, original: original.to_json()?, ..Change::default() })
    }

    async fn forget(
        &self,
        entry: &Entry,
        row: &QueryResult,
        context: &SliceContext<'_>,
    ) -> Result<Option<Change>, ItemError> {
        if let Some(MovedRow { is_ours, names_image, link }) = row.first()? {
            let original = Original::from_json(&entry.original)?;
            let has_link = link.is_some() && link == self.link(&original);
            if is_ours == Some(1) || names_image == Some(1) || has_link {
                return Ok(None);
            }
        }
        let mut statements = self.catalogue.at_return(&entry.item, entry.image_id, context.runtime.now())?;
        statements.push(self.table.forget(entry));
        Ok(Some(Change { statements, ..Change::default() }))
    }

    async fn check(&self, entry: &Entry, row: &QueryResult, _: &SliceContext<'_>) -> Result<(), ItemError> {
        self.moved(entry, row).map(drop)
    }

    async fn holds(&self, entry: &Entry, row: &QueryResult, _: &SliceContext<'_>) -> Result<(), ItemError> {
        match row.first::<MovedRow>()? {
            None => Err(Refusal::skipped("deleted", "the row was deleted").into()),
            Some(MovedRow { is_ours: Some(1), .. }) => {
                Err(Refusal::skipped("changed-meanwhile", "the row names the copy").into())
            }
            Some(_) => Ok(self.prove(entry, &Original::from_json(&entry.original)?).await?),
        }
    }

    async fn clean(&self, entry: &Entry, _: &QueryResult, _: &SliceContext<'_>) -> Result<Change, ItemError> {
        debug_assert_eq!(entry.stage, Stage::Moved);
        let detail =
            "the row held a link and no image, and the journal keeps the link; the database has nothing to drop";
        Err(Refusal::skipped("nothing-to-clean", detail).into())
    }

    fn operations_per_item(&self) -> u64 {
        const ENTRY: u64 = 1;
        const ROW: u64 = 1;
        const FETCH: u64 = 1;
        const SWITCH_AND_JOURNAL: u64 = 2;
        const CATALOGUE: u64 = 2;
        const GUARDS: u64 = 2;
        const REMOVE_COPY: u64 = 1;
        ENTRY + ROW + FETCH + SWITCH_AND_JOURNAL + CATALOGUE + GUARDS + REMOVE_COPY
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.table.names_any(in_flight)
    }
}
