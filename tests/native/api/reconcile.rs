//! `POST /api/reconcile`: the whole bucket against the rows.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stillstore::sql::{Database, Fault, Statement};
use stillstore::store::{ImageStore, PutObject, StoreCall};

use super::frames::{form, post_until_crash, svg};
use super::migrate::act;
use super::uploads::{new_shoot, presign};
use super::world::{PNG, TOKEN, World};
use crate::runtime::block_on;

const HOUR_MS: i64 = 60 * 60 * 1000;

fn slice(world: &World, body: &Value) -> Value {
    let answer = world.post_json("/api/reconcile", body, &[]);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Every slice of the bucket in one.
pub fn reconcile(world: &World, action: &str) -> Value {
    let mut whole = json!({"objects": 0, "rows": 0, "foreignObjects": 0, "orphans": [], "missing": [], "slices": 0});
    let mut cursor = Value::Null;
    loop {
        let answer = slice(world, &json!({"action": action, "cursor": cursor}));
        for count in ["objects", "rows", "foreignObjects"] {
            whole[count] = json!(whole[count].as_u64().unwrap() + answer[count].as_u64().unwrap());
        }
        for list in ["orphans", "missing"] {
            whole[list].as_array_mut().unwrap().extend(answer[list].as_array().unwrap().clone());
        }
        whole["slices"] = json!(whole["slices"].as_u64().unwrap() + 1);
        cursor = answer["cursor"].clone();
        if cursor.is_null() {
            return whole;
        }
    }
}

/// What became of each orphan, by its key.
pub fn outcomes(report: &Value) -> BTreeMap<String, String> {
    let orphans = report["orphans"].as_array().unwrap().iter();
    let words = orphans.map(|orphan| {
        let text = |field: &str| orphan[field].as_str().unwrap_or_default().to_owned();
        (text("key"), [text("outcome"), text("reason")].join(" ").trim_end().to_owned())
    });
    words.collect()
}

pub fn keys(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["key"].as_str().unwrap()).collect()
}

fn execute(world: &World, sql: &'static str, value: &str) {
    block_on(world.sqlite.run(Statement::new(sql).bind(value))).expect("a statement");
}

fn forget_row(world: &World, id: &str) {
    execute(world, "DELETE FROM stillstore_images WHERE id = ?1", id);
}

/// Uploads an image and loses its row; its id and key.
pub fn orphan(world: &World, query: &str, bytes: &[u8]) -> (String, String) {
    let image = world.upload(query, bytes).json();
    let text = |field: &str| image[field].as_str().unwrap().to_owned();
    forget_row(world, &text("id"));
    (text("id"), text("key"))
}

pub fn old_world() -> World {
    World::new(true)
}

/// Longer than the period of grace.
pub fn wait(world: &World) {
    world.runtime.advance(25 * HOUR_MS);
}

#[test]
fn what_nothing_names_and_what_names_nothing_is_reported_and_left() {
    let world = old_world();
    let (_, lost_row) = orphan(&world, "context=studio&filename=a.png", PNG);
    let kept = world.upload("filename=b.png", PNG).json()["key"].as_str().unwrap().to_owned();
    let lost = world.upload("filename=c.png", PNG).json();
    let lost_object = lost["key"].as_str().unwrap();
    world.lose_object(lost_object);
    world.put_foreign_object("backups/site.tar", PNG);
    world.put_foreign_object("stillstore/receipts/0f8fad5bd9cb469fa16570867728950e.ndjson", PNG);

    let young = reconcile(&world, "report");
    assert_eq!((keys(&young["orphans"]).len(), keys(&young["missing"]).len()), (0, 0), "they are of this hour");
    wait(&world);
    let (_, young) = orphan(&world, "filename=young.png", PNG);
    for _ in 0..2 {
        let report = reconcile(&world, "report");
        assert_eq!(outcomes(&report), BTreeMap::from([(lost_row.clone(), "found".to_owned())]), "{report}");
        assert_eq!(report["missing"], json!([{"id": lost["id"], "key": lost_object, "bytes": PNG.len()}]));
        assert_eq!((&report["objects"], &report["rows"], &report["foreignObjects"]), (&json!(5), &json!(2), &json!(1)));
    }
    assert!(world.bucket.inner.contents().contains_key(&kept) && world.bucket.inner.contents().contains_key(&young));

    let removed = reconcile(&world, "remove");
    assert_eq!(outcomes(&removed), BTreeMap::from([(lost_row.clone(), "removed".to_owned())]));
    let left = world.bucket.inner.contents();
    assert!(!left.contains_key(&lost_row) && left.len() == 4, "{:?}", left.keys());
    assert_eq!(keys(&removed["missing"]), [lost_object], "a row is never removed");
    assert!(world.rows("SELECT id FROM stillstore_images WHERE status <> 'stored'").is_empty(), "no key is held");
}

