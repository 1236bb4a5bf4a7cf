//! A backup goes back into a table that has changed since: nothing is overwritten, and what cannot come back says why.

use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::sql::Database;

use crate::image_fixtures::{self, bytes};
use crate::migrate_table::{IMAGES, act, base64, execute, insert, query, world, world_with};
use crate::migrate_table_backup::{back_up, expected, literals, restore, staged, verdicts, wipe};
use crate::sqlite::Sqlite;

#[test]
fn what_is_there_is_never_overwritten() {
    let world = world();
    let ids = ["changed", "cleaned", "emptied", "lost", "moved", "number", "retyped", "unchanged", "url-changed"];
    for (index, id) in ids.into_iter().enumerate() {
        insert(&world.sqlite, id, &base64(&image_fixtures::FIXTURES[index].bytes()));
    }
    let saved = back_up(&world, "images");
    let before = literals(&world.sqlite, "images", "id");
    act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ["cleaned", "moved", "url-changed"]}));
    world.runtime.advance(31 * 24 * 60 * 60 * 1000);
    act(&world, &json!({"action": "cleanup", "source": "images", "imageIds": ["cleaned", "url-changed"]}));
    let update = |id: &str, change: &str| {
        execute(&world.sqlite, &format!("UPDATE images SET {change} WHERE id = '{id}'"), Vec::new());
    };
    update("changed", "image_data = replace(image_data, 'A', 'B')");
    update("emptied", "image_data = '', prompt = 'another'");
    update("moved", "image_data = NULL");
    update("number", "image_data = 7");
    update("retyped", "image_data = CAST(image_data AS BLOB)");
    update("url-changed", "image_url = 'https://elsewhere.example/'");
    execute(&world.sqlite, "DELETE FROM images WHERE id = 'lost'", Vec::new());
    let while_lost = literals(&world.sqlite, "images", "id");
    for dry_run in [true, false] {
        let verdict = if dry_run { "would-restore" } else { "restored" };
        let run = act(&world, &json!({"action": "restore", "runId": saved["runId"], "dryRun": dry_run}));
        let outcomes = [
            ("changed", "skipped", "changed"),
            ("cleaned", "skipped", "moved"),
            ("emptied", verdict, ""),
            ("lost", verdict, ""),
            ("moved", "skipped", "moved"),
            // A column of text makes a text of a number.
            ("number", "skipped", "changed"),
            ("retyped", "skipped", "changed"),
            ("unchanged", "skipped", "unchanged"),
            ("url-changed", verdict, ""),
        ];
        assert_eq!(verdicts(&world, &run), expected(&outcomes), "{run}");
        assert_eq!(dry_run, literals(&world.sqlite, "images", "id") == while_lost);
    }
    let after = literals(&world.sqlite, "images", "id");
    let of = |rows: &[Json], index: usize, column: &str| rows[index][column].clone();
    assert_eq!(after[3], before[3], "the lost row");
    assert_eq!((of(&after, 2, "c7"), of(&after, 8, "c7")), (of(&before, 2, "c7"), of(&before, 8, "c7")));
    assert_ne!(of(&after, 2, "c9"), of(&before, 2, "c9"), "the application's own words stay");
    assert_eq!(staged(&world.sqlite), 0);
}

#[test]
fn moved_rows_are_saved_while_they_hold_their_data_and_the_journal_follows() {
    let filtered = json!({"name": "images", "table": "images", "id": "id", "data": "image_data", "url": "image_url",
        "status": "migration_status", "filter": {"migration_status": null, "status": "done"}});
    let world = world_with(&json!([filtered]), Vec::new());
    execute(&world.sqlite, IMAGES, Vec::new());
    for id in ["cleaned", "moved", "other", "plain"] {
        insert(&world.sqlite, id, &base64(&bytes("rgb.png")));
    }
    execute(&world.sqlite, "UPDATE images SET status = 'draft' WHERE id = 'other'", Vec::new());
    let first = back_up(&world, "images");
    act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ["cleaned", "moved"]}));
    let while_moved = literals(&world.sqlite, "images", "id");
    let second = back_up(&world, "images");
    let saved = |ids: &[&'static str]| ids.iter().map(|id| (*id, "saved", "")).collect::<Vec<_>>();
    for run in [&first, &second] {
        assert_eq!(verdicts(&world, run), expected(&saved(&["cleaned", "moved", "plain"])), "{run}");
    }
    world.runtime.advance(31 * 24 * 60 * 60 * 1000);
    act(&world, &json!({"action": "cleanup", "source": "images", "imageIds": ["cleaned"]}));
    let named = json!({"action": "backup", "source": "images", "imageIds": ["cleaned", "other"]});
    let outcomes = [("cleaned", "skipped", "moved"), ("other", "failed", "not-found")];
    assert_eq!(verdicts(&world, &act(&world, &named)), expected(&outcomes));

    let stages = "SELECT item_id, stage FROM stillstore_moves ORDER BY 1";
    let counted = "SELECT stage, items FROM stillstore_move_counters WHERE items <> 0 ORDER BY 1";
    execute(&world.sqlite, "DELETE FROM images WHERE id <> 'other'", Vec::new());
    assert_eq!(restore(&world, &second)["result"]["restored"], 3);
    assert_eq!(literals(&world.sqlite, "images", "id"), while_moved, "as they were while moved");
    let both =
        |stage: &str| [json!({"item_id": "cleaned", "stage": stage}), json!({"item_id": "moved", "stage": stage})];
    assert_eq!(query(&world.sqlite, stages), both("moved"));
    assert_eq!(query(&world.sqlite, counted), [json!({"stage": "moved", "items": 2})]);

    execute(&world.sqlite, "DELETE FROM images WHERE id <> 'other'", Vec::new());
    assert_eq!(restore(&world, &first)["result"]["restored"], 3);
    assert_eq!(query(&world.sqlite, stages), both("restored"));
    assert_eq!(query(&world.sqlite, counted), [json!({"stage": "restored", "items": 2})]);
    let moved = act(&world, &json!({"action": "migrate", "source": "images"}));
    assert_eq!(moved["result"]["migrated"], 3, "{moved}");
}

