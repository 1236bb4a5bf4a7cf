//! Round trips counted, each of them lost before and after taking effect.

use stillstore::catalog::{
    CachePurge, CatalogError, Claim, Commit, Committed, DeleteFinished, DeleteStep, ImageRecord, Lease, ListFilter,
    MovedImages, OwnerFilter, PageSize, Reservation, Status,
};
use stillstore::image::Sha256Digest;
use stillstore::sql::DatabaseErrorKind;
use stillstore::store::StorageKind;

use crate::catalog_database::{Fault, Shelf, at, content, description, done, id, plain_commit};

/// An operation on image 1, whose answer is written out for comparison.
type Operation = fn(&Shelf) -> Result<String, CatalogError>;

fn written<T: std::fmt::Debug>(answer: Result<T, CatalogError>) -> Result<String, CatalogError> {
    answer.map(|answer| format!("{answer:?}"))
}

fn reserve(shelf: &Shelf) -> Result<String, CatalogError> {
    written(done(shelf.catalog.reserve(&description(1), StorageKind::R2, 1, at(0))))
}

fn commit(shelf: &Shelf) -> Result<String, CatalogError> {
    let (description, content, key) = (description(1), content(), "key".parse().unwrap());
    let commit = Commit { idempotency: Some(&key), ..plain_commit(&description, &content) };
    done(shelf.catalog.commit(commit)).map(|committed| match committed {
        Committed::Done(record) | Committed::AlreadyStored(record) => format!("stored {record:?}"),
        lost => format!("{lost:?}"),
    })
}

fn abandon(shelf: &Shelf) -> Result<String, CatalogError> {
    written(done(shelf.catalog.abandon(id(1), at(1))))
}

fn begin_delete(shelf: &Shelf) -> Result<String, CatalogError> {
    // When the row changed before says that this call took effect before, too.
    written(done(shelf.catalog.begin_delete(id(1), &OwnerFilter::Any, MovedImages::Go, at(2))).map(|step| match step {
        DeleteStep::Delete { record, due_purges, variants, .. } => {
            DeleteStep::Delete { record, unchanged_since: at(0), due_purges, variants }
        }
        step => step,
    }))
}

fn finish_delete(shelf: &Shelf) -> Result<String, CatalogError> {
    written(done(shelf.catalog.finish_delete(id(1), 3, &CachePurge::Queued, at(3))))
}

fn erase(shelf: &Shelf) -> Result<String, CatalogError> {
    written(done(shelf.catalog.erase(id(1), 3, &CachePurge::Queued, at(9))))
}

fn claim(shelf: &Shelf) -> Result<String, CatalogError> {
    let key = "key".parse().unwrap();
    written(done(shelf.catalog.claim(&key, Sha256Digest::of(b""), id(1), at(0), 1000)))
}

fn release(shelf: &Shelf) -> Result<String, CatalogError> {
    let lease = Lease { image_id: id(1), created_at: at(0), expires_at: at(1) };
    written(done(shelf.catalog.release(&"key".parse().unwrap(), &lease)))
}

/// Operations that write, each with those that go before it.
const WRITES: [(Operation, &[Operation]); 8] = [
    (reserve, &[]),
    (commit, &[claim, reserve]),
    (abandon, &[reserve]),
    (begin_delete, &[reserve, commit]),
    (finish_delete, &[reserve, commit, begin_delete]),
    (erase, &[reserve, commit, begin_delete]),
    (claim, &[]),
    (release, &[claim]),
];

fn after(earlier: &[Operation]) -> Shelf {
    let shelf = Shelf::new();
    for operation in earlier {
        operation(&shelf).unwrap();
    }
    shelf
}

/// Everything in the database.
fn contents(shelf: &Shelf) -> Vec<serde_json::Value> {
    ["images", "idempotency", "counters"]
        .iter()
        .flat_map(|table| shelf.sql(&format!("SELECT * FROM stillstore_{table}")).unwrap())
        .collect()
}

#[test]
fn a_write_whose_answer_was_lost_is_made_again_with_the_same_answer_and_effect() {
    for (index, (operation, earlier)) in WRITES.into_iter().enumerate() {
        let undisturbed = after(earlier);
        let expected = operation(&undisturbed).unwrap();
        for fault in [Fault::BeforeEffect, Fault::AfterEffect] {
            let shelf = after(earlier);
            let before = contents(&shelf);
            shelf.fail_next(fault);
            let error = operation(&shelf).unwrap_err();
            assert_eq!(error.kind(), DatabaseErrorKind::Unavailable);
            assert_eq!(contents(&shelf) == before, fault == Fault::BeforeEffect, "write {index}");
            assert_eq!(operation(&shelf).unwrap(), expected, "write {index} after {fault:?}");
            assert_eq!(contents(&shelf), contents(&undisturbed), "write {index} after {fault:?}");
        }
    }
}

