//! From a reservation to a stored image to a tombstone, and every step that must not be taken.

use stillstore::catalog::{
    Associations, CachePurge, Commit, Committed, DeleteFinished, DeleteStep, Description, ImageRecord, MovedImages,
    OwnerFilter, Reservation, Status,
};
use stillstore::image::{ImageId, Labels};
use stillstore::sql::{DatabaseErrorKind, Statement};
use stillstore::store::StorageKind;

use crate::catalog_database::{Shelf, at, content, description, done, generation, id, key, plain_commit};

const STATUSES: [Status; 4] = [Status::Pending, Status::Stored, Status::Deleting, Status::Deleted];

#[test]
fn a_reservation_is_a_pending_row_that_holds_the_whole_description() {
    let shelf = Shelf::new();
    let description = description(1);
    let reserved = done(shelf.catalog.reserve(&description, StorageKind::D1, 1, at(5))).unwrap();
    assert_eq!(reserved, Reservation::Reserved);
    let expected = ImageRecord {
        description: description.clone(),
        version: 1,
        status: Status::Pending,
        storage: StorageKind::D1,
        content: None,
        generation: None,
        fallback_reason: None,
        embedded_write_id: None,
        placeholder: None,
        two_homes: None,
        updated_at: at(5),
    };
    assert_eq!(shelf.find(description.id), Some(expected));
}

#[test]
fn two_images_never_share_a_key() {
    let shelf = Shelf::new();
    let first = shelf.image_in(1, Status::Pending);
    let mut second = description(2);
    second.key = first.key.clone();
    assert_eq!(done(shelf.catalog.reserve(&second, StorageKind::R2, 1, at(1))).unwrap(), Reservation::KeyTaken);
    assert_eq!(done(shelf.catalog.commit(plain_commit(&second, &content()))).unwrap(), Committed::KeyTaken);
    assert_eq!(shelf.find(second.id), None);
    assert_eq!(shelf.status(first.id), Some(Status::Pending));
}

#[test]
fn reserving_an_image_under_another_key_hands_back_the_row() {
    let shelf = Shelf::new();
    let first = shelf.image_in(1, Status::Pending);
    let mut other_format = first.clone();
    other_format.key = key("portraits/2023/11/1_jane-doe.webp");
    let record = Box::new(shelf.find(first.id).unwrap());
    assert_eq!(
        done(shelf.catalog.reserve(&other_format, StorageKind::R2, 1, at(1))).unwrap(),
        Reservation::Exists(record.clone())
    );
    assert_eq!(done(shelf.catalog.commit(plain_commit(&other_format, &content()))).unwrap(), Committed::Lost);
    assert_eq!(shelf.find(first.id).as_ref(), Some(&*record));
}

#[test]
fn a_commit_stores_everything_with_or_without_a_reservation() {
    for reserve in [true, false] {
        let shelf = Shelf::new();
        let (description, content, generation) = (description(1), content(), generation());
        if reserve {
            done(shelf.catalog.reserve(&description, StorageKind::R2, 1, at(0))).unwrap();
        }
        let commit = Commit {
            storage: StorageKind::D1,
            generation: Some(&generation),
            fallback_reason: Some("store-unavailable"),
            ..plain_commit(&description, &content)
        };
        let expected = ImageRecord {
            description: description.clone(),
            version: if reserve { 2 } else { 1 },
            status: Status::Stored,
            storage: StorageKind::D1,
            content: Some(content.clone()),
            generation: Some(generation.clone()),
            fallback_reason: Some("store-unavailable".to_owned()),
            embedded_write_id: None,
            placeholder: None,
            two_homes: Some(true),
            updated_at: at(1),
        };
        assert_eq!(done(shelf.catalog.commit(commit)).unwrap(), Committed::Done(expected.clone()));
        assert_eq!(shelf.find(description.id), Some(expected));
    }
}

