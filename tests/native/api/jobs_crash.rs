//! Every call of a job's life fails, before it happens and after, and as a crash; then messages come again and cron runs.

use serde_json::{Value, json};
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use super::jobs::{deliver_all, uploaded, world as jobs_world};
use super::world::{TOKEN, World};
use crate::runtime::{block_on, run_until_stalled};

/// Longer than any flow has calls.
const MOST_CALLS: usize = 40;
const HOURS_2_MS: i64 = 2 * 60 * 60 * 1000;
const MINUTES_11_MS: i64 = 11 * 60 * 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// The request that makes a job.
    Make,
    /// A worker from its claim to its end.
    Work,
    /// A second worker, after the first was killed when the output was stored and before it was committed.
    WorkAgain,
    /// A worker whose editor fails for a reason that passes.
    Retry,
    /// A worker whose editor fails for a reason that stays.
    Fail,
    Cancel,
    Bury,
    Tick,
}

impl Flow {
    const ALL: [Self; 8] =
        [Self::Make, Self::Work, Self::WorkAgain, Self::Retry, Self::Fail, Self::Cancel, Self::Bury, Self::Tick];

    fn run(self, world: &World, asset: &str, job: &str) {
        let message = || Some(json!({"kind": "job", "jobId": job}).to_string());
        match self {
            Self::Make => drop(make(world, asset)),
            Self::Work | Self::WorkAgain => {
                let _ = run_until_stalled(world.app.deliver(message()));
            }
            Self::Retry => {
                world.retoucher.errors.borrow_mut().push(stillstore::generate::GenerateError::Timeout);
                let _ = run_until_stalled(world.app.deliver(message()));
                world.retoucher.errors.borrow_mut().clear();
            }
            Self::Fail => {
                world.retoucher.errors.borrow_mut().push(stillstore::generate::GenerateError::Moderation);
                let _ = run_until_stalled(world.app.deliver(message()));
                world.retoucher.errors.borrow_mut().clear();
            }
            Self::Cancel => {
                let bearer = format!("Bearer {TOKEN}");
                let path = format!("/jobs/{job}");
                drop(world.send_until_crash("DELETE", &path, &[("authorization", &bearer)], None));
            }
            Self::Bury => {
                let _ = run_until_stalled(world.app.deliver_from("a-dead-letters", message()));
            }
            Self::Tick => {
                let _ = run_until_stalled(world.app.tick());
            }
        }
    }

    /// The states in which the job may end, whatever failed.
    const fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Make | Self::Work | Self::WorkAgain | Self::Retry | Self::Tick => &["completed"],
            Self::Fail | Self::Bury => &["completed", "failed"],
            Self::Cancel => &["completed", "cancelled"],
        }
    }
}

fn make(world: &World, asset: &str) -> Option<String> {
    let bearer = format!("Bearer {TOKEN}");
    let headers =
        [("authorization", bearer.as_str()), ("content-type", "application/json"), ("idempotency-key", "crash")];
    let body = json!({"asset_id": asset, "prompt": "a"}).to_string().into_bytes();
    let answer = world.send_until_crash("POST", "/jobs", &headers, Some(body.into()))?;
    answer.json()["id"].as_str().map(str::to_owned)
}

/// A world with an image and, unless the flow makes it, a job, whose first worker was killed at its database call number `killed_at` if there
/// is one.
fn world(r2_enabled: bool, flow: Flow, killed_at: Option<usize>) -> (World, String, String) {
    let world = jobs_world(r2_enabled);
    let asset = uploaded(&world);
    let job = if flow == Flow::Make { String::new() } else { make(&world, &asset).unwrap() };
    if let Some(nth) = killed_at {
        world.database.plan.fail_nth(None::<DatabaseCall>, nth, Fault::HangBefore);
        Flow::Work.run(&world, &asset, &job);
        world.database.plan.heal();
        world.runtime.advance(MINUTES_11_MS);
    }
    (world, asset, job)
}