#[test]
fn whatever_names_an_object_keeps_it() {
    let world = World::with_vars(&[("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN), ("SIGNING_KEY", TOKEN)]);
    // A variant, a grant, a reservation, a deletion under way, a copy that is in a table's journal, one that a run is putting, a frame
    // of an upload under way, and an embedded row whose put came late.
    let image = world.upload("filename=a.png", PNG).json()["id"].as_str().unwrap().to_owned();
    assert_eq!(world.call("GET", &format!("/images/{image}?w=32"), None).status, 200);
    let shoot = new_shoot(&world);
    let granted = presign(&world, &shoot, &json!({})).json()["object_key"].as_str().unwrap().to_owned();
    world.put_foreign_object(&granted, PNG);
    for (name, status) in [("p", "pending"), ("d", "deleting")] {
        let id = world.upload(&format!("filename={name}.png"), PNG).json()["id"].as_str().unwrap().to_owned();
        let sql = match status {
            "pending" => "UPDATE stillstore_images SET status = 'pending' WHERE id = ?1",
            _ => "UPDATE stillstore_images SET status = 'deleting' WHERE id = ?1",
        };
        execute(&world, sql, &id);
    }
    let moved = "tables/avatars/0f8fad5b-d9cb-469f-a165-70867728950e.png";
    let in_flight = "tables/avatars/1f8fad5b-d9cb-469f-a165-70867728950e.png";
    world.put_foreign_object(moved, PNG);
    world.put_foreign_object(in_flight, PNG);
    execute(
        &world,
        "INSERT INTO stillstore_moves (source, item_id, stage, image_id, storage_key, content_type, size_bytes, sha256, original, run_id, \
         moved_at_ms) VALUES ('avatars', '1', 'restored', '0f8fad5b-d9cb-469f-a165-70867728950e', ?1, 'image/png', 1, \
         '0000000000000000000000000000000000000000000000000000000000000000', '{}', 'r', 1)",
        moved,
    );
    execute(
        &world,
        "INSERT INTO stillstore_runs (id, action, source, exclusive, parameters, state, progress, in_flight, slices, lease_expires_at_ms, \
         created_at_ms, updated_at_ms) VALUES ('r', 'migrate', 'avatars', 1, '{}', 'paused', '{}', \
         json_array(json_object('item', '2', 'key', ?1)), 0, 0, 1, 1)",
        in_flight,
    );
    let frames = post_until_crash(&world, "/sessions/s/frames", form(&[("1", svg(1))])).unwrap();
    assert_eq!(frames.status, 201);
    world.put_foreign_object("frames/s/0007.png", PNG);
    execute(
        &world,
        "INSERT INTO stillstore_frame_uploads (token, session_id, state, began_at_ms) VALUES (?1, 's', 'under-way', 1)",
        "t",
    );
    world.bucket.plan.fail_nth(StoreCall::Put, 1, Fault::FailAfter);
    let late = world.upload("filename=late.png", PNG).json();
    assert_eq!(late["storage"], "d1");
    assert!(world.bucket.inner.contents().contains_key(late["key"].as_str().unwrap()));

    wait(&world);
    let before = world.bucket.inner.contents();
    let report = reconcile(&world, "remove");
    assert_eq!(outcomes(&report), BTreeMap::new());
    assert_eq!(world.bucket.inner.contents(), before);

    // Without what names them, each of those that no row of the catalogue has is one.
    for table in ["DELETE FROM stillstore_moves WHERE ?1", "DELETE FROM stillstore_runs WHERE ?1"] {
        execute(&world, table, "1");
    }
    for table in ["DELETE FROM stillstore_frame_uploads WHERE ?1", "DELETE FROM stillstore_uploads WHERE ?1"] {
        execute(&world, table, "1");
    }
    execute(&world, "DELETE FROM stillstore_variants WHERE ?1", "1");
    let report = reconcile(&world, "report");
    let variant = before.keys().find(|key| key.starts_with("stillstore/variants/")).unwrap();
    let mut expected = vec!["frames/s/0007.png", in_flight, moved, &granted, variant];
    expected.sort_unstable();
    assert_eq!(keys(&report["orphans"]), expected);
}

#[test]
fn an_object_becomes_the_image_that_its_key_and_metadata_tell_of() {
    let world = old_world();
    let public = "context=studio&filename=My%20Cat.png&personaId=p1&sessionId=s1&meta.colour=grey";
    let (id, key) = orphan(&world, public, PNG);
    let (private_id, private_key) = orphan(&world, "visibility=private&filename=secret.png", PNG);
    let generated = world.generate(&[]).json()["image"].clone();
    forget_row(&world, generated["id"].as_str().unwrap());
    let table_key = "tables/avatars/0f8fad5b-d9cb-469f-a165-70867728950e.png";
    world.put_foreign_object(table_key, PNG);
    let broken = "studio/2026/11/0a1b2c3d_page.png";
    world.put_foreign_object(broken, b"<html>no image</html>");
    wait(&world);

    let report = reconcile(&world, "adopt");
    let generated_key = generated["key"].as_str().unwrap();
    let adopted = [&key, &private_key, generated_key, table_key].map(|key| (key.to_owned(), "adopted".to_owned()));
    let expected = adopted.into_iter().chain([(broken.to_owned(), "kept not-an-image".to_owned())]).collect();
    assert_eq!(outcomes(&report), expected);
    world.assert_readable_as(&id, 200);
    let image = world.call("GET", &format!("/api/images/{id}"), None).json();
    assert_eq!(
        (&image["key"], &image["context"], &image["filename"]),
        (&json!(key), &json!("studio"), &json!("my-cat.png"))
    );
    assert_eq!((&image["personaId"], &image["sessionId"]), (&json!("p1"), &json!("s1")));
    assert_eq!((&image["metadata"], &image["visibility"]), (&json!({"colour": "grey"}), &json!("public")));
    assert_eq!((&image["width"], &image["storage"]), (&json!(1), &json!("r2")));
    world.assert_readable_as(&private_id, 403);
    let generated_id = generated["id"].as_str().unwrap();
    let image = world.call("GET", &format!("/api/images/{generated_id}"), None).json();
    assert_eq!(image["generation"]["provider"], generated["generation"]["provider"], "{image}");
    world.assert_readable_as("0f8fad5b-d9cb-469f-a165-70867728950e", 403);

    world.lose_object(broken);
    world.assert_invariants();
    let again = reconcile(&world, "adopt");
    assert_eq!(outcomes(&again), BTreeMap::new(), "adopting is done once");
}

#[test]
fn members_come_back_to_their_collection_and_only_there() {
    let world = old_world();
    let frames = form(&[("1", svg(1)), ("2", svg(2)), ("3", svg(3))]);
    assert_eq!(post_until_crash(&world, "/sessions/s/frames", frames).unwrap().status, 201);
    let rows = world.rows("SELECT id, storage_key FROM stillstore_images ORDER BY ordinal");
    let frame = |number: usize| rows[number - 1]["storage_key"].as_str().unwrap().to_owned();
    for number in [1, 2] {
        forget_row(&world, rows[number - 1]["id"].as_str().unwrap());
    }
    // The number of a frame that is there, in another format; a frame of a session that is not; an asset of a shoot that is not.
    world.put_foreign_object("frames/s/0003.png", PNG);
    world.put_foreign_object("frames/gone/0001.png", PNG);
    let asset = "anyone/0f8fad5b-d9cb-469f-a165-70867728950e/1f8fad5b-d9cb-469f-a165-70867728950e/original.png";
    let shoot = new_shoot(&world);
    let mine = presign(&world, &shoot, &json!({})).json()["object_key"].as_str().unwrap().to_owned();
    execute(&world, "DELETE FROM stillstore_uploads WHERE storage_key = ?1", &mine);
    world.put_foreign_object(&mine, PNG);
    world.put_foreign_object(asset, PNG);
    wait(&world);
    let report = reconcile(&world, "adopt");
    let refused = "kept collection-refuses".to_owned();
    let mut expected = BTreeMap::from([frame(1), frame(2), mine].map(|key| (key, "adopted".to_owned())));
    for key in ["frames/s/0003.png", "frames/gone/0001.png", asset] {
        expected.insert(key.to_owned(), refused.clone());
    }
    assert_eq!(outcomes(&report), expected);
    let assets = world.call("GET", &format!("/shoots/{shoot}/assets"), None).json();
    assert_eq!(assets["assets"].as_array().unwrap().len(), 1, "{assets}");
    for number in [1, 2, 3] {
        let answer = world.call("GET", &format!("/sessions/s/frames/{number}"), None);
        assert_eq!((answer.status, answer.body), (200, svg(number)));
    }
}

#[test]
fn an_image_that_was_deleted_or_is_elsewhere_is_not_made_anew() {
    let world = old_world();
    let (id, key) = orphan(&world, "filename=a.png", PNG);
    let object = world.metadata(&key);
    let deleted = world.upload("filename=b.png", PNG).json();
    let text = |field: &str| deleted[field].as_str().unwrap().to_owned();
    let metadata = world.metadata(&text("key"));
    assert_eq!(world.call("DELETE", &format!("/api/images/{}", text("id")), None).status, 204);
    put_with(&world, &text("key"), metadata);
    let elsewhere = world.upload("filename=c.png", PNG).json()["key"].as_str().unwrap().to_owned();
    put_with(&world, "uploads/2026/11/0a1b2c3d_copy.png", world.metadata(&elsewhere));
    wait(&world);
    let report = reconcile(&world, "adopt");
    let expected = [
        (key, "adopted"),
        (text("key"), "kept image-deleted"),
        ("uploads/2026/11/0a1b2c3d_copy.png".to_owned(), "kept image-elsewhere"),
    ];
    assert_eq!(outcomes(&report), expected.map(|(key, outcome)| (key, outcome.to_owned())).into());
    assert_eq!(object["image-id"], id);
    world.assert_readable_as(&text("id"), 410);
}

fn put_with(world: &World, key: &str, metadata: stillstore::store::ObjectMetadata) {
    let object = PutObject {
        key: key.to_owned().try_into().unwrap(),
        body: PNG.to_vec().into(),
        media: stillstore::image::Format::Png.into(),
        sha256: None,
        metadata,
    };
    block_on(world.bucket.inner.put(object)).unwrap();
}

#[test]
fn a_bucket_of_several_pages_is_gone_through_once_in_slices() {
    let world = old_world();
    let mut every = Vec::new();
    for number in 0..1_250 {
        let key = format!("studio/2026/11/{number:08x}_a.png");
        world.put_foreign_object(&key, PNG);
        every.push(key);
        if number % 5 == 0 {
            world.put_foreign_object(&format!("zoo/{number}"), PNG);
        }
    }
    let stored = world.upload("context=alpha", PNG).json()["id"].as_str().unwrap().to_owned();
    wait(&world);
    let report = reconcile(&world, "report");
    assert_eq!(keys(&report["orphans"]), every);
    assert_eq!(
        (&report["objects"], &report["foreignObjects"], &report["rows"]),
        (&json!(1_501), &json!(250), &json!(1))
    );
    assert_eq!(report["slices"], 2);

    let first = slice(&world, &json!({"action": "adopt"}));
    assert_eq!(first["orphans"].as_array().unwrap().len(), 10);
    assert_eq!(first["cursor"], every[9].as_str());
    let removed = reconcile(&world, "remove");
    assert_eq!(keys(&removed["orphans"]), every[10..]);
    assert_eq!(world.bucket.inner.contents().len(), 250 + 10 + 1);
    world.assert_readable_as(&stored, 200);
}

#[test]
fn rows_of_other_homes_end_a_slice_too() {
    let world = World::new(false);
    for number in 0..1_100 {
        let (context, id) = (format!("c{number:04}"), format!("{number:08x}-0000-4000-8000-000000000000"));
        execute(
            &world,
            "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, version, created_at_ms, \
             updated_at_ms) SELECT value ->> 0, 'pending', 'd1', value ->> 1, 'image/png', 'public', '{}', 1, 1, 1 \
             FROM (SELECT ?1 AS value)",
            &json!([id, format!("{context}/2026/11/0a1b2c3d_a.png")]).to_string(),
        );
    }
    world.put_foreign_object("d/2026/11/0a1b2c3d_a.png", PNG);
    wait(&world);
    let report = reconcile(&world, "report");
    assert_eq!((&report["slices"], keys(&report["orphans"])), (&json!(2), vec!["d/2026/11/0a1b2c3d_a.png"]));
}

#[test]
fn what_is_asked_for_must_be_one_of_the_rules() {
    let world = old_world();
    for (body, field) in [
        (json!({"action": "delete"}), "action"),
        (json!({"graceHours": 0}), "graceHours"),
        (json!({"graceHours": 8761}), "graceHours"),
        (json!({"cursor": ""}), "cursor"),
    ] {
        let answer = world.post_json("/api/reconcile", &body, &[]);
        assert_eq!((answer.status, answer.json()["field"].as_str().unwrap()), (400, field), "{answer:?}");
    }
}

#[test]
fn a_run_and_its_copies_are_nothing_to_reconcile() {
    let world = World::new(false);
    for name in ["a", "b"] {
        assert_eq!(world.upload(&format!("filename={name}.png"), PNG).status, 201);
    }
    act(&world, &json!({"action": "migrate"}));
    wait(&world);
    let report = reconcile(&world, "report");
    assert_eq!((outcomes(&report), keys(&report["missing"])), (BTreeMap::new(), vec![]));
    act(&world, &json!({"action": "rollback"}));
    wait(&world);
    let report = reconcile(&world, "remove");
    assert_eq!(outcomes(&report), BTreeMap::new(), "a rolled-back copy is the journal's");
}
