//! Moving embedded images to R2 and back, over HTTP.

use serde_json::{Value, json};

use stillstore::library::SWEEP_AFTER_MS;
use stillstore::sql::{Database, Fault, Statement};
use stillstore::store::StoreCall;

use super::jobs::deliver_all;
use super::world::{PNG, TOKEN, World};
use crate::runtime::block_on;

/// A PNG of any size: bytes after its end do not matter to the store.
fn image(bytes: usize, seed: u8) -> Vec<u8> {
    let mut image = PNG.to_vec();
    image.resize(bytes.max(PNG.len()), seed);
    image
}

pub fn embedded_world(sizes: &[usize]) -> (World, Vec<(String, Vec<u8>)>) {
    let world = World::new(false);
    let images = upload_all(&world, sizes);
    (world, images)
}

/// Uploads images of these sizes; their ids and bytes.
pub fn upload_all(world: &World, sizes: &[usize]) -> Vec<(String, Vec<u8>)> {
    let images = sizes.iter().enumerate().map(|(index, size)| {
        let bytes = image(*size, u8::try_from(index % 250).unwrap());
        world.runtime.advance(1);
        let answer = world.upload("filename=a.png", &bytes);
        assert_eq!(answer.status, 201, "{answer:?}");
        (answer.json()["id"].as_str().unwrap().to_owned(), bytes)
    });
    images.collect()
}

pub fn act(world: &World, body: &Value) -> Value {
    let answer = world.post_json("/api/migrate-images", body, &[]);
    assert!(answer.status < 300, "{body}: {answer:?}");
    answer.json()
}

fn assert_readable(world: &World, images: &[(String, Vec<u8>)]) {
    for (id, bytes) in images {
        let answer = world.call("GET", &format!("/images/{id}"), None);
        assert_eq!((answer.status, &answer.body), (200, bytes), "{id}");
    }
}

fn count(world: &World, sql: &'static str) -> u64 {
    world.rows(sql)[0]["n"].as_u64().unwrap()
}

#[test]
fn an_image_that_is_deleted_behind_its_move_leaves_the_journal_at_once() {
    let (world, images) = embedded_world(&[70, 70]);
    act(&world, &json!({"action": "migrate"}));
    assert_eq!(world.call("DELETE", &format!("/api/images/{}", images[0].0), None).status, 204);
    let left = world.rows("SELECT item_id FROM stillstore_moves");
    assert_eq!(left, [json!({"item_id": images[1].0})]);
    let counted = world.rows("SELECT stage, items FROM stillstore_move_counters WHERE items <> 0");
    assert_eq!(counted, [json!({"stage": "moved", "items": 1})]);

    world.runtime.advance(SWEEP_AFTER_MS);
    world.sweep();
    assert_eq!(world.rows("SELECT 1 FROM stillstore_images WHERE status = 'deleted'").len(), 1);
    assert_eq!(world.rows("SELECT stage, items FROM stillstore_move_counters WHERE items <> 0"), counted);
}

