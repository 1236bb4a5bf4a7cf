//! What one invocation asks of D1 and R2 stays under their limits, whatever the size of a slice.

use serde_json::{Value, json};

use super::migrate::{act, embedded_world, upload_all};
use super::world::{TOKEN, World};
use crate::image_fixtures::bytes;
use crate::migrate_table::{IMAGES, base64, execute, insert, large_jpeg, world};
use crate::runtime::block_on;

/// Statements that D1 takes of one invocation on the paid plan (developers.cloudflare.com/d1/platform/limits).
const MOST_STATEMENTS: usize = 1_000;
const DAYS_31_MS: i64 = 31 * 24 * 60 * 60 * 1000;
const LEASE_MS: i64 = 10 * 60 * 1000;
/// What an invocation asks beside the items of its slices: to begin or find the run, to claim it, to write its receipt, to answer,
/// and what cron does beside runs.
const AROUND_A_RUN: usize = 40;

/// What the invocations of a run asked.
#[derive(Debug, Default)]
struct Asked {
    invocations: usize,
    /// The most statements that one of them asked of D1.
    statements: usize,
    /// The most calls that one of them made to R2.
    objects: usize,
    /// The most of both together.
    operations: usize,
}

/// Begins an action and has it taken up until it has ended.
fn most_asked(world: &World, body: &Value) -> Asked {
    let mut most = Asked::default();
    let mut asked = (world.database.plan.calls().len(), world.bucket.plan.calls().len());
    for invocation in 0.. {
        assert!(invocation < 40, "{body}: does not end");
        world.runtime.advance(LEASE_MS);
        if invocation == 0 {
            act(world, body);
        } else {
            block_on(world.app.tick());
        }
        let calls = world.database.plan.calls();
        // A statement a line.
        let statements = calls[asked.0..].iter().map(|call| call.subject.lines().count()).sum::<usize>();
        let objects = world.bucket.plan.calls().len() - asked.1;
        most = Asked {
            invocations: most.invocations + 1,
            statements: most.statements.max(statements),
            objects: most.objects.max(objects),
            operations: most.operations.max(statements + objects),
        };
        asked = (calls.len(), asked.1 + objects);
        if world.rows("SELECT id FROM stillstore_runs WHERE state = 'running'").is_empty() {
            return most;
        }
    }
    most
}

fn assert_bounded(world: &World, source: &str, items: u64) {
    let mut asked = Vec::new();
    for action in ["migrate", "validate", "cleanup", "rollback"] {
        world.runtime.advance(DAYS_31_MS);
        let body = json!({"action": action, "source": source, "batchSize": 100, "deleteFromR2": action == "rollback"});
        asked.push((action, most_asked(world, &body)));
        let run = &world.rows("SELECT progress FROM stillstore_runs ORDER BY created_at_ms DESC LIMIT 1")[0];
        let progress: Value = serde_json::from_str(run["progress"].as_str().unwrap()).unwrap();
        let verdict =
            ["moved", "valid", "cleaned", "restored"].iter().find_map(|word| progress["verdicts"][word].as_u64());
        assert_eq!(verdict, Some(items), "{action}: {progress}");
    }
    for (action, asked) in &asked {
        assert!(asked.statements <= MOST_STATEMENTS, "{source}, {action}: {asked:?}");
        assert!(asked.objects <= MOST_STATEMENTS, "{source}, {action}: {asked:?}");
    }
}

/// A value that cannot be had from its image: cleanup saves it in the bucket.
fn irregular() -> String {
    let encoded = base64(&bytes("rgb.png"));
    [&encoded[..8], " ", &encoded[8..]].concat()
}

/// A deployment whose invocations take so many operations.
fn world_of(operations: usize, r2_enabled: bool) -> World {
    let operations = operations.to_string();
    let r2_enabled = if r2_enabled { "true" } else { "false" };
    World::with_vars(&[
        ("ENABLE_R2_STORAGE", r2_enabled),
        ("API_TOKEN", TOKEN),
        ("MIGRATION_OPERATIONS", operations.as_str()),
    ])
}

/// Each action takes more than one invocation, and none of them asks for more than it was given.
fn assert_affordable(world: &World, source: &str, batch_size: usize, operations: usize) {
    for action in ["migrate", "validate", "cleanup", "rollback"] {
        world.runtime.advance(DAYS_31_MS);
        let body =
            json!({"action": action, "source": source, "batchSize": batch_size, "deleteFromR2": action == "rollback"});
        let asked = most_asked(world, &body);
        assert!(asked.invocations > 1, "{source}, {action}, {batch_size} a slice: {asked:?}");
        assert!(asked.operations <= operations + AROUND_A_RUN, "{source}, {action}, {batch_size} a slice: {asked:?}");
    }
}

#[test]
fn rows_are_taken_up_as_far_as_the_operations_of_an_invocation_go() {
    for batch_size in [5, 100] {
        let world = world_of(300, true);
        execute(&world.sqlite, IMAGES, Vec::new());
        for number in 0..200 {
            insert(&world.sqlite, &format!("row {number:03}"), &irregular());
        }
        assert_affordable(&world, "images", batch_size, 300);
    }
}

#[test]
fn images_are_taken_up_as_far_as_the_operations_of_an_invocation_go() {
    for batch_size in [10, 100] {
        let world = world_of(300, false);
        upload_all(&world, &[100; 200]);
        assert_affordable(&world, "embedded", batch_size, 300);
    }
}

#[test]
fn slices_of_a_hundred_rows_stay_under_the_limits() {
    let world = world();
    for number in 0..400 {
        let data = if number % 2 == 0 { irregular() } else { base64(&bytes("rgb.png")) };
        insert(&world.sqlite, &format!("row {number:03}"), &data);
    }
    assert_bounded(&world, "images", 400);
}

#[test]
fn slices_of_long_values_stay_under_the_limits() {
    let world = world();
    let jpeg = base64(&large_jpeg(1_500_000));
    for number in 0..40 {
        let id = format!("row {number:03}");
        insert(&world.sqlite, &id, "");
        let long = if number % 10 == 9 { jpeg.clone() } else { base64(&bytes("rgb.png")) };
        execute(
            &world.sqlite,
            "UPDATE images SET image_data = ?1 WHERE id = ?2",
            vec![long.into(), id.as_str().into()],
        );
    }
    assert_bounded(&world, "images", 40);
}

#[test]
fn slices_of_a_hundred_images_stay_under_the_limits() {
    let (world, _) = embedded_world(&[100; 250]);
    assert_bounded(&world, "embedded", 250);
}
