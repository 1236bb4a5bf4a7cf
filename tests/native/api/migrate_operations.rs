//! What one invocation asks of D1 and R2 stays under their limits, whatever the size of a slice.

use serde_json::{Value, json};

use super::migrate::{act, embedded_world};
use super::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_table::{base64, execute, insert, large_jpeg, world};
use crate::runtime::block_on;

/// Statements that D1 takes of one invocation on the paid plan (developers.cloudflare.com/d1/platform/limits).
const MOST_STATEMENTS: usize = 1_000;
const DAYS_31_MS: i64 = 31 * 24 * 60 * 60 * 1000;
const LEASE_MS: i64 = 10 * 60 * 1000;

/// Begins an action and has it taken up until it has ended; the most that one invocation asked of D1 and of R2.
fn most_asked(world: &World, body: &Value) -> (usize, usize) {
    let mut most = (0, 0);
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
        let objects = world.bucket.plan.calls().len();
        most = (most.0.max(statements), most.1.max(objects - asked.1));
        asked = (calls.len(), objects);
        if world.rows("SELECT id FROM stillstore_runs WHERE state = 'running'").is_empty() {
            return most;
        }
    }
    most
}

fn assert_bounded(world: &World, source: &str, items: u64) {
    let mut invocations = Vec::new();
    for action in ["migrate", "validate", "cleanup", "rollback"] {
        world.runtime.advance(DAYS_31_MS);
        let body = json!({"action": action, "source": source, "batchSize": 100, "deleteFromR2": action == "rollback"});
        let (statements, objects) = most_asked(world, &body);
        invocations.push((action, statements, objects));
        let run = &world.rows("SELECT progress FROM stillstore_runs ORDER BY created_at_ms DESC LIMIT 1")[0];
        let progress: Value = serde_json::from_str(run["progress"].as_str().unwrap()).unwrap();
        let verdict =
            ["moved", "valid", "cleaned", "restored"].iter().find_map(|word| progress["verdicts"][word].as_u64());
        assert_eq!(verdict, Some(items), "{action}: {progress}");
    }
    for (action, statements, objects) in &invocations {
        assert!(*statements <= MOST_STATEMENTS, "{source}, {action}: {statements} statements in one invocation");
        assert!(*objects <= MOST_STATEMENTS, "{source}, {action}: {objects} calls to the bucket in one invocation");
    }
}

#[test]
fn slices_of_a_hundred_rows_stay_under_the_limits() {
    let world = world();
    for number in 0..400 {
        // Half of them cannot be had from their image: cleanup saves them in the bucket.
        let blank = if number % 2 == 0 { " " } else { "" };
        let encoded = base64(&bytes("rgb.png"));
        insert(&world.sqlite, &format!("row {number:03}"), &format!("{}{blank}{}", &encoded[..8], &encoded[8..]));
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
