//! Every call of a backup and of a restore fails, before it happens and after, and as a crash; then the run is taken up again.

use serde_json::{Value, json};
use stillstore::sql::{DatabaseCall, Fault};
use stillstore::store::StoreCall;

use super::migrate::embedded_world;
use super::migrate_backup_run::{back_up, ids, lines, named_parts, parts, readings, rows, wipe};
use super::world::{TOKEN, World};
use crate::migrate_table;
use crate::migrate_table_backup::{literals, staged};
use crate::runtime::block_on;

/// More calls than either flow makes.
const MOST_CALLS: usize = 200;
const LEASE_MS: i64 = 60 * 60 * 1000;
/// With two in a slice, an image of several chunks and one of a single chunk share a part.
const SIZES: [usize; 4] = [100, 1024 * 1024 + 100, 300, 400];

#[derive(Debug, Clone, Copy)]
enum Seam {
    Database,
    Bucket,
}

/// Runs `body` with each call failing in turn, each time in a world that `prepare` made; `check` sees what came of it.
fn with_every_fault<T>(
    prepare: impl Fn() -> (World, T),
    body: impl Fn(&T) -> Value,
    check: impl Fn(&World, &T, &Value, &str),
) {
    for seam in [Seam::Database, Seam::Bucket] {
        for fault in [Fault::FailBefore, Fault::FailAfter, Fault::HangAfter] {
            let mut was_reached = true;
            let mut nth = 0;
            while was_reached {
                nth += 1;
                assert!(nth < MOST_CALLS);
                let (world, prepared) = prepare();
                match seam {
                    Seam::Database => world.database.plan.fail_nth(None::<DatabaseCall>, nth, fault),
                    Seam::Bucket => world.bucket.plan.fail_nth(None::<StoreCall>, nth, fault),
                }
                let body = body(&prepared);
                let run = finish(&world, &body);
                was_reached = match seam {
                    Seam::Database => world.database.plan.has_failed(),
                    Seam::Bucket => world.bucket.plan.has_failed(),
                };
                check(&world, &prepared, &run, &format!("{body}: {seam:?} {nth} {fault:?}"));
            }
            assert!(nth > 3, "{seam:?} has calls that fail");
        }
    }
}

/// Begins a run, which may crash, and has it taken up until it ends.
fn finish(world: &World, body: &Value) -> Value {
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs = started(world, body);
        if runs.is_empty() {
            world.send_until_crash("POST", "/api/migrate-images", &headers, Some(body.to_string().into_bytes().into()));
        }
        world.database.plan.heal();
        world.bucket.plan.heal();
        world.runtime.advance(LEASE_MS);
        block_on(world.app.services.engine(&world.app.services.library("cron")).unwrap().take_up()).unwrap();
        runs = started(world, body);
        if runs.iter().any(|run| run["state"] == "completed") {
            break;
        }
    }
    let id = runs[0]["id"].as_str().unwrap();
    world.call("GET", &format!("/api/migrate-images/runs/{id}"), None).json()
}

fn started(world: &World, body: &Value) -> Vec<Value> {
    let mut runs = world.rows("SELECT id, state, action FROM stillstore_runs");
    runs.retain(|run| run["action"] == body["action"]);
    runs
}

#[test]
fn a_backup_survives_every_failure() {
    let prepare = || {
        let (world, images) = embedded_world(&SIZES);
        let before = (ids(&images), rows(&world), readings(&world, &ids(&images)));
        (world, before)
    };
    with_every_fault(
        prepare,
        |_| json!({"action": "backup", "batchSize": 2}),
        |world, (ids, rows_before, before), run, case| {
            let id = run["id"].as_str().unwrap();
            assert_eq!((&run["state"], &run["action"]), (&json!("completed"), &json!("backup")), "{case}: {run}");
            assert_eq!((lines(world, id).len(), &run["result"]["saved"]), (4, &json!(4)), "{case}: {run}");
            assert_eq!(parts(world), named_parts(world, id), "{case}");
            wipe(world);
            let restored = finish(world, &json!({"action": "restore", "runId": id}));
            assert_eq!(restored["result"]["restored"], 4, "{case}: {restored}");
            assert!(rows(world) == *rows_before && readings(world, ids) == *before, "{case}");
        },
    );
}

