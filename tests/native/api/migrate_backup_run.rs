//! Embedded images saved in the bucket and restored from there, over HTTP.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use stillstore::migrate::SLICE_BYTES;

use super::migrate::{act, embedded_world};
use super::world::{Answer, PNG, TOKEN, World};

const MIB: usize = 1024 * 1024;

/// All that is to be the same after a restore: the rows but for the write that holds the bytes, and the counters.
pub fn rows(world: &World) -> Vec<Vec<Value>> {
    let mut images = world.rows("SELECT * FROM stillstore_images ORDER BY id");
    for row in &mut images {
        let write = row.as_object_mut().unwrap().remove("embedded_write_id");
        assert!(write.is_some_and(|write| write.is_string()), "the row names its bytes");
    }
    vec![images, world.rows("SELECT * FROM stillstore_counters ORDER BY status, storage, fallback")]
}

/// Loses every image, as a wrong `DELETE` could.
pub fn wipe(world: &World) {
    world.rows("DELETE FROM stillstore_images");
    world.rows("DELETE FROM stillstore_blobs");
    assert!(world.rows("SELECT * FROM stillstore_chunks").is_empty());
}

pub fn back_up(world: &World, body: &Value) -> String {
    let saved = act(world, body);
    assert_eq!((&saved["state"], &saved["success"]), (&json!("completed"), &json!(true)), "{saved}");
    saved["runId"].as_str().unwrap().to_owned()
}

fn restore(world: &World, backup: &str) -> Value {
    act(world, &json!({"action": "restore", "runId": backup}))
}

fn refused(world: &World, body: &Value) -> (u16, String, String) {
    let answer = world.post_json("/api/migrate-images", body, &[]);
    (answer.status, answer.code(), answer.json()["field"].as_str().unwrap_or_default().to_owned())
}

/// The lines of an ended run's receipt.
pub fn lines(world: &World, run: &str) -> Vec<Value> {
    let answer = world.call("GET", &format!("/api/migrate-images/runs/{run}/receipt"), None);
    let text = String::from_utf8(answer.body).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines[1..lines.len() - 1].to_vec()
}

/// Id, verdict and reason of each line, by id.
fn verdicts(world: &World, run: &Value) -> BTreeSet<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = lines(world, run["runId"].as_str().unwrap());
    lines.iter().map(|line| (text(&line["id"]), text(&line["verdict"]), text(&line["reason"]))).collect()
}

/// The keys of parts that are in the bucket.
pub fn parts(world: &World) -> BTreeSet<String> {
    world.bucket.inner.contents().into_keys().filter(|key| key.starts_with("stillstore/backups/")).collect()
}

/// The keys of parts that the receipt names.
pub fn named_parts(world: &World, run: &str) -> BTreeSet<String> {
    let lines = lines(world, run);
    let saved = lines.iter().filter(|line| line["verdict"] == "saved");
    saved.map(|line| line["to"].as_str().unwrap().strip_prefix("r2:").unwrap().to_owned()).collect()
}

pub fn readings(world: &World, ids: &[String]) -> Vec<(Value, Vec<u8>)> {
    let read = |path: String| -> Answer {
        let answer = world.call("GET", &path, None);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer
    };
    let both = |id: &String| (read(format!("/api/images/{id}")).json(), read(format!("/images/{id}")).body);
    ids.iter().map(both).collect()
}

pub fn ids(images: &[(String, Vec<u8>)]) -> Vec<String> {
    images.iter().map(|(id, _)| id.clone()).collect()
}

