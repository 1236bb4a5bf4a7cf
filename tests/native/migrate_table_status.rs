//! What the status says of an application's table: how many images wait, how many are in R2, and when that was counted.

use std::rc::Rc;

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use stillstore::migrate::table::COUNTED_ROWS;
use stillstore::sql::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement};

use crate::api::world::World;
use crate::image_fixtures::bytes;
use crate::migrate_table::{IMAGES, act, base64, clean, execute, insert, query, world, world_with};
use crate::runtime::block_on;
use crate::sqlite::Sqlite;

const MINUTE_MS: i64 = 60 * 1000;

pub fn status(world: &World) -> Json {
    let answer = world.call("GET", "/api/migrate-images", None);
    assert_eq!(answer.status, 200, "{answer:?}");
    let stats = answer.json()["migrationStats"].clone();
    assert_eq!(act(world, &json!({"action": "stats"}))["result"]["sources"][0]["name"], "embedded");
    stats
}

fn source<'stats>(stats: &'stats Json, name: &str) -> &'stats Json {
    stats["sources"].as_array().unwrap().iter().find(|source| source["name"] == name).expect(name)
}

/// Total, migrated, waiting, migrated with the original still there, and percent.
fn numbers(stats: &Json) -> Json {
    let fields = ["totalImages", "migratedImages", "base64Images", "partiallyMigratedImages", "migrationProgress"];
    fields.iter().map(|field| stats[field].clone()).collect()
}

fn table_of(rows: u64) -> World {
    let world = world();
    insert_many(&world.sqlite, 0, rows);
    world
}

fn insert_many(database: &Sqlite, first: u64, rows: u64) {
    let sql = "INSERT INTO images (id, image_data) SELECT printf('row %06d', ?1 + key), ?3 FROM \
        json_each('[' || rtrim(replace(hex(zeroblob(?2)), '00', '0,'), ',') || ']')";
    let number = |number: u64| i64::try_from(number).unwrap().into();
    execute(database, sql, vec![number(first), number(rows), base64(&bytes("rgb.png")).into()]);
}

/// Asks until no source is being counted; how often.
fn until_counted(world: &World) -> u64 {
    for calls in 1..100 {
        if status(world)["missingSources"] == json!([]) {
            return calls;
        }
    }
    panic!("the count does not end");
}

#[test]
fn rows_are_counted_before_and_after_each_step() {
    let world = table_of(12);
    execute(&world.sqlite, "INSERT INTO images (id) VALUES ('without data')", Vec::new());
    let size = 12 * base64(&bytes("rgb.png")).len();
    let before = status(&world);
    assert_eq!(numbers(&before), json!([12, 0, 12, 0, 0.0]), "{before}");
    assert_eq!((&before["estimatedSpaceSaved"], &before["failedImages"]), (&json!(size), &json!(0)));
    let table = source(&before, "images");
    assert_eq!((numbers(table), &table["state"]), (json!([12, 0, 12, 0, 0.0]), &json!("current")));
    assert_eq!(table["countedAt"], "2027-01-15T08:00:00.000Z");
    assert_eq!(numbers(source(&before, "embedded")), json!([0, 0, 0, 0, 100.0]));

    act(&world, &json!({"action": "migrate", "imageIds": ["row 000003", "row 000004", "row 000005", "row 000006"]}));
    assert_eq!(numbers(&status(&world)), json!([12, 4, 8, 4, 33.3]));
    act(&world, &json!({"action": "migrate"}));
    let moved = status(&world);
    assert_eq!((numbers(&moved), &moved["estimatedSpaceSaved"]), (json!([12, 12, 0, 12, 100.0]), &json!(0)));
    clean(&world, "images");
    assert_eq!(numbers(&status(&world)), json!([12, 12, 0, 0, 100.0]));
    act(&world, &json!({"action": "rollback", "source": "images", "imageIds": ["row 000003"]}));
    assert_eq!(numbers(&status(&world)), json!([12, 11, 1, 0, 91.6]));
    act(&world, &json!({"action": "rollback", "source": "images"}));
    assert_eq!(numbers(&status(&world)), json!([12, 0, 12, 0, 0.0]));
}

