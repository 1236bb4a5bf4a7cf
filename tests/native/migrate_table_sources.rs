//! Several sources, names and ids of every kind, and what a move costs.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::json;
use stillstore::sql::Database;

use crate::api::world::{PNG, TOKEN, World};
use crate::image_fixtures::bytes;
use crate::migrate_table::{
    IMAGES, act, base64, clean, execute, fetch, insert, large_jpeg, lines, objects, query, world, world_with,
};
use crate::sqlite::Sqlite;

const TABLE: &str = "CREATE TABLE \"my \"\"odd\"\" table\" (\"the id\" INTEGER PRIMARY KEY, \"it's\" BLOB, \"select\" TEXT, \
    [when] INTEGER, kind TEXT, score INTEGER, note TEXT)";

fn odd_source() -> serde_json::Value {
    json!({"name": "odd-1", "table": "my \"odd\" table", "id": "the id", "data": "it's", "url": "select", "migratedAt": "WHEN",
        "metadata": ["kind", "score"], "filter": {"kind": "photo", "note": null}})
}

fn odd_world() -> World {
    let world = world_with(&json!([odd_source()]), Vec::new());
    execute(&world.sqlite, TABLE, Vec::new());
    let png = base64(&bytes("rgb.png"));
    for (id, kind, note) in
        [(-5, "photo", None), (9, "photo", None), (10, "photo", None), (11, "icon", None), (12, "photo", Some("x"))]
    {
        let sql = "INSERT INTO \"my \"\"odd\"\" table\" VALUES (?1, ?2, NULL, NULL, ?3, 7, ?4)";
        execute(&world.sqlite, sql, vec![id.into(), png.as_str().into(), kind.into(), note.into()]);
    }
    execute(
        &world.sqlite,
        "INSERT INTO \"my \"\"odd\"\" table\" VALUES (9007199254740993, 'x', NULL, NULL, 'photo', 1, NULL)",
        Vec::new(),
    );
    world
}

const ODD_ROWS: &str = "SELECT * FROM \"my \"\"odd\"\" table\" ORDER BY 1";

#[test]
fn integer_ids_quoted_names_and_filters() {
    let world = odd_world();
    let before = query(&world.sqlite, ODD_ROWS);
    let moved = act(&world, &json!({"action": "migrate", "batchSize": 1}));
    assert_eq!((&moved["source"], &moved["result"]["migrated"]), (&json!("odd-1"), &json!(3)), "{moved}");
    let ids: Vec<_> = lines(&world, &moved).iter().map(|line| line["id"].clone()).collect();
    assert_eq!(ids, [json!(-5), json!(9), json!(10)]);
    let rows = query(&world.sqlite, ODD_ROWS);
    assert_eq!(rows[1]["when"], 1_800_000_000, "Unix seconds in a column of integers");
    assert_eq!(fetch(&world, &rows[1]["select"]), bytes("rgb.png"));
    assert_eq!(objects(&world).len(), 3, "the same bytes in other rows are other images");
    let metadata = world.metadata(&objects(&world)[0].0);
    let of = |name: &str| metadata.get(name).map(String::as_str);
    assert_eq!((of("meta-kind"), of("meta-score"), of("source")), (Some("photo"), Some("7"), Some("odd-1")));

    let back = act(&world, &json!({"action": "rollback", "imageIds": ["9", "x", "11"]}));
    assert_eq!((&back["result"]["rolledBack"], &back["result"]["failed"]), (&json!(1), &json!(2)), "{back}");
    let again = act(&world, &json!({"action": "migrate", "imageIds": ["9", "x", "11"]}));
    assert_eq!((&again["result"]["migrated"], &again["result"]["failed"]), (&json!(1), &json!(2)), "{again}");
    let valid = act(&world, &json!({"action": "validate", "source": "odd-1"}));
    let sampled = act(&world, &json!({"action": "validate", "source": "odd-1", "sampleSize": 3}));
    let cleaned = clean(&world, "odd-1");
    let back = act(&world, &json!({"action": "rollback", "deleteFromR2": true}));
    for run in [&valid, &sampled, &cleaned, &back] {
        let ids: BTreeSet<_> = lines(&world, run).iter().map(|line| line["id"].as_i64()).collect();
        assert_eq!(ids, [-5, 9, 10].map(Some).into(), "numbers, as in the table: {run}");
    }
    assert_eq!(query(&world.sqlite, ODD_ROWS), before);
    assert!(objects(&world).is_empty());
}

