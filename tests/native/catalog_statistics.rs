//! Counters that triggers keep, against a count of the rows.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;
use stillstore::catalog::{CachePurge, Commit, Description, MovedImages, OwnerFilter, Statistics, Status};
use stillstore::sql::DatabaseErrorKind;
use stillstore::store::StorageKind;

use crate::catalog_database::{Shelf, at, content, description, done, id, plain_commit};

/// What the rows themselves add up to.
fn counted(shelf: &Shelf) -> Statistics {
    let sql = "SELECT storage, size_bytes, fallback_reason FROM stillstore_images WHERE status = 'stored'";
    let mut statistics = Statistics::default();
    for row in shelf.sql(sql).unwrap() {
        let storage = row["storage"].as_str().unwrap();
        let (images, bytes) = match storage {
            "r2" => (&mut statistics.r2_images, &mut statistics.r2_bytes),
            _ => (&mut statistics.d1_images, &mut statistics.d1_bytes),
        };
        *images += 1;
        *bytes += row["size_bytes"].as_u64().unwrap();
        statistics.fallback_images += u64::from(storage == "d1" && !row["fallback_reason"].is_null());
    }
    statistics
}

/// Images and bytes by kind, context and owner.
type Held = BTreeMap<[String; 3], (u64, u64)>;

/// As the triggers count it.
fn held(shelf: &Shelf) -> Held {
    let rows = shelf.sql("SELECT * FROM stillstore_holdings WHERE images <> 0 OR bytes <> 0").unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let number = |row: &Value, name: &str| row[name].as_u64().unwrap();
    let entries = rows.iter().map(|row| {
        (["kind", "context", "owner_id"].map(|name| text(row, name)), (number(row, "images"), number(row, "bytes")))
    });
    entries.collect()
}

/// As the rows add up to it.
fn held_by_rows(shelf: &Shelf) -> Held {
    let mut held = Held::new();
    for row in shelf.sql("SELECT * FROM stillstore_images WHERE status = 'stored'").unwrap() {
        let signs = [
            ("source", "moved"),
            ("generation", "generated"),
            ("ordinal", "frame"),
            ("parent_id", "output"),
            ("collection_id", "asset"),
        ];
        let kind = signs.into_iter().find(|(column, _)| !row[*column].is_null()).map_or("upload", |(_, kind)| kind);
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let (images, bytes) = held.entry([kind.to_owned(), text("context"), text("owner_id")]).or_default();
        *images += 1;
        *bytes += row["size_bytes"].as_u64().unwrap();
    }
    held
}

#[derive(Debug, Clone)]
enum Operation {
    Reserve(u64, StorageKind),
    Commit { number: u64, storage: StorageKind, size_bytes: u64, fallback: bool },
    Abandon(u64),
    BeginDelete(u64),
    FinishDelete(u64),
    Purge,
    Sql(String),
}

/// An image of our own: those that were moved out of tables are counted apart.
fn ours(number: u64) -> Description {
    Description { moved_from: None, ..description(number) }
}

fn operation() -> impl Strategy<Value = Operation> {
    let number = 0..6_u64;
    let storage = prop_oneof![Just(StorageKind::R2), Just(StorageKind::D1)];
    let sql = prop_oneof![
        Just("DELETE FROM stillstore_images WHERE".to_owned()),
        Just("UPDATE stillstore_images SET size_bytes = 7 WHERE size_bytes IS NOT NULL AND".to_owned()),
        Just("UPDATE stillstore_images SET fallback_reason = 'moved' WHERE status <> 'deleted' AND".to_owned()),
        Just("UPDATE stillstore_images SET fallback_reason = NULL, storage = 'r2' WHERE".to_owned()),
        Just("UPDATE stillstore_images SET version = version + 1 WHERE".to_owned()),
    ];
    prop_oneof![
        (number.clone(), storage.clone()).prop_map(|(number, storage)| Operation::Reserve(number, storage)),
        (number.clone(), storage, 0..1000_u64, any::<bool>()).prop_map(|(number, storage, size_bytes, fallback)| {
            Operation::Commit { number, storage, size_bytes, fallback }
        }),
        number.clone().prop_map(Operation::Abandon),
        number.clone().prop_map(Operation::BeginDelete),
        number.clone().prop_map(Operation::FinishDelete),
        Just(Operation::Purge),
        (sql, number).prop_map(|(sql, number)| Operation::Sql(format!("{sql} id = '{}'", id(number)))),
    ]
}

