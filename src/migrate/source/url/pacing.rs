//! How fast hosts are asked, and what is done about one that fails: plain decisions over a clock that the caller reads.

use std::collections::BTreeMap;

use super::cause::{HostCause, HostFailure};
use super::config::HostLimits;
use crate::migrate::task::SLICE_MS;
use crate::runtime::Timestamp;

/// Failures in a row after which the run gives a host up. With pauses of 2 to 64 seconds, that takes about two minutes.
const MAX_FAILURES: u32 = 6;
/// The longest wait that a host may ask for; one that wants longer is given up.
const MAX_WAIT_MS: u64 = 60 * 60 * 1000;

/// The longest that a slice waits for a turn, in milliseconds: as long as it begins anything.
const LONGEST_TURN_MS: u64 = SLICE_MS;

/// What is known of the hosts that a run asks.
#[derive(Debug, Default)]
pub struct Pacing {
    limits: HostLimits,
    hosts: BTreeMap<String, Host>,
}

/// What is known of one host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    /// Nothing is asked of it before.
    pub ready_at: Option<Timestamp>,
    /// Failures in a row.
    pub failures: u32,
    /// Why its links fail without being fetched.
    pub given_up: Option<HostCause>,
    in_use: usize,
    next_start: Option<Timestamp>,
    has_changed: bool,
}

impl Pacing {
    pub fn new(limits: HostLimits) -> Self {
        Self { limits, hosts: BTreeMap::new() }
    }

    /// Takes over what was written down of a host, unless it has been asked here.
    pub fn recall(&mut self, host: &str, failures: u32, given_up: Option<HostCause>) {
        let known = self.hosts.entry(host.to_owned()).or_default();
        (known.failures, known.given_up) = (failures, given_up);
    }

    /// Why the host's links fail without being fetched, if they do.
    pub fn given_up(&self, name: &str) -> Option<HostCause> {
        self.hosts.get(name)?.given_up
    }

    /// Asks hosts that failed again, at once.
    pub fn forget_failures(&mut self) {
        for host in self.hosts.values_mut() {
            *host = Host { in_use: host.in_use, next_start: host.next_start, ..Host::default() };
        }
    }

    /// Takes a turn: how long to wait for it, or `None` when the host has as many requests as it may have, or is to be left alone or asked
    /// in a later slice.
    pub fn take_turn(&mut self, name: &str, now: Timestamp) -> Option<u64> {
        let limit = self.limits.of(name);
        let host = self.hosts.entry(name.to_owned()).or_default();
        let is_free = host.in_use < limit.concurrency && host.ready_at.is_none_or(|ready_at| ready_at <= now);
        if !is_free || host.given_up.is_some() {
            return None;
        }
        let turn = host.next_start.map_or(now, |next_start| next_start.max(now));
        if turn.millis_since(now) > LONGEST_TURN_MS {
            return None;
        }
        host.next_start = Some(turn.plus_millis(i64::try_from(limit.gap_ms).unwrap_or(i64::MAX)));
        host.in_use += 1;
        Some(turn.millis_since(now))
    }

    /// How many hosts are known.
    pub fn known_hosts(&self) -> usize {
        self.hosts.len()
    }

    /// Forgets hosts that could be asked now as if they had never been.
    pub fn forget_idle(&mut self, now: Timestamp) {
        self.hosts.retain(|_, host| {
            host.in_use > 0 || host.failures > 0 || host.next_start.is_some_and(|next_start| next_start > now)
        });
    }

    /// The host answered, whatever it said of the link.
    pub fn succeeded(&mut self, name: &str) {
        let host = self.hosts.entry(name.to_owned()).or_default();
        host.in_use = host.in_use.saturating_sub(1);
        if host.failures > 0 {
            *host = Host { in_use: host.in_use, next_start: host.next_start, has_changed: true, ..Host::default() };
        }
    }

    /// The host failed. `chance` decides where in the second half of its pause it is asked again, so that runs do not come together.
    pub fn failed(&mut self, name: &str, failure: &HostFailure, now: Timestamp, chance: u8) {
        let host = self.hosts.entry(name.to_owned()).or_default();
        host.in_use = host.in_use.saturating_sub(1);
        // Of several requests that were under way together, the first failure counts, and the longest wait.
        let pause = host.ready_at.filter(|ready_at| *ready_at > now);
        if pause.is_some() && failure.retry_after_ms.is_none() {
            return;
        }
        host.failures += u32::from(pause.is_none());
        host.has_changed = true;
        let wait_ms = failure.retry_after_ms.unwrap_or_else(|| pause_ms(host.failures, chance));
        if host.failures >= MAX_FAILURES || wait_ms > MAX_WAIT_MS {
            (host.given_up, host.ready_at) = (Some(failure.cause), None);
        } else {
            host.ready_at = pause.max(Some(now.plus_millis(i64::try_from(wait_ms).unwrap_or(i64::MAX))));
        }
    }

