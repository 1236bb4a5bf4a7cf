//! Reading one row, and rows of a shape that should not be.

use std::rc::Rc;

use async_trait::async_trait;
use proptest::prelude::*;
use stillstore::catalog::{
    CachePurge, Catalog, IdempotencyKey, ListError, ListFilter, MovedImages, OwnerFilter, PageSize, ServableImage,
    Serving, Status,
};
use stillstore::image::{Format, Sha256Digest, Visibility};
use stillstore::sql::{Database, DatabaseError, DatabaseErrorKind, QueryResult, Statement};
use stillstore::store::StorageKind;

use crate::catalog_database::{Shelf, at, content, description, done, id, plain_commit};

#[test]
fn only_stored_images_are_readable() {
    let cases = [
        (Status::Pending, false, Serving::Unknown),
        (Status::Deleting, false, Serving::Gone),
        (Status::Deleted, false, Serving::Gone),
    ];
    for (status, stored, serving) in cases {
        let shelf = Shelf::new();
        let image = shelf.image_in(1, status);
        assert_eq!(done(shelf.catalog.find_stored(image.id)).unwrap().is_some(), stored, "{status:?}");
        assert_eq!(done(shelf.catalog.find_for_serving(image.id, &OwnerFilter::Any)).unwrap(), serving, "{status:?}");
        assert_eq!(shelf.status(image.id), Some(status));
    }
    let shelf = Shelf::new();
    assert_eq!(done(shelf.catalog.find_for_serving(id(1), &OwnerFilter::Any)).unwrap(), Serving::Unknown);
    assert_eq!(done(shelf.catalog.find_stored(id(1))).unwrap(), None);
}

#[test]
fn a_stored_image_is_served_by_what_its_row_says() {
    let shelf = Shelf::new();
    shelf.image_in(2, Status::Stored);
    let image = shelf.image_in(1, Status::Stored);
    let expected = ServableImage {
        id: image.id,
        storage: StorageKind::R2,
        key: image.key,
        format: Format::Png,
        size_bytes: content().size_bytes,
        sha256: content().sha256,
        visibility: Visibility::Private,
        filename: image.filename,
        created_at: image.created_at,
        version: 2,
    };
    assert_eq!(done(shelf.catalog.find_for_serving(image.id, &OwnerFilter::Any)).unwrap(), Serving::Found(expected));
    assert_eq!(done(shelf.catalog.find_stored(image.id)).unwrap(), shelf.find(image.id));
}

#[test]
fn whatever_a_file_is_called_is_told_apart_from_the_rest_of_its_row() {
    let shelf = Shelf::new();
    let image = shelf.image_in(1, Status::Stored);
    for (sql, filename) in [
        ("NULL", None),
        ("''", Some("")),
        ("char(10)", Some("\n")),
        ("'a' || char(10) || 'public' || char(10)", Some("a\npublic\n")),
        ("'\"\\ ' || char(233)", Some("\"\\ \u{e9}")),
    ] {
        shelf.sql(&format!("UPDATE stillstore_images SET filename = {sql}")).unwrap();
        let Serving::Found(found) = done(shelf.catalog.find_for_serving(image.id, &OwnerFilter::Any)).unwrap() else {
            panic!("{sql}")
        };
        assert_eq!(found.filename.as_deref(), filename);
        assert_eq!((found.version, found.visibility), (2, Visibility::Private));
    }
}

#[test]
fn the_ping_tells_a_database_without_migrations_from_one_that_is_ready() {
    let shelf = Shelf::new();
    done(shelf.catalog.ping()).unwrap();
    shelf.sql("DELETE FROM stillstore_counters").unwrap();
    assert_eq!(done(shelf.catalog.ping()).unwrap_err().kind(), DatabaseErrorKind::Schema);
}

/// A database that answers every statement with the same rows.
struct Canned(String);

#[async_trait(?Send)]
impl Database for Canned {
    async fn batch(&self, statements: Vec<Statement>) -> Result<Vec<QueryResult>, DatabaseError> {
        let answer = QueryResult { rows_json: self.0.clone(), ..QueryResult::default() };
        Ok(vec![answer; statements.len()])
    }
}

/// What each operation makes of those rows; that it returns at all is the first thing tested.
fn failures_of_every_operation(rows_json: &str) -> Vec<Option<DatabaseErrorKind>> {
    let catalog = Catalog::new(Rc::new(Canned(rows_json.to_owned())));
    let (image, content) = (description(1), content());
    let key: IdempotencyKey = "key".parse().unwrap();
    let digest = Sha256Digest::of(b"body");
    let errors = [
        done(catalog.reserve(&image, StorageKind::R2, 1, at(0))).err(),
        done(catalog.commit(plain_commit(&image, &content))).err(),
        done(catalog.find(image.id, &OwnerFilter::Any)).err(),
        done(catalog.find_stored(image.id)).err(),
        done(catalog.find_for_serving(image.id, &OwnerFilter::Any)).err(),
        done(catalog.list(&ListFilter::default(), None, PageSize::MAX)).err().map(|error| match error {
            ListError::Catalog(error) => error,
            ListError::Cursor(error) => panic!("{error}"),
        }),
        done(catalog.begin_delete(image.id, &OwnerFilter::Any, MovedImages::Go, at(0))).err(),
        done(catalog.finish_delete(image.id, 1, &CachePurge::Needless, at(0))).err(),
        done(catalog.stale(at(0), 10)).err(),
        done(catalog.statistics()).err(),
        done(catalog.claim(&key, digest, image.id, at(0), 1000)).err(),
    ];
    errors.into_iter().map(|error| error.map(|error| error.kind())).collect()
}

