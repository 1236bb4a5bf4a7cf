//! Fetches the links of a slice, of several hosts and several of each at once, as fast as the hosts may be asked.

use std::cell::RefCell;
use std::collections::VecDeque;

use futures::future::LocalBoxFuture;
use futures::stream::{FuturesUnordered, StreamExt as _};

use super::cause::Failure;
use super::intake::{Intake, Room, Taken};
use super::pacing::Pacing;
use crate::migrate::task::SliceContext;

/// A link that is to be fetched.
pub struct Wanted {
    /// Its place in the slice.
    pub place: usize,
    pub host: String,
    pub link: String,
}

/// What came of a link.
pub type Fetched = (usize, Result<Taken, Failure>);

/// Fetches links in their order. Those that are left when there is no time or room any more, or whose host is to be left alone, are not
/// among what it answers with.
pub async fn fetch_all(
    wanted: Vec<Wanted>,
    intake: &Intake,
    pacing: &RefCell<Pacing>,
    context: &SliceContext<'_>,
) -> Vec<Fetched> {
    let at_once = usize::from(context.run.parameters.concurrency.max(1));
    let mut waiting: VecDeque<_> = wanted.into();
    let mut under_way = FuturesUnordered::new();
    let mut fetched = Vec::new();
    loop {
        while under_way.len() < at_once
            && (fetched.is_empty() && under_way.is_empty() || !context.is_late())
            && let Some(room) = intake.room()
            && let Some((index, wait_ms)) = next_turn(&waiting, pacing, context)
            && let Some(wanted) = waiting.remove(index)
        {
            under_way.push(fetch(wanted, wait_ms, room, intake, pacing, context));
        }
        match under_way.next().await {
            Some(Some(done)) => fetched.push(done),
            Some(None) => {}
            None => return fetched,
        }
    }
}

/// The first link whose host may be asked, and how long it has to wait for its turn.
fn next_turn(waiting: &VecDeque<Wanted>, pacing: &RefCell<Pacing>, context: &SliceContext<'_>) -> Option<(usize, u64)> {
    let mut pacing = pacing.borrow_mut();
    let now = context.runtime.now();
    waiting.iter().enumerate().find_map(|(index, wanted)| Some((index, pacing.take_turn(&wanted.host, now)?)))
}

// Boxed, so that the futures that are under way are moved cheaply.
fn fetch<'call>(
    wanted: Wanted,
    wait_ms: u64,
    room: Room,
    intake: &'call Intake,
    pacing: &'call RefCell<Pacing>,
    context: &'call SliceContext<'_>,
) -> LocalBoxFuture<'call, Option<Fetched>> {
    Box::pin(async move {
        let Wanted { place, host, link } = wanted;
        if wait_ms > 0 {
            context.runtime.sleep(wait_ms).await;
        }
        let taken = intake.take(&link, room).await;
        let mut pacing = pacing.borrow_mut();
        match &taken {
            Err(Failure::Host(failure)) => {
                let chance = context.runtime.random_bytes()[0];
                pacing.failed(&host, failure, context.runtime.now(), chance);
            }
            Ok(_) | Err(Failure::Item(_)) => pacing.succeeded(&host),
        }
        Some((place, taken.transpose()?))
    })
}