#[test]
fn the_catalogue_and_every_table_make_the_totals() {
    let other = Rc::new(Sqlite::migrated());
    execute(&other, IMAGES, Vec::new());
    let shop = json!({"name": "shop", "binding": "SHOP", "table": "images", "id": "id", "data": "image_data", "url": "image_url"});
    let world = world_with(&json!([shop]), vec![("SHOP".to_owned(), Rc::clone(&other) as Rc<dyn Database>)]);
    execute(&world.sqlite, IMAGES, Vec::new());
    insert_many(&world.sqlite, 0, 3);
    insert_many(&other, 0, 5);
    insert(&other, "broken", "no picture");
    world.upload("filename=a.png", &bytes("rgb.png"));
    act(&world, &json!({"action": "migrate", "source": "shop"}));
    let stats = status(&world);
    assert_eq!(numbers(&stats), json!([10, 6, 4, 5, 60.0]), "{stats}");
    assert_eq!((&stats["failedImages"], &stats["missingSources"]), (&json!(1), &json!([])));
    let names: Vec<_> = stats["sources"].as_array().unwrap().iter().map(|source| source["name"].clone()).collect();
    assert_eq!(names, ["embedded", "shop", "images"]);
    assert_eq!(numbers(source(&stats, "embedded")), json!([1, 1, 0, 0, 100.0]));
    assert_eq!(numbers(source(&stats, "shop")), json!([6, 5, 1, 5, 83.3]));
    assert_eq!(numbers(source(&stats, "images")), json!([3, 0, 3, 0, 0.0]));
}

#[test]
fn what_the_application_did_since_a_move_is_counted_as_it_is() {
    let world = table_of(8);
    act(&world, &json!({"action": "migrate", "source": "images"}));
    for sql in [
        "DELETE FROM images WHERE id = 'row 000000'",
        "UPDATE images SET image_url = '/new.png' WHERE id = 'row 000001'",
        "UPDATE images SET image_data = NULL, image_url = '/elsewhere.png' WHERE id = 'row 000002'",
        "UPDATE images SET image_data = NULL WHERE id = 'row 000003'",
    ] {
        execute(&world.sqlite, sql, Vec::new());
    }
    // Gone, waiting again, without an image of ours, in R2 only, and four that are in both places.
    let stats = status(&world);
    assert_eq!(numbers(&stats), json!([6, 5, 1, 4, 83.3]), "{stats}");
    assert_eq!(source(&stats, "images")["moved"], 8, "entries of the journal");
    let again = act(&world, &json!({"action": "migrate", "source": "images"}));
    assert_eq!(again["result"]["migrated"], 1, "what waits is what a run moves");
    assert_eq!(numbers(&status(&world)), json!([6, 6, 0, 5, 100.0]));

    // The URL of a copy that a rollback took back from the row shows nothing.
    act(&world, &json!({"action": "rollback", "source": "images", "imageIds": ["row 000004"]}));
    let sql = "UPDATE images SET image_url = (SELECT original ->> 'url' FROM stillstore_moves WHERE item_id = images.id) \
        WHERE id = 'row 000004'";
    execute(&world.sqlite, sql, Vec::new());
    assert_eq!(numbers(&status(&world)), json!([6, 5, 1, 4, 83.3]));
}

