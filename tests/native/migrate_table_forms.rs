//! Values of every form go out of an application's table and come back.

use serde_json::json;
use stillstore::sql::Value;

use crate::api::world::{PNG, World};
use crate::image_fixtures::{FIXTURES, bytes};
use crate::migrate_table::{act, base64, clean, execute, fetch, hex, insert, large_jpeg, lines, objects, query, world};

const ROWS: &str = "SELECT *, typeof(image_data) AS data_type FROM images ORDER BY id";

/// Inserts a value of each form; says which bytes each row stands for.
fn fill(world: &World) -> Vec<(String, Vec<u8>)> {
    let png = bytes("rgb.png");
    let encoded = base64(&png);
    let in_lines =
        encoded.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>();
    let large = large_jpeg(1_600_000);
    let svg = r#"<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>"#;
    let percent = format!("data:image/svg+xml,{}", svg.replace('<', "%3C").replace('>', "%3E"));
    let texts: Vec<(&str, String, Vec<u8>)> = vec![
        ("bare", encoded.clone(), png.clone()),
        ("blank", format!("{} {}", &encoded[..8], &encoded[8..]), png.clone()),
        ("crlf", in_lines.join("\r\n"), png.clone()),
        ("large", base64(&large), large),
        ("lf", format!("{}\n", in_lines.join("\n")), png.clone()),
        ("percent", percent, svg.as_bytes().to_vec()),
        ("unpadded", base64(PNG).trim_end_matches('=').to_owned(), PNG.to_vec()),
        ("url", format!("data:image/png;base64,{encoded}"), png.clone()),
        ("url-safe", encoded.replace('+', "-").replace('/', "_"), png),
    ];
    let mut rows = Vec::new();
    for (id, data, bytes) in texts {
        insert(&world.sqlite, id, &data);
        rows.push((id.to_owned(), bytes));
    }
    for fixture in FIXTURES {
        let id = format!("fixture {}", fixture.name);
        insert(&world.sqlite, &id, &base64(&fixture.bytes()));
        rows.push((id, fixture.bytes()));
    }
    for (id, bytes) in [("blob", PNG.to_vec()), ("blob-large", large_jpeg(1_800_000))] {
        let sql = "INSERT INTO images (id, image_data, r2_key, migration_status, migrated_at, image_url) \
            VALUES (?1, unhex(?2), x'00ff', 7, 0.5, 'https://old.example/a''\"b')";
        execute(&world.sqlite, sql, vec![id.into(), Value::from(hex(&bytes))]);
        rows.push((id.to_owned(), bytes));
    }
    rows
}

fn assert_served(world: &World, rows: &[(String, Vec<u8>)]) {
    for (id, bytes) in rows {
        let row = &query(&world.sqlite, &format!("SELECT image_url, r2_key FROM images WHERE id = '{id}'"))[0];
        assert_eq!(&fetch(world, &row["image_url"]), bytes, "{id}");
        let stored = world.bucket.inner.contents();
        assert_eq!(stored.get(row["r2_key"].as_str().expect("a key")), Some(bytes), "{id}");
    }
}