#[test]
fn everything_comes_back_as_it_was() {
    let mut sizes: Vec<usize> = (0..33).map(|index| 70 + index * 1_009).collect();
    sizes.extend([9_000_000, MIB, MIB + 1, 25 * MIB]);
    let (world, images) = embedded_world(&sizes);
    let mut ids = ids(&images);
    let uploads = [
        "filename=caf%C3%A9.png&visibility=private",
        "filename=a.png&context=avatars&personaId=p-1&sessionId=s-1&participantId=q&tableId=t",
    ];
    for query in uploads {
        let answer = world.upload(query, PNG);
        assert_eq!(answer.status, 201, "{answer:?}");
        ids.push(answer.json()["id"].as_str().unwrap().to_owned());
    }
    let generated = world.generate(&[]).json();
    ids.push(generated["image"]["id"].as_str().unwrap().to_owned());
    // An image that moved to R2 and whose original is here yet.
    act(&world, &json!({"action": "migrate", "imageIds": [ids[3]]}));
    act(&world, &json!({"action": "rollback"}));
    let (before, readings_before) = (rows(&world), readings(&world, &ids));

    let saved = act(&world, &json!({"action": "backup"}));
    let run = saved["runId"].as_str().unwrap();
    let result = &saved["result"];
    assert_eq!((&result["saved"], &result["total"], &result["failed"]), (&json!(40), &json!(40), &json!(0)), "{saved}");
    assert_eq!(result["keyPrefix"], format!("stillstore/backups/{run}/"));
    assert_eq!(result["bytes"], before[0].iter().map(|row| row["size_bytes"].as_u64().unwrap()).sum::<u64>());
    assert_eq!((rows(&world), parts(&world)), (before.clone(), named_parts(&world, run)));
    for part in parts(&world) {
        let lines = lines(&world, run);
        let inside: Vec<_> = lines.iter().filter(|line| line["to"] == format!("r2:{part}")).collect();
        let bytes = inside.iter().map(|line| line["size"].as_u64().unwrap()).sum::<u64>();
        assert!(bytes <= SLICE_BYTES || inside.len() == 1, "{part}: {bytes}");
    }

    wipe(&world);
    let dry = act(&world, &json!({"action": "restore", "runId": run, "dryRun": true}));
    assert_eq!((&dry["result"]["restored"], &dry["result"]["failed"]), (&json!(40), &json!(0)), "{dry}");
    assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
    assert!(world.rows("SELECT write_id FROM stillstore_blobs").is_empty());

    let restored = restore(&world, run);
    assert_eq!((&restored["result"]["restored"], &restored["success"]), (&json!(40), &json!(true)), "{restored}");
    assert_eq!((&restored["source"], &restored["result"]["total"]), (&json!("embedded"), &json!(40)));
    assert!(rows(&world) == before, "rows and counters are the same");
    assert!(readings(&world, &ids) == readings_before, "every image and what is said of it is the same");
    world.runtime.advance(48 * 60 * 60 * 1000);
    world.sweep();
    let swept = readings(&world, &ids).into_iter().zip(&readings_before);
    assert!(swept.into_iter().all(|((_, bytes), (_, before))| bytes == *before), "the sweep knows whose the bytes are");

    let again = restore(&world, run);
    assert_eq!((&again["result"]["skipped"], &again["success"]), (&json!(40), &json!(true)), "{again}");
    assert!(verdicts(&world, &again).iter().all(|(_, _, reason)| reason == "unchanged"));
}

#[test]
fn what_is_there_is_never_overwritten() {
    let (world, images) = embedded_world(&[200, 300, 400, 500, 600, 700, 2 * MIB, 800, 900]);
    let ids = ids(&images);
    let [unchanged, deleted, moved, row_lost, blob_lost, altered, chunk_lost, unnamed, unwanted] = &ids[..] else {
        panic!()
    };
    let before = readings(&world, &ids);
    let run = back_up(&world, &json!({"action": "backup"}));

    assert_eq!(world.call("DELETE", &format!("/api/images/{deleted}"), None).status, 204);
    act(&world, &json!({"action": "migrate", "imageIds": [moved]}));
    let change = |sql: &str, id: &str| world.rows(sql.replace("?1", &format!("'{id}'")).leak());
    change("DELETE FROM stillstore_images WHERE id = ?1", row_lost);
    change("DELETE FROM stillstore_blobs WHERE owner_id = ?1", blob_lost);
    let chunks = "write_id = (SELECT write_id FROM stillstore_blobs WHERE owner_id = ?1)";
    change(&format!("UPDATE stillstore_chunks SET data = 'AAAA' || substr(data, 5) WHERE {chunks}"), altered);
    change(&format!("DELETE FROM stillstore_chunks WHERE chunk_index = 1 AND {chunks}"), chunk_lost);
    change("UPDATE stillstore_images SET embedded_write_id = NULL WHERE id = ?1", unnamed);
    change("DELETE FROM stillstore_images WHERE id = ?1", unwanted);
    let journal = world.rows("SELECT * FROM stillstore_moves");

    let wanted = [unchanged, deleted, moved, row_lost, blob_lost, altered, chunk_lost, unnamed];
    let mut named: Vec<_> = wanted.iter().map(|id| id.as_str()).collect();
    named.push("not-in-there");
    let body = json!({"action": "restore", "runId": run, "imageIds": named});
    let restored = act(&world, &body);
    let expected = [
        (unchanged.as_str(), "skipped", "unchanged"),
        (deleted, "skipped", "deleted"),
        (moved, "skipped", "moved"),
        (row_lost, "restored", ""),
        (blob_lost, "restored", ""),
        (altered, "restored", ""),
        (chunk_lost, "restored", ""),
        (unnamed, "restored", ""),
        ("not-in-there", "failed", "not-in-backup"),
    ];
    let expected = expected.map(|(id, verdict, reason)| (id.to_owned(), verdict.to_owned(), reason.to_owned()));
    assert_eq!(verdicts(&world, &restored), BTreeSet::from(expected));
    assert_eq!(restored["result"]["total"], 9);
    assert_eq!(world.rows("SELECT * FROM stillstore_moves"), journal);
    for (id, (_, bytes)) in ids.iter().zip(&before) {
        let answer = world.call("GET", &format!("/images/{id}"), None);
        let expected = if id == deleted {
            410
        } else if id == unwanted {
            404
        } else {
            200
        };
        assert_eq!(answer.status, expected, "{id}");
        assert!(expected != 200 || answer.body == *bytes, "{id}");
    }
}