#[test]
fn a_commit_says_whether_the_bytes_may_be_in_two_homes() {
    let (r2, d1) = (StorageKind::R2, StorageKind::D1);
    for (reserved, stored, fallback_reason, two_homes) in [
        (Some(r2), r2, None, false),
        (Some(r2), d1, Some("store-unavailable"), true),
        // An attempt before may have put them into R2, when that was enabled.
        (Some(r2), d1, None, true),
        (None, d1, None, false),
        (None, d1, Some("r2-not-bound"), true),
    ] {
        let shelf = Shelf::new();
        let (description, content) = (description(1), content());
        if let Some(storage) = reserved {
            done(shelf.catalog.reserve(&description, storage, 1, at(0))).unwrap();
            assert_eq!(shelf.find(description.id).unwrap().two_homes, None);
        }
        let commit = Commit { storage: stored, fallback_reason, ..plain_commit(&description, &content) };
        let committed = done(shelf.catalog.commit(commit)).unwrap();
        let found = shelf.find(description.id).unwrap();
        assert_eq!(found.two_homes, Some(two_homes), "{reserved:?} {stored:?} {fallback_reason:?}");
        assert_eq!(committed, Committed::Done(found), "no trigger had to see to it");
    }
}

#[test]
fn extra_statements_take_effect_exactly_when_the_image_is_stored_by_them() {
    let statuses = [(None, true), (Some(Status::Pending), true)];
    let refused = STATUSES[1..].iter().map(|status| (Some(*status), false));
    for (status, effective) in statuses.into_iter().chain(refused) {
        let shelf = Shelf::new();
        shelf.sql("CREATE TABLE adopted (key TEXT)").unwrap();
        let description = status.map_or_else(|| description(1), |status| shelf.image_in(1, status));
        let content = content();
        let adopt = Statement::new("INSERT INTO adopted VALUES (?1)").bind(description.key.as_str());
        let commit = Commit { extra: vec![adopt], ..plain_commit(&description, &content) };
        let stored = matches!(done(shelf.catalog.commit(commit)).unwrap(), Committed::Done(_));
        assert_eq!(stored, effective, "{status:?}");
        assert_eq!(shelf.sql("SELECT * FROM adopted").unwrap().len(), usize::from(effective), "{status:?}");
    }
}

#[test]
fn a_refused_extra_statement_undoes_the_commit() {
    let shelf = Shelf::new();
    let description = shelf.image_in(1, Status::Pending);
    shelf.sql("CREATE TABLE adopted (key TEXT NOT NULL)").unwrap();
    let content = content();
    let extra = vec![Statement::new("INSERT INTO adopted VALUES (NULL)")];
    let error = done(shelf.catalog.commit(Commit { extra, ..plain_commit(&description, &content) })).unwrap_err();
    assert_eq!((error.operation, error.kind()), ("commit", DatabaseErrorKind::Constraint));
    assert_eq!(shelf.status(description.id), Some(Status::Pending));
}

#[test]
fn a_size_that_the_database_cannot_hold_exactly_is_refused() {
    for (size_bytes, accepted) in [(0, true), (1 << 53, true), ((1 << 53) + 1, false), (u64::MAX, false)] {
        let shelf = Shelf::new();
        let mut content = content();
        content.size_bytes = size_bytes;
        let committed = done(shelf.catalog.commit(plain_commit(&description(1), &content)));
        assert_eq!(committed.is_ok(), accepted, "{size_bytes}");
        let stored = shelf.find(id(1)).and_then(|record| record.content);
        assert_eq!(stored.map(|content| content.size_bytes), accepted.then_some(size_bytes));
    }
}

/// The name of what an operation answered, and the status it left.
fn outcome(shelf: &Shelf, image: ImageId, answer: &str) -> String {
    match shelf.status(image) {
        Some(status) => format!("{answer}, {}", status.as_str()),
        None => format!("{answer}, no row"),
    }
}