#[test]
fn a_restore_survives_every_failure() {
    let prepare = || {
        let (world, images) = embedded_world(&SIZES);
        let (rows_before, before) = (rows(&world), readings(&world, &ids(&images)));
        let run = back_up(&world, &json!({"action": "backup", "batchSize": 2}));
        wipe(&world);
        (world, (run, ids(&images), rows_before, before))
    };
    let body = |(run, ..): &(String, _, _, _)| json!({"action": "restore", "runId": run});
    with_every_fault(prepare, body, |world, (backup, ids, rows_before, before), run, case| {
        assert_eq!((&run["state"], &run["action"]), (&json!("completed"), &json!("restore")), "{case}: {run}");
        assert_eq!(run["result"]["restored"], 4, "{case}: {run}");
        assert!(rows(world) == *rows_before && readings(world, ids) == *before, "{case}");
        assert_eq!(parts(world), named_parts(world, backup), "{case}");
    });
}

#[test]
fn a_part_that_a_crash_left_is_replaced_or_removed() {
    // The rows change after the crash: the part has other items then, or none.
    for deleted in [1, 2] {
        let (world, images) = embedded_world(&[100, 300]);
        let ids = ids(&images);
        let before = readings(&world, &ids);
        world.bucket.plan.fail_nth(StoreCall::Put, 1, Fault::HangAfter);
        let answer = world.post_json("/api/migrate-images", &json!({"action": "backup"}), &[]);
        assert_eq!((answer.status, parts(&world).len()), (503, 1), "{answer:?}");
        for id in &ids[..deleted] {
            assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
        }
        let run = finish(&world, &json!({"action": "backup"}));
        assert_eq!(world.rows("SELECT id FROM stillstore_runs").len(), 1);
        assert_eq!((&run["state"], &run["result"]["saved"]), (&json!("completed"), &json!(2 - deleted)), "{run}");
        assert_eq!(parts(&world), named_parts(&world, run["id"].as_str().unwrap()), "{deleted} deleted");
        wipe(&world);
        let restored = finish(&world, &json!({"action": "restore", "runId": run["id"]}));
        assert_eq!(restored["result"]["restored"], 2 - deleted);
        assert!(readings(&world, &ids[deleted..]) == before[deleted..]);
    }
}

/// A table in which one value is read, and brought back, in two pieces; with two in a slice it shares a part with a short one.
fn table_world() -> (World, Vec<Value>) {
    let world = migrate_table::world();
    for (id, data) in [("a", "AAAA".to_owned()), ("b", "x".repeat(600_000)), ("c", "\u{1f9c0}".to_owned())] {
        migrate_table::insert(&world.sqlite, id, &data);
    }
    let blob = "INSERT INTO images (id, image_data, r2_key) VALUES ('d', x'00ff', x'')";
    migrate_table::execute(&world.sqlite, blob, Vec::new());
    let rows = literals(&world.sqlite, "images", "id");
    (world, rows)
}

/// Nothing is in the bucket but what the backup names, and nothing waits in the database behind the next sweep.
fn assert_nothing_is_left(world: &World, backup: &str, case: &str) {
    assert_eq!(parts(world), named_parts(world, backup), "{case}");
    world.runtime.advance(2 * LEASE_MS);
    world.sweep();
    assert_eq!(staged(&world.sqlite), 0, "{case}");
}

#[test]
fn a_tables_backup_survives_every_failure() {
    let body = |_: &Vec<Value>| json!({"action": "backup", "source": "images", "batchSize": 2});
    with_every_fault(table_world, body, |world, rows, run, case| {
        assert_eq!((&run["state"], &run["result"]["saved"]), (&json!("completed"), &json!(4)), "{case}: {run}");
        assert_nothing_is_left(world, run["id"].as_str().unwrap(), case);
        migrate_table::execute(&world.sqlite, "DELETE FROM images", Vec::new());
        let restored = finish(world, &json!({"action": "restore", "runId": run["id"]}));
        assert_eq!(restored["result"]["restored"], 4, "{case}: {restored}");
        assert!(literals(&world.sqlite, "images", "id") == *rows, "{case}");
    });
}

#[test]
fn a_tables_restore_survives_every_failure() {
    let prepare = || {
        let (world, rows) = table_world();
        let backup = back_up(&world, &json!({"action": "backup", "source": "images", "batchSize": 2}));
        migrate_table::execute(&world.sqlite, "DELETE FROM images WHERE id <> 'a'", Vec::new());
        migrate_table::execute(&world.sqlite, "UPDATE images SET image_data = NULL", Vec::new());
        (world, (backup, rows))
    };
    let body = |(backup, _): &(String, _)| json!({"action": "restore", "runId": backup});
    with_every_fault(prepare, body, |world, (backup, rows), run, case| {
        assert_eq!((&run["state"], &run["result"]["restored"]), (&json!("completed"), &json!(4)), "{case}: {run}");
        assert!(literals(&world.sqlite, "images", "id") == *rows, "{case}");
        assert_eq!(lines(world, run["id"].as_str().unwrap()).len(), 4, "{case}");
        assert_nothing_is_left(world, backup, case);
    });
}
