//! Time that tests move by hand, randomness that repeats, and an executor that notices when nothing moves.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::task::noop_waker;
use stillstore::bytes::Blob;
use stillstore::image::Sha256Digest;
use stillstore::runtime::{Runtime, Timestamp};

pub struct TestRuntime {
    now_ms: Cell<i64>,
    drawn: Cell<u128>,
    /// Draws to hand out first.
    planned_draws: RefCell<VecDeque<[u8; 16]>>,
    /// Whether a sleep is over at once, so that every wait is a timeout, or never.
    sleeps_end: bool,
}

impl TestRuntime {
    pub fn new() -> Rc<Self> {
        Rc::new(Self::starting(false))
    }

    /// Every wait runs into its deadline.
    pub fn impatient() -> Rc<Self> {
        Rc::new(Self::starting(true))
    }

    fn starting(sleeps_end: bool) -> Self {
        Self {
            now_ms: Cell::new(1_800_000_000_000),
            drawn: Cell::default(),
            planned_draws: RefCell::default(),
            sleeps_end,
        }
    }

    /// The next draws, in order.
    pub fn plan_draws(&self, draws: impl IntoIterator<Item = [u8; 16]>) {
        self.planned_draws.borrow_mut().extend(draws);
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

    async fn sleep(&self, _duration_ms: u64) {
        if !self.sleeps_end {
            pending::<()>().await;
        }
    }

    async fn sha256(&self, blob: &Blob) -> Sha256Digest {
        Sha256Digest::of(&blob.to_vec())
    }
}

/// Runs `work` to its end, or drops it where it hangs as a killed process would.
pub fn run_until_stalled<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let waker = noop_waker();
    // Nothing in these tests waits for the outside: work that is not done after so many polls hangs.
    for _ in 0..100_000 {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
    }
    None
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    run_until_stalled(work).expect("the work hangs")
}