#[test]
fn every_form_moves_and_comes_back_before_and_after_cleanup() {
    let world = world();
    let rows = fill(&world);
    let total = rows.len();
    let before = query(&world.sqlite, ROWS);

    let dry = act(&world, &json!({"action": "migrate", "dryRun": true}));
    assert_eq!((&dry["source"], &dry["result"]["migrated"]), (&json!("images"), &json!(total)), "{dry}");
    assert!(objects(&world).is_empty());
    assert_eq!(query(&world.sqlite, ROWS), before);

    let moved = act(&world, &json!({"action": "migrate", "source": "images"}));
    assert_eq!(moved["result"]["migrated"], total, "{moved}");
    assert_eq!(moved["result"]["total"], total);
    assert_served(&world, &rows);
    let data =
        "SELECT id, hex(image_data) AS data, prompt, status, migration_status, migrated_at FROM images ORDER BY id";
    let while_moved = query(&world.sqlite, data);
    assert!(while_moved.iter().all(|row| row["migration_status"] == "completed" && row["data"] != ""));
    assert_eq!(while_moved[0]["migrated_at"], "2027-01-15T08:00:00.000Z");

    let again = act(&world, &json!({"action": "migrate", "source": "images"}));
    assert_eq!(again["result"]["total"], 0, "what names a copy of ours is not looked at again: {again}");
    let dry = act(&world, &json!({"action": "rollback", "source": "images", "dryRun": true}));
    assert_eq!(dry["result"]["success"], true, "{dry}");
    let back = act(&world, &json!({"action": "rollback", "source": "images"}));
    assert_eq!(back["result"]["rolledBack"], total, "{back}");
    assert_eq!(query(&world.sqlite, ROWS), before, "every value of every column");

    act(&world, &json!({"action": "migrate", "source": "images"}));
    let saved_before = world.bucket.inner.contents().len();
    let bytes: u64 =
        query(&world.sqlite, "SELECT sum(octet_length(image_data)) AS n FROM images")[0]["n"].as_u64().unwrap();
    world.runtime.advance(31 * 24 * 60 * 60 * 1000);
    act(&world, &json!({"action": "cleanup", "source": "images", "dryRun": true}));
    let originals = |world: &World| {
        world.bucket.inner.contents().keys().filter(|key| key.starts_with("stillstore/originals/images/")).count()
    };
    assert_eq!(originals(&world), 0, "a dry run saves nothing");
    let cleaned = clean(&world, "images");
    assert_eq!(
        (&cleaned["result"]["cleaned"], &cleaned["result"]["freedBytes"]),
        (&json!(total), &json!(bytes)),
        "{cleaned}"
    );
    assert!(world.bucket.inner.contents().len() > saved_before);
    assert_eq!(originals(&world), 2, "the blank and the percent-encoded one cannot be had from the image");
    assert_eq!(query(&world.sqlite, "SELECT count(*) AS n FROM images WHERE image_data IS NOT NULL")[0]["n"], 0);
    assert_served(&world, &rows);
    let valid = act(&world, &json!({"action": "validate", "source": "images", "checkIntegrity": true}));
    assert_eq!((&valid["result"]["isValid"], &valid["result"]["valid"]), (&json!(true), &json!(total)), "{valid}");

    let dry = act(&world, &json!({"action": "rollback", "source": "images", "dryRun": true}));
    assert_eq!(dry["result"]["success"], true, "{dry}");
    let back = act(&world, &json!({"action": "rollback", "source": "images", "deleteFromR2": true}));
    assert_eq!(back["result"]["rolledBack"], total, "{back}");
    assert_eq!(query(&world.sqlite, ROWS), before, "every value of every column, rebuilt");
    assert!(objects(&world).is_empty());
    assert_eq!(query(&world.sqlite, "SELECT count(*) AS n FROM stillstore_moves")[0]["n"], 0);
}

#[test]
fn named_rows_move_and_come_back() {
    let world = world();
    for id in ["a", "b", "c"] {
        insert(&world.sqlite, id, &base64(&bytes("rgb.png")));
    }
    let moved = act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ["b", "nobody", "c"]}));
    assert_eq!(
        (&moved["result"]["migrated"], &moved["result"]["errors"][0]["reason"]),
        (&json!(2), &json!("not-found"))
    );
    let named = "SELECT id FROM images WHERE image_url IS NOT NULL";
    assert_eq!(query(&world.sqlite, named), [json!({"id": "b"}), json!({"id": "c"})]);
    clean(&world, "images");
    let again = act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ["b"]}));
    assert_eq!(again["result"]["skipped"], 1, "{again}");
    act(&world, &json!({"action": "rollback", "source": "images", "imageIds": ["b"]}));
    assert_eq!(query(&world.sqlite, named), [json!({"id": "c"})]);
    let url = &query(&world.sqlite, "SELECT image_url FROM images WHERE id = 'c'")[0]["image_url"];
    assert_eq!(fetch(&world, url), bytes("rgb.png"));
    assert_answers_parts(&world, url.as_str().unwrap(), &bytes("rgb.png"));
    act(&world, &json!({"action": "rollback", "source": "images"}));
    let path = url.as_str().unwrap().replace("https://images.example", "");
    assert_eq!(world.send("GET", &path, &[], None).code(), "image-not-found", "the row names its original again");
}

