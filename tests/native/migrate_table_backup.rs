//! Rows of an application's table are saved in the bucket and come back as they were.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use stillstore::sql::Value;

use crate::api::world::World;
use crate::image_fixtures::bytes;
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

pub fn wipe(world: &World) {
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
