//! Links that have expired, and their services' new ones.

use std::cell::RefCell;
use std::rc::Rc;

use super::cause::{Failure, HostCause, HostFailure};
use super::links::Listed;
use super::pacing::Pacing;
use super::refresher::{LinkRefresher, RefreshError};
use crate::fetch::Rules;
use crate::migrate::runs::ItemId;
use crate::migrate::source::table::RowAsRead;
use crate::migrate::task::{Refusal, SliceContext};

/// A link that a slice has to do with, and what is known of it without fetching.
pub struct Waiting {
    pub id: ItemId,
    pub listed: Option<Listed>,
    pub attempts: u32,
    pub row: RowAsRead,
    /// The link in the row.
    pub link: String,
    /// The link to fetch, which is another one when it was renewed.
    pub current: String,
    pub has_expired: bool,
}

pub type Considered = (ItemId, Result<Waiting, Refusal>);
/// Renews the links that have expired, many at once. What cannot be renewed now stays on the list.
pub async fn renew(
    considered: &mut [Considered],
    refreshers: &[Rc<dyn LinkRefresher>],
    rules: &Rules,
    pacing: &RefCell<Pacing>,
    context: &SliceContext<'_>,
) -> Vec<(usize, Failure)> {
    let mut failures = Vec::new();
    for refresher in refreshers {
        let of_service = |(place, (_, waiting)): (usize, &Considered)| {
            let waiting = waiting.as_ref().ok().filter(|waiting| waiting.has_expired)?;
            let url = rules.admit(&waiting.link).ok()?;
            refresher.knows(&url).then(|| (place, waiting.link.clone()))
        };
        let expired: Vec<_> = considered.iter().enumerate().filter_map(of_service).collect();
        for some in expired.chunks(refresher.at_once()) {
            let old: Vec<_> = some.iter().map(|(_, link)| link.clone()).collect();
            let renewed = refresher.refresh(&old).await;
            for (index, (place, _)) in some.iter().enumerate() {
                let renewed = match &renewed {
                    Ok(renewed) => Ok(renewed.get(index).cloned().flatten()),
                    Err(error) => Err(*error),
                };
                let Some((_, waiting)) = considered.get_mut(*place) else { continue };
                failures.extend(take_over(waiting, renewed, pacing, context).map(|failure| (*place, failure)));
            }
        }
    }
    failures
}

/// Takes over what the service said of a link; the answer is a failure of the service, which may be back.
fn take_over(
    waiting: &mut Result<Waiting, Refusal>,
    renewed: Result<Option<String>, RefreshError>,
    pacing: &RefCell<Pacing>,
    context: &SliceContext<'_>,
) -> Option<Failure> {
    let expired = |detail: String| Err(Refusal::failed("expired", detail));
    match renewed {
        Ok(Some(link)) => {
            if let Ok(waiting) = waiting {
                waiting.current = link;
            }
        }
        Ok(None) => *waiting = expired("the link has expired, and its service does not renew it".to_owned()),
        Err(error @ RefreshError::Refused { .. }) => *waiting = expired(error.to_string()),
        Err(error @ RefreshError::Unavailable { retry_after_ms, .. }) => {
            let failure = HostFailure { cause: HostCause::RateLimited, detail: error.to_string(), retry_after_ms };
            let host = waiting.as_ref().ok().and_then(|waiting| waiting.listed.as_ref());
            if let Some(Listed { host, .. }) = host {
                let chance = context.runtime.random_bytes()[0];
                pacing.borrow_mut().failed(host, &failure, context.runtime.now(), chance);
            }
            return Some(Failure::Host(failure));
        }
    }
    None
}