    /// The hosts of which something is to be written down.
    pub fn take_changed(&mut self) -> Vec<(String, Host)> {
        let mut changed = Vec::new();
        for (name, host) in &mut self.hosts {
            if std::mem::take(&mut host.has_changed) {
                changed.push((name.clone(), host.clone()));
            }
        }
        changed
    }
}

/// 2, 4, 8 and so on seconds, of which the second half is left to chance.
fn pause_ms(failures: u32, chance: u8) -> u64 {
    let full_ms = 1000 << failures.min(6);
    full_ms / 2 + full_ms / 2 * u64::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::migrate::source::url::UrlSource;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn failure(cause: HostCause, retry_after_ms: Option<u64>) -> HostFailure {
        HostFailure { cause, detail: String::new(), retry_after_ms }
    }

    #[test]
    fn a_host_is_asked_four_at_once_and_twice_a_second() {
        let mut pacing = Pacing::default();
        let waits: Vec<_> = (0..5).map(|_| pacing.take_turn("a", NOW)).collect();
        assert_eq!(waits, [Some(0), Some(500), Some(1_000), Some(1_500), None]);
        assert_eq!(pacing.take_turn("b", NOW), Some(0), "others are not concerned");
        pacing.succeeded("a");
        assert_eq!(pacing.take_turn("a", NOW.plus_millis(1_900)), Some(100));
        pacing.succeeded("a");
        assert_eq!(pacing.take_turn("a", NOW.plus_millis(60_000)), Some(0));
        assert!(pacing.take_changed().is_empty());
    }

    #[test]
    fn a_host_that_fails_is_left_alone_for_longer_and_longer_and_then_given_up() {
        let mut pacing = Pacing::default();
        let mut now = NOW;
        for failures in 1..MAX_FAILURES {
            assert_eq!(pacing.take_turn("a", now), Some(0));
            pacing.failed("a", &failure(HostCause::Timeout, None), now, 255);
            let changed = pacing.take_changed();
            let ready_at = changed[0].1.ready_at.unwrap();
            assert_eq!(ready_at.millis_since(now), 1000 << failures);
            assert_eq!(pacing.take_turn("a", ready_at.plus_millis(-1)), None);
            now = ready_at.plus_millis(500);
        }
        pacing.take_turn("a", now);
        pacing.failed("a", &failure(HostCause::Unreachable, None), now, 0);
        assert_eq!(pacing.take_changed()[0].1.given_up, Some(HostCause::Unreachable));
        assert_eq!(pacing.take_turn("a", now.plus_millis(1_000_000)), None);
        assert_eq!([pause_ms(1, 0), pause_ms(1, 255), pause_ms(40, 255)], [1_000, 2_000, 64_000]);
    }

    #[test]
    fn a_turn_that_is_far_off_is_another_slices() {
        let hosts = serde_json::json!({"a": {"perSecond": 0.05}});
        let source = serde_json::json!({"kind": "url", "name": "posts", "table": "posts", "id": "id", "url": "link", "hosts": hosts});
        let mut pacing = Pacing::new(UrlSource::parse(source.as_object().unwrap()).unwrap().hosts);
        let after = |seconds: i64| NOW.plus_millis(1_000 * seconds);
        assert_eq!(pacing.take_turn("a", NOW), Some(0));
        assert_eq!([pacing.take_turn("a", NOW), pacing.take_turn("a", after(9))], [None, None]);
        assert_eq!(pacing.take_turn("a", after(12)), Some(8_000));
    }

    #[test]
    fn what_a_host_says_of_when_to_come_back_is_obeyed() {
        let mut pacing = Pacing::default();
        pacing.take_turn("a", NOW);
        pacing.take_turn("a", NOW);
        pacing.failed("a", &failure(HostCause::RateLimited, Some(90_000)), NOW, 0);
        // The others that were under way.
        pacing.failed("a", &failure(HostCause::Timeout, None), NOW, 0);
        pacing.failed("a", &failure(HostCause::RateLimited, Some(30_000)), NOW, 0);
        let (_, host) = pacing.take_changed().remove(0);
        assert_eq!((host.failures, host.ready_at), (1, Some(NOW.plus_millis(90_000))));
        assert_eq!(pacing.take_turn("a", NOW.plus_millis(90_000)), Some(0));
        pacing.succeeded("a");
        let (_, host) = pacing.take_changed().remove(0);
        assert_eq!((host.failures, host.ready_at), (0, None));
        pacing.failed("a", &failure(HostCause::RateLimited, Some(MAX_WAIT_MS + 1)), NOW, 0);
        assert_eq!(pacing.take_changed()[0].1.given_up, Some(HostCause::RateLimited));
    }
}