fn apply(shelf: &Shelf, operation: &Operation) {
    let catalog = &shelf.catalog;
    match operation {
        Operation::Reserve(number, storage) => {
            done(catalog.reserve(&ours(*number), *storage, 1, at(0))).unwrap();
        }
        Operation::Commit { number, storage, size_bytes, fallback } => {
            let mut content = content();
            content.size_bytes = *size_bytes;
            let description = ours(*number);
            let fallback_reason = fallback.then_some("store-unavailable");
            let plain = plain_commit(&description, &content);
            done(catalog.commit(Commit { storage: *storage, fallback_reason, ..plain })).unwrap();
        }
        Operation::Abandon(number) => done(catalog.abandon(id(*number), at(1))).unwrap(),
        Operation::BeginDelete(number) => {
            done(catalog.begin_delete(id(*number), &OwnerFilter::Any, MovedImages::Go, at(1))).unwrap();
        }
        Operation::FinishDelete(number) => {
            let version = shelf.find(id(*number)).map_or(1, |record| record.version);
            done(catalog.finish_delete(id(*number), version, &CachePurge::Needless, at(2))).unwrap();
        }
        Operation::Purge => {
            done(catalog.purge_tombstones(at(9), 2)).unwrap();
        }
        Operation::Sql(sql) => {
            shelf.sql(sql).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_counters_are_exact_after_every_operation(operations in prop::collection::vec(operation(), 1..40)) {
        let shelf = Shelf::new();
        for operation in &operations {
            apply(&shelf, operation);
            prop_assert_eq!(done(shelf.catalog.statistics()).unwrap(), counted(&shelf), "after {:?}", operation);
            prop_assert_eq!(held(&shelf), held_by_rows(&shelf), "after {:?}", operation);
        }
        shelf.sql("DELETE FROM stillstore_images").unwrap();
        let sums = shelf.sql("SELECT sum(abs(images)) + sum(abs(bytes)) AS n FROM stillstore_counters").unwrap();
        prop_assert_eq!(&sums[0]["n"], 0);
        prop_assert!(held(&shelf).is_empty());
    }
}

#[test]
fn every_stored_image_is_counted_in_its_place() {
    let shelf = Shelf::new();
    shelf.image_in(1, Status::Pending);
    shelf.image_in(2, Status::Deleting);
    shelf.image_in(3, Status::Deleted);
    shelf.store(&ours(4), StorageKind::R2);
    shelf.store(&ours(5), StorageKind::D1);
    let (description, content) = (ours(6), content());
    let fallback_reason = Some("store-unavailable");
    let fallback = Commit { storage: StorageKind::D1, fallback_reason, ..plain_commit(&description, &content) };
    done(shelf.catalog.commit(fallback)).unwrap();

    let statistics = done(shelf.catalog.statistics()).unwrap();
    let expected = Statistics { r2_images: 1, d1_images: 2, r2_bytes: 70_000, d1_bytes: 140_000, fallback_images: 1 };
    assert_eq!(statistics, expected);
    assert_eq!(statistics.total_images(), 3);
}

#[test]
fn a_missing_or_negative_counter_is_an_error() {
    for sql in [
        "DELETE FROM stillstore_counters WHERE status = 'stored' AND storage = 'r2'",
        "UPDATE stillstore_counters SET images = -1 WHERE status = 'stored'",
    ] {
        let shelf = Shelf::new();
        shelf.sql(sql).unwrap();
        assert_eq!(done(shelf.catalog.statistics()).unwrap_err().kind(), DatabaseErrorKind::Corrupt);
    }
}