fn assert_answers_parts(world: &World, url: &str, bytes: &[u8]) {
    let path = url.replace("https://images.example", "");
    let head = world.send("HEAD", &path, &[], None);
    assert_eq!((head.status, head.header("content-length")), (200, Some(bytes.len().to_string().as_str())));
    let part = world.send("GET", &path, &[("range", "bytes=1-3")], None);
    assert_eq!((part.status, part.body.as_slice()), (206, b"PNG".as_slice()));
    let tag = head.header("etag").expect("a tag");
    assert_eq!(world.send("GET", &path, &[("if-none-match", tag)], None).status, 304);
}

#[test]
fn broken_rows_are_failed_items_with_a_reason_each_and_stay() {
    let world = world();
    let png = bytes("rgb.png");
    for (id, data) in [
        ("1-not-base64", "https://example.com/a.png".to_owned()),
        ("2-empty", String::new()),
        ("3-not-an-image", base64(b"hello")),
        ("4-truncated", base64(&png[..png.len() - 30])),
        ("5-bad-data-url", "data:image/png".to_owned()),
        ("7-good", base64(&png)),
    ] {
        insert(&world.sqlite, id, &data);
    }
    execute(&world.sqlite, "CREATE TABLE loose (id TEXT PRIMARY KEY, url TEXT, data)", Vec::new());
    execute(
        &world.sqlite,
        "INSERT INTO images (id, image_data, image_url) VALUES ('6-long', ?1, ?2)",
        vec![base64(&png).into(), "x".repeat(70_000).into()],
    );
    let before = query(&world.sqlite, "SELECT * FROM images WHERE id <> '7-good' ORDER BY id");
    for dry_run in [true, false] {
        let run = act(&world, &json!({"action": "migrate", "source": "images", "dryRun": dry_run}));
        assert_eq!((&run["success"], &run["result"]["failed"]), (&json!(false), &json!(6)), "{run}");
        let lines = lines(&world, &run);
        let failed = lines.iter().filter(|line| line["verdict"] == "failed");
        let reasons: Vec<_> = failed.map(|line| (line["id"].clone(), line["reason"].clone())).collect();
        let expected = [
            ("1-not-base64", "not-base64"),
            ("2-empty", "empty"),
            ("3-not-an-image", "not-an-image"),
            ("4-truncated", "truncated"),
            ("5-bad-data-url", "bad-data-url"),
            ("6-long", "columns-too-large"),
        ];
        assert_eq!(reasons, expected.map(|(id, reason)| (json!(id), json!(reason))), "{lines:?}");
    }
    assert_eq!(query(&world.sqlite, "SELECT * FROM images WHERE id <> '7-good' ORDER BY id"), before);
    assert_eq!(objects(&world).len(), 1);
    let stats = world.call("GET", "/api/migrate-images", None).json();
    let said = &stats["migrationStats"]["sources"][1];
    assert_eq!((&said["moved"], &said["cleaned"], &said["failed"]), (&json!(1), &json!(0), &json!(6)), "{said}");
    assert_eq!(stats["sources"], json!(["embedded", "images"]));
}

#[test]
fn the_bytes_decide_and_a_mistaken_type_is_a_warning() {
    let world = world();
    insert(&world.sqlite, "a", &base64(&bytes("baseline.jpg")));
    let run = act(&world, &json!({"action": "migrate"}));
    let warning = run["result"]["warnings"][0].as_str().expect("a warning");
    assert_eq!(warning, "the row a says image/png, its bytes are image/jpeg");
    let key = query(&world.sqlite, "SELECT r2_key FROM images")[0]["r2_key"].as_str().unwrap().to_owned();
    assert!(
        key.starts_with("tables/images/") && key.rsplit_once('.').is_some_and(|(_, extension)| extension == "jpg"),
        "{key}"
    );
    let metadata = world.metadata(&key);
    assert_eq!(metadata.get("source").map(String::as_str), Some("images"));
    assert_eq!(metadata.get("item-id").map(String::as_str), Some("a"));
    assert!(key.contains(metadata.get("image-id").expect("an id")));
}