#[test]
fn an_image_that_had_moved_comes_back_as_one_that_had_not() {
    let (world, images) = embedded_world(&[3_000, 4_000]);
    let ids = ids(&images);
    let before = readings(&world, &ids);
    act(&world, &json!({"action": "migrate", "imageIds": [ids[0]]}));
    let run = back_up(&world, &json!({"action": "backup"}));
    wipe(&world);
    assert_eq!(restore(&world, &run)["result"]["restored"], 2);
    assert_eq!(world.rows("SELECT id FROM stillstore_images WHERE storage = 'd1'").len(), 2);
    assert_eq!(world.rows("SELECT stage FROM stillstore_moves"), [json!({"stage": "restored"})]);
    let counted = world.rows("SELECT items FROM stillstore_move_counters WHERE stage = 'restored'");
    assert_eq!(counted, [json!({"items": 1})]);
    for (id, (_, bytes)) in ids.iter().zip(before) {
        assert_eq!(world.call("GET", &format!("/images/{id}"), None).body, bytes);
    }
}

#[test]
fn of_a_damaged_part_nothing_is_restored() {
    type Damage = fn(&World, &str);
    let damages: [Damage; 4] = [
        |world, key| world.lose_object(key),
        |world, key| replace(world, key, |bytes| bytes[300] ^= 1),
        |world, key| replace(world, key, |bytes| bytes.truncate(bytes.len() / 2)),
        // A whole record, and another part's.
        |world, key| {
            let other = parts(world).into_iter().find(|part| part != key).unwrap();
            let other = world.bucket.inner.contents()[&other].clone();
            replace(world, key, |bytes| *bytes = other.clone());
        },
    ];
    for (case, damage) in damages.into_iter().enumerate() {
        let (world, images) = embedded_world(&[9 * MIB, 100, 9 * MIB, 300]);
        let ids = ids(&images);
        let run = back_up(&world, &json!({"action": "backup"}));
        let parts: Vec<_> = parts(&world).into_iter().collect();
        assert_eq!(parts.len(), 2);
        wipe(&world);
        damage(&world, &parts[0]);
        let restored = restore(&world, &run);
        assert_eq!(
            (&restored["state"], &restored["success"]),
            (&json!("completed_with_errors"), &json!(false)),
            "{case}"
        );
        let result = &restored["result"];
        assert_eq!((&result["restored"], &result["failed"]), (&json!(2), &json!(2)), "{case}: {restored}");
        let failed: Vec<_> =
            result["errors"].as_array().unwrap().iter().map(|error| (&error["id"], &error["reason"])).collect();
        let reason = json!("backup-damaged");
        assert_eq!(failed, [(&json!(ids[0]), &reason), (&json!(ids[1]), &reason)], "{case}");
        assert_eq!(world.rows("SELECT id FROM stillstore_images").len(), 2, "{case}");
        assert_eq!(world.rows("SELECT write_id FROM stillstore_blobs").len(), 2, "{case}");
    }
}

fn replace(world: &World, key: &str, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = world.bucket.inner.contents()[key].clone();
    change(&mut bytes);
    world.lose_object(key);
    world.put_foreign_object(key, &bytes);
}

#[test]
fn without_its_receipt_a_backup_is_not_restored() {
    for is_lost in [true, false] {
        let (world, _) = embedded_world(&[100]);
        let run = back_up(&world, &json!({"action": "backup"}));
        wipe(&world);
        let receipt = format!("stillstore/receipts/{run}.ndjson");
        if is_lost {
            world.lose_object(&receipt);
        } else {
            replace(&world, &receipt, |bytes| bytes[200] ^= 1);
        }
        let restored = restore(&world, &run);
        assert_eq!((&restored["state"], &restored["result"]["restored"]), (&json!("failed"), &json!(0)), "{restored}");
        assert!(restored["result"]["warnings"][0].as_str().unwrap().starts_with("backup-damaged: "));
        assert!(world.rows("SELECT id FROM stillstore_images").is_empty());
    }
}

