//! How fast readers have hosts asked: as often and as many at once as a run may, in each isolate.

use std::cell::RefCell;
use std::rc::Rc;

use super::config::HostLimits;
use super::pacing::Pacing;
use crate::runtime::Runtime;

/// How long a reader waits for a turn, in milliseconds; a browser shows nothing meanwhile.
const LONGEST_WAIT_MS: i64 = 10_000;
const PAUSE_MS: u64 = 100;
/// Hosts that are remembered: one is as good as forgotten once nothing is asked of it.
const MOST_HOSTS: usize = 256;

/// The turns at hosts, as long as an isolate lives.
#[derive(Debug, Default)]
pub struct HostTurns {
    pacing: RefCell<Option<Pacing>>,
}

/// A turn at a host, given back when it is dropped.
#[derive(Debug)]
pub struct HostTurn {
    turns: Rc<HostTurns>,
    host: String,
}

impl HostTurns {
    /// Waits for a turn at a host; `None` when that takes too long.
    pub async fn take(self: &Rc<Self>, host: &str, limits: &HostLimits, runtime: &dyn Runtime) -> Option<HostTurn> {
        let began_at = runtime.now();
        loop {
            if let Some(wait_ms) = self.next(host, limits, runtime) {
                let turn = HostTurn { turns: Rc::clone(self), host: host.to_owned() };
                if wait_ms > 0 {
                    runtime.sleep(wait_ms).await;
                }
                return Some(turn);
            }
            if runtime.now().plus_millis(-LONGEST_WAIT_MS) >= began_at {
                return None;
            }
            runtime.sleep(PAUSE_MS).await;
        }
    }

    fn next(&self, host: &str, limits: &HostLimits, runtime: &dyn Runtime) -> Option<u64> {
        let mut pacing = self.pacing.borrow_mut();
        let pacing = pacing.get_or_insert_with(|| Pacing::new(limits.clone()));
        let now = runtime.now();
        if pacing.known_hosts() >= MOST_HOSTS {
            pacing.forget_idle(now);
        }
        pacing.take_turn(host, now)
    }
}

impl Drop for HostTurn {
    fn drop(&mut self) {
        if let Some(pacing) = self.turns.pacing.borrow_mut().as_mut() {
            pacing.succeeded(&self.host);
        }
    }
}