#[test]
fn images_move_to_r2_and_back_byte_for_byte() {
    let mib = 1024 * 1024;
    let (world, images) = embedded_world(&[70, 500, 3 * mib, mib, mib + 1, 100, 100, 100, 9 * mib, 100, 100, 100, 100]);
    let before = world.rows("SELECT * FROM stillstore_images ORDER BY id");

    let dry = act(&world, &json!({"action": "migrate", "dryRun": true}));
    assert_eq!(dry["result"]["migrated"], 13, "{dry}");
    assert!(world.bucket.inner.contents().keys().all(|key| key.starts_with("stillstore/receipts/")));
    assert_eq!(world.rows("SELECT * FROM stillstore_images ORDER BY id"), before);

    let moved = act(&world, &json!({"action": "migrate"}));
    assert_eq!(
        (&moved["done"], &moved["state"], &moved["success"]),
        (&json!(true), &json!("completed"), &json!(true)),
        "{moved}"
    );
    assert_eq!((&moved["result"]["migrated"], &moved["result"]["total"]), (&json!(13), &json!(13)));
    assert_eq!(count(&world, "SELECT count(*) AS n FROM stillstore_images WHERE storage = 'r2'"), 13);
    assert_eq!(count(&world, "SELECT count(*) AS n FROM stillstore_moves WHERE stage = 'moved'"), 13);
    assert_readable(&world, &images);
    let status = world.call("GET", "/api/migrate-images", None).json();
    assert_eq!(status["migrationStats"]["migratedImages"], 13);
    assert_eq!(status["migrationStats"]["base64Images"], 0);
    assert_eq!(status["migrationStats"]["partiallyMigratedImages"], 13);

    let receipt =
        world.call("GET", &format!("/api/migrate-images/runs/{}/receipt", moved["runId"].as_str().unwrap()), None);
    assert_eq!(receipt.body.split(|byte| *byte == b'\n').count(), 13 + 3, "{receipt:?}");

    let valid = act(&world, &json!({"action": "validate", "checkIntegrity": true}));
    assert_eq!((&valid["result"]["isValid"], &valid["result"]["valid"]), (&json!(true), &json!(13)), "{valid}");

    let back = act(&world, &json!({"action": "rollback", "deleteFromR2": true}));
    assert_eq!(back["result"]["rolledBack"], 13, "{back}");
    assert_readable(&world, &images);
    assert!(world.bucket.inner.contents().keys().all(|key| key.starts_with("stillstore/")));
    assert_eq!(count(&world, "SELECT count(*) AS n FROM stillstore_moves"), 0);

    act(&world, &json!({"action": "migrate"}));
    let kept = act(&world, &json!({"action": "cleanup"}));
    assert_eq!((&kept["result"]["kept"], &kept["result"]["cleaned"]), (&json!(13), &json!(0)), "{kept}");
    world.runtime.advance(31 * 24 * 60 * 60 * 1000);
    let cleaned = act(&world, &json!({"action": "cleanup"}));
    assert_eq!(cleaned["result"]["cleaned"], 13, "{cleaned}");
    assert_eq!(count(&world, "SELECT count(*) AS n FROM stillstore_chunks"), 0);
    assert_readable(&world, &images);

    let back = act(&world, &json!({"action": "rollback"}));
    assert_eq!(back["result"]["rolledBack"], 13, "{back}");
    assert_eq!(count(&world, "SELECT count(*) AS n FROM stillstore_images WHERE storage = 'd1'"), 13);
    assert_readable(&world, &images);
}

