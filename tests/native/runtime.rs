//! Time that tests move by hand, randomness that repeats, and an executor that notices when nothing moves.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::task::{ArcWake, waker};
use stillstore::bytes::Blob;
use stillstore::image::Sha256Digest;
use stillstore::runtime::{Runtime, Timestamp};

pub struct TestRuntime {
    now_ms: Cell<i64>,
    drawn: Cell<u128>,
    /// Draws to hand out first.
    planned_draws: RefCell<VecDeque<[u8; 16]>>,
    /// Sleeps of up to so long are over at once, others never.
    ending_sleeps_ms: Cell<u64>,
    /// Others go on while one sleeps.
    pub yields_in_sleeps: Cell<bool>,
}

impl TestRuntime {
    pub fn new() -> Rc<Self> {
        Rc::new(Self::starting(0))
    }

    /// Every wait runs into its deadline.
    pub fn impatient() -> Rc<Self> {
        Rc::new(Self::starting(u64::MAX))
    }

    fn starting(ending_sleeps_ms: u64) -> Self {
        Self {
            now_ms: Cell::new(1_800_000_000_000),
            drawn: Cell::default(),
            planned_draws: RefCell::default(),
            ending_sleeps_ms: Cell::new(ending_sleeps_ms),
            yields_in_sleeps: Cell::new(false),
        }
    }

    /// The next draws, in order.
    pub fn plan_draws(&self, draws: impl IntoIterator<Item = [u8; 16]>) {
        self.planned_draws.borrow_mut().extend(draws);
    }

    /// Sleeps of up to `milliseconds` are over at once from here on, others never.
    pub fn end_sleeps_up_to(&self, milliseconds: u64) {
        self.ending_sleeps_ms.set(milliseconds);
    }

    pub fn advance(&self, milliseconds: i64) {
        self.now_ms.set(self.now_ms.get() + milliseconds);
    }
}

#[async_trait(?Send)]
impl Runtime for TestRuntime {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.get())
    }

    fn random_bytes(&self) -> [u8; 16] {
        if let Some(planned) = self.planned_draws.borrow_mut().pop_front() {
            return planned;
        }
        self.drawn.set(self.drawn.get() + 1);
        self.drawn.get().to_le_bytes()
    }

    async fn sleep(&self, duration_ms: u64) {
        if duration_ms > self.ending_sleeps_ms.get() {
            pending::<()>().await;
        }
        if self.yields_in_sleeps.get() {
            let mut has_yielded = false;
            poll_fn(|context| {
                if std::mem::replace(&mut has_yielded, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
    }

    async fn sha256(&self, blob: &Blob) -> Sha256Digest {
        Sha256Digest::of(&blob.to_vec())
    }
}

/// Notices whether anything asked to be polled again.
#[derive(Default)]
struct Nudge(AtomicBool);

impl ArcWake for Nudge {
    fn wake_by_ref(nudge: &Arc<Self>) {
        nudge.0.store(true, Ordering::Relaxed);
    }
}

/// Polls `work` until it is done, or until it waits and nobody in here will wake it.
pub fn poll_until_stalled<T>(mut work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let nudge = Arc::new(Nudge::default());
    let waker = waker(Arc::clone(&nudge));
    loop {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        if !nudge.0.swap(false, Ordering::Relaxed) {
            return None;
        }
    }
}

/// Runs `work` to its end, or drops it where it hangs as a killed process would.
pub fn run_until_stalled<T>(work: impl Future<Output = T>) -> Option<T> {
    poll_until_stalled(pin!(work))
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    run_until_stalled(work).expect("the work hangs")
}
