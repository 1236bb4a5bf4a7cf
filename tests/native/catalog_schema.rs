//! What the schema itself guarantees, and that the tests would notice a query that it has no index for.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stillstore::catalog::Status;
use stillstore::sql::{Database, DatabaseErrorKind, Statement};

use crate::catalog_database::{Shelf, done, id};
use crate::sqlite::Sqlite;

const MIGRATIONS: &str = concat!(
    include_str!("../../migrations/0001_stillstore_images.sql"),
    include_str!("../../migrations/0003_stillstore_migration.sql"),
    include_str!("../../migrations/0004_stillstore_images_in_key.sql"),
    include_str!("../../migrations/0005_stillstore_count_stored.sql"),
    include_str!("../../migrations/0007_stillstore_catalogue.sql"),
    include_str!("../../migrations/0010_stillstore_usage.sql"),
    include_str!("../../migrations/0012_stillstore_collections.sql"),
    include_str!("../../migrations/0013_stillstore_multipart.sql"),
    include_str!("../../migrations/0015_stillstore_jobs.sql"),
    include_str!("../../migrations/0014_stillstore_variants.sql"),
    include_str!("../../migrations/0017_stillstore_holdings.sql"),
    include_str!("../../migrations/0018_stillstore_analyses.sql"),
    include_str!("../../migrations/0019_stillstore_read_through.sql"),
    include_str!("../../migrations/0020_stillstore_placeholders.sql"),
    include_str!("../../migrations/0021_stillstore_look_limits.sql"),
    include_str!("../../migrations/0022_stillstore_references.sql"),
    include_str!("../../migrations/0023_stillstore_set_aside.sql"),
    include_str!("../../migrations/0024_stillstore_left_copies.sql"),
    include_str!("../../migrations/0025_stillstore_deleted_by.sql"),
);

#[test]
#[should_panic(expected = "SCAN stillstore_images")]
fn a_query_without_an_index_fails_the_tests() {
    let shelf = Shelf::new();
    drop(done(shelf.database.run(Statement::new("SELECT id FROM stillstore_images WHERE filename = 'a'"))));
}

#[test]
#[should_panic(expected = "TEMP B-TREE")]
fn a_query_that_sorts_fails_the_tests() {
    let shelf = Shelf::new();
    let sql = "SELECT id FROM stillstore_images WHERE status = 'stored' ORDER BY updated_at_ms";
    drop(done(shelf.database.run(Statement::new(sql))));
}

#[test]
fn triggers_keep_to_the_form_that_the_remote_parser_takes() {
    let triggers: Vec<_> = MIGRATIONS.lines().filter(|line| line.starts_with("CREATE TRIGGER")).collect();
    assert_eq!(triggers.len(), 52);
    for trigger in triggers {
        assert!(trigger.contains(" BEGIN ") && trigger.ends_with("; END;"), "{trigger}");
        assert_eq!(trigger.matches(';').count(), 2, "{trigger}");
    }
    assert!(!MIGRATIONS.contains('\r'));
}

#[test]
fn everything_in_the_schema_carries_the_prefix() {
    let shelf = Shelf::new();
    let names = shelf.sql("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_autoindex_%'").unwrap();
    assert!(names.len() > 10);
    for name in names {
        assert!(name["name"].as_str().unwrap().starts_with("stillstore_"), "{name}");
    }
}

#[test]
fn the_schema_refuses_rows_that_no_operation_writes() {
    let shelf = Shelf::new();
    shelf.image_in(1, Status::Stored);
    shelf.image_in(2, Status::Deleted);
    let updates = [
        "status = 'melted' WHERE status = 'stored'",
        "storage = 'tape' WHERE status = 'stored'",
        "visibility = 'friends' WHERE status = 'stored'",
        "labels = '{' WHERE status = 'stored'",
        "generation = '{' WHERE status = 'stored'",
        "size_bytes = -1 WHERE status = 'stored'",
        "size_bytes = NULL WHERE status = 'stored'",
        "size_bytes = NULL, sha256 = NULL WHERE status = 'stored'",
        "sha256 = 'abc' WHERE status = 'stored'",
        "width = NULL WHERE status = 'stored'",
        "width = 'wide' WHERE status = 'stored'",
        "orientation = 0 WHERE status = 'stored'",
        "orientation = 9 WHERE status = 'stored'",
        "ordinal = -1 WHERE status = 'stored'",
        "ordinal = NULL WHERE status = 'stored'",
        "collection_id = NULL WHERE status = 'stored'",
        "source = NULL WHERE status = 'stored'",
        "source_item = NULL WHERE status = 'stored'",
        "two_homes = 2 WHERE status = 'stored'",
        "thumbhash = 'short' WHERE status = 'stored'",
        "thumbhash = '1QcSHQRnh493V4dIh4eXh1h4kJUI', dominant_color = 'red' WHERE status = 'stored'",
        "dominant_color = '#aabbcc' WHERE status = 'stored'",
        "version = 0 WHERE status = 'stored'",
        "storage_key = 'portraits/jane.png' WHERE status = 'deleted'",
        "filename = 'jane.png' WHERE status = 'deleted'",
        "persona_id = 'jane' WHERE status = 'deleted'",
        "generation = '{}' WHERE status = 'deleted'",
        "labels = '{\"name\": \"jane\"}' WHERE status = 'deleted'",
    ];
    let before = shelf.sql("SELECT * FROM stillstore_images").unwrap();
    for update in updates {
        let error = shelf.sql(&format!("UPDATE stillstore_images SET {update}")).expect_err(update);
        assert_ne!(error.kind, DatabaseErrorKind::Schema, "{update}: {error}");
    }
    assert_eq!(shelf.sql("SELECT * FROM stillstore_images").unwrap(), before);
}

