//! Rows of an application's table are saved in the bucket and come back as they were.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Value as Json, json};
use stillstore::sql::{Database, Value};

use crate::api::world::World;
use crate::image_fixtures::{self, bytes};
use crate::migrate_table::{IMAGES, act, base64, execute, hex, insert, large_jpeg, lines, query, world, world_with};
use crate::sqlite::Sqlite;

/// Types and values of every kind, in columns of every kind. SQLite itself prints what JSON would lose.
const KINDS: &str = "CREATE TABLE \"odd \"\" 'table'\" (\"the 'id'\" INTEGER PRIMARY KEY, pixels NUMERIC, url TEXT, \"say \"\"hi\"\"\" \
    TEXT COLLATE NOCASE, number INTEGER, real REAL, [any] BLOB, \"select\", doubled INTEGER GENERATED ALWAYS AS (number * 2) STORED, \
    é TEXT DEFAULT 'none')";

pub fn back_up(world: &World, source: &str) -> Json {
    act(world, &json!({"action": "backup", "source": source}))
}

pub fn restore(world: &World, backup: &Json) -> Json {
    act(world, &json!({"action": "restore", "runId": backup["runId"]}))
}

/// Id, verdict and reason of each line.
pub fn verdicts(world: &World, run: &Json) -> BTreeSet<(String, String, String)> {
    let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let reason = |line: &Json| line["reason"].as_str().unwrap_or_default().to_owned();
    lines(world, run).iter().map(|line| (text(&line["id"]), text(&line["verdict"]), reason(line))).collect()
}

pub fn expected(verdicts: &[(&str, &str, &str)]) -> BTreeSet<(String, String, String)> {
    let owned = |text: &str| text.to_owned();
    verdicts.iter().map(|(id, verdict, reason)| (owned(id), owned(verdict), owned(reason))).collect()
}

/// Every row as SQLite's own literals, which tell types, BLOBs and each digit apart.
pub fn literals(database: &Sqlite, table: &str, order: &str) -> Vec<Json> {
    let names = query(database, &format!("SELECT name FROM pragma_table_info('{}')", table.replace('\'', "''")));
    let quoted = |name: &Json| format!("\"{}\"", name["name"].as_str().expect("a name").replace('"', "\"\""));
    let values = names.iter().map(|name| {
        let column = quoted(name);
        format!("typeof({column}) || CASE typeof({column}) WHEN 'real' THEN printf('%!.26g', {column}) ELSE hex({column}) END")
    });
    let values: Vec<_> = values.enumerate().map(|(index, value)| format!("{value} AS c{index}")).collect();
    let table = table.replace('"', "\"\"");
    query(database, &format!("SELECT {} FROM \"{table}\" ORDER BY {order}", values.join(", ")))
}

fn wipe(world: &World) {
    execute(&world.sqlite, "DELETE FROM images", Vec::new());
}

/// Rows of values on their way into the database.
pub fn staged(database: &Sqlite) -> usize {
    query(database, "SELECT write_id FROM stillstore_blobs").len()
        + query(database, "SELECT write_id FROM stillstore_chunks").len()
}

/// Values of every form, also of those that no migration moves.
fn forms() -> Vec<(&'static str, String)> {
    let png = base64(&bytes("rgb.png"));
    let in_lines: Vec<_> = png.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    vec![
        ("bare", png.clone()),
        ("broken", "this is no picture: \"é\" \u{1f9c0} \u{fffd} \u{0} \r\n\t\\".to_owned()),
        ("crlf", in_lines.join("\r\n")),
        ("digits", "1234567890".to_owned()),
        ("empty", String::new()),
        ("percent", "data:image/svg+xml,%3Csvg%20xmlns=%22http://www.w3.org/2000/svg%22/%3E".to_owned()),
        ("truncated", png[..png.len() / 2].to_owned()),
        ("unpadded", png.trim_end_matches('=').to_owned()),
        ("url", format!("data:image/png;base64,{png}")),
        ("url-safe", png.replace('+', "-").replace('/', "_")),
        // Characters of two, three and four bytes on the borders of the pieces in which it is read.
        ("wide", format!("{}{}", "x".repeat(499_999), "é\u{20ac}\u{1f9c0}".repeat(120_000))),
        ("long", base64(&large_jpeg(1_700_000))),
    ]
}