#[test]
fn images_that_fell_back_are_moved_by_cron_once_r2_is_back_if_a_variable_says_so() {
    for (variable, storage) in [("true", "r2"), ("false", "d1")] {
        let vars = [("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("MIGRATE_FALLBACK_IMAGES", variable)];
        let world = World::with_vars(&vars);
        world.bucket.plan.fail_all(StoreCall::Put, Fault::FailBefore);
        let answer = world.upload("filename=a.png", PNG);
        assert_eq!((answer.status, &answer.json()["storage"]), (201, &json!("d1")), "{answer:?}");
        let images = [(answer.json()["id"].as_str().unwrap().to_owned(), PNG.to_vec())];

        block_on(world.app.tick());
        assert_readable(&world, &images);
        world.bucket.plan.heal();
        world.runtime.advance(60 * 60 * 1000);
        block_on(world.app.tick());
        let image = world.call("GET", &format!("/api/images/{}", images[0].0), None).json();
        assert_eq!(image["storage"], storage, "{variable}: {image}");
        assert_eq!(image.get("fallbackReason").is_some(), storage == "d1", "{image}");
        assert_readable(&world, &images);

        let runs = count(&world, "SELECT count(*) AS n FROM stillstore_runs");
        block_on(world.app.tick());
        assert_eq!(count(&world, "SELECT count(*) AS n FROM stillstore_runs"), runs, "nothing is left to do");
    }
}

#[test]
fn where_there_is_a_queue_cron_leaves_the_work_on_runs_to_it() {
    let vars = [("MIGRATE_FALLBACK_IMAGES", "true"), ("EDIT_PROVIDER", "builtin")];
    let world = World::with_vars(&[vars[0], vars[1], ("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN)]);
    world.bucket.plan.fail_all(StoreCall::Put, Fault::FailBefore);
    let id = world.upload("filename=a.png", PNG).json()["id"].as_str().unwrap().to_owned();
    world.bucket.plan.heal();
    let storage = || world.call("GET", &format!("/api/images/{id}"), None).json()["storage"].clone();
    block_on(world.app.tick());
    assert_eq!(storage(), "d1", "the statements of a run are those of an invocation of its own");
    deliver_all(&world);
    assert_eq!(storage(), "r2");
}

#[test]
fn validation_finds_what_is_missing_corrupted_and_orphaned_and_changes_nothing() {
    let (world, images) = embedded_world(&[100; 6]);
    act(&world, &json!({"action": "migrate"}));
    let keys: Vec<_> = images
        .iter()
        .map(|(id, _)| world.call("GET", &format!("/api/images/{id}"), None).json()["key"].as_str().unwrap().to_owned())
        .collect();
    world.lose_object(&keys[1]);
    world.lose_object(&keys[2]);
    world.put_foreign_object(&keys[2], b"something else");
    world.put_foreign_object("generated/2026/11/0f8fad5b-d9cb-469f-a165-70867728950e.png", PNG);
    world.put_foreign_object("somebody/elses.png", PNG);
    // An image that was put in R2 at once, whose object somebody removed.
    block_on(world.sqlite.run(Statement::new(
        "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, size_bytes, sha256, \
         version, created_at_ms, updated_at_ms) SELECT '11111111-2222-4333-8444-555555555555', status, storage, \
         'uploads/2026/11/11111111_a.png', content_type, visibility, labels, size_bytes, sha256, 1, 1, 1 \
         FROM stillstore_images LIMIT 1",
    )))
    .expect("insert");

    let before =
        (world.rows("SELECT * FROM stillstore_images ORDER BY id"), world.rows("SELECT * FROM stillstore_moves"));
    let answer = act(&world, &json!({"action": "validate"}));
    let result = &answer["result"];
    let ids = |field: &str| {
        let items = result[field].as_array().unwrap().iter();
        items.map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!((&result["isValid"], &answer["success"]), (&json!(false), &json!(false)), "{answer}");
    let mut missing = ids("missing");
    missing.sort();
    let mut expected = vec![images[1].0.clone(), "11111111-2222-4333-8444-555555555555".to_owned()];
    expected.sort();
    assert_eq!(missing, expected);
    assert_eq!(ids("corrupted"), [images[2].0.clone()]);
    assert_eq!(ids("orphaned"), ["generated/2026/11/0f8fad5b-d9cb-469f-a165-70867728950e.png"]);
    assert_eq!(result["valid"], 4);
    let after =
        (world.rows("SELECT * FROM stillstore_images ORDER BY id"), world.rows("SELECT * FROM stillstore_moves"));
    assert_eq!(after, before);

    let sample = act(&world, &json!({"action": "validate", "sampleSize": 3}));
    assert_eq!(sample["result"]["totalChecked"], 3, "{sample}");
    let proof = sample["result"]["warnings"][0].as_str().unwrap();
    assert!(proof.starts_with("3 items of 6 were chosen"), "{proof}");
}

#[test]
fn a_run_without_a_worker_pauses_resumes_and_ends_at_once_and_leaves_its_receipt() {
    let (world, images) = embedded_world(&[100; 25]);
    let begun = act(&world, &json!({"action": "migrate", "background": true}));
    let id = begun["runId"].as_str().unwrap();
    assert_eq!(
        (&begun["state"], &begun["done"], &begun["background"]),
        (&json!("running"), &json!(false), &json!(true))
    );
    let second = world.post_json("/api/migrate-images", &json!({"action": "rollback"}), &[]);
    assert_eq!((second.status, second.code().as_str()), (409, "run-in-progress"));
    assert_eq!(second.json()["runId"], id);

    assert_eq!(act(&world, &json!({"action": "pause"}))["state"], "paused");
    block_on(world.app.tick());
    assert_eq!(act(&world, &json!({"action": "status", "runId": id}))["result"]["progress"]["done"], 0);
    let held = world.post_json("/api/migrate-images", &json!({"action": "migrate"}), &[]);
    assert_eq!(held.status, 409, "a paused run keeps its source");
    assert_eq!(act(&world, &json!({"action": "resume"}))["state"], "running");
    assert_eq!(act(&world, &json!({"action": "pause"}))["state"], "paused");
    let ended = act(&world, &json!({"action": "cancel", "runId": id}));
    assert_eq!(ended["state"], "cancelled", "{ended}");
    assert_eq!(world.call("GET", &format!("/api/migrate-images/runs/{id}/receipt"), None).status, 200);
    let again = world.post_json("/api/migrate-images", &json!({"action": "resume", "runId": id}), &[]);
    assert_eq!((again.status, again.code().as_str()), (409, "run-ended"));
    assert_readable(&world, &images);
    assert_eq!(act(&world, &json!({"action": "migrate"}))["result"]["migrated"], 25);
}

#[test]
fn a_worker_that_lost_its_run_as_it_was_about_to_end_it_says_that_the_run_goes_on() {
    let (world, _) = embedded_world(&[70]);
    let steal = "CREATE TRIGGER steal AFTER INSERT ON stillstore_run_lines BEGIN \
        UPDATE stillstore_runs SET lease_token = 'another'; END";
    block_on(world.database.run(Statement::new(steal))).unwrap();

    let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate"}), &[]);
    assert_eq!((answer.status, &answer.json()["state"]), (202, &json!("running")), "{answer:?}");
}
