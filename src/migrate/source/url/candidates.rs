//! What runs and readers alike make of a row, and of the image behind its link.

use std::rc::Rc;

use super::intake::{Intake, Taken};
use super::links::{LinkRow, Listed};
use super::refresher::LinkRefresher;
use crate::fetch::deadline;
use crate::image::{KeySecrets, Visibility};
use crate::migrate::runs::ItemId;
use crate::migrate::source::table::{
    Datum, Inspected, Ready, RowAsRead, Table, TableCatalogue, columns_too_large, private_image_and_public_bucket,
    value::ValueForm,
};
use crate::migrate::task::Refusal;
use crate::runtime::Timestamp;

/// The rows of a table of links.
pub struct Candidates {
    pub table: Rc<Table>,
    pub catalogue: TableCatalogue,
    pub intake: Rc<Intake>,
    pub refreshers: Rc<[Rc<dyn LinkRefresher>]>,
    /// Whoever knows a key can read the object.
    pub bucket_is_public: bool,
    pub key_secrets: Option<KeySecrets>,
}

/// A link that is to be fetched, and what is known of it before.
pub struct Waiting {
    pub id: ItemId,
    pub listed: Option<Listed>,
    pub attempts: u32,
    pub row: RowAsRead,
    /// The link in the row.
    pub link: String,
    /// Its host, with the port where it is not the scheme's own.
    pub host: String,
    /// The link to fetch, which is another one when it was renewed.
    pub current: String,
    pub has_expired: bool,
}

impl Candidates {
    /// What is to be done with a row, as far as that is clear without fetching.
    ///
    /// # Errors
    /// The refusal of a row whose link is not to be fetched.
    pub fn consider(
        &self,
        id: &ItemId,
        row: LinkRow,
        listed: Option<Listed>,
        now: Timestamp,
    ) -> Result<Waiting, Refusal> {
        if row.is_there == 0 {
            return Err(Refusal::skipped("deleted", "the row was deleted"));
        }
        if row.is_ours == 1 {
            return Err(Refusal::skipped("already-moved", "the row names a copy"));
        }
        if row.is_wanted != Some(1) {
            return Err(Refusal::skipped("not-selected", "the row has no link that the source selects"));
        }
        let Some(before) = row.before else { return Err(columns_too_large()) };
        if self.bucket_is_public && self.table.source.visibility == Visibility::Private {
            return Err(private_image_and_public_bucket());
        }
        let refused = |rule: String| Refusal::failed("refused-address", rule);
        let link =
            row.link.ok_or_else(|| refused("the url column holds no text, or more than 4,096 bytes".to_owned()))?;
        let url = self.intake.fetcher.rules.admit(&link).map_err(|refusal| refused(format!("the URL {refusal}")))?;
        let is_renewable = self.refreshers.iter().any(|refresher| refresher.knows(&url));
        let deadline = deadline(&url);
        let has_expired = deadline.map_or(is_renewable, |deadline| deadline <= now);
        if has_expired && !is_renewable {
            let detail = deadline.map_or_else(String::new, |at| format!("the link expired at {}", at.to_iso8601()));
            return Err(Refusal::failed("expired", detail));
        }
        Ok(Waiting {
            id: id.clone(),
            listed,
            attempts: row.attempts,
            row: RowAsRead { before, metadata: row.metadata, earlier: row.earlier },
            host: url.authority(),
            current: link.clone(),
            link,
            has_expired,
        })
    }

    /// A row whose image was fetched.
    pub fn ready(&self, waiting: Waiting, taken: Taken) -> Ready {
        let Waiting { id, row, link, .. } = waiting;
        let Taken { bytes, format, content } = taken;
        // The link cannot be had from the image.
        let inspected =
            Inspected { datum: Datum::Text(link.into()), bytes, form: ValueForm::Irregular, format, content };
        Ready::new(&self.table, &self.catalogue, self.key_secrets, &id, row, inspected)
    }
}