fn fill(world: &World) -> usize {
    let texts = forms();
    for (id, data) in &texts {
        insert(&world.sqlite, id, data);
    }
    for (id, bytes) in [("blob", bytes("rgb.png")), ("blob-empty", Vec::new()), ("blob-long", large_jpeg(1_100_001))] {
        let sql = "INSERT INTO images (id, image_data, r2_key, migration_status, migrated_at, image_url) \
            VALUES (?1, unhex(?2), x'00ff', 7, 0.1, 'https://old.example/a''\"b')";
        execute(&world.sqlite, sql, vec![id.into(), Value::from(hex(&bytes))]);
    }
    execute(&world.sqlite, "INSERT INTO images (id, prompt) VALUES ('no-data', 'x')", Vec::new());
    texts.len() + 3
}

#[test]
fn values_of_every_form_come_back() {
    let world = world();
    let total = fill(&world);
    let before = literals(&world.sqlite, "images", "id");
    let saved = back_up(&world, "images");
    let result = &saved["result"];
    assert_eq!(
        (&result["saved"], &result["total"], &result["failed"]),
        (&json!(total), &json!(total), &json!(0)),
        "{saved}"
    );
    let sum = "SELECT sum(octet_length(image_data)) AS n FROM images";
    assert_eq!(result["bytes"], query(&world.sqlite, sum)[0]["n"]);
    assert_eq!(literals(&world.sqlite, "images", "id"), before, "a backup changes no row");
    let line = lines(&world, &saved).into_iter().find(|line| line["id"] == "empty").expect("a line");
    assert_eq!((&line["from"], &line["type"], &line["size"]), (&json!("d1:images"), &json!("text/plain"), &json!(0)));

    let unchanged = restore(&world, &saved);
    assert!(verdicts(&world, &unchanged).iter().all(|(_, _, reason)| reason == "unchanged"), "{unchanged}");
    wipe(&world);
    let dry = act(&world, &json!({"action": "restore", "runId": saved["runId"], "dryRun": true}));
    assert_eq!((&dry["result"]["restored"], &dry["success"]), (&json!(total), &json!(true)), "{dry}");
    assert!(query(&world.sqlite, "SELECT id FROM images").is_empty() && staged(&world.sqlite) == 0);

    let restored = restore(&world, &saved);
    assert_eq!((&restored["result"]["restored"], &restored["success"]), (&json!(total), &json!(true)), "{restored}");
    assert_eq!(restored["source"], "images");
    let mut without = before;
    without.retain(|row| row["c7"] != "null");
    assert!(literals(&world.sqlite, "images", "id") == without, "every value of every column");
    assert_eq!(staged(&world.sqlite), 0);
    let again = restore(&world, &saved);
    assert_eq!((&again["result"]["skipped"], &again["success"]), (&json!(total), &json!(true)), "{again}");
    assert!(literals(&world.sqlite, "images", "id") == without);
}

