//! No statement of the migration engine reads more rows than it needs.

use std::collections::BTreeSet;

use serde_json::json;
use stillstore::sql::{DatabaseCall, Fault};

use super::migrate::{act, embedded_world};
use super::world::{PNG, TOKEN, World};
use crate::runtime::block_on;

/// Steps of a plan that read no table, or no more of one than is asked for.
const ALLOWED: [&str; 6] = [
    "SCAN CONSTANT ROW",
    "SCAN json_each VIRTUAL TABLE",
    // Runs that are running, of which there are at most a few.
    "SCAN stillstore_runs USING INDEX stillstore_runs_running",
    // Runs under way that change their source: at most one a source.
    "SCAN stillstore_runs USING INDEX stillstore_runs_exclusive",
    // Newest first, LIMIT 1.
    "SCAN stillstore_runs USING INDEX stillstore_runs_by_age",
    // The entries that are adopted at once, at most 100, which a search found.
    "SCAN moved",
];

/// Counts a range of a key, once a run.
const COUNT: &str = "SELECT count(*) AS items FROM stillstore_moves WHERE source = ?1";

/// Has every kind of run go through every kind of statement.
fn everything() -> World {
    let (world, images) = embedded_world(&[70, 80, 1024 * 1024 + 1, 90]);
    let ids: Vec<_> = images.iter().map(|(id, _)| id).collect();
    act(&world, &json!({"action": "migrate", "dryRun": true, "fallbackOnly": true}));
    act(&world, &json!({"action": "migrate", "imageIds": ids}));
    act(&world, &json!({"action": "validate", "sampleSize": 2}));
    act(&world, &json!({"action": "validate"}));
    act(&world, &json!({"action": "rollback", "batchSize": 1}));
    act(&world, &json!({"action": "rollback", "deleteFromR2": true}));
    // The worker dies in the middle of a slice: 1 is the run's row, 2 its lease, 3 its items, 4 the keys, 5 the slice.
    world.database.plan.fail_nth(None::<DatabaseCall>, 5, Fault::HangBefore);
    let bearer = format!("Bearer {TOKEN}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = json!({"action": "migrate"}).to_string().into_bytes();
    assert!(world.send_until_crash("POST", "/api/migrate-images", &headers, Some(body.into())).is_none());
    world.database.plan.heal();
    world.runtime.advance(10 * 60 * 1000);
    block_on(world.app.tick());
    let run = act(&world, &json!({"action": "migrate", "background": true}));
    act(&world, &json!({"action": "pause", "runId": run["runId"]}));
    act(&world, &json!({"action": "resume", "runId": run["runId"]}));
    block_on(world.app.tick());
    world.runtime.advance(31 * 24 * 60 * 60 * 1000);
    act(&world, &json!({"action": "cleanup"}));
    act(&world, &json!({"action": "rollback", "imageIds": ids}));
    let run = act(&world, &json!({"action": "migrate", "background": true}));
    act(&world, &json!({"action": "cancel", "runId": run["runId"]}));
    world.call("DELETE", &format!("/api/images/{}", images[0].0), None);
    world.call("GET", "/api/migrate-images", None);
    world.put_foreign_object("studio/2026/11/0a1b2c3d_a.png", PNG);
    world.put_foreign_object("studio/2026/11/1a1b2c3d_a.png", PNG);
    world.runtime.advance(25 * 60 * 60 * 1000);
    for action in ["adopt", "remove"] {
        let answer = world.post_json("/api/reconcile", &json!({"action": action}), &[]);
        assert!(!answer.json()["orphans"].as_array().unwrap().is_empty() || action == "remove", "{answer:?}");
    }
    world
}

#[test]
fn no_statement_scans_or_sorts_a_table() {
    let world = everything();
    let calls = world.database.plan.calls();
    let statements: BTreeSet<_> = calls.iter().flat_map(|call| call.subject.lines()).collect();
    let about = |table: &str| statements.iter().filter(|sql| sql.contains(table)).count();
    assert!(about("stillstore_runs") > 8 && about("stillstore_moves") > 8, "{statements:#?}");
    assert!(statements.contains(COUNT));
    for sql in &statements {
        if !["stillstore_runs", "stillstore_run_lines", "stillstore_move", "stillstore_images"]
            .iter()
            .any(|table| sql.contains(table))
        {
            continue;
        }
        for step in world.sqlite.plan(sql).lines() {
            let is_allowed = ALLOWED.iter().any(|allowed| step.starts_with(allowed));
            assert!(is_allowed || !(step.starts_with("SCAN") || step.contains("TEMP B-TREE")), "{sql}\n{step}");
        }
    }
}
