//! Links that are to be fetched and moved.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};

use super::candidates::{Candidates, Waiting};
use super::cause::{Failure, HostCause};
use super::fetching::{Fetched, Fetches, LONGEST_NAP_MS, Wanted};
use super::links::{self, FoundLink, LinkRow, Listed, NO_DEADLINE_MS, ReadyHost};
use super::pacing::Pacing;
use super::renewal::{Considered, renew};
use crate::fetch::{OutsideUrl, deadline};
use crate::migrate::runs::{InFlight, ItemId, Run, Verdict};
use crate::migrate::source::url::HostLimits;
use crate::migrate::source::{Items, Movable, Prepared, Readers};
use crate::migrate::task::{
    Bounds, Interruption, Page, PageItem, Refusal, SliceContext, item_id, listed_ids, listed_page,
};
use crate::runtime::Timestamp;
use crate::sql::{DatabaseError, QueryResult, Statement};

/// Fetches of one link that may come to nothing before it fails.
const MAX_ATTEMPTS: u32 = 4;
/// As many, when the last one was answered with 429, which says nothing of the link.
const MAX_ATTEMPTS_IN_A_CROWD: u32 = 12;

/// The links of a table.
pub struct UrlItems {
    pub candidates: Candidates,
    pub limits: HostLimits,
    pub pacing: Rc<RefCell<Pacing>>,
    pub fetches: Fetches,
    /// The links of the last page that are on the list.
    pub listed: RefCell<BTreeMap<String, Listed>>,
}

/// What a slice does.
enum Leg {
    /// Goes through the items that the caller named.
    Named,
    /// Lists links.
    List { after: Option<String> },
    /// Fetches what is listed.
    Fetch,
}

type Item = PageItem<Result<Box<dyn Movable>, Refusal>>;

impl UrlItems {
    fn own_urls(&self, run: &Run) -> String {
        run.parameters.public_base.prefix(&self.candidates.table.key_prefix())
    }

    /// Lists the links that were found. The last page says what fetching all of them takes.
    async fn list(
        &self,
        run: &Run,
        found: &[QueryResult],
        context: &SliceContext<'_>,
    ) -> Result<Prepared, Interruption> {
        let found = found.first().map(QueryResult::rows::<FoundLink>).transpose()?.unwrap_or_default();
        let listed: Vec<_> = found.iter().map(|found| self.listing(found)).collect();
        let is_last = found.len() < usize::from(links::LISTED_AT_ONCE);
        let mut statements = Vec::from(links::list(&run.id, &listed)?);
        if is_last {
            statements.push(links::forecast(&run.id, &self.limits, context.runtime.now())?);
        }
        let answers = context.announce(&[], statements).await?;
        let forecast = answers.last().filter(|_| is_last).map(links::forecast_of).transpose()?.flatten();
        let cursor = match found.last() {
            Some(last) if !is_last => json!({ "list": last.item }),
            _ => json!({ "fetch": true }),
        };
        Ok(Prepared { cursor: Some(cursor), forecast, ..Prepared::of(empty_page(false)) })
    }

    fn listing(&self, found: &FoundLink) -> Listed {
        let link = found.link.as_deref().unwrap_or_default();
        let url = self.candidates.intake.fetcher.rules.admit(link).ok();
        let deadline = url.as_ref().and_then(deadline).map_or(NO_DEADLINE_MS, Timestamp::as_millis);
        Listed {
            host: url.as_ref().map(OutsideUrl::authority).unwrap_or_default(),
            deadline_ms: deadline.min(NO_DEADLINE_MS),
            item: found.item.clone(),
        }
    }