#[test]
fn rows_that_no_run_takes_are_not_counted() {
    let declared = "CREATE TABLE odd (id INTEGER NOT NULL UNIQUE, data TEXT, entry TEXT, kind TEXT)";
    let config = json!([{"name": "odd", "table": "odd", "id": "id", "data": "data", "url": "entry", "status": "kind",
        "filter": {"kind": "photo"}}]);
    let world = world_with(&config, Vec::new());
    execute(&world.sqlite, declared, Vec::new());
    for (id, kind) in [
        ("-7", "photo"),
        ("8", "photo"),
        ("9", "icon"),
        ("'seven'", "photo"),
        ("7.5", "photo"),
        ("9007199254740993", "photo"),
    ] {
        let sql = format!("INSERT INTO odd VALUES ({id}, ?1, NULL, '{kind}')");
        execute(&world.sqlite, &sql, vec![base64(&bytes("rgb.png")).into()]);
    }
    assert_eq!(numbers(&status(&world)), json!([2, 0, 2, 0, 0.0]));
    let run = act(&world, &json!({"action": "migrate", "source": "odd"}));
    assert_eq!(run["result"]["migrated"], 2, "{run}");
    // The move itself wrote the column that the filter looks at.
    assert_eq!(numbers(&status(&world)), json!([2, 2, 0, 2, 100.0]));
}

#[test]
fn a_long_table_is_counted_slice_by_slice_and_no_number_is_guessed() {
    let world = table_of(3 * COUNTED_ROWS + 7);
    let first = status(&world);
    let table = source(&first, "images");
    assert_eq!((&table["state"], &table["countedAt"]), (&json!("counting"), &Json::Null), "{first}");
    assert_eq!(numbers(table), json!([null, null, null, null, null]));
    assert_eq!((&first["missingSources"], numbers(&first)), (&json!(["images"]), json!([0, 0, 0, 0, null])));

    until_counted(&world);
    let rows = 3 * COUNTED_ROWS + 7;
    let stats = status(&world);
    assert_eq!(numbers(&stats), json!([rows, 0, rows, 0, 0.0]), "{stats}");
    assert_eq!(stats["estimatedSpaceSaved"], rows * base64(&bytes("rgb.png")).len() as u64);
    let table = source(&stats, "images");
    assert_eq!((&table["state"], &table["countedAt"]), (&json!("kept"), &json!("2027-01-15T08:00:00.000Z")));

    // What a run moves is taken into account without another count.
    let ids: Vec<_> = (0..20).map(|number| format!("row {number:06}")).collect();
    act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ids}));
    let stats = status(&world);
    assert_eq!(numbers(&stats), json!([rows, 20, rows - 20, 20, 0.3]), "{stats}");
    clean(&world, "images");
    assert_eq!(numbers(&status(&world)), json!([rows, 20, rows - 20, 0, 0.3]));
    act(&world, &json!({"action": "rollback", "source": "images", "imageIds": ids[..5]}));
    assert_eq!(numbers(&status(&world)), json!([rows, 15, rows - 15, 0, 0.2]));
}

#[test]
fn runs_that_move_rows_while_they_are_counted_do_not_disturb_the_count() {
    let rows = 2 * COUNTED_ROWS + 100;
    let world = table_of(rows);
    let ids = |numbers: [u64; 3]| numbers.map(|number| format!("row {number:06}"));
    // On either side of where the count stands, between each two of its slices.
    let (low, high) = (ids([1, 2, 3]), ids([rows - 1, rows - 2, rows - 3]));
    for batch in [&low, &high] {
        status(&world);
        act(&world, &json!({"action": "migrate", "source": "images", "imageIds": batch}));
    }
    act(&world, &json!({"action": "rollback", "source": "images", "imageIds": [low[0]]}));
    until_counted(&world);
    assert_eq!(numbers(&status(&world)), json!([rows, 5, rows - 5, 5, 0.1]));
}

#[test]
fn cron_goes_on_with_a_count_that_was_asked_for() {
    let world = table_of(4 * COUNTED_ROWS);
    block_on(world.app.tick());
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_table_counts").is_empty(), "nobody asked");
    status(&world);
    block_on(world.app.tick());
    assert!(query(&world.sqlite, "SELECT * FROM stillstore_table_counts WHERE state = 'counting'").is_empty());
    let rows = 4 * COUNTED_ROWS;
    assert_eq!(numbers(&status(&world)), json!([rows, 0, rows, 0, 0.0]));
}