#[test]
fn the_catalogue_names_each_column_of_the_table() {
    let shelf = Shelf::new();
    shelf.find(id(1));
    let sql = shelf.database.last_sql();
    let mut named: Vec<_> =
        sql.strip_prefix("SELECT ").and_then(|rest| rest.split(" FROM").next()).unwrap().split(", ").collect();
    named.sort_unstable();
    let columns = shelf.sql("SELECT name FROM pragma_table_info('stillstore_images') ORDER BY name").unwrap();
    let columns: Vec<_> = columns.iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(named, columns);
}

#[test]
fn a_tombstone_keeps_nothing_that_is_written_into_it() {
    let shelf = Shelf::new();
    shelf.image_in(1, Status::Deleted);
    let before = shelf.sql("SELECT * FROM stillstore_images").unwrap();
    for set in [
        "owner_id = 'jane'",
        "collection_id = 'jane', ordinal = 1",
        "parent_id = 'jane'",
        "source = 'rooms', source_item = 'jane'",
        "thumbhash = '1QcSHQRnh493V4dIh4eXh1h4kJUI', dominant_color = '#aabbcc'",
    ] {
        shelf.sql(&format!("UPDATE stillstore_images SET {set}")).unwrap();
        assert_eq!(shelf.sql("SELECT * FROM stillstore_images").unwrap(), before, "{set}");
    }
}

#[test]
fn an_upsert_that_is_to_change_a_row_makes_none() {
    let shelf = Shelf::new();
    let before = shelf.sql("SELECT * FROM stillstore_counters").unwrap();
    let upserts = [
        "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, version, \
         created_at_ms, updated_at_ms) VALUES ('gone', 'pending', 'd1', '', '', 'public', '{}', 1, 0, 0) \
         ON CONFLICT (id) DO UPDATE SET storage = 'r2'",
        "INSERT INTO stillstore_runs (id, action, source, exclusive, parameters, state, progress, in_flight, slices, \
         lease_expires_at_ms, created_at_ms, updated_at_ms) \
         VALUES ('gone', 'migrate', '', 0, '{}', 'failed', '{}', '[]', 0, 0, 0, 0) ON CONFLICT (id) DO UPDATE SET slices = 1",
    ];
    for upsert in upserts {
        assert_eq!(shelf.sql(upsert).unwrap_err().kind, DatabaseErrorKind::Constraint, "{upsert}");
    }
    assert!(shelf.sql("SELECT id FROM stillstore_images UNION ALL SELECT id FROM stillstore_runs").unwrap().is_empty());
    assert_eq!(shelf.sql("SELECT * FROM stillstore_counters").unwrap(), before);
}

#[test]
fn moving_the_rows_into_their_key_keeps_each_of_them_and_the_counters() {
    let database = Sqlite::empty();
    database.migrate(|number| number < 4);
    let insert = "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, filename, context, \
        persona_id, session_id, participant_id, table_id, labels, generation, size_bytes, sha256, width, height, fallback_reason, \
        version, created_at_ms, updated_at_ms, embedded_write_id) \
        SELECT 'id' || value, 'stored', 'd1', 'key' || value, 'image/png', 'private', 'f', 'c', 'p', 's', 'q', 't', '{\"a\":\"b\"}', \
        '{}', value, printf('%064d', value), 3, 4, 'r2-unavailable', 2, 5, 6, 'w' || value FROM json_each('[1,2,3]')";
    done(database.run(Statement::new(insert))).unwrap();
    let all = |table: &str| {
        let select = Statement::new(format!("SELECT * FROM {table}"));
        let mut rows = done(database.run(select)).unwrap().rows::<BTreeMap<String, Value>>().unwrap();
        rows.sort_by_key(|row| row.values().map(Value::to_string).collect::<Vec<_>>());
        rows
    };
    let before = (all("stillstore_images"), all("stillstore_counters"));
    assert_eq!((before.0.len(), before.0[0].len()), (3, 23));
    database.migrate(|number| (4..7).contains(&number));
    assert_eq!((all("stillstore_images"), all("stillstore_counters")), before);
    done(database.run(Statement::new("DELETE FROM stillstore_images WHERE id = 'id2'"))).unwrap();
    assert_ne!(all("stillstore_counters"), before.1);
}

#[test]
fn counting_stored_images_alone_begins_with_what_is_there() {
    let database = Sqlite::empty();
    database.migrate(|number| number < 5);
    let insert = "INSERT INTO stillstore_images (id, status, storage, storage_key, content_type, visibility, labels, size_bytes, sha256, \
        version, created_at_ms, updated_at_ms) SELECT value || home, value, home, value || home, 'image/png', 'public', '{}', 7, \
        printf('%064d', 0), 1, 0, 0 FROM json_each('[\"pending\",\"stored\",\"deleting\"]'), (SELECT 'r2' AS home UNION ALL SELECT 'd1')";
    let run = |sql: &str| done(database.run(Statement::new(sql.to_owned()))).unwrap();
    let counted = || {
        let sql = "SELECT status, storage, images, bytes FROM stillstore_counters WHERE images <> 0 OR bytes <> 0 ORDER BY 1, 2";
        run(sql).rows::<Value>().unwrap()
    };
    run(insert);
    assert_eq!(counted().len(), 6);
    database.migrate(|number| number >= 5);
    let row = |storage: &str| json!({"status": "stored", "storage": storage, "images": 1, "bytes": 7});
    assert_eq!(counted(), [row("d1"), row("r2")]);
    // And one of images that were moved out of tables.
    assert_eq!(run("SELECT status FROM stillstore_counters").rows::<Value>().unwrap().len(), 16 + 1);
    run("DELETE FROM stillstore_images");
    assert!(counted().is_empty());
}