    /// The next links of the hosts that may be asked, the soonest to expire first. Waits when none may be asked now.
    async fn next(
        &self,
        run: &Run,
        found: &[QueryResult],
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Result<Vec<(Listed, LinkRow)>, Prepared>, Interruption> {
        let hosts = found.first().map(QueryResult::rows::<ReadyHost>).transpose()?.unwrap_or_default();
        if hosts.is_empty() && self.fetches.is_idle() {
            let ready_at = found.get(1).map(QueryResult::first::<ReadyAt>).transpose()?.flatten();
            let Some(ready_at) = ready_at.and_then(|next| next.ready_at_ms) else {
                return Ok(Err(Prepared::of(empty_page(true))));
            };
            let wait_ms = ready_at.millis_since(context.runtime.now());
            context.runtime.sleep(wait_ms.clamp(1, LONGEST_NAP_MS)).await;
            return Ok(Err(Prepared::of(empty_page(false))));
        }
        let own_urls = self.own_urls(run);
        for host in &hosts {
            self.pacing.borrow_mut().recall(&host.host, host.failures, host.given_up());
        }
        let reads = hosts
            .iter()
            .map(|host| links::next_of(&self.candidates.table, &run.id, &host.host, bounds.limit, &own_urls));
        let answers = context.read(reads.collect()).await?;
        let mut next = Vec::new();
        for (ReadyHost { host, .. }, answer) in hosts.iter().zip(&answers) {
            for row in answer.rows::<LinkRow>()? {
                let listed = Listed { host: host.clone(), deadline_ms: row.deadline_ms, item: row.item.clone() };
                next.push((listed, row));
            }
        }
        next.sort_by(|(one, _), (other, _)| (one.deadline_ms, &one.item).cmp(&(other.deadline_ms, &other.item)));
        next.truncate(usize::from(bounds.limit));
        Ok(Ok(next))
    }

    /// What is to be done with a row, as far as that is clear without fetching.
    fn consider(&self, id: &ItemId, row: LinkRow, listed: Option<Listed>, now: Timestamp) -> Result<Waiting, Refusal> {
        let waiting = self.candidates.consider(id, row, listed, now)?;
        match self.pacing.borrow().given_up(&waiting.host) {
            Some(cause) => {
                Err(Refusal::failed(cause.as_str(), "the host failed too often in a row, or wants to be left alone"))
            }
            None => Ok(waiting),
        }
    }

    /// Fetches what is to be fetched, and says what became of each item; those that are tried again later are left out.
    async fn handle(
        &self,
        run: &Run,
        mut considered: Vec<Considered>,
        cursors: Vec<Json>,
        context: &SliceContext<'_>,
    ) -> Result<Vec<Item>, Interruption> {
        let rules = &self.candidates.intake.fetcher.rules;
        let failures = renew(&mut considered, &self.candidates.refreshers, rules, &self.pacing, context).await;
        let mut failures: BTreeMap<_, _> = failures.into_iter().collect();
        let mut wanted = Vec::new();
        let mut ended = Vec::new();
        for (place, (id, waiting)) in considered.into_iter().enumerate() {
            match (waiting, failures.remove(&place)) {
                (Err(refusal), _) => ended.push((place, id, Err(refusal))),
                (Ok(waiting), Some(failure)) => ended.push((place, id, Ok((waiting, Err(failure))))),
                (Ok(waiting), None) => wanted.push(Wanted { place, waiting }),
            }
        }
        let is_named = run.parameters.item_ids.is_some();
        for Fetched { place, waiting, taken } in self.fetches.fetch(wanted, !is_named, context).await {
            ended.push((place, waiting.id.clone(), Ok((waiting, taken))));
        }
        // Named items are gone through in their order; what is fetched together with links of an earlier slice has no order.
        ended.sort_by_key(|(place, ..)| *place);

        let readers = Readers::of(&self.candidates.table.source.name);
        let mut items = Vec::new();
        let mut statements = Vec::new();
        for (index, (place, id, ended)) in ended.into_iter().enumerate() {
            if is_named && place != index {
                break;
            }
            let found = match ended {
                Err(refusal) => Err(refusal),
                Ok((waiting, Ok(taken))) => {
                    Ok(Box::new(self.candidates.ready(waiting, taken).beside(&readers)) as Box<dyn Movable>)
                }
                Ok((waiting, Err(failure))) => match again(&failure, &waiting) {
                    Some(listed) => {
                        statements.push(links::count_attempt(&run.id, listed));
                        continue;
                    }
                    None => Err(failure.refusal()),
                },
            };
            let cursor = cursors.get(place).filter(|_| is_named).cloned().unwrap_or_else(|| json!({ "fetch": true }));
            items.push(PageItem { id, found: Some(found), cursor });
        }
        for (name, host) in self.pacing.borrow_mut().take_changed() {
            statements.push(links::write_host(&run.id, &name, &host));
        }
        if !statements.is_empty() {
            context.announce(&[], statements).await?;
        }
        Ok(items)
    }
}

#[derive(serde::Deserialize)]
struct ReadyAt {
    ready_at_ms: Option<Timestamp>,
}

/// The place on the list of a link that is tried again.
fn again<'waiting>(failure: &Failure, waiting: &'waiting Waiting) -> Option<&'waiting Listed> {
    let max_attempts = match failure {
        Failure::Item(_) => return None,
        Failure::Host(failure) if failure.cause == HostCause::RateLimited => MAX_ATTEMPTS_IN_A_CROWD,
        Failure::Host(_) => MAX_ATTEMPTS,
    };
    waiting.listed.as_ref().filter(|_| waiting.attempts + 1 < max_attempts)
}