#[test]
fn a_kept_count_is_made_anew_when_it_is_old_or_runs_moved_images() {
    let rows = COUNTED_ROWS + 10;
    let world = table_of(rows);
    until_counted(&world);
    execute(&world.sqlite, "DELETE FROM images WHERE id = 'row 000000'", Vec::new());
    let counted_at = |stats: &Json| source(stats, "images")["countedAt"].clone();
    let first = counted_at(&status(&world));
    world.runtime.advance(23 * 60 * MINUTE_MS);
    assert_eq!(counted_at(&status(&world)), first, "a day has not gone by");
    world.runtime.advance(60 * MINUTE_MS);
    let began = status(&world);
    assert_eq!(
        (counted_at(&began), began["totalImages"].clone()),
        (first, json!(rows)),
        "the old one until the new one ends"
    );
    block_on(world.app.tick());
    assert_eq!(numbers(&status(&world)), json!([rows - 1, 0, rows - 1, 0, 0.0]));

    // Every row moved, and one that came after the count: no 100 % until that is known.
    let moved = ["row 000001", "row 000002"];
    execute(&world.sqlite, "DELETE FROM images WHERE id > 'row 000004'", Vec::new());
    insert_many(&world.sqlite, 10, rows);
    execute(&world.sqlite, "UPDATE images SET image_data = NULL WHERE id > 'row 000009'", Vec::new());
    world.runtime.advance(24 * 60 * MINUTE_MS);
    status(&world);
    block_on(world.app.tick());
    assert_eq!(numbers(&status(&world)), json!([4, 0, 4, 0, 0.0]));
    insert(&world.sqlite, "row 000000", &base64(&bytes("rgb.png")));
    insert(&world.sqlite, "later", &base64(&bytes("rgb.png")));
    act(&world, &json!({"action": "migrate", "source": "images", "imageIds": moved}));
    act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ["row 000000", "row 000003"]}));
    let stats = status(&world);
    assert_eq!(numbers(&stats), json!([4, 4, 0, 4, 99.9]), "{stats}");
    world.runtime.advance(10 * MINUTE_MS);
    status(&world);
    block_on(world.app.tick());
    assert_eq!(numbers(&status(&world)), json!([6, 4, 2, 4, 66.6]));
}

#[test]
fn entries_whose_row_is_gone_are_not_taken_for_images_of_a_long_table() {
    let rows = COUNTED_ROWS + 10;
    let world = table_of(rows);
    let ids: Vec<_> = (0..6).map(|number| format!("row {number:06}")).collect();
    act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ids}));
    clean(&world, "images");
    act(&world, &json!({"action": "migrate", "source": "images", "imageIds": ["row 000007", "row 000008"]}));
    for sql in [
        "DELETE FROM images WHERE id = 'row 000000'",
        "UPDATE images SET image_url = '/new.png' WHERE id = 'row 000007'",
    ] {
        execute(&world.sqlite, sql, Vec::new());
    }
    until_counted(&world);
    let stats = status(&world);
    assert_eq!(numbers(&stats), json!([rows - 1, 6, rows - 7, 1, 0.2]), "{stats}");
}

#[test]
fn another_configuration_is_another_count() {
    let world = table_of(COUNTED_ROWS + 5);
    until_counted(&world);
    let config = json!([{"name": "images", "table": "images", "id": "id", "data": "image_data", "url": "image_url",
        "filter": {"prompt": "a cat"}}]);
    let vars = [
        ("ENABLE_R2_STORAGE", "true"),
        ("API_TOKEN", crate::api::world::TOKEN),
        ("MIGRATION_SOURCES", &config.to_string()),
    ];
    let other = World::over(Rc::clone(&world.sqlite), &vars);
    assert_eq!(source(&status(&other), "images")["state"], "counting");
    until_counted(&other);
    assert_eq!(numbers(&status(&other)), json!([0, 0, 0, 0, 100.0]));
}

#[test]
fn a_table_that_became_short_is_counted_at_once_again() {
    let world = table_of(COUNTED_ROWS + 5);
    until_counted(&world);
    execute(&world.sqlite, "DELETE FROM images WHERE id > 'row 000002'", Vec::new());
    world.runtime.advance(25 * 60 * MINUTE_MS);
    until_counted(&world);
    block_on(world.app.tick());
    let stats = status(&world);
    assert_eq!((numbers(&stats), &source(&stats, "images")["state"]), (json!([3, 0, 3, 0, 0.0]), &json!("current")));
}