#[test]
fn a_malformed_row_is_an_error_and_not_a_panic() {
    for rows in ["[{}]", "[1]", "{}", "", "[{\"status\":\"melted\"}]", "[null]", "[[[[["] {
        let failures = failures_of_every_operation(rows);
        assert!(failures.iter().all(|kind| *kind == Some(DatabaseErrorKind::Corrupt)), "{rows}: {failures:?}");
    }
}

#[test]
fn each_malformed_column_of_a_real_row_is_noticed() {
    let shelf = Shelf::new();
    let image = shelf.image_in(1, Status::Stored);
    let row = shelf.sql("SELECT * FROM stillstore_images").unwrap().remove(0);
    let find = |row: &serde_json::Value| {
        let catalog = Catalog::new(Rc::new(Canned(serde_json::json!([row]).to_string())));
        done(catalog.find(image.id, &OwnerFilter::Any))
            .map(Option::unwrap)
            .map_err(|error| (error.kind(), error.source.detail))
    };
    assert_eq!(find(&row).unwrap(), shelf.find(image.id).unwrap());
    let malformed = [
        ("id", serde_json::json!("1")),
        ("storage_key", "".into()),
        ("content_type", "text/html".into()),
        ("visibility", "friends".into()),
        ("labels", "{\"mood\": \"Jane".into()),
        ("labels", "\"Jane\"".into()),
        ("generation", "{\"total_tokens\": \"Jane\"}".into()),
        ("status", "melted".into()),
        ("storage", "tape".into()),
        ("size_bytes", (-1).into()),
        ("size_bytes", serde_json::Value::Null),
        ("sha256", "abc".into()),
        ("width", (1_u64 << 32).into()),
        ("orientation", 9.into()),
        ("ordinal", (1_u64 << 32).into()),
        ("owner_id", "Jane\n".into()),
        ("collection_id", "Jane\n".into()),
        ("parent_id", "Jane".into()),
        ("two_homes", 300.into()),
        ("version", "2".into()),
        ("created_at_ms", 0.5.into()),
    ];
    for (column, value) in malformed {
        let mut row = row.clone();
        row[column] = value.clone();
        let (kind, detail) = find(&row).expect_err(column);
        assert_eq!(kind, DatabaseErrorKind::Corrupt, "{column} {value}");
        assert!(!detail.contains("Jane"), "what a person wrote goes into no log: {detail}");
    }
}

#[test]
fn each_malformed_column_of_a_row_to_serve_is_noticed() {
    let row = serde_json::json!({
        "status": "stored", "storage": "r2", "storage_key": "a/b.png", "content_type": "image/png", "size_bytes": 3,
        "sha256": "ab".repeat(32), "visibility": "public", "created_at_ms": 0, "version": 2, "filename": null,
    });
    let find = |row: &serde_json::Value| {
        let catalog = Catalog::new(Rc::new(Canned(serde_json::json!([row]).to_string())));
        done(catalog.find_for_serving(id(1), &OwnerFilter::Any)).map_err(|error| error.kind())
    };
    assert!(matches!(find(&row), Ok(Serving::Found(image)) if image.filename.is_none()));
    let malformed = [
        ("status", "melted".into()),
        ("storage", "tape".into()),
        ("storage_key", "".into()),
        ("content_type", "text/html".into()),
        ("size_bytes", (-1).into()),
        ("sha256", "abc".into()),
        ("visibility", "friends".into()),
        ("created_at_ms", 0.5.into()),
        ("version", "two".into()),
        ("filename", 1.into()),
    ];
    for (column, value) in malformed {
        let broken = [value, serde_json::json!([])].map(|value| {
            let mut row = row.clone();
            row[column] = value;
            row
        });
        for broken in broken {
            assert_eq!(find(&broken), Err(DatabaseErrorKind::Corrupt), "{broken}");
        }
        if column != "filename" {
            let mut without = row.clone();
            without[column] = serde_json::Value::Null;
            assert_eq!(find(&without), Err(DatabaseErrorKind::Corrupt), "no {column}");
        }
    }
}

proptest! {
    #[test]
    fn no_answer_of_the_database_makes_an_operation_panic(rows in "\\PC{0,60}") {
        failures_of_every_operation(&rows);
        failures_of_every_operation(&format!("[{rows}]"));
    }
}