fn try_operation(operation: &str, status: Option<Status>) -> String {
    let shelf = Shelf::new();
    let image = status.map_or_else(|| description(1), |status| shelf.image_in(1, status));
    let before = shelf.find(image.id);
    let version = before.as_ref().map_or(1, |record| record.version);
    let answer = match operation {
        "reserve" => match done(shelf.catalog.reserve(&image, StorageKind::R2, 1, at(9))).unwrap() {
            Reservation::Reserved => "reserved",
            Reservation::KeyTaken => "key taken",
            Reservation::Exists(_) => "exists",
            Reservation::LimitReached(_) => "limit reached",
        },
        "commit" => match done(shelf.catalog.commit(plain_commit(&image, &content()))).unwrap() {
            Committed::Done(_) => "done",
            Committed::AlreadyStored(_) => "already stored",
            Committed::Lost => "lost",
            Committed::KeyTaken => "key taken",
            Committed::LimitReached(_) => "limit reached",
        },
        "abandon" => done(shelf.catalog.abandon(image.id, at(9))).map(|()| "ok").unwrap(),
        "withdraw" => done(shelf.catalog.withdraw(image.id)).map(|()| "ok").unwrap(),
        "begin_delete" => {
            match done(shelf.catalog.begin_delete(image.id, &OwnerFilter::Any, MovedImages::Go, at(9))).unwrap() {
                DeleteStep::Delete { record, unchanged_since, .. } => {
                    assert_eq!(Some(&*record), shelf.find(image.id).as_ref());
                    assert_eq!(Some(unchanged_since), before.map(|record| record.updated_at));
                    assert_eq!(record.status, Status::Deleting);
                    assert_eq!(record.description, image);
                    "delete"
                }
                DeleteStep::AlreadyDeleted => "already deleted",
                DeleteStep::NotFound => "not found",
                DeleteStep::Moved(_) => "moved",
            }
        }
        "finish_delete" | "finish_delete of an older version" => {
            let version = if operation == "finish_delete" { version } else { version - 1 };
            match done(shelf.catalog.finish_delete(image.id, version, &CachePurge::Needless, at(9))).unwrap() {
                DeleteFinished::Deleted => "deleted",
                DeleteFinished::Changed => "changed",
            }
        }
        "erase" => done(shelf.catalog.erase(image.id, version, &CachePurge::Needless, at(9))).map(|()| "ok").unwrap(),
        "postpone_delete" => done(shelf.catalog.postpone_delete(image.id, version, at(9))).map(|()| "ok").unwrap(),
        other => panic!("{other}"),
    };
    let after = shelf.find(image.id);
    let changed = status.is_some() && after.as_ref().map(|record| record.status) != status;
    if changed && after.is_some() {
        assert_eq!(after.map(|record| record.version), Some(version + 1), "{operation} of {status:?}");
    }
    outcome(&shelf, image.id, answer)
}

#[test]
fn each_operation_moves_each_status_as_drawn() {
    let statuses = [None, Some(Status::Pending), Some(Status::Stored), Some(Status::Deleting), Some(Status::Deleted)];
    let table = [
        (
            "reserve",
            ["reserved, pending", "reserved, pending", "exists, stored", "exists, deleting", "exists, deleted"],
        ),
        ("commit", ["done, stored", "done, stored", "already stored, stored", "lost, deleting", "lost, deleted"]),
        ("abandon", ["ok, no row", "ok, deleting", "ok, stored", "ok, deleting", "ok, deleted"]),
        ("withdraw", ["ok, no row", "ok, no row", "ok, stored", "ok, deleting", "ok, deleted"]),
        (
            "begin_delete",
            [
                "not found, no row",
                "delete, deleting",
                "delete, deleting",
                "delete, deleting",
                "already deleted, deleted",
            ],
        ),
        (
            "finish_delete",
            ["deleted, no row", "changed, pending", "changed, stored", "deleted, deleted", "deleted, deleted"],
        ),
        (
            "finish_delete of an older version",
            ["deleted, no row", "changed, pending", "changed, stored", "changed, deleting", "deleted, deleted"],
        ),
        ("erase", ["ok, no row", "ok, pending", "ok, stored", "ok, deleting", "ok, deleted"]),
        ("postpone_delete", ["ok, no row", "ok, pending", "ok, stored", "ok, deleting", "ok, deleted"]),
    ];
    for (operation, expected) in table {
        let actual = statuses.map(|status| try_operation(operation, status));
        assert_eq!(actual, expected, "{operation}");
    }
}

