//! Links that have expired, and their services' new ones.

use std::cell::RefCell;
use std::rc::Rc;

use super::candidates::Waiting;
use super::cause::{Failure, HostCause, HostFailure};
use super::pacing::Pacing;
use super::refresher::{LinkRefresher, RefreshError};
use crate::fetch::Rules;
use crate::migrate::runs::ItemId;
use crate::migrate::task::{Refusal, SliceContext};

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
    match answered(renewed) {
        Ok(link) => {
            if let Ok(waiting) = waiting {
                waiting.current = link;
            }
        }
        Err(Failure::Item(refusal)) => *waiting = Err(refusal),
        Err(Failure::Host(failure)) => {
            if let Ok(Waiting { host, listed: Some(_), .. }) = waiting {
                let chance = context.runtime.random_bytes()[0];
                pacing.borrow_mut().failed(host, &failure, context.runtime.now(), chance);
            }
            return Some(Failure::Host(failure));
        }
    }
    None
}

/// Renews one link that has expired.
///
/// # Errors
/// When no service renews it.
pub async fn renew_one(link: &str, refreshers: &[Rc<dyn LinkRefresher>], rules: &Rules) -> Result<String, Failure> {
    let url = rules.admit(link).ok();
    let refresher = url.and_then(|url| refreshers.iter().find(|refresher| refresher.knows(&url)));
    let Some(refresher) = refresher else { return answered(Ok(None)) };
    answered(refresher.refresh(&[link.to_owned()]).await.map(|renewed| renewed.into_iter().next().flatten()))
}

/// The new link, or what its service's answer comes to.
fn answered(renewed: Result<Option<String>, RefreshError>) -> Result<String, Failure> {
    let expired = |detail: String| Err(Refusal::failed("expired", detail).into());
    match renewed {
        Ok(Some(link)) => Ok(link),
        Ok(None) => expired("the link has expired, and its service does not renew it".to_owned()),
        Err(error @ RefreshError::Refused { .. }) => expired(error.to_string()),
        Err(error @ RefreshError::Unavailable { retry_after_ms, .. }) => {
            Err(Failure::Host(HostFailure { cause: HostCause::RateLimited, detail: error.to_string(), retry_after_ms }))
        }
    }
}