#[test]
fn columns_of_every_type_come_back_and_ids_are_numbers() {
    let source = json!({"name": "odd", "table": "odd \" 'table'", "id": "the 'id'", "data": "PIXELS", "url": "url"});
    let world = world_with(&json!([source]), Vec::new());
    execute(&world.sqlite, KINDS, Vec::new());
    let insert = |id: &str, values: &str| {
        let sql = format!(
            "INSERT INTO \"odd \"\" 'table'\" (\"the 'id'\", pixels, \"say \"\"hi\"\"\", number, real, [any], \"select\", é) VALUES ({id}, {values})"
        );
        execute(&world.sqlite, &sql, Vec::new());
    };
    insert("-9007199254740991", "x'89504e47', 'a''b\"\\ \u{1f9c0}\u{fffd}', 9223372036854775807, 0.1, x'', NULL, NULL");
    insert("-1", "'AAAA ', char(1, 31, 127, 0, 65), -9223372036854775808, 1e300, '{\"blob\":\"00\"}', 'null', 'x'");
    insert("0", "x'', '', 9007199254740993, 5e-324, x'00ff', 1.0, ''");
    insert("7", "'x', '0123', 'text', 1.7976931348623157e308, 0.30000000000000004, -0.0, '1e5'");
    insert("8", "'x', '[1]', 1.5, -2.2250738585072014e-308, 12345678901234567.0, 123456789.123456789, 'true'");
    insert("9007199254740992", "'an id that is no item', NULL, NULL, NULL, NULL, NULL, NULL");
    let order = "\"the 'id'\"";
    let before = literals(&world.sqlite, "odd \" 'table'", order);
    let saved = act(&world, &json!({"action": "backup", "source": "odd", "batchSize": 2}));
    assert_eq!((&saved["result"]["saved"], &saved["success"]), (&json!(5), &json!(true)), "{saved}");
    let ids: Vec<_> = lines(&world, &saved).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids, [json!(-9_007_199_254_740_991_i64), json!(-1), json!(0), json!(7), json!(8)]);
    execute(&world.sqlite, "DELETE FROM \"odd \"\" 'table'\" WHERE \"the 'id'\" < 9007199254740992", Vec::new());
    let restored = restore(&world, &saved);
    assert_eq!((&restored["result"]["restored"], &restored["success"]), (&json!(5), &json!(true)), "{restored}");
    assert_eq!(literals(&world.sqlite, "odd \" 'table'", order), before);
    let ids: Vec<_> = lines(&world, &restored).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids[0], json!(-9_007_199_254_740_991_i64));

    execute(&world.sqlite, "DELETE FROM \"odd \"\" 'table'\" WHERE \"the 'id'\" IN (-1, 7)", Vec::new());
    let body = json!({"action": "restore", "runId": saved["runId"], "imageIds": ["-1", "0", "12", "x"]});
    let some = act(&world, &body);
    let outcomes = [
        ("-1", "restored", ""),
        ("0", "skipped", "unchanged"),
        ("12", "failed", "not-in-backup"),
        ("x", "failed", "not-in-backup"),
    ];
    assert_eq!(verdicts(&world, &some), expected(&outcomes));
    assert!(lines(&world, &some).iter().any(|line| line["id"] == 12), "{some}");
}

#[test]
fn what_cannot_be_kept_exactly_fails_and_says_why() {
    let world = world();
    let update = |id: &str, change: &str| {
        execute(&world.sqlite, &format!("UPDATE images SET {change} WHERE id = '{id}'"), Vec::new());
    };
    for id in ["data-not-utf8", "endless", "not-utf8", "number", "wide", "wide-enough", "whole"] {
        insert(&world.sqlite, id, "AAAA");
    }
    update("data-not-utf8", "image_data = CAST(x'41ff41' AS TEXT)");
    // Cut in the middle of a character, which arrives as one U+FFFD of the same length.
    update("not-utf8", "prompt = CAST(x'efbfbdf09f98' AS TEXT)");
    execute(&world.sqlite, "ALTER TABLE images ADD COLUMN loose", Vec::new());
    execute(&world.sqlite, "ALTER TABLE images RENAME COLUMN image_data TO other", Vec::new());
    execute(&world.sqlite, "ALTER TABLE images ADD COLUMN image_data", Vec::new());
    execute(&world.sqlite, "UPDATE images SET image_data = other, other = NULL", Vec::new());
    update("number", "image_data = 5");
    update("endless", "loose = -9e999");
    update("wide", "loose = printf('%.*c', 299900, 'x')");
    update("wide-enough", "loose = printf('%.*c', 250000, char(1))");
    let before = literals(&world.sqlite, "images", "id");
    let saved = back_up(&world, "images");
    let outcomes = [
        ("data-not-utf8", "failed", "not-utf8"),
        ("endless", "failed", "column-inexact"),
        ("not-utf8", "failed", "column-inexact"),
        ("number", "failed", "not-text"),
        ("wide", "saved", ""),
        ("wide-enough", "saved", ""),
        ("whole", "saved", ""),
    ];
    assert_eq!(verdicts(&world, &saved), expected(&outcomes), "{saved}");
    assert_eq!(saved["state"], "completed_with_errors");
    execute(&world.sqlite, "DELETE FROM images WHERE id LIKE 'w%'", Vec::new());
    assert_eq!(restore(&world, &saved)["result"]["restored"], 3);
    assert_eq!(literals(&world.sqlite, "images", "id"), before);
    update("wide", "loose = printf('%.*c', 300001, 'x')");
    let named = act(&world, &json!({"action": "backup", "source": "images", "imageIds": ["wide", "whole", "nobody"]}));
    let outcomes = [("nobody", "failed", "not-found"), ("wide", "failed", "columns-too-large"), ("whole", "saved", "")];
    assert_eq!(verdicts(&world, &named), expected(&outcomes), "{named}");
}

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