/// What a dry run says of a link that a run would fetch.
fn foreseen(waiting: Result<Waiting, Refusal>) -> Refusal {
    match waiting {
        Err(refusal) => refusal,
        Ok(Waiting { has_expired: true, .. }) => Refusal::new(
            Verdict::WouldMove,
            "to-be-renewed",
            "the link has expired; its service is asked for a new one",
        ),
        Ok(_) => Refusal::new(Verdict::WouldMove, "not-fetched", "a dry run fetches nothing"),
    }
}

fn empty_page(is_last: bool) -> Page<Result<Box<dyn Movable>, Refusal>> {
    Page { items: Vec::new(), is_last, largest_bytes: 0 }
}

fn leg(run: &Run) -> Leg {
    if run.parameters.item_ids.is_some() {
        return Leg::Named;
    }
    match &run.cursor {
        Some(cursor) if cursor.get("fetch").is_some() => Leg::Fetch,
        cursor => {
            let after = cursor.as_ref().and_then(|cursor| cursor.get("list")?.as_str());
            Leg::List { after: after.map(str::to_owned) }
        }
    }
}

#[async_trait(?Send)]
impl Items for UrlItems {
    fn select(&self, run: &Run, bounds: Bounds) -> Result<Vec<Statement>, DatabaseError> {
        let own_urls = self.own_urls(run);
        Ok(match leg(run) {
            Leg::Named => {
                let ids = listed_ids(run, bounds.limit).unwrap_or_default();
                ids.into_iter().map(|id| links::named(&self.candidates.table, id, &own_urls)).collect()
            }
            Leg::List { after } => vec![links::behind(&self.candidates.table, after.as_deref(), &own_urls)],
            Leg::Fetch => {
                let now = self.candidates.intake.runtime.now();
                vec![links::ready_hosts(&run.id, now), links::next_ready(&run.id)]
            }
        })
    }

    fn count(&self, run: &Run) -> Statement {
        links::count(&self.candidates.table, &self.own_urls(run))
    }

    async fn prepare(
        &self,
        run: &Run,
        found: Vec<QueryResult>,
        bounds: Bounds,
        context: &SliceContext<'_>,
    ) -> Result<Prepared, Interruption> {
        let ids = self.candidates.table.schema.ids;
        let now = context.runtime.now();
        let mut considered = Vec::new();
        let mut cursors = Vec::new();
        let mut is_last = false;
        match leg(run) {
            Leg::List { .. } => return self.list(run, &found, context).await,
            Leg::Named => {
                let page = listed_page(run, ids, &found, QueryResult::first::<LinkRow>)?;
                let Some(page) = page else { return Ok(Prepared::of(empty_page(true))) };
                is_last = page.is_last;
                // Nobody keeps named links for later.
                self.pacing.borrow_mut().forget_failures();
                for PageItem { id, found, cursor } in page.items {
                    let not_found = || Refusal::failed("not-found", "the table has no such row");
                    let waiting = found.ok_or_else(not_found).and_then(|row| self.consider(&id, row, None, now));
                    considered.push((id, waiting));
                    cursors.push(cursor);
                }
            }
            Leg::Fetch => {
                let next = match self.next(run, &found, bounds, context).await? {
                    Ok(next) => next,
                    Err(prepared) => return Ok(prepared),
                };
                let mut on_list = self.listed.borrow_mut();
                on_list.retain(|item, _| item_id(ids, item).is_ok_and(|id| self.fetches.has(&id)));
                for (listed, row) in next {
                    let id = item_id(ids, &listed.item)?;
                    if self.fetches.has(&id) {
                        continue;
                    }
                    on_list.insert(listed.item.clone(), listed.clone());
                    let waiting = self.consider(&id, row, Some(listed), now);
                    considered.push((id, waiting));
                    cursors.push(json!({ "fetch": true }));
                }
            }
        }
        if run.is_dry_run() {
            let items = considered.into_iter().zip(cursors).map(|((id, waiting), cursor)| PageItem {
                id,
                found: Some(Err(foreseen(waiting))),
                cursor,
            });
            return Ok(Prepared::of(Page { items: items.collect(), is_last, largest_bytes: 0 }));
        }
        let wanted = considered.len();
        let items = self.handle(run, considered, cursors, context).await?;
        // A named item that was not begun is the first of the next slice, and so are those behind it.
        is_last = is_last && items.len() == wanted;
        Ok(Prepared::of(Page { items, is_last, largest_bytes: 0 }))
    }

    fn settled(&self, run: &Run, item: &ItemId) -> Vec<Statement> {
        let listed = self.listed.borrow();
        listed.get(&*item.as_text()).map(|listed| links::settle(&run.id, listed)).into_iter().collect()
    }

    fn names(&self, in_flight: &InFlight) -> Statement {
        self.candidates.table.names(in_flight)
    }
}