#[test]
fn what_changes_nothing_leaves_the_row_untouched() {
    for status in STATUSES {
        let shelf = Shelf::new();
        let image = shelf.image_in(1, status);
        let before = shelf.find(image.id);
        done(shelf.catalog.reserve(&image, StorageKind::D1, 1, at(9))).unwrap();
        if status != Status::Pending {
            done(shelf.catalog.commit(Commit { now: at(9), ..plain_commit(&image, &content()) })).unwrap();
            done(shelf.catalog.abandon(image.id, at(9))).unwrap();
        }
        if status != Status::Deleting {
            done(shelf.catalog.finish_delete(image.id, shelf.version(image.id), &CachePurge::Needless, at(9))).unwrap();
            done(shelf.catalog.erase(image.id, shelf.version(image.id), &CachePurge::Needless, at(9))).unwrap();
            done(shelf.catalog.postpone_delete(image.id, shelf.version(image.id), at(9))).unwrap();
        }
        if matches!(status, Status::Deleting | Status::Deleted) {
            done(shelf.catalog.begin_delete(image.id, &OwnerFilter::Any, MovedImages::Go, at(9))).unwrap();
        }
        assert_eq!(shelf.find(image.id), before, "{status:?}");
    }
}

/// An image that a provider made, with all that people may write, which fell back.
fn fallen_back(shelf: &Shelf) -> Description {
    let (description, content, generation) = (description(1), content(), generation());
    let commit = Commit {
        generation: Some(&generation),
        fallback_reason: Some("store-unavailable"),
        ..plain_commit(&description, &content)
    };
    done(shelf.catalog.commit(commit)).unwrap();
    description
}

#[test]
fn a_tombstone_holds_nothing_that_a_person_wrote() {
    let shelf = Shelf::new();
    let description = fallen_back(&shelf);
    let before = shelf.sql("SELECT * FROM stillstore_images").unwrap();
    done(shelf.catalog.begin_delete(description.id, &OwnerFilter::Any, MovedImages::Go, at(2))).unwrap();
    done(shelf.catalog.finish_delete(description.id, 2, &CachePurge::Needless, at(3))).unwrap();
    let after = shelf.sql("SELECT * FROM stillstore_images").unwrap();

    let personal = [
        "Jane",
        "jane",
        "calm",
        "persona-",
        "session-",
        "participant-",
        "table-",
        "portraits",
        "sea",
        "user-",
        "collection-",
        "row-",
        "rooms",
        "\"ordinal\":1",
    ];
    for word in personal {
        assert!(before[0].to_string().contains(word), "{word} is not tested");
        assert!(!after[0].to_string().contains(word), "{word} is left in {}", after[0]);
    }
    let tombstone = shelf.find(description.id).unwrap();
    assert_eq!(tombstone.content, Some(content()));
    assert_eq!(tombstone.updated_at, at(3));
    assert_ne!(tombstone.description.key, description.key);
}

fn deleting(shelf: &Shelf, id: ImageId) -> ImageRecord {
    match done(shelf.catalog.begin_delete(id, &OwnerFilter::Any, MovedImages::Go, at(2))).unwrap() {
        DeleteStep::Delete { record, .. } => *record,
        step => panic!("{step:?}"),
    }
}

#[test]
fn an_erased_row_holds_nothing_that_a_person_wrote_but_its_key_and_knows_where_its_bytes_may_be() {
    let shelf = Shelf::new();
    let description = fallen_back(&shelf);
    let before = deleting(&shelf, description.id);
    done(shelf.catalog.erase(description.id, 2, &CachePurge::Needless, at(9))).unwrap();
    let after = deleting(&shelf, description.id);
    let erased = Description {
        filename: None,
        context: None,
        associations: Associations::default(),
        labels: Labels::default(),
        owner_id: None,
        frame: None,
        parent_id: None,
        moved_from: None,
        ..description
    };
    assert_eq!(after, ImageRecord { description: erased, version: 3, generation: None, ..before });
}

#[test]
fn the_key_of_a_deleted_image_is_free_again() {
    let shelf = Shelf::new();
    let deleted = shelf.image_in(1, Status::Deleted);
    shelf.image_in(2, Status::Deleted);
    let mut next = description(3);
    next.key = deleted.key;
    assert_eq!(done(shelf.catalog.reserve(&next, StorageKind::R2, 1, at(9))).unwrap(), Reservation::Reserved);
}