/// A database that does not answer.
struct Down;

#[async_trait(?Send)]
impl Database for Down {
    async fn batch(&self, _statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        Err(DatabaseError::new(DatabaseErrorKind::Unavailable, "the secret words of a database"))
    }
}

#[test]
fn a_source_that_cannot_be_read_says_why_and_the_totals_that_they_miss_it() {
    let empty = Rc::new(Sqlite::empty());
    execute(&empty, IMAGES, Vec::new());
    let of = |name: &str, binding: &str, table: &str| json!({"name": name, "binding": binding, "table": table, "id": "id", "data": "image_data", "url": "image_url"});
    let config = json!([of("down", "DOWN", "images"), of("bare", "BARE", "images"), of("wrong", "DB", "pictures")]);
    let databases: Vec<(String, Rc<dyn Database>)> =
        vec![("DOWN".to_owned(), Rc::new(Down)), ("BARE".to_owned(), empty)];
    let world = world_with(&config, databases);
    execute(&world.sqlite, IMAGES, Vec::new());
    insert_many(&world.sqlite, 0, 3);
    let stats = status(&world);
    assert_eq!(
        (numbers(&stats), &stats["missingSources"]),
        (json!([3, 0, 3, 0, null]), &json!(["down", "bare", "wrong"]))
    );
    for (name, code, word) in [
        ("down", "database-unavailable", "unavailable"),
        ("bare", "database-not-migrated", "BARE"),
        ("wrong", "source-unusable", "table must be a table"),
    ] {
        let found = source(&stats, name);
        assert_eq!((&found["state"], &found["problem"]["code"]), (&json!("unavailable"), &json!(code)), "{found}");
        assert!(found["problem"]["detail"].as_str().unwrap().contains(word), "{found}");
        assert_eq!(numbers(found), json!([null, null, null, null, null]));
    }
    assert_eq!(source(&stats, "down")["moved"], Json::Null);
    assert!(!stats.to_string().contains("secret words") && world.log_text().contains("secret words"));
    let body = world.call("GET", "/api/migrate-images", None).json();
    assert_eq!(body["sources"], json!(["embedded", "down", "bare", "wrong", "images"]));
}

#[test]
fn tables_are_counted_where_no_bucket_is_bound() {
    let mut world = table_of(3);
    world.app.services.r2 = None;
    assert_eq!(numbers(&status(&world)), json!([3, 0, 3, 0, 0.0]));
}

#[test]
fn no_statement_about_counts_scans_a_table_or_sorts() {
    let world = table_of(COUNTED_ROWS + 5);
    status(&world);
    block_on(world.app.tick());
    status(&world);
    let calls = world.database.plan.calls();
    let statements: std::collections::BTreeSet<_> = calls.iter().flat_map(|call| call.subject.lines()).collect();
    let counts: Vec<_> = statements.iter().filter(|sql| sql.contains("stillstore_table_counts")).collect();
    assert_eq!(counts.len(), 8, "{counts:#?}");
    for sql in counts {
        let plan = world.sqlite.plan(sql);
        for step in plan.lines() {
            let allowed = [
                "SCAN (subquery-",
                "SCAN slice",
                "SCAN stillstore_table_counts USING INDEX stillstore_table_counts_under_way",
                "SCAN stillstore_table_counts USING COVERING INDEX stillstore_table_counts_under_way",
            ];
            let is_allowed = allowed.iter().any(|allowed| step.starts_with(allowed));
            assert!(is_allowed || !(step.starts_with("SCAN") || step.contains("TEMP B-TREE")), "{sql}\n{plan}");
        }
        if sql.contains("\"images\"") && !sql.contains("is_stale") {
            assert!(plan.contains("SEARCH images USING INDEX sqlite_autoindex_images_1 (id>?)"), "{plan}");
        }
    }
}
