//! Every call of every migration action fails, before it happens and after, and as a crash; then the run is taken up.

use serde_json::{Value, json};
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use super::migrate::{act, embedded_world};
use super::world::{Answer, TOKEN, World};
use crate::migrate_table::assert_counted as assert_journal_counted;
use crate::runtime::block_on;

/// Longer than any action has calls.
const MOST_CALLS: usize = 40;
/// Longer than a lease.
const LEASE_MS: i64 = 10 * 60 * 1000;
const HOURS_2_MS: i64 = 2 * 60 * 60 * 1000;
const DAYS_31_MS: i64 = 31 * 24 * 60 * 60 * 1000;
/// One chunk, one chunk, two chunks.
const SIZES: [usize; 3] = [70, 3_000, 1024 * 1024 + 1];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Migrate,
    DryRun,
    Validate,
    Cleanup,
    Rollback { delete: bool, cleaned: bool },
}

impl Flow {
    const ALL: [Self; 8] = [
        Self::Migrate,
        Self::DryRun,
        Self::Validate,
        Self::Cleanup,
        Self::Rollback { delete: false, cleaned: false },
        Self::Rollback { delete: true, cleaned: false },
        Self::Rollback { delete: false, cleaned: true },
        Self::Rollback { delete: true, cleaned: true },
    ];

    /// A world in which everything before the flow is done.
    fn world(self) -> (World, Vec<(String, Vec<u8>)>) {
        let (world, images) = embedded_world(&SIZES);
        if !matches!(self, Self::Migrate | Self::DryRun) {
            act(&world, &json!({"action": "migrate"}));
        }
        world.runtime.advance(DAYS_31_MS);
        if matches!(self, Self::Rollback { cleaned: true, .. }) {
            act(&world, &json!({"action": "cleanup"}));
        }
        world.runtime.advance(1);
        (world, images)
    }

    fn body(self) -> Value {
        match self {
            Self::Migrate => json!({"action": "migrate", "batchSize": 2}),
            Self::DryRun => json!({"action": "migrate", "batchSize": 2, "dryRun": true}),
            Self::Validate => json!({"action": "validate", "batchSize": 2, "checkIntegrity": true}),
            Self::Cleanup => json!({"action": "cleanup", "batchSize": 2}),
            Self::Rollback { delete, .. } => json!({"action": "rollback", "batchSize": 2, "deleteFromR2": delete}),
        }
    }

