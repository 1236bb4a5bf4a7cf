//! What the schema itself guarantees, and that the tests would notice a query that it has no index for.

use stillstore::catalog::Status;
use stillstore::sql::{Database, DatabaseErrorKind, Statement};

use crate::catalog_database::{Shelf, done};

const MIGRATIONS: &str = concat!(
    include_str!("../../migrations/0001_stillstore_images.sql"),
    include_str!("../../migrations/0003_stillstore_migration.sql"),
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
    assert_eq!(triggers.len(), 6);
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