#[test]
fn a_refused_commit_whose_reason_was_lost_says_so_when_made_again() {
    let shelf = Shelf::new();
    let image = shelf.image_in(1, Status::Deleting);
    let (before, content) = (contents(&shelf), content());
    shelf.fail_after(1, Fault::BeforeEffect);
    let error = done(shelf.catalog.commit(plain_commit(&image, &content))).unwrap_err();
    assert_eq!((error.operation, error.kind()), ("commit", DatabaseErrorKind::Unavailable));
    assert_eq!(done(shelf.catalog.commit(plain_commit(&image, &content))), Ok(Committed::Lost));
    assert_eq!(contents(&shelf), before);
}

#[test]
fn an_error_names_its_operation() {
    let shelf = Shelf::new();
    shelf.fail_next(Fault::BeforeEffect);
    let error = begin_delete(&shelf).unwrap_err();
    assert_eq!(error.to_string(), "catalogue begin_delete: Unavailable: injected");
}

#[test]
fn each_operation_is_one_round_trip() {
    let shelf = Shelf::new();
    let catalog = &shelf.catalog;
    let (image, content, key) = (description(1), content(), "key".parse().unwrap());
    let commit = || Commit { idempotency: Some(&key), ..plain_commit(&image, &content) };
    let lease = Lease { image_id: id(9), created_at: at(0), expires_at: at(1) };

    let (claim, claim_calls) = shelf.calls_of(catalog.claim(&key, Sha256Digest::of(b""), id(1), at(0), 1000));
    assert!(matches!(claim, Ok(Claim::Claimed(_))));
    let (reserved, reserve_calls) = shelf.calls_of(catalog.reserve(&image, StorageKind::R2, 1, at(0)));
    assert_eq!(reserved, Ok(Reservation::Reserved));
    let (committed, commit_calls) = shelf.calls_of(catalog.commit(commit()));
    assert!(matches!(committed, Ok(Committed::Done(_))));
    let (again, again_calls) = shelf.calls_of(catalog.commit(commit()));
    assert!(matches!(again, Ok(Committed::AlreadyStored(_))));
    assert_eq!([claim_calls, reserve_calls, commit_calls, again_calls], [1, 1, 1, 2]);

    assert_eq!(shelf.calls_of(catalog.find(id(1), &OwnerFilter::Any)).1, 1);
    assert_eq!(shelf.calls_of(catalog.find_stored(id(1))).1, 1);
    assert_eq!(shelf.calls_of(catalog.find_for_serving(id(1), &OwnerFilter::Any)).1, 1);
    assert_eq!(shelf.calls_of(catalog.list(&ListFilter::default(), None, PageSize::MAX)).1, 1);
    assert_eq!(shelf.calls_of(catalog.abandon(id(1), at(1))).1, 1);
    let (deleting, begin_calls) =
        shelf.calls_of(catalog.begin_delete(id(1), &OwnerFilter::Any, MovedImages::Go, at(1)));
    let Ok(DeleteStep::Delete { record, .. }) = deleting else { panic!("{deleting:?}") };
    let ImageRecord { version, .. } = *record;
    assert_eq!(begin_calls, 1);
    assert_eq!(shelf.calls_of(catalog.stale(at(9), 10)).1, 1);
    assert_eq!(shelf.calls_of(catalog.postpone_delete(id(1), version, at(2))).1, 1);
    let finished = shelf.calls_of(catalog.finish_delete(id(1), version + 1, &CachePurge::Queued, at(2)));
    assert_eq!(finished, (Ok(DeleteFinished::Deleted), 1));
    assert_eq!(shelf.calls_of(catalog.purge_tombstones(at(9), 10)), (Ok(1), 1));
    assert_eq!(shelf.calls_of(catalog.statistics()).1, 1);
    assert_eq!(shelf.calls_of(catalog.ping()).1, 1);
    assert_eq!(shelf.calls_of(catalog.release(&key, &lease)).1, 1);
    assert_eq!(shelf.calls_of(catalog.purge_idempotency(at(9), 10)).1, 1);
}