    /// The verdict of a success, the images' home, the journal's stages, and whether originals are in the database.
    const fn outcome(self) -> (&'static str, &'static str, &'static str, bool) {
        match self {
            Self::Migrate => ("moved", "r2", "moved", true),
            Self::DryRun => ("would-move", "d1", "", true),
            Self::Validate => ("valid", "r2", "moved", true),
            Self::Cleanup => ("cleaned", "r2", "cleaned", false),
            Self::Rollback { delete: false, .. } => ("restored", "d1", "restored", true),
            Self::Rollback { delete: true, .. } => ("restored", "d1", "", true),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seam {
    Database,
    Bucket,
    /// A database of the application's own.
    Other,
}

fn assert_readable(world: &World, images: &[(String, Vec<u8>)], case: &str) {
    for (id, bytes) in images {
        let answer = world.call("GET", &format!("/images/{id}"), None);
        assert!(answer.status == 200 && answer.body == *bytes, "{case}: {id} {answer:?}");
    }
}

/// Takes the run up, as cron does, until it has ended; says what the run is then.
pub fn take_up(world: &World, case: &str) -> Value {
    for _ in 0..5 {
        world.runtime.advance(LEASE_MS);
        block_on(world.app.tick());
        let latest = world.call("GET", "/api/migrate-images", None).json()["run"].clone();
        if latest["state"] != "running" {
            return latest;
        }
    }
    panic!("{case}: the run does not end");
}

pub fn column(world: &World, sql: &'static str) -> Vec<String> {
    world.rows(sql).iter().map(|row| row["v"].as_str().unwrap().to_owned()).collect()
}

fn assert_ended(world: &World, flow: Flow, run: &Value, case: &str) {
    let (verdict, home, stage, has_originals) = flow.outcome();
    let id = run["id"].as_str().unwrap();
    let receipt = world.call("GET", &format!("/api/migrate-images/runs/{id}/receipt"), None);
    let text = String::from_utf8(receipt.body).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines = &lines[1..lines.len() - 1];
    assert_eq!(lines.len(), SIZES.len(), "{case}: a line an item: {text}");
    let failed = lines.iter().filter(|line| line["verdict"] == "failed").count();
    let well = lines.iter().filter(|line| line["verdict"] == verdict).count();
    assert_eq!(well + failed, SIZES.len(), "{case}: {text}");
    assert_eq!(
        (&run["progress"]["failed"], &run["progress"]["done"]),
        (&json!(failed), &json!(SIZES.len())),
        "{case}: {run}"
    );
    assert_eq!(run["state"], if failed == 0 { "completed" } else { "completed_with_errors" }, "{case}");

    let homes = column(world, "SELECT storage AS v FROM stillstore_images");
    let arrived = homes.iter().filter(|storage| *storage == home).count();
    if matches!(flow, Flow::Validate | Flow::DryRun | Flow::Cleanup) {
        assert_eq!(arrived, SIZES.len(), "{case}");
    } else {
        assert_eq!(arrived, well, "{case}: the rows are what the lines say");
    }
    let stages = column(world, "SELECT stage AS v FROM stillstore_moves");
    if failed == 0 {
        assert!(stages.iter().all(|reached| reached == stage), "{case}: {stages:?}");
        assert_eq!(stages.len(), if stage.is_empty() { 0 } else { SIZES.len() }, "{case}");
    }
    let blobs = column(world, "SELECT object_key AS v FROM stillstore_blobs ORDER BY 1");
    let expected = match flow {
        Flow::Rollback { cleaned: true, .. } => well,
        _ if has_originals => SIZES.len(),
        _ => failed,
    };
    assert_eq!(blobs.len(), expected, "{case}: each original once: {blobs:?}");

    let mut reasons = column(world, "SELECT storage_key AS v FROM stillstore_images WHERE storage = 'r2'");
    reasons.extend(column(world, "SELECT storage_key AS v FROM stillstore_moves"));
    reasons.extend(column(world, "SELECT receipt ->> 'key' AS v FROM stillstore_runs WHERE receipt IS NOT NULL"));
    for key in world.bucket.inner.contents().keys() {
        assert!(reasons.contains(key), "{case}: {key} is an orphan");
    }
    assert!(column(world, "SELECT in_flight AS v FROM stillstore_runs").iter().all(|keys| keys == "[]"), "{case}");
    assert!(column(world, "SELECT run_id AS v FROM stillstore_run_lines").is_empty(), "{case}");
}

fn assert_counted(world: &World, case: &str) {
    let counted =
        "SELECT status, storage, images, bytes FROM stillstore_counters WHERE images <> 0 OR bytes <> 0 ORDER BY 1, 2";
    let actual = "SELECT iif(source IS NULL, 'stored', 'moved') AS status, storage, count(*) AS images, sum(size_bytes) AS bytes FROM stillstore_images \
        WHERE status = 'stored' GROUP BY 1, 2 ORDER BY 1, 2";
    assert_eq!(world.rows(counted), world.rows(actual), "{case}");
    assert_journal_counted(&world.sqlite, case);
}

fn check(flow: Flow, seam: Seam, nth: usize, fault: Fault) -> bool {
    let case = format!("{flow:?}, {seam:?} call {nth}, {fault:?}");
    let (world, images) = flow.world();
    match seam {
        Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
        Seam::Bucket => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
        Seam::Other => panic!("there is none"),
    }
    let answer = ask_until_crash(&world, &flow.body());
    let failed = world.database.plan.has_failed() || world.bucket.plan.has_failed();
    world.database.plan.heal();
    world.bucket.plan.heal();
    assert_readable(&world, &images, &case);
    assert_counted(&world, &case);
    assert_honest(answer.as_ref(), &case);
    // A run that was never written down is begun again.
    let action = flow.body()["action"].clone();
    let latest = world.call("GET", "/api/migrate-images", None).json()["run"].clone();
    let begun = latest["action"] == action && latest["dryRun"] == json!(flow == Flow::DryRun);
    if !begun || (flow == Flow::Cleanup && latest["state"] != "running" && latest["action"] != "cleanup") {
        act(&world, &flow.body());
    }
    let run = take_up(&world, &case);
    assert_readable(&world, &images, &case);
    assert_counted(&world, &case);
    for _ in 0..3 {
        world.runtime.advance(HOURS_2_MS);
        world.sweep();
    }
    assert_readable(&world, &images, &case);
    assert_ended(&world, flow, &run, &case);
    failed
}

/// Asks for an action; `None` when that hangs.
pub fn ask_until_crash(world: &World, body: &Value) -> Option<Answer> {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    world.send_until_crash("POST", "/api/migrate-images", &headers, Some(body.to_string().into_bytes().into()))
}

/// That an answer calls itself a success only when nothing failed.
pub fn assert_honest(answer: Option<&Answer>, case: &str) {
    if let Some(Answer { status: 200, body, .. }) = answer {
        let said: Value = serde_json::from_slice(body).unwrap();
        assert_eq!(
            said["success"] == true,
            ["failed", "invalid"].iter().all(|count| said["result"].get(*count).is_none_or(|failed| *failed == 0)),
            "{case}: {said}"
        );
    } else if let Some(answer) = answer {
        assert_eq!(answer.status, 503, "{case}: {answer:?}");
    }
}

/// Walks every call of the seams through every fault; `check` says whether the fault came.
pub fn walk(flow: &str, seams: &[Seam], check: impl Fn(Seam, usize, Fault) -> bool) {
    let mut cases = 0;
    for seam in seams {
        for fault in Fault::ALL {
            for nth in 1..=MOST_CALLS {
                if !check(*seam, nth, fault) {
                    break;
                }
                cases += 1;
                assert!(nth < MOST_CALLS, "{flow}: raise MOST_CALLS");
            }
        }
    }
    assert!(cases >= 24, "{flow}: {cases} cases");
}

fn survives(flow: Flow) {
    walk(&format!("{flow:?}"), &[Seam::Database, Seam::Bucket], |seam, nth, fault| check(flow, seam, nth, fault));
}

#[test]
fn a_migration_survives_every_failure() {
    survives(Flow::Migrate);
}

#[test]
fn a_rehearsal_and_a_check_survive_every_failure() {
    survives(Flow::DryRun);
    survives(Flow::Validate);
}

#[test]
fn a_cleanup_survives_every_failure() {
    survives(Flow::Cleanup);
}

#[test]
fn a_rollback_survives_every_failure() {
    for flow in Flow::ALL.into_iter().filter(|flow| matches!(flow, Flow::Rollback { .. })) {
        survives(flow);
    }
}