#[test]
fn a_table_that_is_not_as_it_was_refuses_and_is_named() {
    let world = world();
    for id in ["a", "b", "c"] {
        insert(&world.sqlite, id, "AAAA");
    }
    execute(&world.sqlite, "UPDATE images SET provider = id", Vec::new());
    let saved = back_up(&world, "images");
    execute(&world.sqlite, "DELETE FROM images WHERE id <> 'c'", Vec::new());
    execute(&world.sqlite, "CREATE UNIQUE INDEX providers ON images (provider)", Vec::new());
    execute(&world.sqlite, "INSERT INTO images (id, provider) VALUES ('other', 'b')", Vec::new());
    let refused = restore(&world, &saved);
    let outcomes = [("a", "restored", ""), ("b", "failed", "row-refused"), ("c", "skipped", "unchanged")];
    assert_eq!(verdicts(&world, &refused), expected(&outcomes), "{refused}");
    assert_eq!(refused["state"], "completed_with_errors");
    execute(&world.sqlite, "ALTER TABLE images DROP COLUMN created_at", Vec::new());
    let missing = restore(&world, &saved);
    assert_eq!(missing["result"]["failed"], 3);
    let detail = missing["result"]["errors"][0].to_string();
    assert!(detail.contains("column-missing") && detail.contains("created_at"), "{detail}");
}

#[test]
fn a_table_in_another_database_is_restored_there() {
    let other = Rc::new(Sqlite::migrated());
    execute(&other, IMAGES, Vec::new());
    let shop = json!({"name": "shop", "binding": "SHOP", "table": "images", "id": "id", "data": "image_data", "url": "image_url"});
    let world = world_with(&json!([shop]), vec![("SHOP".to_owned(), Rc::clone(&other) as Rc<dyn Database>)]);
    insert(&other, "a", &base64(&bytes("rgb.png")));
    let before = literals(&other, "images", "id");
    let saved = back_up(&world, "shop");
    assert_eq!(saved["result"]["saved"], 1, "{saved}");
    execute(&other, "DELETE FROM images", Vec::new());
    let abandoned = "INSERT INTO stillstore_blobs (write_id, object_key, content_type, metadata_json, created_at_ms) \
        VALUES ('w', 'k', '', '{}', 5)";
    execute(&other, abandoned, Vec::new());
    assert_eq!(restore(&world, &saved)["result"]["restored"], 1);
    assert_eq!(literals(&other, "images", "id"), before);
    assert_eq!(staged(&other), 0, "what an earlier restore left there is gone too");
    let busy = world.post_json(
        "/api/migrate-images",
        &json!({"action": "restore", "runId": saved["runId"], "source": "images"}),
        &[],
    );
    assert_eq!((busy.status, &busy.json()["field"]), (400, &json!("source")));
}

#[test]
fn of_a_damaged_part_no_row_is_restored() {
    let world = world();
    for id in ["a", "b"] {
        insert(&world.sqlite, id, &base64(&bytes("rgb.png")));
    }
    let saved = act(&world, &json!({"action": "backup", "source": "images", "batchSize": 1}));
    wipe(&world);
    let contents = world.bucket.inner.contents();
    let (part, whole) = contents.iter().find(|(key, _)| key.contains("/backups/")).expect("a part");
    world.lose_object(part);
    world.put_foreign_object(part, &[&whole[..600], b"x", &whole[601..]].concat());
    let restored = restore(&world, &saved);
    let outcomes = [("a", "failed", "backup-damaged"), ("b", "restored", "")];
    assert_eq!(verdicts(&world, &restored), expected(&outcomes), "{restored}");
}