#[test]
fn two_sources_in_two_databases_keep_apart() {
    let other = Rc::new(Sqlite::migrated());
    execute(&other, IMAGES, Vec::new());
    let shop = json!({"name": "shop", "binding": "SHOP", "table": "images", "id": "id", "data": "image_data", "url": "image_url"});
    let world = world_with(&json!([shop]), vec![("SHOP".to_owned(), Rc::clone(&other) as Rc<dyn Database>)]);
    execute(&world.sqlite, IMAGES, Vec::new());
    insert(&world.sqlite, "a", &base64(&bytes("rgb.png")));
    insert(&other, "a", &base64(&bytes("rgb.png")));
    assert_eq!(
        act(&world, &json!({"action": "migrate", "dryRun": true}))["source"],
        "embedded",
        "two tables: neither is the default"
    );

    let own = act(&world, &json!({"action": "migrate", "source": "images"}));
    world.runtime.advance(1);
    let theirs = act(&world, &json!({"action": "migrate", "source": "shop"}));
    assert_eq!(objects(&world).len(), 2);
    let runs = "SELECT id FROM stillstore_runs WHERE source = 'shop'";
    assert_eq!((query(&world.sqlite, runs).len(), query(&other, runs).len()), (0, 1));
    for database in [&*world.sqlite, &*other] {
        let row = &query(database, "SELECT image_url, image_data FROM images")[0];
        assert_eq!(fetch(&world, &row["image_url"]), bytes("rgb.png"));
    }
    for run in [&own, &theirs] {
        let path = format!("/api/migrate-images/runs/{}", run["runId"].as_str().unwrap());
        assert_eq!(world.call("GET", &path, None).json()["state"], "completed");
    }
    let status = world.call("GET", "/api/migrate-images", None).json();
    assert_eq!(status["run"]["id"], theirs["runId"], "the newest of all databases");
    assert_eq!(status["sources"], json!(["embedded", "shop", "images"]));
    for (at, name) in ["shop", "images"].into_iter().enumerate() {
        let said = &status["migrationStats"]["sources"][at + 1];
        assert_eq!((&said["name"], &said["moved"], &said["cleaned"]), (&json!(name), &json!(1), &json!(0)), "{said}");
    }
    for source in ["images", "shop", "embedded"] {
        let valid = act(&world, &json!({"action": "validate", "source": source}));
        assert_eq!(valid["result"]["isValid"], true, "no object is an orphan for being named elsewhere: {valid}");
    }
    act(&world, &json!({"action": "rollback", "source": "shop", "deleteFromR2": true}));
    assert_eq!(objects(&world).len(), 1);
    assert!(query(&other, "SELECT image_url FROM images")[0]["image_url"].is_null());
    assert!(!query(&world.sqlite, "SELECT image_url FROM images")[0]["image_url"].is_null());
}

#[test]
fn a_restored_row_of_another_database_is_not_served_any_more() {
    let other = Rc::new(Sqlite::migrated());
    execute(&other, IMAGES, Vec::new());
    let shop = json!({"name": "shop", "binding": "SHOP", "table": "images", "id": "id", "data": "image_data", "url": "image_url"});
    let world = world_with(&json!([shop]), vec![("SHOP".to_owned(), Rc::clone(&other) as Rc<dyn Database>)]);
    insert(&other, "a", &base64(&bytes("rgb.png")));
    act(&world, &json!({"action": "migrate", "source": "shop"}));
    let url = query(&other, "SELECT image_url FROM images")[0]["image_url"].clone();
    assert_eq!(fetch(&world, &url), bytes("rgb.png"));
    act(&world, &json!({"action": "rollback", "source": "shop"}));
    assert_eq!(objects(&world).len(), 1, "the copy stays");
    let path = url.as_str().unwrap().replace("https://images.example", "");
    for method in ["GET", "HEAD"] {
        assert_eq!(world.send(method, &path, &[], None).status, 404, "the row names its original again");
    }
}

