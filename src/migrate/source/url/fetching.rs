//! Fetches links of several hosts, and several of each at once, as fast as the hosts may be asked.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use futures::future::{Either, LocalBoxFuture, select};
use futures::stream::{FuturesUnordered, StreamExt as _};

use super::candidates::Waiting;
use super::cause::Failure;
use super::intake::{Intake, Room, Taken};
use super::pacing::Pacing;
use crate::migrate::runs::ItemId;
use crate::migrate::task::SliceContext;
use crate::runtime::Timestamp;

/// The longest that a slice waits for a host, in milliseconds: a pause or cancellation takes effect after it.
pub const LONGEST_NAP_MS: u64 = 5_000;
/// How long a slice that can begin nothing more waits for what is under way, in milliseconds, so that most of it is in the same commit.
const GRACE_MS: u64 = 1_000;

/// A link that is to be fetched.
pub struct Wanted {
    /// Its place in the slice.
    pub place: usize,
    pub waiting: Waiting,
}

/// What came of a link.
pub struct Fetched {
    pub place: usize,
    pub waiting: Waiting,
    pub taken: Result<Taken, Failure>,
}

/// A fetch that has ended, without a result where there was no room for it.
type Ended = (Wanted, Option<Result<Taken, Failure>>);

/// Fetches that are under way, in one slice and the next, so that a slow host keeps the links of others waiting as little as possible.
pub struct Fetches {
    intake: Rc<Intake>,
    pacing: Rc<RefCell<Pacing>>,
    under_way: RefCell<UnderWay>,
}

#[derive(Default)]
struct UnderWay {
    fetches: FuturesUnordered<LocalBoxFuture<'static, Ended>>,
    /// The items, and when their fetches began.
    begun: Vec<(ItemId, Timestamp)>,
}

impl Fetches {
    pub fn new(intake: Rc<Intake>, pacing: Rc<RefCell<Pacing>>) -> Self {
        Self { intake, pacing, under_way: RefCell::default() }
    }

    /// Whether the link of an item is being fetched.
    pub fn has(&self, item: &ItemId) -> bool {
        self.under_way.borrow().begun.iter().any(|(begun, _)| begun == item)
    }

    pub fn is_idle(&self) -> bool {
        self.under_way.borrow().begun.is_empty()
    }

    /// Fetches links in their order, together with those that an earlier slice left. Not among what it answers with are those for which
    /// there is no time or room any more, and those whose host is to be left alone; it rests for a while when that is all of them. With
    /// `may_leave`, nor are those that are under way when the slice can begin nothing more and that end before the invocation does.
    pub async fn fetch(&self, wanted: Vec<Wanted>, may_leave: bool, context: &SliceContext<'_>) -> Vec<Fetched> {
        let at_once = usize::from(context.run.parameters.concurrency.max(1));
        let mut waiting: VecDeque<_> = wanted.into();
        let mut under_way = self.under_way.take();
        let mut fetched = Vec::new();
        loop {
            while under_way.begun.len() < at_once
                && (fetched.is_empty() && under_way.begun.is_empty() || !context.is_late())
                && let Some(room) = self.intake.room()
                && let Some((index, wait_ms)) = self.next_turn(&waiting, context)
                && let Some(wanted) = waiting.remove(index)
            {
                under_way.begun.push((wanted.waiting.id.clone(), context.runtime.now().plus_millis(millis(wait_ms))));
                under_way.fetches.push(self.begin(wanted, wait_ms, room));
            }
            if fetched.is_empty() && under_way.begun.is_empty() && !waiting.is_empty() {
                context.runtime.sleep(LONGEST_NAP_MS).await;
                break;
            }
            let is_full = waiting.is_empty() || self.intake.room().is_none();
            let wait_ms = context.left_ms().min(if is_full && !fetched.is_empty() { GRACE_MS } else { u64::MAX });
            let wait_ms = Some(wait_ms).filter(|_| may_leave && self.ends_before(context.until, &under_way));
            let Some((wanted, taken)) = next(&mut under_way, wait_ms, context).await else { break };
            under_way.begun.retain(|(item, _)| *item != wanted.waiting.id);
            if let Some(taken) = taken {
                fetched.push(Fetched { place: wanted.place, waiting: wanted.waiting, taken });
            }
        }
        self.under_way.replace(under_way);
        fetched
    }

    fn ends_before(&self, until: Timestamp, under_way: &UnderWay) -> bool {
        let longest_ms = millis(self.intake.timeout_ms);
        under_way.begun.iter().all(|(_, began_at)| began_at.plus_millis(longest_ms) < until)
    }

    /// The first link whose host may be asked, and how long it has to wait for its turn.
    fn next_turn(&self, waiting: &VecDeque<Wanted>, context: &SliceContext<'_>) -> Option<(usize, u64)> {
        let mut pacing = self.pacing.borrow_mut();
        let now = context.runtime.now();
        waiting
            .iter()
            .enumerate()
            .find_map(|(index, wanted)| Some((index, pacing.take_turn(&wanted.waiting.host, now)?)))
    }

    // Boxed, so that the futures that are under way are moved cheaply.
    fn begin(&self, wanted: Wanted, wait_ms: u64, room: Room) -> LocalBoxFuture<'static, Ended> {
        let (intake, pacing) = (Rc::clone(&self.intake), Rc::clone(&self.pacing));
        Box::pin(async move {
            if wait_ms > 0 {
                intake.runtime.sleep(wait_ms).await;
            }
            let taken = intake.take(&wanted.waiting.current, room).await;
            let mut pacing = pacing.borrow_mut();
            match &taken {
                Err(Failure::Host(failure)) => {
                    let chance = intake.runtime.random_bytes()[0];
                    pacing.failed(&wanted.waiting.host, failure, intake.runtime.now(), chance);
                }
                Ok(_) | Err(Failure::Item(_)) => pacing.succeeded(&wanted.waiting.host),
            }
            (wanted, taken.transpose())
        })
    }
}

/// The next fetch that ends, or `None` when none does for `wait_ms`.
async fn next(under_way: &mut UnderWay, wait_ms: Option<u64>, context: &SliceContext<'_>) -> Option<Ended> {
    let next = under_way.fetches.next();
    let Some(wait_ms) = wait_ms else { return next.await };
    let over = async {
        if wait_ms > 0 {
            context.runtime.sleep(wait_ms).await;
        }
    };
    match select(next, Box::pin(over)).await {
        Either::Left((ended, _)) => ended,
        Either::Right(_) => None,
    }
}

fn millis(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}