#[test]
fn a_backup_and_a_restore_search_by_key_and_cost_the_same_for_each_row() {
    let source = json!({"name": "images", "table": "images", "id": "id", "data": "image_data", "url": "image_url", "filter": {"status": "done"}});
    let calls_for = |rows: usize| {
        let world = world_with(&json!([source]), Vec::new());
        execute(&world.sqlite, IMAGES, Vec::new());
        for number in 0..rows {
            insert(&world.sqlite, &format!("row-{number:04}"), "AAAA");
        }
        let calls = || world.sqlite.calls.get();
        let began = calls();
        let saved = act(&world, &json!({"action": "backup", "source": "images", "batchSize": 10}));
        let saving = calls() - began;
        assert_eq!(saved["result"]["saved"], rows, "{saved}");
        execute(&world.sqlite, "DELETE FROM images", Vec::new());
        let began = calls();
        let restored = act(&world, &json!({"action": "restore", "runId": saved["runId"], "batchSize": 10}));
        assert_eq!(restored["result"]["restored"], rows, "{restored}");
        let restoring = calls() - began;
        (world, saving, restoring)
    };
    let (world, saving, restoring) = calls_for(40);
    let (_, saving_twice, restoring_twice) = calls_for(80);
    // A slice of a backup: the keys it is about to put, and what it did. A row that is restored: looked at, and its value staged.
    assert_eq!((saving_twice - saving, restoring_twice - restoring), (4 * 2, 4 + 40 * 2));

    act(&world, &json!({"action": "backup", "source": "images", "imageIds": ["row-0007"]}));
    let calls = world.database.plan.calls();
    let statements: BTreeSet<_> = calls.iter().flat_map(|call| call.subject.lines()).collect();
    let about = ["AS replacements", "AS stillstore_item", "INSERT INTO \"images\"", "total(length(data))"];
    for wanted in about {
        let mut found = statements.iter().filter(|sql| sql.contains(wanted)).peekable();
        assert!(found.peek().is_some(), "{wanted}");
        for sql in found {
            for step in world.sqlite.plan(sql).lines() {
                let reads_one = ["SCAN CONSTANT ROW", "SCAN json_each", "SCAN (subquery", "SCAN stillstore_item"]
                    .iter()
                    .any(|one| step.starts_with(one));
                assert!(reads_one || !(step.starts_with("SCAN") || step.contains("TEMP B-TREE")), "{sql}\n{step}");
            }
        }
    }
    let select =
        statements.iter().find(|sql| sql.contains("AS replacements") && sql.contains("LIMIT")).expect("a SELECT");
    assert!(world.sqlite.plan(select).contains("SEARCH images USING INDEX sqlite_autoindex_images_1 (id>?)"));
}