#[test]
fn a_database_without_stillstores_tables_is_named() {
    let other = Rc::new(Sqlite::empty());
    execute(&other, IMAGES, Vec::new());
    let shop = json!({"name": "shop", "binding": "SHOP", "table": "images", "id": "id", "data": "image_data", "url": "image_url"});
    let world = world_with(&json!([shop]), vec![("SHOP".to_owned(), Rc::clone(&other) as Rc<dyn Database>)]);
    let answer = world.post_json("/api/migrate-images", &json!({"action": "migrate", "source": "shop"}), &[]);
    assert_eq!((answer.status, answer.code().as_str()), (503, "database-not-migrated"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("SHOP"), "{answer:?}");
    assert_eq!(world.call("GET", "/api/migrate-images", None).status, 200);
    assert_eq!(world.send("GET", "/images/00000000-0000-8000-8000-000000000000", &[], None).code(), "image-not-found");
}

#[test]
fn what_is_embedded_comes_first() {
    let world = world();
    insert(&world.sqlite, "a", &base64(&bytes("rgb.png")));
    assert_eq!(act(&world, &json!({"action": "migrate", "dryRun": true}))["source"], "images");
    let embedded = World::new(false);
    execute(&embedded.sqlite, IMAGES, Vec::new());
    embedded.upload("filename=a.png", &bytes("rgb.png"));
    assert_eq!(act(&embedded, &json!({"action": "migrate"}))["source"], "embedded");
    assert_eq!(act(&embedded, &json!({"action": "rollback", "dryRun": true}))["source"], "embedded", "it has moves");
}

#[test]
fn a_move_under_another_base_keeps_the_first_original() {
    let world = world();
    insert(&world.sqlite, "a", &base64(&bytes("rgb.png")));
    let before = query(&world.sqlite, "SELECT * FROM images");
    act(&world, &json!({"action": "migrate"}));
    execute(
        &world.sqlite,
        "UPDATE stillstore_moves SET original = replace(original, 'images.example', 'old.example')",
        Vec::new(),
    );
    execute(
        &world.sqlite,
        "UPDATE images SET image_url = replace(image_url, 'images.example', 'old.example')",
        Vec::new(),
    );
    let again = act(&world, &json!({"action": "migrate", "source": "images"}));
    assert_eq!(again["result"]["migrated"], 1, "{again}");
    assert_eq!(objects(&world).len(), 1);
    let stats = world.call("GET", "/api/migrate-images", None).json();
    assert_eq!(stats["migrationStats"]["sources"][1]["moved"], 1, "counted once");
    act(&world, &json!({"action": "rollback", "source": "images"}));
    assert_eq!(query(&world.sqlite, "SELECT * FROM images"), before);
}

#[test]
fn a_slice_is_three_calls_and_a_search_by_key() {
    let world = world();
    for number in 0..120 {
        insert(&world.sqlite, &format!("row-{number:03}"), &base64(&bytes("rgb.png")));
    }
    let before = world.sqlite.calls.get();
    let run = act(&world, &json!({"action": "migrate", "source": "images", "batchSize": 10}));
    assert_eq!(run["result"]["migrated"], 120);
    let calls = world.sqlite.calls.get() - before;
    // Two calls a slice, the first of 10, and the run's beginning and end.
    assert!(calls <= 12 * 3 + 8, "{calls}");
    let subjects: Vec<_> = world.database.plan.calls().into_iter().map(|call| call.subject).collect();
    let select =
        subjects.iter().flat_map(|sql| sql.lines()).find(|sql| sql.contains("AS before") && sql.contains("LIMIT"));
    let plan = world.sqlite.plan(select.expect("a SELECT"));
    assert!(plan.contains("SEARCH images USING INDEX sqlite_autoindex_images_1 (id>?)"), "{plan}");
    assert!(plan.contains("SEARCH stillstore_moves USING PRIMARY KEY") && !plan.contains("TEMP B-TREE"), "{plan}");
}

#[test]
fn a_slice_holds_no_more_bytes_than_it_may() {
    let world = world();
    let text = base64(&large_jpeg(4_000_000));
    for number in 0..6 {
        insert(&world.sqlite, &number.to_string(), &text);
    }
    let run = act(&world, &json!({"action": "migrate", "source": "images", "batchSize": 100}));
    assert_eq!(run["result"]["migrated"], 6, "{run}");
    let calls = world.database.plan.calls();
    let loads = calls.iter().map(|call| call.subject.matches("SELECT \"images\".\"image_data\" AS data").count());
    let loads: Vec<_> = loads.filter(|count| *count > 0).collect();
    assert_eq!(loads, [3], "three fit into 16 MiB, and the next slice takes them with their rows");
}

#[test]
fn a_run_begins_with_an_estimate_and_ends_with_the_number_of_its_rows() {
    let without_rowid = IMAGES.replace("updated_at text)", "updated_at text) WITHOUT ROWID");
    let with_own_rowid = IMAGES.replace("updated_at text)", "updated_at text, RowId text)");
    // Five rows: one is gone, one has no data. Where numbers say nothing, rows are counted.
    for (table, estimate) in [(IMAGES, 5), (&without_rowid, 3), (&with_own_rowid, 3)] {
        let world = World::new(true);
        execute(&world.sqlite, table, Vec::new());
        for id in ["a", "b", "c", "d", "e"] {
            insert(&world.sqlite, id, &base64(&bytes("rgb.png")));
        }
        execute(&world.sqlite, "DELETE FROM images WHERE id = 'c'", Vec::new());
        execute(&world.sqlite, "UPDATE images SET image_data = NULL WHERE id = 'b'", Vec::new());
        let begun_with = |run: &serde_json::Value| {
            let id = run["runId"].as_str().unwrap();
            let sql = format!("SELECT progress ->> 'total' AS total FROM stillstore_runs WHERE id = '{id}'");
            query(&world.sqlite, &sql)[0]["total"].clone()
        };
        let dry = act(&world, &json!({"action": "migrate", "source": "images", "dryRun": true}));
        assert_eq!((&dry["result"]["total"], begun_with(&dry)), (&json!(3), json!(3)), "{table}");
        let run = act(&world, &json!({"action": "migrate", "source": "images"}));
        assert_eq!((&run["result"]["total"], begun_with(&run)), (&json!(3), json!(estimate)), "{table}");
        let again = act(&world, &json!({"action": "migrate", "source": "images"}));
        assert_eq!((&again["result"]["total"], begun_with(&again)), (&json!(0), json!(estimate - 3)), "{table}");
    }
}

#[test]
fn ids_that_are_neither_texts_nor_integers_are_left_as_they_are() {
    let png = base64(&bytes("rgb.png"));
    for (declared, good, odd) in [
        ("TEXT NOT NULL UNIQUE", "'a'", vec!["x'61'".to_owned(), format!("'{}'", "x".repeat(1_025))]),
        ("INTEGER NOT NULL UNIQUE", "7", vec!["'seven'".to_owned(), "7.5".to_owned(), "x'07'".to_owned()]),
    ] {
        let source = json!([{"name": "odd", "table": "odd", "id": "id", "data": "data", "url": "url"}]);
        let world = world_with(&source, Vec::new());
        execute(&world.sqlite, &format!("CREATE TABLE odd (id {declared}, data TEXT, url TEXT)"), Vec::new());
        for id in odd.iter().map(String::as_str).chain([good]) {
            let sql = format!("INSERT INTO odd (id, data) VALUES ({id}, ?1)");
            execute(&world.sqlite, &sql, vec![png.as_str().into()]);
        }
        let left = format!("SELECT hex(id) AS id, data, url FROM odd WHERE id IS NOT {good} ORDER BY 1");
        let before = query(&world.sqlite, &left);
        for action in ["migrate", "rollback"] {
            let run = act(&world, &json!({"action": action, "source": "odd"}));
            assert_eq!((&run["result"]["total"], &run["result"]["failed"]), (&json!(1), &json!(0)), "{run}");
            assert_eq!(query(&world.sqlite, &left), before);
        }
        clean(&world, "odd");
        assert_eq!(objects(&world).len(), 1);
    }
}

#[test]
fn ids_of_1024_bytes_of_any_utf_8_are_moved_rolled_back_and_told_of_within_a_row() {
    let world = world();
    // In JSON each of these characters takes six bytes, so that a hundred lines are 600 KB.
    let long = |number: usize| format!("{number:03}{}é😀", "\u{1}".repeat(1_024 - 3 - 6));
    for number in 0..100 {
        let data = if number < 10 { base64(&bytes("rgb.png")) } else { base64(b"no image") };
        insert(&world.sqlite, &long(number), &data);
    }
    assert_eq!(long(7).len(), 1_024);
    let begun = act(&world, &json!({"action": "migrate", "source": "images", "batchSize": 100}));
    assert_eq!((&begun["result"]["migrated"], &begun["result"]["failed"]), (&json!(10), &json!(90)), "{begun}");
    let row = "SELECT max(octet_length(parameters) + octet_length(progress) + octet_length(in_flight)) AS bytes, \
        (SELECT json_array_length(progress -> 'findings') FROM stillstore_runs) AS findings FROM stillstore_runs";
    let row = &query(&world.sqlite, row)[0];
    assert!(row["bytes"].as_u64().unwrap() < 320_000, "{row}");
    assert!((30..60).contains(&row["findings"].as_u64().unwrap()), "as many as fit: {row}");
    assert_eq!(lines(&world, &begun).len(), 100, "the receipt has all");
    let named = act(&world, &json!({"action": "rollback", "source": "images", "imageIds": [long(7)]}));
    assert_eq!(named["result"]["rolledBack"], json!(1), "{named}");
    let rest = act(&world, &json!({"action": "rollback", "source": "images", "deleteFromR2": true}));
    assert_eq!(rest["result"]["failed"], json!(0), "{rest}");
    assert_eq!(objects(&world).len(), 0);
}

#[test]
fn rows_keep_no_address_that_somebody_happened_to_type() {
    let migrate = |world: &World, origin: &str| {
        execute(&world.sqlite, IMAGES, Vec::new());
        insert(&world.sqlite, "a", &base64(PNG));
        let bearer = format!("Bearer {TOKEN}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let body = json!({"action": "migrate", "source": "images"}).to_string().into_bytes();
        let answer = world.send_at(origin, "POST", "/api/migrate-images", &headers, Some(body.into()));
        let url = query(&world.sqlite, "SELECT image_url FROM images")[0]["image_url"].clone();
        (answer, url.as_str().unwrap_or_default().to_owned())
    };
    let vars = [("ENABLE_R2_STORAGE", "true"), ("API_TOKEN", TOKEN)];
    for origin in ["http://images.example", "http://127.evil.example"] {
        let world = World::with_vars(&vars);
        let (answer, url) = migrate(&world, origin);
        assert_eq!((answer.status, answer.code().as_str(), url.as_str()), (409, "public-origin-missing", ""));
        assert!(world.rows("SELECT id FROM stillstore_runs").is_empty());
    }
    for origin in ["https://images.example", "http://localhost:8787", "http://127.0.0.1:8787", "http://[::1]"] {
        let (answer, url) = migrate(&World::with_vars(&vars), origin);
        assert!(answer.status == 200 && url.starts_with(&format!("{origin}/images/")), "{url} {answer:?}");
    }
    let named = [&vars[..], &[("PUBLIC_ORIGIN", "https://pictures.example")]].concat();
    for origin in ["http://images.example", "https://typed.example"] {
        let (answer, url) = migrate(&World::with_vars(&named), origin);
        assert!(answer.status == 200 && url.starts_with("https://pictures.example/images/"), "{url} {answer:?}");
    }
}

#[test]
fn the_key_of_a_private_row_cannot_be_told_from_its_image_and_stays_the_same() {
    let source = json!({"name": "private", "table": "images", "id": "id", "data": "image_data", "url": "image_url",
        "visibility": "private"});
    let world = world_with(&json!([source]), Vec::new());
    execute(&world.sqlite, IMAGES, Vec::new());
    insert(&world.sqlite, "one", &base64(PNG));
    let keys = || objects(&world).into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    act(&world, &json!({"action": "migrate", "source": "private"}));
    let moved = keys();
    let image = query(&world.sqlite, "SELECT id FROM stillstore_images")[0]["id"].as_str().map(str::to_owned);
    let image = image.expect("an image");
    let rest = moved[0].strip_prefix(&format!("tables/private/{image}_")).expect("the image's id");
    let secret = rest.strip_suffix(".png").expect("a PNG");
    assert!(secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{moved:?}");

    act(&world, &json!({"action": "rollback", "source": "private"}));
    act(&world, &json!({"action": "migrate", "source": "private"}));
    assert_eq!(keys(), moved, "the same move makes the same object");
    let valid = act(&world, &json!({"action": "validate", "source": "private"}));
    assert_eq!((&valid["result"]["isValid"], &valid["result"]["orphaned"]), (&json!(true), &json!([])), "{valid}");
}