#[test]
fn an_image_whose_bytes_are_gone_fails_and_the_others_are_saved() {
    let (world, images) = embedded_world(&[100, 200, 3 * MIB, 400, 5 * MIB]);
    let ids = ids(&images);
    for (id, chunk) in [(&ids[1], 0), (&ids[2], 2)] {
        let of = format!("write_id = (SELECT write_id FROM stillstore_blobs WHERE owner_id = '{id}')");
        world.rows(format!("DELETE FROM stillstore_chunks WHERE chunk_index = {chunk} AND {of}").leak());
    }
    let of = format!("write_id = (SELECT write_id FROM stillstore_blobs WHERE owner_id = '{}')", ids[3]);
    world.rows(format!("UPDATE stillstore_chunks SET data = 'AAAA' || substr(data, 5) WHERE {of}").leak());
    let saved = act(&world, &json!({"action": "backup"}));
    let reasons: Vec<_> = [(1, "original-missing"), (2, "original-missing"), (3, "original-corrupt")].into();
    let failed =
        reasons.into_iter().map(|(index, reason)| (ids[index].clone(), "failed".to_owned(), reason.to_owned()));
    let whole = [0, 4].map(|index| (ids[index].clone(), "saved".to_owned(), String::new()));
    assert_eq!(verdicts(&world, &saved), failed.chain(whole).collect());
    wipe(&world);
    assert_eq!(restore(&world, saved["runId"].as_str().unwrap())["result"]["restored"], 2);
}

#[test]
fn private_images_stay_out_of_a_public_bucket() {
    for is_public in [true, false] {
        let mut vars = vec![("ENABLE_R2_STORAGE", "false"), ("API_TOKEN", TOKEN)];
        vars.extend(is_public.then_some(("R2_PUBLIC_URL", "https://pictures.example")));
        let world = World::with_vars(&vars);
        let upload = |query: &str| world.upload(query, PNG).json()["id"].as_str().unwrap().to_owned();
        let (private, public) = (upload("filename=secret.png&visibility=private"), upload("filename=open.png"));
        let saved = act(&world, &json!({"action": "backup"}));
        let reason = if is_public { ("skipped", "private-image-and-public-bucket") } else { ("saved", "") };
        let expected =
            [(private.clone(), reason.0.to_owned(), reason.1.to_owned()), (public, "saved".to_owned(), String::new())];
        assert_eq!(verdicts(&world, &saved), BTreeSet::from(expected));
        let contents = world.bucket.inner.contents();
        let text: Vec<_> =
            parts(&world).iter().map(|part| String::from_utf8(contents[part].clone()).unwrap()).collect();
        assert_eq!(text.concat().contains(&private), !is_public);
        assert!(text.concat().contains("open.png"));
    }
}

#[test]
fn chosen_images_are_saved_alone() {
    let (world, images) = embedded_world(&[100, 200, 300]);
    let ids = ids(&images);
    let saved = act(&world, &json!({"action": "backup", "imageIds": [ids[2], "nobody", ids[0]], "batchSize": 1}));
    let expected = [(&ids[0], "saved", ""), (&ids[2], "saved", ""), (&"nobody".to_owned(), "failed", "not-found")];
    let expected = expected.map(|(id, verdict, reason)| (id.clone(), verdict.to_owned(), reason.to_owned()));
    assert_eq!(verdicts(&world, &saved), BTreeSet::from(expected));
    assert_eq!(parts(&world).len(), 2);
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    let (world, _) = embedded_world(&[100]);
    let invalid = |field: &str| (400, "invalid-field".to_owned(), field.to_owned());
    assert_eq!(refused(&world, &json!({"action": "backup", "dryRun": true})), invalid("dryRun"));
    assert_eq!(refused(&world, &json!({"action": "restore"})), invalid("runId"));
    assert_eq!(refused(&world, &json!({"action": "restore", "runId": "x"})), invalid("runId"));
    let unknown = json!({"action": "restore", "runId": "0".repeat(32)});
    assert_eq!(refused(&world, &unknown), (404, "run-not-found".to_owned(), String::new()));
    for body in [json!({"action": "validate"}), json!({"action": "backup", "background": true})] {
        let run = act(&world, &body);
        let answer = refused(&world, &json!({"action": "restore", "runId": run["runId"]}));
        assert_eq!(answer, (409, "not-a-backup".to_owned(), String::new()), "{body}");
    }
    assert!(world.rows("SELECT id FROM stillstore_runs WHERE action = 'restore'").is_empty());
}

#[test]
fn an_image_that_was_restored_behind_its_move_is_deleted_with_the_copy_that_the_move_left() {
    let (world, images) = embedded_world(&[200]);
    let id = &images[0].0;
    let backup = back_up(&world, &json!({"action": "backup"}));
    act(&world, &json!({"action": "migrate"}));
    wipe(&world);
    let restored = restore(&world, &backup);
    assert_eq!(restored["result"]["restored"], 1, "{restored}");
    let copies = || world.bucket.inner.contents().into_keys().filter(|key| !key.starts_with("stillstore/")).count();
    assert_eq!(copies(), 1);
    assert_eq!(world.call("DELETE", &format!("/api/images/{id}"), None).status, 204);
    assert_eq!(copies(), 0);
}