/// The number of the call that commits the output: the first one at which its bytes are there.
fn commit_of(r2_enabled: bool) -> usize {
    let is_stored = |nth: &usize| {
        let (world, ..) = world(r2_enabled, Flow::Work, Some(*nth));
        let embedded = world.rows("SELECT write_id FROM stillstore_blobs WHERE stored_at_ms IS NOT NULL").len();
        world.bucket.inner.contents().len() + embedded == 2
    };
    (1..MOST_CALLS).find(is_stored).unwrap()
}

/// How many calls went wrong so far.
fn faults(world: &World) -> usize {
    let database = world.database.plan.calls().iter().filter(|call| call.fault.is_some()).count();
    database + world.bucket.plan.calls().iter().filter(|call| call.fault.is_some()).count()
}

#[test]
fn a_failure_loses_no_job_and_makes_no_output_twice() {
    let mut cases = 0;
    for r2_enabled in [true, false] {
        let commit = commit_of(r2_enabled);
        for flow in Flow::ALL {
            let killed_at = (flow == Flow::WorkAgain).then_some(commit);
            for is_database in [true, false] {
                for fault in Fault::ALL {
                    for nth in 1..=MOST_CALLS {
                        let (world, asset, job) = world(r2_enabled, flow, killed_at);
                        let before = faults(&world);
                        if is_database {
                            world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault);
                        } else {
                            world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault);
                        }
                        let case = format!("r2 {r2_enabled}, {flow:?}, database {is_database}, call {nth}, {fault:?}");
                        flow.run(&world, &asset, &job);
                        let has_failed = faults(&world) > before;
                        world.database.plan.heal();
                        world.bucket.plan.heal();
                        check(&world, flow, &asset, job, &case);
                        if !has_failed {
                            break;
                        }
                        cases += 1;
                        assert!(nth < MOST_CALLS, "{case}: raise MOST_CALLS");
                    }
                }
            }
        }
    }
    assert!(cases > 200, "{cases} cases");
}

fn check(world: &World, flow: Flow, asset: &str, job: String, case: &str) {
    world.assert_invariants();
    // The client sends the same request again until it has an answer.
    let job = if job.is_empty() { make(world, asset).unwrap_or_else(|| panic!("{case}: no job")) } else { job };
    // The queue delivers what was not acknowledged again, and cron finds what it lost.
    let look = || -> Value { world.call("GET", &format!("/jobs/{job}"), None).json() };
    let mut now = look();
    for _ in 0..4 {
        let message = json!({"kind": "job", "jobId": job}).to_string();
        block_on(world.app.deliver(Some(message)));
        deliver_all(world);
        world.runtime.advance(MINUTES_11_MS);
        block_on(world.app.tick());
        deliver_all(world);
        now = look();
        if !["queued", "processing"].contains(&now["status"].as_str().unwrap()) {
            break;
        }
    }
    let status = now["status"].as_str().unwrap();
    assert!(flow.ends().contains(&status), "{case}: {now}");
    let jobs = world.rows("SELECT id FROM stillstore_jobs");
    assert_eq!(jobs.len(), 1, "{case}: one key, one job");
    let outputs = world.rows("SELECT id FROM stillstore_images WHERE parent_id IS NOT NULL AND status = 'stored'");
    assert_eq!(outputs.len(), usize::from(status == "completed"), "{case}: {now}");
    // Nobody is paid a third time, and not a second time for what was stored.
    let most_calls = match flow {
        Flow::WorkAgain => 1,
        _ => 2,
    };
    assert!(world.retoucher.calls() <= most_calls, "{case}: {} edits", world.retoucher.calls());
    if status == "completed" {
        let url = now["output_url"].as_str().unwrap().replace("https://images.example", "");
        assert_eq!(world.call("GET", &url, None).status, 200, "{case}");
    }
    for _ in 0..3 {
        world.runtime.advance(HOURS_2_MS);
        block_on(world.app.tick());
    }
    world.assert_invariants();
    world.assert_swept();
}
